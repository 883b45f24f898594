# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The Cityscapes data set as drives: which frames there are, when they were taken, what they have.

Layout and units are those of the data set's README and of its csCalibration.pdf. A labelled frame
is the 20th of a snippet of 30, recorded at 17 Hz; frame numbers count within a recorded sequence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import NANOSECONDS_PER_SECOND
from seg_perception.evaluation.bags.sources import DEFAULT_START_S, check_timing
from seg_perception.evaluation.images.image_folders import (
    CITYSCAPES_IDS,
    CITYSCAPES_IMAGE,
    CITYSCAPES_SCORED_IDS,
    CITYSCAPES_TRAIN_IDS,
)
from seg_perception.perception.labels import LabelSpace

RATE_HZ = 17.0
VOID = -1
FRAMES_BEFORE_LABEL = 19
FRAMES_AFTER_LABEL = 10
# between sequences, which were recorded at other times and places
GAP_S = 2.0
# images that the calibration holds for
CALIBRATED_HW = (1024, 2048)
_INSTANCE_IDS = '_gtFine_instanceIds.png'


@dataclass(frozen=True)
class CityscapesConfig:
    """Which frames become a drive.

    Attributes:
        root: Folder with leftImg8bit, gtFine, camera and so on.
        split: train, val or test.
        cities: Names of the cities; () for all.
        sequence: All 30 frames of a snippet (leftImg8bit_sequence), not the labelled one alone.
        start_s: Stamp of the first snippet's first frame, seconds since the epoch.
    """

    root: Path
    split: str
    cities: tuple[str, ...] = ()
    sequence: bool = False
    start_s: float = DEFAULT_START_S

    def __post_init__(self) -> None:
        check_timing(RATE_HZ, self.start_s)


@dataclass(frozen=True, order=True)
class FrameName:
    """Name of a frame: city, sequence number, frame number."""

    city: str
    sequence: int
    number: int

    def __str__(self) -> str:
        return f'{self.city}_{self.sequence:06d}_{self.number:06d}'


@dataclass(frozen=True)
class CityscapesFrame:
    """One image of the drive.

    Attributes:
        name: Its name.
        labelled_name: Name of the labelled frame of its snippet.
        stamp_ns: Its time.
        image: Its file.
    """

    name: FrameName
    labelled_name: FrameName
    stamp_ns: int
    image: Path


@dataclass(frozen=True)
class CityscapesCamera:
    """Calibration of the left camera.

    Attributes:
        camera_matrix: (3, 3) K, px, of images of CALIBRATED_HW; they are rectified.
        base_from_camera: (4, 4) pose of the optical frame (z forward, x right) in the vehicle
            frame (x forward, y left, z up, on the ground below the rear axle), m.
    """

    camera_matrix: npt.NDArray[np.float64]
    base_from_camera: npt.NDArray[np.float64]

    def scale_matrix(self, image_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return K of resized images of a size in px."""
        height_px, width_px = image_hw
        scale = np.diag([width_px / CALIBRATED_HW[1], height_px / CALIBRATED_HW[0], 1.0])
        return scale @ self.camera_matrix


def list_frames(config: CityscapesConfig) -> list[CityscapesFrame]:
    """Return the frames of a drive in the order of their stamps.

    Times within a recorded sequence follow the frame numbers, so that snippets of one sequence
    keep their distance; the next sequence follows after two seconds. Where the data set's
    timestamps are there, they place the frames of a snippet around its labelled one, whose
    stamp is the same with and without `sequence`.

    Raises:
        UserError: No such split or city, or timestamps that go back.
    """
    labelled = sorted(list_labelled_names(config))
    images = config.root / ('leftImg8bit_sequence' if config.sequence else 'leftImg8bit')
    if not (images / config.split).is_dir():
        raise UserError(f'no folder {images / config.split}; expected the layout of Cityscapes')
    frames = []
    base_ns = round(config.start_s * NANOSECONDS_PER_SECOND)
    for _, group in groupby(labelled, key=lambda name: (name.city, name.sequence)):
        names = list(group)
        first = names[0].number - FRAMES_BEFORE_LABEL
        for name in names:
            label_ns = base_ns + to_duration_ns(name.number - first)
            frames += list(list_snippet(config, images / config.split, name, label_ns))
        last = names[-1].number + FRAMES_AFTER_LABEL
        base_ns += to_duration_ns(last - first) + round(GAP_S * NANOSECONDS_PER_SECOND)
    # neighbouring snippets of a sequence may share frames
    frames = list({frame.name: frame for frame in frames}.values())
    if not frames:
        raise UserError(f'no images of split {config.split!r} in {images}')
    for before, after in zip(frames, frames[1:], strict=False):
        if after.stamp_ns <= before.stamp_ns:
            raise UserError(f'the timestamp of {after.name} is not after that of {before.name}')
    return frames


def list_labelled_names(config: CityscapesConfig) -> Iterator[FrameName]:
    """Yield the names of the labelled frames; UserError when a city is missing or none is."""
    folder = config.root / 'leftImg8bit' / config.split
    ending = CITYSCAPES_IMAGE
    if not folder.is_dir():
        folder, ending = config.root / 'gtFine' / config.split, _INSTANCE_IDS
    if not folder.is_dir():
        raise UserError(
            f'no folder leftImg8bit/{config.split} or gtFine/{config.split} in {config.root}; '
            'expected the layout of Cityscapes'
        )
    known = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    missing = [city for city in config.cities if city not in known]
    if missing:
        raise UserError(f'{folder} has no city {missing[0]}; its cities: {", ".join(known)}')
    for city in config.cities or known:
        for file in (folder / city).glob(f'*{ending}'):
            yield parse_name(file, ending)


def list_snippet(
    config: CityscapesConfig, images: Path, labelled: FrameName, label_ns: int
) -> Iterator[CityscapesFrame]:
    """Yield the frames of one snippet whose images are there, given the labelled one's stamp."""
    before, after = (FRAMES_BEFORE_LABEL, FRAMES_AFTER_LABEL) if config.sequence else (0, 0)
    label_time_ns = read_timestamp(config, labelled)
    for number in range(labelled.number - before, labelled.number + after + 1):
        name = FrameName(labelled.city, labelled.sequence, number)
        image = images / name.city / f'{name}{CITYSCAPES_IMAGE}'
        if number < 0 or not image.is_file():
            continue
        since_label_ns = to_duration_ns(number - labelled.number)
        time_ns = read_timestamp(config, name)
        if time_ns is not None and label_time_ns is not None:
            since_label_ns = time_ns - label_time_ns
        yield CityscapesFrame(name, labelled, label_ns + since_label_ns, image)


def parse_name(file: Path, ending: str) -> FrameName:
    """Return the name of a frame from that of a file; UserError when it is no such name."""
    match = re.fullmatch(r'(.+)_(\d{6})_(\d{6})', file.name.removesuffix(ending))
    if match is None:
        raise UserError(f'{file} is not named as Cityscapes does: CITY_SEQUENCE_FRAME{ending}')
    return FrameName(match[1], int(match[2]), int(match[3]))


def to_duration_ns(frame_count: int) -> int:
    """Return how long a number of frames lasts."""
    return round(frame_count * NANOSECONDS_PER_SECOND / RATE_HZ)


def find_file(
    config: CityscapesConfig, kind: str, name: FrameName, ending: str
) -> Path | None:
    """Return the file of a kind (such as vehicle) of a frame; of its sequence variant first."""
    for folder in (f'{kind}_sequence', kind):
        path = config.root / folder / config.split / name.city / f'{name}{ending}'
        if path.is_file():
            return path
    return None


def read_timestamp(config: CityscapesConfig, name: FrameName) -> int | None:
    """Return the recorded time of a frame in ns since its sequence began, None without one."""
    path = find_file(config, 'timestamp', name, '_timestamp.txt')
    if path is None:
        return None
    text = path.read_text(errors='replace').strip()
    if not text.isdigit():
        raise UserError(f'{path} says {text[:40]!r}; expected a time in ns')
    return int(text)


def find_label(config: CityscapesConfig, name: FrameName) -> Path | None:
    """Return the label image of a frame, None without one."""
    for ending in (CITYSCAPES_TRAIN_IDS, CITYSCAPES_IDS):
        path = find_file(config, 'gtFine', name, ending)
        if path is not None:
            return path
    return None


def find_instances(config: CityscapesConfig, name: FrameName) -> Path | None:
    """Return the instance image of a frame, None without one."""
    return find_file(config, 'gtFine', name, _INSTANCE_IDS)


def read_camera(config: CityscapesConfig, labelled: FrameName) -> CityscapesCamera | None:
    """Return the calibration of a snippet, None without one.

    Raises:
        UserError: The file lacks an entry or has one that is no number.
    """
    path = find_file(config, 'camera', labelled, '_camera.json')
    if path is None:
        return None
    content = read_json(path)
    fx, fy, u0, v0 = read_numbers(path, content, 'intrinsic', ('fx', 'fy', 'u0', 'v0'))
    x, y, z, yaw, pitch, roll = read_numbers(
        path, content, 'extrinsic', ('x', 'y', 'z', 'yaw', 'pitch', 'roll')
    )
    base_from_camera = np.eye(4)
    # the data set's camera frame lies as the vehicle's: x forward, y left, z up
    camera_from_optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=np.float64)
    base_from_camera[:3, :3] = make_rotation(yaw, pitch, roll) @ camera_from_optical
    base_from_camera[:3, 3] = x, y, z
    return CityscapesCamera(
        np.array([[fx, 0.0, u0], [0.0, fy, v0], [0.0, 0.0, 1.0]]), base_from_camera
    )


def read_motion(config: CityscapesConfig, name: FrameName) -> tuple[float, float] | None:
    """Return speed (m/s) and yaw rate (rad/s, to the left) of a frame, None without them."""
    path = find_file(config, 'vehicle', name, '_vehicle.json')
    if path is None:
        return None
    content = {'vehicle': read_json(path)}
    speed_mps, yaw_rate_radps = read_numbers(path, content, 'vehicle', ('speed', 'yawRate'))
    return speed_mps, yaw_rate_radps


def make_rotation(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """Return the (3, 3) rotation Rz(yaw) Ry(pitch) Rx(roll), angles in rad."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    return about_z @ about_y @ about_x


def convert_instance_ids(
    ids: npt.NDArray[Any], label_space: LabelSpace
) -> npt.NDArray[np.int32]:
    """Return the panoptic truth of an *_instanceIds.png, (H, W) int32.

    train id * 1000 + instance, which counts from 1 for things and is 0 for stuff; -1 is void and
    -2 - train id a group of things that nobody told apart. The data set's files have class id *
    1000 + instance for things, counting from 0, and the class id alone for stuff and groups.
    """
    ids = ids.astype(np.int32)
    is_instance = ids >= 1000
    train_ids = np.full(256, VOID, dtype=np.int32)
    train_ids[list(CITYSCAPES_SCORED_IDS)] = np.arange(len(CITYSCAPES_SCORED_IDS))
    classes = train_ids[np.minimum(np.where(is_instance, ids // 1000, ids), 255)]
    panoptic = classes * 1000 + np.where(is_instance, ids % 1000 + 1, 0)
    is_group = np.isin(classes, label_space.thing_ids) & ~is_instance
    panoptic = np.where(is_group, -2 - classes, panoptic)
    return np.where(classes < 0, VOID, panoptic).astype(np.int32)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; UserError when the file is something else."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'cannot read {path}: {error}') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} is no JSON object')
    return content


def read_numbers(
    path: Path, content: dict[str, Any], group: str, keys: tuple[str, ...]
) -> list[float]:
    """Return entries of a group of a JSON file; UserError names one that is no number."""
    entries = content.get(group)
    numbers = []
    for key in keys:
        value = entries.get(key) if isinstance(entries, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f'{path}: {group}.{key} is {value!r}, expected a number')
        numbers.append(float(value))
    return numbers
