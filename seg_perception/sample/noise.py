# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hash and value noise: the only source of randomness inside the renderer.

Integer hashes of a position and a seed, so a value depends on nothing but its arguments: not on
the order of evaluation, the number of threads, or a global random state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from seg_perception.perception.compiling import compile_kernel

_MASK = 0xFFFFFFFF


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one thread, cached on disk; IEEE division, no reordering (reproducible)."""
    return compile_kernel(error_model='numpy')(function)


def compiled_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `compiled`, with `prange` loops spread over the threads."""
    return compile_kernel(error_model='numpy', parallel=True)(function)


@compiled
def hash_unit(x: int, y: int, seed: int) -> float:
    """Map a lattice point and a seed to a number in [0, 1)."""
    h = (x * 374761393 + y * 668265263 + seed * 974634777 + 144665) & _MASK
    h = ((h ^ (h >> 13)) * 1274126177) & _MASK
    h = ((h ^ (h >> 15)) * 2246822519) & _MASK
    return float(h ^ (h >> 16)) * (1.0 / 4294967296.0)


@compiled
def value_noise(x: float, y: float, seed: int) -> float:
    """Smooth noise in [0, 1) with one lattice cell per unit."""
    fx = math.floor(x)
    fy = math.floor(y)
    ix = int(fx)
    iy = int(fy)
    u = x - fx
    v = y - fy
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    a = hash_unit(ix, iy, seed)
    b = hash_unit(ix + 1, iy, seed)
    c = hash_unit(ix, iy + 1, seed)
    d = hash_unit(ix + 1, iy + 1, seed)
    top = a + (b - a) * u
    return top + (c + (d - c) * u - top) * v


@compiled
def solid_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in space, in [0, 1), one lattice cell per unit."""
    layer = math.floor(z)
    share = z - layer
    share = share * share * (3.0 - 2.0 * share)
    low = value_noise(x, y, seed + 7919 * int(layer))
    high = value_noise(x, y, seed + 7919 * (int(layer) + 1))
    return low + (high - low) * share


@compiled
def fractal_noise(x: float, y: float, seed: int, octaves: int) -> float:
    """Sum of octaves of value noise, in [0, 1)."""
    total = 0.0
    weight = 0.5
    scale = 0.0
    for k in range(octaves):
        total += weight * value_noise(x, y, seed + 17 * k)
        scale += weight
        x = x * 2.03 + 11.3
        y = y * 2.03 - 7.7
        weight *= 0.5
    return total / scale


@compiled
def smooth_step(low: float, high: float, x: float) -> float:
    """Hermite step from 0 at low to 1 at high."""
    t = (x - low) / (high - low)
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * t * (3.0 - 2.0 * t)


@compiled
def detail_weight(period_m: float, footprint_m: float) -> float:
    """Fade a texture of the given period out before a pixel covers half of it (no aliasing)."""
    return 1.0 - smooth_step(0.25, 0.7, footprint_m / period_m)
