# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recorded drives outside ROS as streams of stamped pictures: image folders and video files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import NANOSECONDS_PER_SECOND
from seg_perception.evaluation.images import image_folders
from seg_perception.perception.labels import LabelSpace

# First stamp of a recording made from files without one. Not zero, which ROS reads as 'unset',
# and not the clock, so that the same files always give the same bag.
DEFAULT_START_S = 1_700_000_000.0

UNLABELLED_ID = 255
_FILE_FORMATS = {'.jpg': 'jpeg', '.jpeg': 'jpeg', '.png': 'png'}
_FILE_SIGNATURES = {'jpeg': b'\xff\xd8\xff', 'png': b'\x89PNG\r\n\x1a\n'}


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a drive.

    Attributes:
        stamp_ns: Time of the picture.
        image: (H, W, 3) uint8 BGR, or (H, W) uint8 for a grey file.
        encoded: Bytes of the file it was read from; None for a video frame.
        file_format: 'jpeg' or 'png'; '' for a video frame.
        label: (H, W) uint8 ids of the label space, 255 where unlabelled; None without labels.
    """

    stamp_ns: int
    image: npt.NDArray[np.uint8]
    encoded: bytes | None = None
    file_format: str = ''
    label: npt.NDArray[np.uint8] | None = None


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts frame_9 before frame_10."""
    parts = re.split(r'(\d+)', name)
    return [(0, int(p), '') if p.isdigit() else (1, 0, p.lower()) for p in parts if p]


class ImageFolderSource:
    """JPEG and PNG files of a folder, in natural order, at a fixed rate.

    A folder with the subfolders `images` and `labels` is taken as a labelled drive. The label
    of an image is the PNG file with the same stem.

    Args:
        folder: Folder of images, or of `images` and `labels`.
        rate_hz: Rate of the pictures.
        label_folder: Folder of label images; None to look for `labels` beside `images`.
        label_space: Label space of the label images; needed when there are labels.
        pattern: Which files to take, such as `0016E5_*.jpg`.
        start_s: Stamp of the first picture, seconds since the epoch.

    Raises:
        UserError: No images, images without labels, or labels without a label space.
    """

    def __init__(
        self,
        folder: str | Path,
        rate_hz: float,
        label_folder: str | Path | None = None,
        label_space: LabelSpace | None = None,
        pattern: str = '*',
        start_s: float = DEFAULT_START_S,
    ) -> None:
        check_timing(rate_hz, start_s)
        root = Path(folder)
        if not root.is_dir():
            raise UserError(f'no image folder at {root}')
        image_folder = root / 'images' if (root / 'images').is_dir() else root
        if label_folder is None and image_folder != root and (root / 'labels').is_dir():
            label_folder = root / 'labels'
        self.image_files = list_images(image_folder, pattern)
        self.label_space = label_space
        self.label_files: list[Path] = []
        if label_folder is not None:
            if label_space is None:
                raise UserError(
                    f'which label space do the labels in {label_folder} have? Give '
                    '--label-space (cityscapes, camvid, ade20k or a YAML file)'
                )
            self.label_files = pair_labels(self.image_files, Path(label_folder))
        elif label_space is not None:
            raise UserError(
                f'a label space was given but {root} has no subfolders images and labels; name '
                'the folder of the label images with --labels'
            )
        self.rate_hz = rate_hz
        self._start_ns = round(start_s * NANOSECONDS_PER_SECOND)

    def __len__(self) -> int:
        return len(self.image_files)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield the pictures; raises UserError for a file that cannot be read."""
        for index, file in enumerate(self.image_files):
            encoded = file.read_bytes()
            image, file_format = decode_image(encoded, file)
            label = None
            if self.label_files and self.label_space is not None:
                label = read_label(self.label_files[index], self.label_space)
                if label.shape != image.shape[:2]:
                    raise UserError(
                        f'label {self.label_files[index]} is {format_size(label)} but its image '
                        f'{file} is {format_size(image)}; they must be of one size'
                    )
            stamp_ns = self._start_ns + round(index * NANOSECONDS_PER_SECOND / self.rate_hz)
            yield SourceFrame(stamp_ns, image, encoded, file_format, label)


class VideoSource:
    """Frames of a video file that OpenCV can decode, stamped by the video's own clock.

    Args:
        file: Video file.
        rate_hz: Highest rate to take frames at (frames between are left out, none is repeated);
            0 takes all. For a file that does not state its rate, the rate of its frames.
        begin_s: Time in the video at which to begin.
        duration_s: How much to take; 0 takes all that follows.
        start_s: Stamp of the first frame taken, seconds since the epoch.

    Raises:
        UserError: The file is missing, not decodable, or does not state its rate.
    """

    def __init__(
        self,
        file: str | Path,
        rate_hz: float = 0.0,
        begin_s: float = 0.0,
        duration_s: float = 0.0,
        start_s: float = DEFAULT_START_S,
    ) -> None:
        check_timing(rate_hz or 1.0, start_s)
        if begin_s < 0.0 or duration_s < 0.0:
            raise UserError(
                f'begin {begin_s} s and duration {duration_s} s of a video must not be negative'
            )
        self.file = Path(file)
        if not self.file.is_file():
            raise UserError(f'no video file at {self.file}')
        capture = self._open()
        stated_rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
        frame_count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if not 0.0 < stated_rate_hz <= 1000.0:
            if rate_hz == 0.0:
                raise UserError(f'{self.file} does not state its frame rate; give it with --rate')
            stated_rate_hz = rate_hz
        self.stated_rate_hz = stated_rate_hz
        self.rate_hz = min(rate_hz, stated_rate_hz) if rate_hz else stated_rate_hz
        self._begin_s = begin_s
        self._duration_s = duration_s
        self._start_ns = round(start_s * NANOSECONDS_PER_SECOND)
        available_s = max(0.0, frame_count / stated_rate_hz - begin_s)
        used_s = min(available_s, duration_s) if duration_s else available_s
        self._estimated_count = math.ceil(used_s * self.rate_hz - 1e-6)

    def __len__(self) -> int:
        """Return the number of frames by the file's own statement; the true one may differ."""
        return self._estimated_count

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield the frames; raises UserError when not one can be decoded."""
        capture = self._open()
        try:
            yield from self._iterate(capture)
        finally:
            capture.release()

    def _iterate(self, capture: cv2.VideoCapture) -> Iterator[SourceFrame]:
        # a quarter of a frame of tolerance: 25 Hz frames at --rate 12.5 must not be missed for
        # rounding
        slack_s = 0.25 / self.stated_rate_hz
        clock = VideoClock(1.0 / self.stated_rate_hz)
        taken = 0
        while capture.grab():
            time_s = clock.advance(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e-3)
            if time_s < self._begin_s - slack_s:
                continue
            since_begin_s = time_s - self._begin_s
            if self._duration_s and since_begin_s >= self._duration_s - slack_s:
                break
            if since_begin_s < taken / self.rate_hz - slack_s:
                continue
            decoded, image = capture.retrieve()
            if not decoded:
                continue
            # the stamp keeps the video's own time, so that a reduced rate does not change speed
            stamp_ns = self._start_ns + round(max(0.0, since_begin_s) * NANOSECONDS_PER_SECOND)
            taken += 1
            yield SourceFrame(stamp_ns, np.asarray(image, dtype=np.uint8))
        if taken == 0:
            raise UserError(
                f'no frame of {self.file} could be decoded from {self._begin_s} s on: it has '
                f'{clock.frame_count} frames at {self.stated_rate_hz:g} Hz'
            )

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.file))
        if not capture.isOpened():
            raise UserError(
                f'{self.file} cannot be read as a video: OpenCV knows neither its container nor '
                'its codec; convert it to H.264 in mp4'
            )
        return capture


class VideoClock:
    """Times of a video's frames from its first on, strictly increasing.

    The file's own times are used (phones record at a varying rate); where they do not advance,
    as in files without times, a frame lasts its nominal period.
    """

    def __init__(self, period_s: float) -> None:
        self.frame_count = 0
        self._period_s = period_s
        self._first_s = 0.0
        self._last_s = 0.0

    def advance(self, file_time_s: float) -> float:
        """Return the time of the next frame, given the file's time for it, s."""
        if self.frame_count == 0:
            self._first_s = file_time_s
            time_s = 0.0
        else:
            time_s = file_time_s - self._first_s
            if time_s <= self._last_s:
                time_s = self._last_s + self._period_s
        self.frame_count += 1
        self._last_s = time_s
        return time_s


def check_timing(rate_hz: float, start_s: float) -> None:
    """Raise UserError for a rate or a first stamp that no drive has."""
    if not 0.0 < rate_hz <= 1000.0:
        raise UserError(f'a rate of {rate_hz} Hz is not possible; expected above 0, up to 1000')
    if not 0.0 < start_s < 2**31:
        raise UserError(
            f'a first stamp of {start_s} s is not possible: expected seconds since 1970 above 0 '
            '(a zero stamp means unset) and below 2^31'
        )


def list_images(folder: Path, pattern: str) -> list[Path]:
    """Return the JPEG and PNG files of a folder in natural order; UserError when none."""
    files = [
        path
        for path in folder.glob(pattern)
        if path.is_file() and path.suffix.lower() in _FILE_FORMATS
    ]
    if not files:
        raise UserError(f'no .jpg, .jpeg or .png file matches {folder / pattern}')
    return sorted(files, key=lambda path: natural_key(path.name))


def pair_labels(image_files: list[Path], label_folder: Path) -> list[Path]:
    """Return the label file of every image; UserError names the first image without one."""
    label_files = [label_folder / f'{file.stem}.png' for file in image_files]
    missing = [
        file for file, label in zip(image_files, label_files, strict=True) if not label.is_file()
    ]
    if missing:
        raise UserError(
            f'{len(missing)} of {len(image_files)} images have no label, the first is '
            f'{missing[0].name}: expected {label_folder / missing[0].stem}.png'
        )
    return label_files


def decode_image(encoded: bytes, file: Path) -> tuple[npt.NDArray[np.uint8], str]:
    """Decode a JPEG or PNG file to its pixels as stored, without turning it by its EXIF tag.

    Returns:
        (H, W, 3) uint8 BGR or (H, W) uint8, and 'jpeg' or 'png'.

    Raises:
        UserError: The bytes are no such file, or 16-bit pixels, or damaged.
    """
    formats = [name for name, magic in _FILE_SIGNATURES.items() if encoded.startswith(magic)]
    if not formats:
        raise UserError(f'{file} is neither a JPEG nor a PNG file by its first bytes')
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), flags)
    if image is None:
        raise UserError(f'{file} is a damaged {formats[0].upper()} file')
    if image.dtype != np.uint8:
        raise UserError(f'{file} has {image.dtype} pixels; expected 8 bits per channel')
    return np.asarray(image, dtype=np.uint8), formats[0]


def read_label(file: Path, label_space: LabelSpace) -> npt.NDArray[np.uint8]:
    """Read a label image of class ids.

    Returns:
        (H, W) uint8; the label space's ignore id becomes 255.

    Raises:
        UserError: Not a grey 8-bit image, or an id that the label space does not have.
    """
    label = image_folders.read_label(file, label_space)
    lut = np.arange(256, dtype=np.uint8)
    lut[label_space.ignore_id] = UNLABELLED_ID
    return lut[label]


def format_size(image: npt.NDArray) -> str:
    """Return an image's size as users write it: height x width."""
    return f'{image.shape[0]}x{image.shape[1]}'
