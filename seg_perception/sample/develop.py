# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From radiance to camera bytes: lens blur, exposure, tone curve, noise, vignetting."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from seg_perception.sample.noise import compiled, compiled_parallel, hash_unit
from seg_perception.sample.weather import Weather

_TONE_MAX = 8.0
_TONE_SIZE = 4096


def make_tone_curve(contrast: float) -> np.ndarray:
    """Table (4096,) float32 from sqrt(radiance / 8) to the camera's 0..255.

    The film curve is the rational fit of the ACES transform by K. Narkowicz (2015).
    """
    x = (np.arange(_TONE_SIZE) / (_TONE_SIZE - 1)) ** 2 * _TONE_MAX
    film = np.minimum(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 1.0)
    srgb = np.where(film < 0.0031308, 12.92 * film, 1.055 * np.maximum(film, 1e-9) ** (1 / 2.4)
                    - 0.055)
    srgb = np.clip(0.5 + (srgb - 0.5) * contrast, 0.0, 1.0)
    return (255.0 * srgb).astype(np.float32)


def measure_exposure(radiance: np.ndarray) -> float:
    """Gain that brings the log-mean of the frame to middle grey, two thirds of the way."""
    sample = radiance[::6, ::6].astype(np.float64).mean(axis=2)
    level = math.exp(float(np.log(sample + 1e-3).mean()))
    return float(0.62 * (0.30 / level) ** 0.7)


@compiled_parallel
def develop_image(radiance, solid_id, screen_id, label, gain_r, gain_g, gain_b, saturation, blur,
                  noise, vignette, tone, seed, image):
    """Write image (H, W, 3) uint8; borders of triangles are blended with their neighbours."""
    height, width = label.shape
    scale = (_TONE_SIZE - 1) / math.sqrt(_TONE_MAX)
    for row in prange(height):
        up = max(row - 1, 0)
        down = min(row + 1, height - 1)
        for column in range(width):
            left = max(column - 1, 0)
            right = min(column + 1, width - 1)
            t = solid_id[row, column]
            p = screen_id[row, column]
            edge = (solid_id[row, left] != t or solid_id[row, right] != t or
                    solid_id[up, column] != t or solid_id[down, column] != t or
                    screen_id[row, left] != p or screen_id[row, right] != p or p >= 0)
            share = max(blur, 0.75) if edge else blur
            dx = (column - 0.5 * width) / (0.5 * width)
            dy = (row - 0.5 * height) / (0.5 * width)
            shade = 1.0 - vignette * (dx * dx + dy * dy)
            r = _tap(radiance, row, column, up, down, left, right, 0, share) * gain_r * shade
            g = _tap(radiance, row, column, up, down, left, right, 1, share) * gain_g * shade
            b = _tap(radiance, row, column, up, down, left, right, 2, share) * gain_b * shade
            gray = 0.3 * r + 0.59 * g + 0.11 * b
            r = gray + (r - gray) * saturation
            g = gray + (g - gray) * saturation
            b = gray + (b - gray) * saturation
            image[row, column, 0] = _expose(r, row, column, seed, noise, tone, scale)
            image[row, column, 1] = _expose(g, row, column, seed + 1, noise, tone, scale)
            image[row, column, 2] = _expose(b, row, column, seed + 2, noise, tone, scale)


@compiled
def _tap(radiance, row, column, up, down, left, right, channel, share):
    middle = radiance[row, column, channel]
    cross = (radiance[up, column, channel] + radiance[down, column, channel] +
             radiance[row, left, channel] + radiance[row, right, channel])
    corner = (radiance[up, left, channel] + radiance[up, right, channel] +
              radiance[down, left, channel] + radiance[down, right, channel])
    tent = 0.25 * middle + 0.125 * cross + 0.0625 * corner
    return middle + (tent - middle) * share


@compiled
def _expose(value, row, column, seed, noise, tone, scale):
    """Tone curve plus roughly normal noise (sum of two uniform numbers)."""
    if value < 0.0:
        value = 0.0
    index = int(math.sqrt(value) * scale)
    if index > _TONE_SIZE - 1:
        index = _TONE_SIZE - 1
    grain = hash_unit(column, row, seed) + hash_unit(row, column, seed + 31) - 1.0
    out = tone[index] + grain * noise * 600.0 + 0.5
    if out < 0.0:
        return 0
    if out > 255.0:
        return 255
    return int(out)


def develop(radiance: np.ndarray, solid_id: np.ndarray, screen_id: np.ndarray,
            label: np.ndarray, weather: Weather, time_s: float, seed: int) -> np.ndarray:
    """Camera image (H, W, 3) uint8 RGB of a frame's radiance."""
    drift = 1.0 + 0.07 * math.sin(0.5 * time_s + seed % 7)
    gain = measure_exposure(radiance) * weather.exposure * drift
    image = np.empty(radiance.shape, np.uint8)
    develop_image(radiance, solid_id, screen_id, label, *(gain * w for w in weather.white_balance),
                  weather.saturation, weather.blur, weather.noise, weather.vignette,
                  make_tone_curve(weather.contrast), seed, image)
    return image
