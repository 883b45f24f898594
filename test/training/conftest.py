# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A miniature CamVid folder and the configuration of a run of seconds on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml


def write_camvid(root: Path, split: str, count: int, seed: int) -> None:
    """Write `count` pairs of 48x64: sky (0) above road (3), a car (8), an unlabelled corner."""
    rng = np.random.default_rng(seed)
    for folder in ('images', 'labels'):
        (root / split / folder).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        label = np.zeros((48, 64), np.uint8)
        label[24:] = 3
        left = int(rng.integers(0, 48))
        label[20:32, left : left + 16] = 8
        image = np.array([[200, 120, 60], [80, 80, 90], [30, 30, 200]], np.uint8)[
            np.searchsorted([0, 3, 8], label)
        ]
        label[:4, :4] = 11
        cv2.imwrite(str(root / split / 'images' / f'{index}.png'), image)
        cv2.imwrite(str(root / split / 'labels' / f'{index}.png'), label)


@pytest.fixture
def tiny_run(tmp_path) -> Path:
    """Return the path of a configuration; its output is `out` beside it."""
    write_camvid(tmp_path / 'data', 'train', 4, 0)
    write_camvid(tmp_path / 'data', 'val', 2, 1)
    content = {
        'datasets': [
            {
                'name': 'streets',
                'kind': 'camvid',
                'path': str(tmp_path / 'data'),
                'label_space': 'camvid',
            }
        ],
        'stages': [
            {
                'name': 'only',
                'iterations': 4,
                'crop_height_px': 32,
                'crop_width_px': 64,
                'batch_size': 2,
                'learning_rate': {'peak': 0.001, 'warmup': 2},
                'sources': {'streets': {'share': 1.0, 'scale_min': 0.7, 'scale_max': 1.5}},
            }
        ],
        'run': {
            'output': str(tmp_path / 'out'),
            'validation_height_px': 64,
            'validation_width_px': 128,
        },
    }
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump(content))
    return path
