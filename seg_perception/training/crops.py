# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where training crops are cut, and how each is to be changed: the part done on the host.

Only the pixels that a crop needs are copied, as bytes; `augmentation.py` resizes and recolours a
whole batch of them on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from seg_perception.training.config import SourceConfig

IGNORE_SET = 255
UNKNOWN_INSTANCE = 65535  # in instance ids: no loss of centres and offsets
CATEGORY_CAP = 0.75  # of the labelled pixels of a crop; section 4.1 of the SegNeXt paper
CROP_TRIES = 4
ASPECT_SIGMA = 0.05
HALVE_BELOW = 0.6  # scale under which pixels are averaged in pairs first: sampling would alias
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


@dataclass(frozen=True)
class ColorChange:
    """How one crop's light and sharpness change; the defaults change nothing.

    A value v of 0..1 becomes v ** gamma, its distance from the crop's mean is scaled by contrast,
    then brightness is added, gains multiplied and the distance from grey scaled by saturation;
    then come a Gaussian blur of blur_sigma_px and Gaussian noise of noise_sigma, in units of the
    normalised image.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    blur_sigma_px: float = 0.0
    noise_sigma: float = 0.0


@dataclass(frozen=True)
class Crop:
    """One crop before it is resized.

    pixels: (h, w, 3) uint8 RGB; sets: (h, w) uint8 set ids, 255 unlabelled. step: (y, x) pixels
    of them per crop pixel, x negative when flipped; start: (y, x) where the crop's top left
    corner lies in them, in pixels. What lies outside is mean colour, unlabelled.
    instances: (h, w) uint16 instance ids, see instances.encode_instances; None where the task
    needs none.
    """

    pixels: np.ndarray
    sets: np.ndarray
    step: tuple[float, float]
    start: tuple[float, float]
    color: ColorChange = field(default_factory=ColorChange)
    instances: np.ndarray | None = None


@dataclass(frozen=True)
class CropBatch:
    """Crops of one size, stacked; the windows are padded to the largest at right and bottom.

    pixels: (N, h, w, 3) uint8; sets: (N, h, w) uint8; geometry: (N, 6) float32 of step y, x,
    start y, x and the window's own height and width; colors: (N, 9) float32 in the order of
    ColorChange's fields; noise_seed: of the noise, so that a batch can be drawn again;
    instances: (N, h, w) uint16, None where a crop has none.
    """

    size: CropSize
    pixels: np.ndarray
    sets: np.ndarray
    geometry: np.ndarray
    colors: np.ndarray
    noise_seed: int
    instances: np.ndarray | None = None


def stack_crops(crops: Sequence[Crop], size: CropSize, noise_seed: int) -> CropBatch:
    """Stack crops that are to become images of `size`."""
    height = max(crop.sets.shape[0] for crop in crops)
    width = max(crop.sets.shape[1] for crop in crops)
    pixels = np.zeros((len(crops), height, width, 3), np.uint8)
    sets = np.full((len(crops), height, width), IGNORE_SET, np.uint8)
    geometry = np.zeros((len(crops), 6), np.float32)
    colors = np.zeros((len(crops), 9), np.float32)
    for index, crop in enumerate(crops):
        rows, columns = crop.sets.shape
        pixels[index, :rows, :columns] = crop.pixels
        sets[index, :rows, :columns] = crop.sets
        geometry[index] = (*crop.step, *crop.start, rows, columns)
        color = crop.color
        light = (color.gamma, color.contrast, color.brightness, *color.gains, color.saturation)
        colors[index] = (*light, color.blur_sigma_px, color.noise_sigma)
    instances = stack_instances(crops, height, width)
    return CropBatch(size, pixels, sets, geometry, colors, noise_seed, instances)


def stack_instances(crops: Sequence[Crop], height: int, width: int) -> np.ndarray | None:
    """Stack the instance ids, unknown beyond a window; None where a crop has none."""
    instances = np.full((len(crops), height, width), UNKNOWN_INSTANCE, np.uint16)
    for index, crop in enumerate(crops):
        if crop.instances is None:
            return None
        rows, columns = crop.instances.shape
        instances[index, :rows, :columns] = crop.instances
    return instances


def cut_crop(
    image: np.ndarray,
    sets: np.ndarray,
    size: CropSize,
    source: SourceConfig,
    wanted_set: int | None,
    rng: np.random.Generator,
    instances: np.ndarray | None = None,
) -> Crop:
    """Cut one random crop.

    image: (H, W, 3) uint8 RGB; sets: (H, W) uint8 set ids; wanted_set: a set id that the crop
    shall show, where the image has it; instances: (H, W) uint16 instance ids. Where the crop is
    larger than the image, or the image gets the bars of a letterbox, parts of the crop lie
    outside of it. Without seeing bars in training the network put buses and walls beside the
    images of a 480x360 camera.
    """
    scale = float(np.exp(rng.uniform(np.log(source.scale_min), np.log(source.scale_max))))
    scale_y = scale * float(np.exp(rng.normal(0.0, ASPECT_SIGMA)))
    height, width = size.height_px / scale_y, size.width_px / scale
    bars = (0.0, 0.0)
    if rng.random() < source.letterbox_share:
        bars = measure_letterbox_bars(sets.shape[0], sets.shape[1], source.letterbox_aspect)
    area = (max(1, round(height)), max(1, round(width)))
    position = None
    if wanted_set is not None:
        position = find_position(sets, wanted_set, area, bars, rng)
    top, left = position or choose_position(sets, area, bars, rng)
    flips = rng.random() < 0.5
    color = draw_color_change(rng)
    rows = _clip_to_image(top, area[0], sets.shape[0])
    columns = _clip_to_image(left, area[1], sets.shape[1])
    pixels, ids = image[rows, columns], sets[rows, columns]
    things = None if instances is None else instances[rows, columns]
    start_y, start_x = float(top - rows.start), float(left - columns.start)
    step_y, step_x = height / size.height_px, width / size.width_px
    if scale < HALVE_BELOW and min(ids.shape) >= 2:
        half = (ids.shape[1] // 2, ids.shape[0] // 2)
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
        ids = cv2.resize(ids, half, interpolation=cv2.INTER_NEAREST)
        if things is not None:
            things = cv2.resize(things, half, interpolation=cv2.INTER_NEAREST)
        start_y, start_x, step_y, step_x = (v / 2 for v in (start_y, start_x, step_y, step_x))
    if flips:
        start_x, step_x = start_x + step_x * size.width_px, -step_x
    return Crop(pixels, ids, (step_y, step_x), (start_y, start_x), color, things)


def measure_letterbox_bars(height_px: int, width_px: int, aspect: float) -> tuple[float, float]:
    """Height above (and below) and width left (and right) of the bars that make width / height
    = aspect, in pixels of the image; one of the two is 0."""
    return max(0.0, width_px / aspect - height_px) / 2, max(0.0, height_px * aspect - width_px) / 2


def choose_position(
    sets: np.ndarray,
    area: tuple[int, int],
    bars: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Choose (top, left) of an area (height, width) in which no set has more than CATEGORY_CAP.

    The last of CROP_TRIES random positions is taken when none complies. bars: (vertical,
    horizontal) width of the surroundings that may be shown, in pixels.
    """
    ranges = [_limit_start(*v) for v in zip(sets.shape, area, bars, strict=True)]
    for _ in range(CROP_TRIES):
        top, left = (int(rng.integers(low, high + 1)) for low, high in ranges)
        # every 8th pixel each way: a percent or two of error, 64 times less work
        rows = slice(max(0, top), max(0, top + area[0]), 8)
        part = sets[rows, max(0, left) : max(0, left + area[1]) : 8]
        counts = np.bincount(part.ravel(), minlength=256)[:IGNORE_SET]
        if counts.sum() > 0 and counts.max() <= CATEGORY_CAP * counts.sum():
            break
    return top, left


def find_position(
    sets: np.ndarray,
    wanted_set: int,
    area: tuple[int, int],
    bars: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """Choose (top, left) of an area that holds a random pixel of a set; None where it has none."""
    rows, columns = np.nonzero(sets[::2, ::2] == wanted_set)  # a quarter of the pixels will do
    if not len(rows):
        return None
    chosen = int(rng.integers(len(rows)))
    starts = []
    for pixel, *limits in zip((rows, columns), sets.shape, area, bars, strict=True):
        low, high = _limit_start(*limits)
        start = 2 * int(pixel[chosen]) - int(rng.integers(limits[1]))
        starts.append(min(max(start, low), high))
    return starts[0], starts[1]


def _clip_to_image(start: int, area: int, length: int) -> slice:
    """Part of a length that an area shows, one pixel at least, also where it lies in a bar."""
    first = min(max(0, start), length - 1)
    return slice(first, min(max(first + 1, start + area), length))


def _limit_start(length: int, area: int, bar: float) -> tuple[int, int]:
    """Lowest and highest start of an area in a length that has a bar at either end."""
    first, last = -round(bar), round(length + bar) - area
    return min(first, last), max(first, last)


def draw_color_change(rng: np.random.Generator) -> ColorChange:
    """Draw one crop's change of light, colour and sharpness."""
    gamma = float(np.exp(rng.normal(0.0, GAMMA_SIGMA)))
    contrast = 1.0 + float(rng.normal(0.0, CONTRAST_SIGMA))
    brightness = float(rng.normal(0.0, BRIGHTNESS_SIGMA))
    red, green, blue = (1.0 + rng.normal(0.0, CHANNEL_SIGMA, 3)).tolist()
    saturation = float(rng.uniform(0.3, 1.5)) if rng.random() < 0.5 else 1.0
    draw = rng.random()
    blur = float(rng.uniform(0.4, 1.2)) if draw < 0.12 else 0.0
    noise = float(rng.uniform(0.02, 0.15)) if 0.12 <= draw < 0.24 else 0.0
    return ColorChange(gamma, contrast, brightness, (red, green, blue), saturation, blur, noise)
