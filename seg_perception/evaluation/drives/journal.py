# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Records on disk while an evaluation runs: what was done survives any end and is taken up again.

The first line names what is evaluated; each further one is a record. A line that was cut off by
the end of the process is not taken.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.record_list import RecordList


class Journal:
    """Context manager around the records of one recording.

    Attributes:
        records: those of an earlier run of the same, then those of this one.
        taken_up: how many of an earlier run there were.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        """Read what an earlier run left.

        Args:
            path: file of the journal; None to keep the records in memory alone.
            header: all that the records depend on; records under another one are not taken.
        """
        self._path = path
        self._header = json.loads(json.dumps(header))
        self.records = RecordList()
        self._file: IO[str] | None = None
        whole_bytes = self._read() if path is not None and path.exists() else 0
        self.taken_up = len(self.records)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open('r+' if whole_bytes else 'w', encoding='utf-8', newline='\n')
            self._file.seek(whole_bytes)
            self._file.truncate()
        except OSError as error:
            raise UserError(f'cannot write {path}: {error.strerror}') from error
        if not whole_bytes:
            self._write(json.dumps({'header': self._header}) + '\n')

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, record: FrameRecord) -> None:
        """Keep a record; it is in the file when this returns.

        Raises:
            UserError: the disk is full, or the like.
        """
        line = self.records.append(record)
        if self._file is not None:
            self._write(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, text: str) -> None:
        assert self._file is not None
        try:
            self._file.write(text)
            # To the system, which keeps it also when this process is killed.
            self._file.flush()
        except OSError as error:
            raise UserError(f'cannot write {self._path}: {error.strerror}') from error

    def _read(self) -> int:
        """Take the records of an earlier run; return the length of what was taken."""
        assert self._path is not None
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise UserError(f'cannot read {self._path}: {error.strerror}') from error
        if not lines or _parse(lines[0]) != {'header': self._header}:
            return 0
        whole_bytes = len(lines[0])
        for line in lines[1:]:
            values = _parse(line)
            if values is None:
                break
            self.records.append(FrameRecord.from_json(values))
            whole_bytes += len(line)
        return whole_bytes


def _parse(line: bytes) -> Any:
    """Return the JSON of a whole line, None for one that was cut off."""
    if not line.endswith(b'\n'):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
