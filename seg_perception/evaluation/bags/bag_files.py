# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The files of a recording: which there are, how they are compressed, what is damaged."""

from __future__ import annotations

import heapq
import re
import sqlite3
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml
from rosbags.rosbag2 import Reader

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.mcap_scan import McapScan, read_mcap_metadata
from seg_perception.evaluation.bags.sqlite_scan import (
    SqliteScan,
    has_write_ahead_log,
    read_sqlite_metadata,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

METADATA_FILE = 'metadata.yaml'
STORAGE_SUFFIXES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
COMPRESSED_SUFFIX = '.zstd'
# CDR begins with a zero byte, so a message with this beginning is compressed
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_METADATA_KEY = 'rosbag2_bagfile_information'


@dataclass
class BagFile:
    """One storage file of a recording, opened.

    Attributes:
        name: Name of the file.
        path: The file that is read; a decompressed copy when the recording's is compressed.
        reader: A rosbags reader, or a scan (`McapScan`, `SqliteScan`) of a damaged file.
    """

    name: str
    path: Path
    reader: Any

    @property
    def is_scan(self) -> bool:
        """Tell whether the file is read without its index."""
        return isinstance(self.reader, McapScan | SqliteScan)


@dataclass
class BagFiles:
    """All files of a recording.

    Attributes:
        path: Folder, or the one file.
        tolerate_damage: Read what can be read instead of raising UserError.
        metadata: Content of metadata.yaml, or of what the files say in its place; may be empty.
        files: The storage files.
        faults: What is wrong with the recording.
    """

    path: Path
    tolerate_damage: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    files: list[BagFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _unpacked: tempfile.TemporaryDirectory | None = None

    def close(self) -> None:
        """Close all files; decompressed copies are removed."""
        for file in self.files:
            file.reader.close()
        self.files.clear()
        if self._unpacked is not None:
            self._unpacked.cleanup()
            self._unpacked = None

    def list_faults(self) -> list[str]:
        """Return all that is wrong, also what reading has shown so far."""
        scans = [file for file in self.files if file.is_scan and file.reader.damage]
        return [*self.faults, *(f'{file.name}: {file.reader.damage}' for file in scans)]

    def find_connections(self) -> Iterator[tuple[int, Any]]:
        """Yield (number of its file, connection) of every topic of every file."""
        for number, file in enumerate(self.files):
            for connection in file.reader.connections:
                yield number, connection

    def iterate(
        self,
        wanted: Collection[tuple[str, str]],
        start_ns: int | None,
        stop_ns: int | None,
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Yield (connection, log time, data) in the order of log times, over all files.

        wanted: (topic, type) to yield.
        """
        streams = []
        for file in self.files:
            connections = [
                c for c in file.reader.connections if (c.topic, c.msgtype) in wanted
            ]
            if connections:
                streams.append(self._iterate_file(file, connections, start_ns, stop_ns))
        for connection, time_ns, data in heapq.merge(*streams, key=itemgetter(1)):
            if connection is not None:
                yield connection, time_ns, data

    def _iterate_file(
        self, file: BagFile, connections: list[Any], start_ns: int | None, stop_ns: int | None
    ) -> Iterator[tuple[Any, int, bytes]]:
        # keeps the file's place in the merge: a later file is not read before its time
        yield None, file.reader.start_time, b''
        last_ns, at_last = -1, Counter[tuple[str, str]]()
        try:
            for connection, time_ns, data in file.reader.messages(connections, start_ns, stop_ns):
                if time_ns != last_ns:
                    last_ns = time_ns
                    at_last.clear()
                at_last[connection.topic, connection.msgtype] += 1
                yield connection, time_ns, data
            return
        except GeneratorExit:
            raise
        # rosbags meets damage with anything from ReaderError to struct.error or apsw.Error
        except Exception as error:
            if not self.tolerate_damage or file.is_scan:
                raise UserError(
                    f'the bag {self.path} is damaged: {describe(error)} in {file.name}'
                ) from error
            self._replace_by_scan(file, error)
        names = {(c.topic, c.msgtype) for c in connections}
        remaining = [c for c in file.reader.connections if (c.topic, c.msgtype) in names]
        # go on where the index failed, without what was yielded at that very time already
        resume_ns = start_ns if last_ns < 0 else last_ns
        for connection, time_ns, data in file.reader.messages(remaining, resume_ns, stop_ns):
            key = (connection.topic, connection.msgtype)
            if time_ns == last_ns and at_last[key] > 0:
                at_last[key] -= 1
                continue
            yield connection, time_ns, data

    def _replace_by_scan(self, file: BagFile, error: BaseException) -> None:
        scan = scan_file(file.path)
        if not scan.damage:
            self.faults.append(f'{file.name}: {describe(error)}')
        file.reader.close()
        file.reader = scan


def open_bag_files(path: Path, tolerate_damage: bool) -> BagFiles:
    """Open a folder of a recording or a single file of it.

    Raises:
        UserError: No recording there, of a kind that cannot be read, or a damaged one while
            damage is not tolerated; or nothing of it can be read.
    """
    bag = BagFiles(path, tolerate_damage)
    try:
        for source in find_storage_files(bag):
            open_storage_file(bag, source)
        if not bag.files:
            raise UserError(f'cannot read the bag {path}: {"; ".join(bag.faults)}')
        if not bag.metadata:
            bag.metadata = read_inner_metadata(bag)
        check_compression(bag)
    except BaseException:
        bag.close()
        raise
    return bag


def find_storage_files(bag: BagFiles) -> list[Path]:
    """Return the storage files of a recording in their order, and read its metadata.yaml."""
    if bag.path.is_file():
        return [bag.path]
    fault = f'no {METADATA_FILE}: the recorder was not closed; its files are read as they are'
    if (bag.path / METADATA_FILE).is_file():
        try:
            bag.metadata = load_metadata((bag.path / METADATA_FILE).read_text(encoding='utf-8'))
            return find_listed_files(bag)
        except (OSError, ValueError, yaml.YAMLError) as error:
            fault = f'{METADATA_FILE} is damaged: {describe(error)}'
            if not bag.tolerate_damage:
                raise UserError(f'cannot read the bag {bag.path}: {fault}') from error
    bag.faults.append(fault)
    return sorted(
        (file for file in bag.path.iterdir() if is_storage_file(file)),
        key=lambda file: [int(part) for part in re.findall(r'\d+', file.name)],
    )


def find_listed_files(bag: BagFiles) -> list[Path]:
    """Return the files that metadata.yaml names; UserError for a missing one."""
    identifier = bag.metadata.get('storage_identifier')
    if identifier not in STORAGE_SUFFIXES.values():
        raise UserError(
            f'cannot read the bag {bag.path}: its storage is {identifier!r}, expected '
            'mcap or sqlite3; convert it with `ros2 bag convert`'
        )
    names = bag.metadata.get('relative_file_paths')
    if not isinstance(names, list) or not names:
        raise ValueError('it lists no files (relative_file_paths)')
    found = []
    for name in names:
        file = bag.path / Path(str(name)).name
        packed = file.with_name(file.name + COMPRESSED_SUFFIX)
        if file.is_file() or packed.is_file():
            found.append(file if file.is_file() else packed)
        elif bag.tolerate_damage:
            bag.faults.append(f'{file.name} is missing')
        else:
            raise UserError(
                f'cannot read the bag {bag.path}: {METADATA_FILE} names {file.name}, which is '
                'missing'
            )
    return found


def open_storage_file(bag: BagFiles, source: Path) -> None:
    """Open one file and add it to the recording; what is wrong is noted, or raised."""
    try:
        path = unpack_file(bag, source) if source.suffix == COMPRESSED_SUFFIX else source
        bag.files.append(BagFile(source.name, path, open_reader(path, bag.tolerate_damage)))
    # the same wealth of errors as while reading
    except Exception as error:
        if not bag.tolerate_damage:
            raise UserError(
                f'cannot read the bag {bag.path}: {describe(error)} in {source.name}'
            ) from error
        bag.faults.append(f'{source.name} cannot be read: {describe(error)}')


def open_reader(path: Path, tolerate_damage: bool) -> Any:
    """Open a storage file with rosbags; where that fails, scan it.

    A scan that finds no damage serves without tolerance too: rosbags refuses files that are
    whole but unusual, such as those of other recorders or of an unknown definition format.
    """
    if path.suffix == '.db3' and has_write_ahead_log(path):
        # rosbags reads the file alone
        return SqliteScan(path)
    reader = Reader(path)
    try:
        reader.open()
    # see open_storage_file
    except Exception as error:
        try:
            scan = scan_file(path)
        except (OSError, ValueError, struct.error, sqlite3.DatabaseError):
            raise error from None
        if scan.damage and not tolerate_damage:
            scan.close()
            raise error from None
        return scan
    return reader


def scan_file(path: Path) -> McapScan | SqliteScan:
    """Read a storage file without its index."""
    return McapScan(path) if path.suffix == '.mcap' else SqliteScan(path)


def unpack_file(bag: BagFiles, source: Path) -> Path:
    """Decompress a file into a temporary folder that lives as long as the recording is open."""
    if bag._unpacked is None:
        bag._unpacked = tempfile.TemporaryDirectory(prefix='seg_perception_bag_')
    target = Path(bag._unpacked.name) / source.stem
    with zstd.open(source, 'rb') as packed, target.open('wb') as unpacked:
        try:
            while piece := packed.read(2**20):
                unpacked.write(piece)
        except (EOFError, zstd.ZstdError) as error:
            if not bag.tolerate_damage:
                raise
            bag.faults.append(f'{source.name} is cut off or damaged: {describe(error)}')
    return target


def load_metadata(text: str) -> dict[str, Any]:
    """Return the information of a metadata.yaml; ValueError when it is something else."""
    content = yaml.safe_load(text)
    if isinstance(content, dict):
        # the copy inside of storage files comes without the outer key
        content = content.get(_METADATA_KEY, content)
    if not isinstance(content, dict) or 'version' not in content:
        raise ValueError(f'expected the entry {_METADATA_KEY} with a version')
    return content


def read_inner_metadata(bag: BagFiles) -> dict[str, Any]:
    """Return the copy of metadata.yaml that recorders leave in a storage file, or {}."""
    for file in reversed(bag.files):
        try:
            if file.path.suffix == '.mcap':
                text = read_mcap_metadata(file.path, 'rosbag2').get('serialized_metadata', '')
            else:
                text = read_sqlite_metadata(file.path)
            if text:
                return load_metadata(text)
        except (OSError, ValueError, struct.error, sqlite3.DatabaseError, yaml.YAMLError):
            # a copy is a convenience: without it the label space has to be named
            continue
    return {}


def check_compression(bag: BagFiles) -> None:
    """Raise UserError for a compression of whole files or messages that is not zstd."""
    mode = str(bag.metadata.get('compression_mode') or '').lower()
    name = str(bag.metadata.get('compression_format') or '')
    if mode in ('file', 'message') and name != 'zstd':
        raise UserError(
            f'cannot read the bag {bag.path}: its {mode}s are compressed with {name!r}, expected '
            'zstd (lz4 only as the chunk compression of mcap); convert it with `ros2 bag convert`'
        )


def is_storage_file(path: Path) -> bool:
    """Tell from its name whether a file holds messages."""
    name = path.name.removesuffix(COMPRESSED_SUFFIX)
    return path.is_file() and Path(name).suffix in STORAGE_SUFFIXES


def check_readable(path: Path) -> None:
    """Raise UserError when a path cannot be a recording; says what is there instead."""
    if not path.exists():
        raise UserError(f'no bag at {path}: no such file or folder')
    if path.is_file() and not is_storage_file(path):
        raise UserError(
            f'{path} is no rosbag2 recording: expected a folder with metadata.yaml, or a file '
            'that ends in .mcap or .db3 (or one of these with .zstd)'
        )
    if path.is_dir() and not any(
        file.name == METADATA_FILE or is_storage_file(file) for file in path.iterdir()
    ):
        raise UserError(
            f'{path} has no metadata.yaml; give the folder that `ros2 bag record` made'
        )


def describe(error: BaseException) -> str:
    """Return an error's text, with its kind where the text alone says little."""
    text = str(error).strip()
    return text if len(text) > 12 and ' ' in text else f'{type(error).__name__} {text}'.strip()
