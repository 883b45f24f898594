# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Crops: sizes, what surrounds small images, and the category cap."""

from __future__ import annotations

import numpy as np

from seg_perception.training.augmentation import (
    BAR_SET,
    CropSize,
    add_letterbox_bars,
    augment_crop,
    choose_position,
)

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def test_an_image_smaller_than_the_crop_is_surrounded_by_unlabelled_mean_colour():
    image = np.full((20, 30, 3), 90, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop, sets = augment_crop(
            image, np.full((20, 30), 4, np.uint8), CropSize(64, 64), 1.0, ZERO, ONE, rng
        )
        assert crop.shape == (64, 64, 3)
        assert 500 < (sets == 4).sum() < 700  # 600 px, with a random aspect
        assert not crop[sets == 255].any()


def test_any_scale_gives_the_crop_size():
    rng = np.random.default_rng(1)
    image = np.zeros((37, 53, 3), np.uint8)
    sets = np.zeros((37, 53), np.uint8)
    for scale in (0.05, 0.5, 1.0, 3.0, 40.0):
        crop, truth = augment_crop(image, sets, CropSize(24, 32), scale, ZERO, ONE, rng)
        assert crop.shape == (24, 32, 3) and truth.shape == (24, 32)


def test_positions_of_one_class_are_avoided():
    sets = np.zeros((64, 400), np.uint8)
    sets[:, 200:] = 1
    rng = np.random.default_rng(2)
    mixed = 0
    for _ in range(100):
        top, left = choose_position(sets, 64, 160, rng)
        assert top == 0 and 0 <= left <= 240
        mixed += 60 < left < 180
    assert mixed > 70  # half of all positions are mixed; four tries find one in 94 %


def test_letterbox_bars_are_mean_colour_and_unlabelled_whatever_the_colours_do():
    image = np.full((40, 40, 3), 90, np.uint8)
    wide, marked = add_letterbox_bars(image, np.full((40, 40), 4, np.uint8), 2.0)
    assert wide.shape == (40, 80, 3) and (marked[:, 20:60] == 4).all()
    mean = (120.0, 110.0, 100.0)
    for seed in range(8):  # blur and noise come in a quarter of the draws
        rng = np.random.default_rng(seed)
        crop, sets = augment_crop(wide, marked, CropSize(32, 64), 0.8, mean, ONE, rng)
        assert set(np.unique(sets)) <= {4, 255}
        assert (sets == 255).any() and not crop[sets == 255].any()
    tall, marked = add_letterbox_bars(image[:10], np.zeros((10, 40), np.uint8), 2.0)
    assert tall.shape == (20, 40, 3) and (marked[:5] == BAR_SET).all()
