# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Random crops of labelled images: scale, category-capped position, flip, colour, blur, noise.

About 3 ms per 256x320 crop on one core: only the part of the image that is needed is resized,
and gain, gamma, contrast and the network's normalisation are one table per channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

IGNORE_SET = 255
BAR_SET = 254  # marks letterbox bars until the colours have been changed
CATEGORY_CAP = 0.75  # of the labelled pixels of a crop; section 4.1 of the SegNeXt paper
CROP_TRIES = 4
ASPECT_SIGMA = 0.05
# Standard deviations of the colour changes, on a 0..1 scale.
GAMMA_SIGMA = 0.25
CONTRAST_SIGMA = 0.2
BRIGHTNESS_SIGMA = 0.08
CHANNEL_SIGMA = 0.07


@dataclass(frozen=True)
class CropSize:
    """Size of the crops that a stage trains on."""

    height_px: int
    width_px: int


def augment_crop(
    image: np.ndarray,
    sets: np.ndarray,
    crop: CropSize,
    scale: float,
    mean_rgb: tuple[float, float, float],
    std_rgb: tuple[float, float, float],
    rng: np.random.Generator,
    wanted_set: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one random training crop.

    image: (H, W, 3) uint8 RGB; sets: (H, W) uint8 set ids, 255 unlabelled; scale: of the
    image before cropping. An image that the scale makes smaller than the crop is placed at
    random on the mean colour, its surroundings unlabelled.
    Pixels marked BAR_SET become mean colour, unlabelled. wanted_set: a set id that the crop
    shall show, where the image has it.
    Returns (crop height, crop width, 3) float32, normalised, and uint8 set ids.
    """
    scale_y = scale * float(np.exp(rng.normal(0.0, ASPECT_SIGMA)))
    height, width = sets.shape
    cut_h = max(1, min(height, int(crop.height_px / scale_y)))
    cut_w = max(1, min(width, int(crop.width_px / scale)))
    position = None
    if wanted_set is not None:
        position = find_position(sets, wanted_set, cut_h, cut_w, rng)
    top, left = position or choose_position(sets, cut_h, cut_w, rng)
    window = np.s_[top : top + cut_h, left : left + cut_w]
    out_h = max(1, min(crop.height_px, round(cut_h * scale_y)))
    out_w = max(1, min(crop.width_px, round(cut_w * scale)))
    shrinks = cv2.INTER_AREA if scale < 0.8 else cv2.INTER_LINEAR
    pixels = cv2.resize(image[window], (out_w, out_h), interpolation=shrinks)
    labels = cv2.resize(sets[window], (out_w, out_h), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    values = change_colors(pixels, mean_rgb, std_rgb, rng)
    bars = labels == BAR_SET
    if bars.any():
        values[bars] = 0.0
        labels = np.where(bars, np.uint8(IGNORE_SET), labels)
    if (out_h, out_w) == (crop.height_px, crop.width_px):
        return values, labels
    canvas = np.zeros((crop.height_px, crop.width_px, 3), np.float32)
    truth = np.full((crop.height_px, crop.width_px), IGNORE_SET, np.uint8)
    top = int(rng.integers(0, crop.height_px - out_h + 1))
    left = int(rng.integers(0, crop.width_px - out_w + 1))
    canvas[top : top + out_h, left : left + out_w] = values
    truth[top : top + out_h, left : left + out_w] = labels
    return canvas, truth


def add_letterbox_bars(
    image: np.ndarray, sets: np.ndarray, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Surround an image as the deployed letterbox does, to width / height = aspect.

    Without seeing bars in training, the network put buses and walls beside those of a 480x360
    camera in a 512x1024 input. The bars are marked BAR_SET; augment_crop gives them the mean
    colour, unlabelled.
    """
    height, width = sets.shape
    extra_x = max(0, round(height * aspect) - width)
    extra_y = max(0, round(width / aspect) - height)
    border = (extra_y // 2, extra_y - extra_y // 2, extra_x // 2, extra_x - extra_x // 2)
    wide = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT)
    marked = cv2.copyMakeBorder(sets, *border, cv2.BORDER_CONSTANT, value=(BAR_SET,))
    return wide, marked


def choose_position(
    sets: np.ndarray, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Choose (top, left) of a crop in which no set has more than CATEGORY_CAP of the labels.

    The last of CROP_TRIES random positions is taken when none complies.
    """
    for _ in range(CROP_TRIES):
        top = int(rng.integers(0, sets.shape[0] - height + 1))
        left = int(rng.integers(0, sets.shape[1] - width + 1))
        # every 8th pixel each way: a percent or two of error, 64 times less work
        part = sets[top : top + height : 8, left : left + width : 8]
        counts = np.bincount(part.ravel(), minlength=256)[:BAR_SET]
        if counts.sum() > 0 and counts.max() <= CATEGORY_CAP * counts.sum():
            break
    return top, left


def find_position(
    sets: np.ndarray, wanted_set: int, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Choose (top, left) of a crop that holds a random pixel of a set; None where it has none."""
    rows, columns = np.nonzero(sets[::2, ::2] == wanted_set)  # a quarter of the pixels will do
    if not len(rows):
        return None
    chosen = int(rng.integers(len(rows)))
    top = 2 * int(rows[chosen]) - int(rng.integers(height))
    left = 2 * int(columns[chosen]) - int(rng.integers(width))
    return (
        min(max(top, 0), sets.shape[0] - height),
        min(max(left, 0), sets.shape[1] - width),
    )


def change_colors(
    pixels: np.ndarray,
    mean_rgb: tuple[float, float, float],
    std_rgb: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Change light, colour and sharpness of (H, W, 3) uint8 at random; normalised float32."""
    tone = np.arange(256) / 255.0
    gamma = np.exp(rng.normal(0.0, GAMMA_SIGMA))
    contrast = 1.0 + rng.normal(0.0, CONTRAST_SIGMA)
    brightness = rng.normal(0.0, BRIGHTNESS_SIGMA)
    curve = (tone**gamma - 0.5) * contrast + 0.5 + brightness
    gains = 1.0 + rng.normal(0.0, CHANNEL_SIGMA, 3)
    values: np.ndarray = np.empty(pixels.shape, np.float32)
    for channel in range(3):
        levels = np.clip(curve * gains[channel], 0.0, 1.0) * 255.0
        table = np.asarray((levels - mean_rgb[channel]) / std_rgb[channel], np.float32)
        values[..., channel] = table[pixels[..., channel]]
    if rng.random() < 0.5:
        grey = values.mean(-1, keepdims=True)
        values = grey + (values - grey) * float(rng.uniform(0.3, 1.5))
    draw = rng.random()
    if draw < 0.12:
        values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.4, 1.2)))
    elif draw < 0.24:
        noise = rng.normal(0.0, rng.uniform(0.02, 0.15), values.shape)
        values = values + noise.astype(np.float32)
    return values
