# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Procedural materials: surface colour from texture coordinates, in Numba.

Every function takes texture coordinates in metres and the footprint of a pixel in metres, and
returns (red, green, blue, reflectance, emission); fine detail fades out before it aliases.
"""

from __future__ import annotations

import math

from seg_perception.sample.noise import (
    compiled,
    detail_weight,
    fractal_noise,
    hash_unit,
    smooth_step,
    solid_noise,
    value_noise,
)


@compiled
def shade_bricks(u, v, footprint, r, g, b, seed):
    """Running bond of bricks, 0.24 x 0.08 m."""
    row = math.floor(v / 0.08)
    shift = 0.12 * (int(row) & 1)
    column = math.floor((u + shift) / 0.24)
    fade = detail_weight(0.08, footprint)
    tone = 1.0 + fade * 0.5 * (hash_unit(int(column), int(row), seed) - 0.5)
    du = ((u + shift) / 0.24 - column) * 0.24
    dv = (v / 0.08 - row) * 0.08
    mortar = 0.0
    if min(du, dv) < 0.012:
        mortar = 0.6 * fade
    tone *= 0.8 + 0.4 * fractal_noise(u * 0.5, v * 0.5, seed + 3, 3)
    return (r * tone * (1.0 - mortar) + 0.32 * mortar,
            g * tone * (1.0 - mortar) + 0.30 * mortar,
            b * tone * (1.0 - mortar) + 0.27 * mortar, 0.02, 0.0)


@compiled
def shade_plaster(u, v, footprint, r, g, b, seed):
    """Plaster or concrete with stains that run down."""
    tone = 0.85 + 0.3 * fractal_noise(u * 0.6, v * 0.35, seed, 3)
    tone *= 1.0 - 0.22 * smooth_step(0.55, 0.8, fractal_noise(u * 1.7, v * 0.2, seed + 5, 2))
    w = detail_weight(0.08, footprint)
    if w > 0.0:
        tone *= 1.0 + 0.14 * w * (value_noise(u * 24.0, v * 24.0, seed + 9) - 0.5)
    if v < 0.5:
        tone *= 0.82 + 0.36 * max(v, 0.0)
    return r * tone, g * tone, b * tone, 0.02, 0.0


@compiled
def shade_facade(u, v, footprint, r, g, b, seed):
    """House front: storeys, windows with frames and sills, doors and shop fronts.

    The style (storey height, window grid, wall material, frame colour) is hashed from the seed.
    """
    storey = 2.9 + 0.7 * hash_unit(1, 0, seed)
    pitch = 1.7 + 1.9 * hash_unit(2, 0, seed)
    wide = 0.36 + 0.34 * hash_unit(3, 0, seed)
    tall = 0.46 + 0.2 * hash_unit(4, 0, seed)
    wall = hash_unit(5, 0, seed)
    shop = hash_unit(6, 0, seed) < 0.33
    frame = 0.85 if hash_unit(7, 0, seed) < 0.6 else 0.06
    if hash_unit(8, 0, seed) < 0.14:
        wide = 0.93
        tall = 0.70
    floor = math.floor(v / storey)
    column = math.floor(u / pitch)
    fu = u / pitch - column
    fv = v / storey - floor
    level = int(floor)
    cell = int(column)
    low = 0.26
    half = 0.5 * wide
    if level == 0:
        if shop:
            half = 0.46
            low = 0.12
            tall = 0.64
        elif hash_unit(cell, 77, seed) < 0.18:
            low = 0.0
            half = min(half, 0.5 * 1.0 / pitch)
            tall = 0.70
    dx = (half - abs(fu - 0.5)) * pitch
    dy = min(fv - low, low + tall - fv) * storey
    inside = min(dx, dy)
    if level >= 0 and inside > 0.0:
        if inside < 0.07:
            return frame * 0.7, frame * 0.7, frame * 0.68, 0.02, 0.0
        if level == 0 and low == 0.0:
            tone = 0.25 + 0.5 * hash_unit(cell, 78, seed)
            return tone * 0.5, tone * 0.32 * (0.5 + hash_unit(9, 0, seed)), tone * 0.22, 0.05, 0.0
        panes = 2.0 if wide * pitch > 0.9 else 1.0
        du = (fu - 0.5 + half) / (2.0 * half) * panes
        du -= math.floor(du)
        bar = min(du, 1.0 - du) * 2.0 * half * pitch / panes
        if bar < 0.03 and footprint < 0.05:
            return frame * 0.7, frame * 0.7, frame * 0.68, 0.02, 0.0
        dark = 0.02 + 0.05 * hash_unit(cell, level + 31, seed)
        curtain = hash_unit(cell + 13, level + 57, seed)
        if curtain < 0.4:
            lift = 0.35 * smooth_step(0.25 + curtain, 0.28 + curtain, (fv - low) / tall)
            dark += lift * (0.6 + 0.4 * math.sin(u * 40.0) * detail_weight(0.15, footprint))
        if (low + tall - fv) * storey < 0.2:
            dark *= 0.45
        glow = 0.5 if hash_unit(cell, level + 91, seed + 1) < 0.04 else 0.0
        return dark + glow * 0.5, dark + glow * 0.36, dark * 1.05 + glow * 0.16, 0.35, glow
    if level == 0 and shop and fv > 0.80:
        band = int(math.floor(u / (2.0 * pitch)))
        hue = hash_unit(band, 5, seed)
        letter = value_noise(u * 5.0, v * 3.0, seed + 8)
        ink = 0.6 * smooth_step(0.62, 0.7, letter) * detail_weight(0.3, footprint)
        return (0.12 + 0.5 * hue + ink, 0.10 + 0.4 * hash_unit(band, 6, seed) + ink,
                0.08 + 0.4 * hash_unit(band, 7, seed) + ink, 0.03, 0.0)
    if level > 0 and dx > -0.05 and low - 0.05 < fv < low:
        return 0.5, 0.48, 0.45, 0.02, 0.0
    if level > 0 and fv < 0.05 and hash_unit(10, 0, seed) < 0.5:
        return r * 0.8 + 0.12, g * 0.8 + 0.12, b * 0.8 + 0.11, 0.02, 0.0
    if wall < 0.4:
        return shade_bricks(u, v, footprint, r, g, b, seed)
    if wall < 0.55:
        pu = u / (pitch * 0.5)
        pv = v / (storey * 0.5)
        seam = min((pu - math.floor(pu)) * pitch * 0.5, (pv - math.floor(pv)) * storey * 0.5)
        pr, pg, pb, ref, e = shade_plaster(u, v, footprint, r, g, b, seed)
        if seam < 0.03 and footprint < 0.06:
            return pr * 0.5, pg * 0.5, pb * 0.5, ref, e
        return pr, pg, pb, ref, e
    return shade_plaster(u, v, footprint, r, g, b, seed)


@compiled
def shade_roof(u, v, footprint, r, g, b, seed):
    """Roof tiles."""
    tone = 0.75 + 0.45 * fractal_noise(u * 0.8, v * 0.8, seed, 3)
    row = v / 0.33
    row -= math.floor(row)
    tone *= 1.0 - 0.35 * detail_weight(0.33, footprint) * smooth_step(0.7, 1.0, row)
    return r * tone, g * tone, b * tone, 0.03, 0.0


@compiled
def is_fence_bar(u, v, footprint, seed):
    """Tell whether a fence panel is solid here (u along, v up in metres); style by seed."""
    style = hash_unit(3, 3, seed)
    height = 1.0 + 0.9 * hash_unit(4, 3, seed)
    post = u - math.floor(u / 2.4) * 2.4
    if post < 0.09:
        return True
    if abs(v - height + 0.10) < 0.04 or abs(v - 0.15) < 0.04:
        return True
    if style < 0.4:
        bar = u - math.floor(u / 0.13) * 0.13
        return bar < max(0.032, 0.55 * footprint)
    if style < 0.6:
        plank = u - math.floor(u / 0.14) * 0.14
        return plank < 0.115
    if style < 0.8:
        a = (u + v) * 11.0
        b = (u - v) * 11.0
        width = max(0.11, 5.0 * footprint)
        return a - math.floor(a) < width or b - math.floor(b) < width
    rail = v - math.floor(v / 0.28) * 0.28
    return rail < 0.12


@compiled
def shade_foliage(x, y, z, footprint, r, g, b, seed):
    """Leaves: light and dark clumps with the gaps between them."""
    clump = solid_noise(x * 3.1, y * 3.1, z * 3.1, seed)
    tone = 0.45 + 1.0 * clump
    w = detail_weight(0.09, footprint)
    if w > 0.0:
        leaf = solid_noise(x * 15.0, y * 15.0, z * 15.0, seed + 7)
        tone *= 1.0 + w * (1.5 * leaf - 0.85)
    warm = 0.25 * (clump - 0.4)
    return (r * tone * (1.0 + warm), g * tone, b * tone * (1.0 - 0.4 * warm), 0.0, 0.0)


@compiled
def shade_bark(u, v, footprint, r, g, b, seed):
    """Bark or weathered wood."""
    ridge = fractal_noise(u * 14.0, v * 2.2, seed, 2)
    tone = 0.6 + 0.8 * (0.5 + (ridge - 0.5) * detail_weight(0.12, footprint))
    return r * tone, g * tone, b * tone, 0.0, 0.0


@compiled
def shade_body(x, y, z, footprint, r, g, b, seed):
    """Car body in the car's coordinates: dark sill, door seams, dirt low down."""
    if z < 0.30:
        return 0.03, 0.03, 0.03, 0.03, 0.0
    seam = min(abs(abs(x - 0.05) - 0.62), abs(x + 0.02))
    tone = 1.0
    if seam < 0.012 and abs(y) > 0.6 and footprint < 0.03:
        tone = 0.35
    if abs(z - 0.72) < 0.012 and abs(y) > 0.6:
        tone *= 0.75
    dirt = 0.35 * hash_unit(1, 1, seed) * smooth_step(0.75, 0.3, z)
    noise = value_noise(x * 3.0, z * 6.0 + y, seed)
    dirt *= noise
    return (r * tone * (1.0 - dirt) + 0.25 * dirt, g * tone * (1.0 - dirt) + 0.22 * dirt,
            b * tone * (1.0 - dirt) + 0.18 * dirt, 0.07, 0.0)


@compiled
def shade_cabin(u, v, w, r, g, b):
    """Greenhouse of a car: u along (0..1), v up (0..1), w number of side windows (0: screen)."""
    paint = v > 0.90 or v < 0.04
    if w > 0.5:
        cell = u * w
        cell -= math.floor(cell)
        paint = paint or min(cell, 1.0 - cell) < 0.045 * min(w, 2.5)
    else:
        paint = paint or u < 0.06 or u > 0.94
    if paint:
        return r, g, b, 0.07, 0.0
    return 0.018, 0.02, 0.022, 0.30, 0.0


@compiled
def shade_cargo(u, v, footprint, r, g, b, seed):
    """Truck box or bus side: ribs, a coloured band, lettering."""
    tone = 1.0 - 0.1 * smooth_step(0.4, 0.9, fractal_noise(u * 0.7, v * 1.5, seed, 3))
    style = hash_unit(2, 2, seed)
    rib = u / 0.5
    rib -= math.floor(rib)
    if style < 0.45 and rib < 0.12:
        tone *= 1.0 - 0.25 * detail_weight(0.25, footprint)
    band = 1.2 + 1.4 * hash_unit(3, 2, seed)
    if style > 0.35 and abs(v - band) < 0.25 + 0.4 * hash_unit(4, 2, seed):
        ink = 1.0 if value_noise(u * 2.2, v * 2.6, seed + 3) > 0.55 else 0.3
        return (hash_unit(5, 2, seed) * 0.7 * ink, hash_unit(6, 2, seed) * 0.6 * ink,
                hash_unit(7, 2, seed) * 0.7 * ink, 0.05, 0.0)
    return r * tone, g * tone, b * tone, 0.05, 0.0


@compiled
def shade_sign(u, v, r, g, b, seed):
    """Sign face, u and v in -1..1 over the plate: border, field and a glyph."""
    radius = max(abs(u), abs(v))
    kind = hash_unit(1, 9, seed)
    white = 0.75
    if kind < 0.4:
        radius = math.sqrt(u * u + v * v)
        if radius > 0.72:
            return r, g, b, 0.03, 0.0
        ink = value_noise(u * 2.2 + 9.0, v * 2.2, seed) > 0.58 and radius < 0.5
    elif kind < 0.7:
        if radius > 0.86:
            return white, white, white, 0.03, 0.0
        line = value_noise(u * 5.0, math.floor(v * 3.0), seed) > 0.5
        rows = v * 3.0 - math.floor(v * 3.0)
        if line and rows > 0.35 and abs(u) < 0.75:
            return white, white, white, 0.03, 0.0
        return r, g, b, 0.03, 0.0
    else:
        if radius > 0.8:
            return r * 0.2, g * 0.2, b * 0.2, 0.03, 0.0
        ink = value_noise(u * 2.0, v * 2.0 + 4.0, seed) > 0.6 and radius < 0.6
        if not ink:
            return r, g, b, 0.03, 0.0
    if ink:
        return 0.03, 0.03, 0.04, 0.03, 0.0
    return white, white, white, 0.03, 0.0


@compiled
def shade_cloth(x, y, z, footprint, r, g, b, seed):
    """Clothes: folds, sometimes stripes or checks."""
    tone = 0.8 + 0.4 * value_noise(x * 9.0 + y * 7.0, z * 7.0, seed)
    pattern = hash_unit(6, 4, seed)
    if pattern < 0.2:
        stripe = z * 9.0
        stripe -= math.floor(stripe)
        if stripe < 0.5:
            tone *= 1.0 - 0.5 * detail_weight(0.12, footprint)
    return r * tone, g * tone, b * tone, 0.0, 0.0
