# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Batches: geometry against OpenCV, light against its formula, what lies outside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from seg_perception.training.augmentation import Normalisation, augment_batch, blur_images
from seg_perception.training.config import SourceConfig
from seg_perception.training.crops import (
    ColorChange,
    Crop,
    CropSize,
    cut_crop,
    stack_crops,
)

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CPU = torch.device('cpu')


def make_picture(height: int, width: int) -> np.ndarray:
    """A smooth picture, so that resampling is what is compared and not noise."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3).clip(0, 255).astype(np.uint8)


def augment(crop: Crop, size: CropSize, normalisation: Normalisation = PLAIN):
    images, sets = augment_batch(stack_crops([crop], size, 5), normalisation, CPU)
    return images[0].permute(1, 2, 0).numpy(), sets[0].numpy()


@pytest.mark.parametrize('factor', [0.7, 1.0, 2.0])
def test_resizing_equals_opencv(factor):
    height, width = 41, 61  # odd: no sample lies half way between two labels
    image = make_picture(height, width)
    sets = np.arange(height * width, dtype=np.uint8).reshape(height, width) % 19
    size = CropSize(round(height * factor), round(width * factor))
    crop = Crop(image, sets, (height / size.height_px, width / size.width_px), (0.0, 0.0))
    found, ids = augment(crop, size)
    expected = cv2.resize(image, (size.width_px, size.height_px), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - expected).max() <= 1.0  # OpenCV rounds to bytes
    nearest = cv2.resize(
        sets, (size.width_px, size.height_px), interpolation=cv2.INTER_NEAREST_EXACT
    )
    assert (ids == nearest).mean() > 0.999


def test_a_negative_step_flips():
    image = make_picture(24, 32)
    sets = np.tile(np.arange(32, dtype=np.uint8) % 19, (24, 1))
    found, ids = augment(Crop(image, sets, (1.0, -1.0), (0.0, 32.0)), CropSize(24, 32))
    assert np.allclose(found, image[:, ::-1], atol=1e-3)
    assert np.array_equal(ids, sets[:, ::-1])


def test_image_and_labels_stay_aligned():
    image = np.zeros((90, 120, 3), np.uint8)
    sets = np.zeros((90, 120), np.uint8)
    image[30:60, 40:80], sets[30:60, 40:80] = 200, 3
    rng = np.random.default_rng(4)
    for scale in (0.4, 0.8, 1.7):
        source = SourceConfig(1.0, scale, scale)
        crop = cut_crop(image, sets, CropSize(48, 64), source, 3, rng)
        crop = Crop(crop.pixels, crop.sets, crop.step, crop.start)  # without its colours
        found, ids = augment(crop, CropSize(48, 64))
        known = ids != 255
        assert ((found[..., 0] > 100) == (ids == 3))[known].mean() > 0.97


def test_what_lies_outside_is_mean_colour_and_unlabelled_whatever_the_colours_do():
    image = np.full((20, 30, 3), 90, np.uint8)
    sets = np.full((20, 30), 4, np.uint8)
    mean = Normalisation((120.0, 110.0, 100.0), (60.0, 60.0, 60.0))
    rng = np.random.default_rng(0)
    for _ in range(20):  # blur and noise come in a quarter of the draws
        crop = cut_crop(image, sets, CropSize(64, 64), SourceConfig(1.0, 1.0, 1.0), None, rng)
        found, ids = augment(crop, CropSize(64, 64), mean)
        assert 500 < (ids == 4).sum() < 700  # 600 px, with a random aspect
        assert not found[ids == 255].any()


def test_light_follows_its_formula():
    image = make_picture(16, 16)
    color = ColorChange(1.3, 1.2, 0.05, (1.1, 1.0, 0.9), 0.5)
    crop = Crop(image, np.zeros((16, 16), np.uint8), (1.0, 1.0), (0.0, 0.0), color)
    found, _ = augment(crop, CropSize(16, 16))
    values = (image / 255.0) ** 1.3
    values = (values - values.mean()) * 1.2 + values.mean() + 0.05
    values = np.clip(values * [1.1, 1.0, 0.9], 0, 1) * 255
    grey = values.mean(-1, keepdims=True)
    assert np.allclose(found, grey + (values - grey) * 0.5, atol=1e-2)


def test_blur_equals_opencv_and_spares_the_others():
    picture = torch.from_numpy(make_picture(32, 40)).permute(2, 0, 1).float()
    images = torch.stack([picture, picture])
    blurred = blur_images(images, torch.tensor([1.0, 0.0]))
    plane = images[0, 0].numpy()
    expected = cv2.GaussianBlur(plane, (7, 7), 1.0, borderType=cv2.BORDER_REPLICATE)
    assert np.allclose(blurred[0, 0].numpy(), expected, atol=0.01)
    assert torch.allclose(blurred[1], images[1])


def test_noise_is_drawn_again_for_the_same_batch():
    color = ColorChange(noise_sigma=0.1)
    image = make_picture(16, 16)
    crop = Crop(image, np.zeros((16, 16), np.uint8), (1.0, 1.0), (0.0, 0.0), color)
    first, _ = augment(crop, CropSize(16, 16))
    again, _ = augment(crop, CropSize(16, 16))
    assert np.array_equal(first, again)
    assert 0.08 < (first - image).std() < 0.12
