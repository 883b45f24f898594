# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Label images in a folder beside a recording, matched by the stamps of its images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import NANOSECONDS_PER_SECOND
from seg_perception.evaluation.bags.sources import read_label
from seg_perception.evaluation.bags.topics import FRAME_STAMPS_KEY
from seg_perception.evaluation.images.image_folders import CITYSCAPES_IDS, CITYSCAPES_TRAIN_IDS
from seg_perception.perception.labels import LabelSpace

STAMPS_FILE = 'stamps.csv'
DEFAULT_TOLERANCE_MS = 1.0
_COLUMNS = ['stamp_ns', 'file']
_NAMES = (
    '<seconds>.<nanoseconds, 9 digits>.png, <stamp in ns>.png, a stamps.csv with the columns '
    'stamp_ns,file, or Cityscapes names for a bag made by `bag from-cityscapes`'
)


class FolderTruth:
    """Label images of a folder, found by the stamp of the image they belong to.

    Grey 8-bit PNG files of class ids named `<seconds>.<nanoseconds>.png` (nine digits) or
    `<stamp in ns>.png`; or listed in `stamps.csv`; or with the names of Cityscapes, in any
    subfolder, when the recording knows the stamps of those names. A label belongs to an image
    when it is the nearest one and not farther than the tolerance.

    Args:
        folder: The folder.
        label_space: What the ids mean.
        tolerance_ms: Largest difference between the stamps of image and label.
        custom_data: `custom_data` of the recording.

    Raises:
        UserError: No labels there, a name or entry without a stamp, or two of one stamp.
    """

    def __init__(
        self,
        folder: str | Path,
        label_space: LabelSpace,
        tolerance_ms: float = DEFAULT_TOLERANCE_MS,
        custom_data: Mapping[str, str] | None = None,
    ) -> None:
        if not 0.0 <= tolerance_ms <= 1000.0:
            raise UserError(f'a tolerance of {tolerance_ms} ms is not possible; expected 0..1000')
        self.folder = Path(folder)
        self.label_space = label_space
        self._tolerance_ns = round(tolerance_ms * 1e6)
        entries = sorted(list_labels(self.folder, custom_data or {}))
        for (stamp_ns, file), (next_ns, next_file) in zip(entries, entries[1:], strict=False):
            if stamp_ns == next_ns:
                raise UserError(f'{file} and {next_file} have the same stamp, {stamp_ns} ns')
        self._stamps_ns = np.array([stamp_ns for stamp_ns, _ in entries], dtype=np.int64)
        self._files = [file for _, file in entries]

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, stamp_ns: int) -> bool:
        return self.find_file(stamp_ns) is not None

    def find_file(self, stamp_ns: int) -> Path | None:
        """Return the label file of an image's stamp, None when none is near enough."""
        right = int(np.searchsorted(self._stamps_ns, stamp_ns))
        near = [index for index in (right - 1, right) if 0 <= index < len(self._files)]
        best = min(near, key=lambda index: abs(int(self._stamps_ns[index]) - stamp_ns))
        if abs(int(self._stamps_ns[best]) - stamp_ns) > self._tolerance_ns:
            return None
        return self._files[best]

    def read(self, stamp_ns: int) -> npt.NDArray[np.uint8] | None:
        """Return the (H, W) uint8 label of an image's stamp, 255 unlabelled; None without one.

        Raises:
            UserError: The file is damaged, not grey with 8 bits, or has an unknown id.
        """
        file = self.find_file(stamp_ns)
        return None if file is None else read_label(file, self.label_space)

    def close(self) -> None:
        """Nothing is kept open; here because recordings have it."""


def list_labels(folder: Path, custom_data: Mapping[str, str]) -> list[tuple[int, Path]]:
    """Return (stamp in ns, file) of every label in a folder; UserError when there are none."""
    if not folder.is_dir():
        raise UserError(f'no folder of labels at {folder}')
    if (folder / STAMPS_FILE).is_file():
        return list(read_stamps_file(folder / STAMPS_FILE))
    if FRAME_STAMPS_KEY in custom_data:
        named = list(match_cityscapes_names(folder, custom_data[FRAME_STAMPS_KEY]))
        if named:
            return named
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == '.png')
    if not files:
        raise UserError(f'no label images in {folder}; expected {_NAMES}')
    return [(parse_stamp(file), file) for file in files]


def parse_stamp(file: Path) -> int:
    """Return the stamp in ns that a file's name tells; UserError when it tells none.

    Fewer than nine digits of nanoseconds are refused: 1.5 may mean half a second or 5 ns.
    """
    match = re.fullmatch(r'(\d{1,10})[._](\d{9})|(\d{10,19})', file.stem)
    if match is None:
        raise UserError(f'the name of the label {file} tells no stamp; expected {_NAMES}')
    seconds, nanoseconds, stamp = match.groups()
    return int(stamp) if stamp else int(seconds) * NANOSECONDS_PER_SECOND + int(nanoseconds)


def read_stamps_file(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield (stamp in ns, file) of a stamps.csv; UserError names a line that is wrong."""
    try:
        with path.open(newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'cannot read {path}: {error}') from error
    if not rows:
        raise UserError(f'{path} lists no labels; expected the columns {",".join(_COLUMNS)}')
    for number, row in enumerate(rows, start=2):
        stamp, name = (row.get(column) for column in _COLUMNS)
        if not stamp or not name or not stamp.strip().isdigit():
            raise UserError(
                f'{path}, line {number}: stamp_ns is {stamp!r} and file is {name!r}; expected '
                'whole nanoseconds and the name of a label image'
            )
        label = path.parent / name.strip()
        if not label.is_file():
            raise UserError(f'{path}, line {number}: no file {label}')
        yield int(stamp), label


def match_cityscapes_names(folder: Path, frame_stamps: str) -> Iterator[tuple[int, Path]]:
    """Yield (stamp in ns, file) of the Cityscapes labels whose frames a recording has.

    Raises:
        UserError: The recording's table of names and stamps is damaged.
    """
    try:
        stamps_ns = {str(name): int(stamp) for name, stamp in json.loads(frame_stamps).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f'the entry {FRAME_STAMPS_KEY} of the bag is damaged: {error}') from error
    for file in sorted(folder.rglob(f'*{CITYSCAPES_TRAIN_IDS}')):
        stamp_ns = stamps_ns.pop(file.name.removesuffix(CITYSCAPES_TRAIN_IDS), None)
        if stamp_ns is not None:
            yield stamp_ns, file
    for file in sorted(folder.rglob(f'*{CITYSCAPES_IDS}')):
        stamp_ns = stamps_ns.pop(file.name.removesuffix(CITYSCAPES_IDS), None)
        if stamp_ns is not None:
            yield stamp_ns, file
