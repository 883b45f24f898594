# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Training frames of the sample drive: which streets are rendered, and which never."""

from __future__ import annotations

import dataclasses

import pytest

from seg_perception.errors import UserError
from seg_perception.training import rendering
from seg_perception.training.config import load_config
from seg_perception.training.datasets import open_dataset
from seg_perception.training.rendering import (
    list_missing_streets,
    render_datasets,
    render_frames,
)


def test_streets_are_rendered_once_into_a_data_set_that_can_be_opened(
    tiny_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(rendering, 'FRAME_HW', (64, 128))
    config = load_config(tiny_run)
    frames = dataclasses.replace(
        config.datasets[0],
        name='frames',
        kind='frames',
        path=str(tmp_path / 'frames'),
        label_space='cityscapes',
    )
    config = dataclasses.replace(config, datasets=(*config.datasets, frames))
    folder = tmp_path / 'frames' / 'train'
    lines: list[str] = []
    render_datasets(config, 1, lines.append)
    assert list_missing_streets(folder, 2) == [1001]
    next(folder.glob('01000_*_image.jpg')).unlink()
    assert list_missing_streets(folder, 2) == [1000, 1001]
    render_datasets(config, 1, lines.append)
    render_datasets(config, 1, lines.append)
    assert lines == 2 * ['frames: rendered street 1000']
    dataset = open_dataset(frames, 'train', 'cityscapes')
    assert len(dataset) == 4 and dataset[3].image.shape == (64, 128, 3)


@pytest.mark.parametrize('seed', [9, 999, 9000])
def test_streets_that_are_kept_for_scores_are_refused(tmp_path, seed):
    with pytest.raises(UserError, match=f'sample drive seed {seed} is not for training'):
        render_frames(tmp_path, seed)


def test_more_streets_than_there_are_for_training_are_refused(tmp_path):
    with pytest.raises(UserError, match='8001 streets are too many'):
        list_missing_streets(tmp_path, 8001)
