# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Light, weather and camera response of a drive, drawn from its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seg_perception.sample import shading as sh

KINDS = ('sunny', 'cloudy', 'overcast', 'rain', 'haze', 'evening')
_CHANCES = (0.34, 0.22, 0.18, 0.09, 0.07, 0.10)


@dataclass(frozen=True)
class Weather:
    """Light of a drive. Directions in world axes; radiances in linear RGB, 1 = white paper."""

    kind: str
    sun_direction: tuple[float, float, float]
    sun_rgb: tuple[float, float, float]
    zenith_rgb: tuple[float, float, float]
    horizon_rgb: tuple[float, float, float]
    cloud_cover: float
    cloud_tone: float
    haze_per_m: float
    wetness: float
    shadow_softness_m: float
    white_balance: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    noise: float
    vignette: float
    blur: float

    def pack(self, time_s: float) -> np.ndarray:
        """Parameter vector of the shader at a time (clouds drift)."""
        env = np.zeros(sh.E_SIZE, np.float64)
        env[sh.E_SUN_X:sh.E_SUN_Z + 1] = self.sun_direction
        env[sh.E_SUN_R:sh.E_SUN_B + 1] = self.sun_rgb
        env[sh.E_ZENITH_R:sh.E_ZENITH_B + 1] = self.zenith_rgb
        env[sh.E_HORIZON_R:sh.E_HORIZON_B + 1] = self.horizon_rgb
        env[sh.E_CLOUD] = self.cloud_cover
        env[sh.E_CLOUD_X] = 0.004 * time_s + 31.7
        env[sh.E_CLOUD_Y] = 0.002 * time_s - 12.2
        env[sh.E_HAZE] = self.haze_per_m
        env[sh.E_WET] = self.wetness
        env[sh.E_SOFT_M] = self.shadow_softness_m
        env[sh.E_CLOUD_TONE] = self.cloud_tone
        return env


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw light, weather and camera response."""
    kind = str(rng.choice(KINDS, p=_CHANCES))
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = math.radians(rng.uniform(22, 62))
    warm = rng.uniform(0.0, 1.0)
    sun = np.array([1.0, 0.95 - 0.07 * warm, 0.88 - 0.22 * warm]) * rng.uniform(1.5, 2.2)
    zenith = np.array([0.22, 0.38, 0.72]) * rng.uniform(0.75, 1.15)
    horizon = np.array([0.70, 0.77, 0.84]) * rng.uniform(0.85, 1.15)
    cover, tone, haze, wet, soft = rng.uniform(0.0, 0.45), 1.3, 0.0012, 0.0, 0.06
    if kind == 'cloudy':
        cover, soft = rng.uniform(0.5, 0.75), 0.15
        sun *= 0.75
        zenith = zenith * 0.7 + 0.25
    elif kind in ('overcast', 'rain', 'haze'):
        gray = rng.uniform(0.55, 0.85)
        zenith = np.array([0.97, 1.0, 1.05]) * gray
        horizon = np.array([1.0, 1.01, 1.03]) * gray * rng.uniform(0.9, 1.1)
        sun = np.array([0.95, 0.95, 0.96]) * gray
        elevation = math.radians(rng.uniform(70, 82))
        cover, tone, soft = rng.uniform(0.55, 0.9), gray * 1.0, 0.40
        haze = 0.0025
        if kind == 'rain':
            wet, haze, tone = rng.uniform(0.6, 1.0), 0.006, gray * 0.65
        if kind == 'haze':
            haze = rng.uniform(0.008, 0.014)
    elif kind == 'evening':
        elevation = math.radians(rng.uniform(10, 18))
        sun = np.array([1.0, 0.72, 0.42]) * rng.uniform(1.3, 1.9)
        horizon = np.array([0.85, 0.62, 0.45]) * rng.uniform(0.7, 1.0)
        zenith = np.array([0.22, 0.28, 0.45]) * rng.uniform(0.7, 1.0)
        haze = 0.003
    direction = (math.cos(elevation) * math.cos(azimuth),
                 math.cos(elevation) * math.sin(azimuth), math.sin(elevation))
    temperature = rng.normal(0.0, 0.07)
    balance = (1.0 + temperature, 1.0 + rng.normal(0.0, 0.02), 1.0 - temperature)

    def triple(values: np.ndarray) -> tuple[float, float, float]:
        return float(values[0]), float(values[1]), float(values[2])

    return Weather(
        kind, direction, triple(sun), triple(zenith), triple(horizon), float(cover), float(tone),
        float(haze * rng.uniform(0.8, 1.3)), float(wet), soft, balance,
        float(rng.uniform(0.85, 1.2)), float(rng.uniform(0.9, 1.12)),
        float(rng.uniform(0.8, 1.1)), float(rng.uniform(0.006, 0.016)),
        float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.15, 0.5)))
