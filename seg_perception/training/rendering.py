# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Training frames of the sample drive, rendered once to a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file
from seg_perception.training.config import TrainingConfig, expand_path
from seg_perception.training.instances import encode_panoptic

FIRST_SEED = 1000
# Seeds below 1000 and from 9000 on are kept for demonstrations and scores: never trained on.
LAST_SEED = 8999
DRIVE_FRAMES = 100
FRAMES_PER_SEED = 4
FRAME_HW = (512, 1024)
JPEG_QUALITY = 96


def render_frames(folder: Path, seed: int, frames: int = FRAMES_PER_SEED) -> None:
    """Render random frames of one street: SEED_FRAME_image.jpg, _label.png and _panoptic.png.

    Every second street has a camera of its own, the others the standard one. Raises UserError
    for a seed that is kept for scores, or a folder that cannot be written.
    """
    from seg_perception.sample.drive import SampleDrive, draw_camera

    if not FIRST_SEED <= seed <= LAST_SEED:
        raise UserError(
            f'sample drive seed {seed} is not for training, use {FIRST_SEED} to {LAST_SEED}'
        )
    rng = np.random.default_rng(seed)
    camera = None if rng.random() < 0.5 else draw_camera(seed)
    drive = SampleDrive(seed, DRIVE_FRAMES, *FRAME_HW, camera=camera)
    for index in rng.choice(DRIVE_FRAMES, frames, replace=False):
        frame = drive.render(int(index))
        stem = f'{seed:05d}_{index:03d}'
        write_image(folder / f'{stem}_label.png', frame.label)
        write_image(folder / f'{stem}_panoptic.png', encode_panoptic(frame.panoptic))
        write_image(folder / f'{stem}_image.jpg', np.ascontiguousarray(frame.image[..., ::-1]))


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a BGR uint8 or a grey uint8 or uint16 image, whole or not at all; raises UserError."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == '.jpg' else []

    def encode(temporary: Path) -> None:
        if not cv2.imwrite(str(temporary), image, options):
            raise OSError(f'OpenCV could not encode {path.name}')

    replace_file(path, encode)


def render_datasets(config: TrainingConfig, seeds: int, report: Callable[[str], None]) -> None:
    """Render `seeds` streets into the train split of every data set of kind 'frames'.

    Streets that are there already are left as they are.
    """
    for dataset in config.datasets:
        if dataset.kind != 'frames' or not dataset.train_split:
            continue
        folder = expand_path(dataset.path) / dataset.train_split
        for seed in list_missing_streets(folder, seeds):
            render_frames(folder, seed)
            report(f'{dataset.name}: rendered street {seed}')


def list_missing_streets(folder: Path, streets: int) -> list[int]:
    """List which of the first `streets` seeds have not all their frames in a folder.

    Raises UserError for more streets than there are seeds for training.
    """
    if streets > LAST_SEED - FIRST_SEED + 1:
        raise UserError(
            f'{streets} streets are too many, there are seeds for {LAST_SEED - FIRST_SEED + 1}'
        )
    return [
        seed
        for seed in range(FIRST_SEED, FIRST_SEED + streets)
        if min(
            len(list(folder.glob(f'{seed:05d}_*_{kind}')))
            for kind in ('image.jpg', 'panoptic.png')
        )
        < FRAMES_PER_SEED
    ]
