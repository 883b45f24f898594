# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Crops on the host: where they are cut, and what surrounds an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seg_perception.training.augmentation import Normalisation, augment_batch
from seg_perception.training.config import SourceConfig
from seg_perception.training.crops import (
    CropSize,
    choose_position,
    cut_crop,
    find_position,
    measure_letterbox_bars,
    stack_crops,
)

NO_BARS = (0.0, 0.0)
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_positions_of_one_class_are_avoided():
    sets = np.zeros((64, 400), np.uint8)
    sets[:, 200:] = 1
    rng = np.random.default_rng(2)
    mixed = 0
    for _ in range(100):
        top, left = choose_position(sets, (64, 160), NO_BARS, rng)
        assert top == 0 and 0 <= left <= 240
        mixed += 60 < left < 180
    assert mixed > 70  # half of all positions are mixed; four tries find one in 94 %


def test_a_wanted_class_is_in_the_crop():
    sets = np.zeros((100, 200), np.uint8)
    sets[60:64, 150:154] = 7
    rng = np.random.default_rng(0)
    for _ in range(50):
        top, left = find_position(sets, 7, (32, 48), NO_BARS, rng)
        assert 0 <= top <= 68 and 0 <= left <= 152
        assert (sets[top : top + 32, left : left + 48] == 7).any()
    assert find_position(sets, 9, (32, 48), NO_BARS, rng) is None


@pytest.mark.parametrize(
    ('height', 'width', 'aspect', 'bars'),
    [(40, 40, 2.0, (0.0, 20.0)), (10, 40, 2.0, (5.0, 0.0)), (20, 40, 2.0, (0.0, 0.0))],
)
def test_letterbox_bars_complete_the_aspect(height, width, aspect, bars):
    assert measure_letterbox_bars(height, width, aspect) == bars
    assert (width + 2 * bars[1]) / (height + 2 * bars[0]) == aspect


def test_any_scale_cuts_no_more_than_the_crop_shows():
    image = np.zeros((370, 530, 3), np.uint8)
    sets = np.zeros((370, 530), np.uint8)
    rng = np.random.default_rng(1)
    for scale in (0.05, 0.5, 1.0, 3.0, 40.0):
        source = SourceConfig(1.0, scale, scale, letterbox_share=0.5)
        for _ in range(10):
            crop = cut_crop(image, sets, CropSize(24, 32), source, None, rng)
            assert crop.pixels.shape[:2] == crop.sets.shape
            # aspect is random by 5 %; a scale under 0.6 halves the pixels
            assert crop.sets.shape[0] <= max(2, 24 / scale * 1.3)
            assert crop.sets.shape[1] <= max(2, 32 / scale * 1.1)


def test_a_crop_that_lies_in_a_bar_is_unlabelled_and_has_a_window():
    image = np.zeros((360, 480, 3), np.uint8)
    sets = np.zeros((360, 480), np.uint8)
    # bars of 120 px at either side, crops of 32: some show nothing but a bar
    source = SourceConfig(1.0, 1.0, 1.0, letterbox_share=1.0)
    rng = np.random.default_rng(0)
    hidden = 0
    for _ in range(400):
        crop = cut_crop(image, sets, CropSize(32, 32), source, None, rng)
        assert min(crop.sets.shape) >= 1
        _, ids = augment_batch(
            stack_crops([crop], CropSize(32, 32), 0), PLAIN, torch.device('cpu')
        )
        step, start = crop.step[1], crop.start[1]
        columns = start + step * (np.arange(32) + 0.5)
        assert (
            (ids[0, 16] != 255).numpy() == (columns >= 0) & (columns < crop.sets.shape[1])
        ).all()
        hidden += bool((ids == 255).all())
    assert hidden > 0


def test_a_stack_pads_windows_at_the_end():
    rng = np.random.default_rng(3)
    source = SourceConfig(1.0, 0.7, 2.0)
    image, sets = np.full((60, 90, 3), 9, np.uint8), np.full((60, 90), 2, np.uint8)
    crops = [cut_crop(image, sets, CropSize(24, 32), source, None, rng) for _ in range(5)]
    batch = stack_crops(crops, CropSize(24, 32), 0)
    for index, crop in enumerate(crops):
        rows, columns = crop.sets.shape
        assert tuple(batch.geometry[index, 4:]) == (rows, columns)
        assert (batch.sets[index, :rows, :columns] == 2).all()
        assert (batch.sets[index] == 2).sum() == rows * columns
