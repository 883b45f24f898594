# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Procedural surfaces of the ground: road, sidewalk, kerb, grass. As `materials`."""

from __future__ import annotations

import math

from seg_perception.sample.material_ids import (
    ROAD,
    S_CENTER,
    S_CENTER_STYLE,
    S_DASH,
    S_DRY,
    S_EDGE_LEFT,
    S_EDGE_LINE,
    S_EDGE_RIGHT,
    S_GAP,
    S_GRASS_B,
    S_GRASS_G,
    S_GRASS_R,
    S_KERB,
    S_LANE_START,
    S_LANE_WIDTH,
    S_LANES,
    S_PARK_LEFT,
    S_PARK_RIGHT,
    S_PATCHES,
    S_ROAD_B,
    S_ROAD_G,
    S_ROAD_R,
    S_WALK_B,
    S_WALK_G,
    S_WALK_R,
    S_WALK_STYLE,
    S_WEAR,
    STOP_LINE,
    ZEBRA,
)
from seg_perception.sample.noise import (
    compiled,
    detail_weight,
    fractal_noise,
    hash_unit,
    smooth_step,
    value_noise,
)


@compiled
def _line_cover(distance: float, half_width: float, footprint: float) -> float:
    """Share of a pixel covered by a painted line."""
    soft = max(0.012, 0.5 * footprint)
    return 1.0 - smooth_step(half_width - soft, half_width + soft, abs(distance))


@compiled
def shade_road(s, t, footprint, kind, street, seed):
    """Asphalt with grain, patches, cracks, tyre tracks and painted marks."""
    grain = 0.0
    w = detail_weight(0.04, footprint)
    if w > 0.0:
        grain += w * (value_noise(s * 45.0, t * 45.0, seed) - 0.5) * 0.34
    w = detail_weight(0.25, footprint)
    if w > 0.0:
        grain += w * (value_noise(s * 6.0, t * 6.0, seed + 3) - 0.5) * 0.12
    blotch = fractal_noise(s * 0.22, t * 0.55, seed + 7, 3) - 0.5
    tone = 1.0 + grain + blotch * 0.45 * street[S_PATCHES]
    patch = hash_unit(int(math.floor(s / 5.5)), int(math.floor(t / 1.9)), seed + 11)
    if patch < 0.10 * street[S_PATCHES]:
        tone *= 0.72 + 2.0 * patch
    w = detail_weight(0.3, footprint)
    if w > 0.0:
        crack = abs(fractal_noise(s * 0.5, t * 0.9, seed + 13, 3) - 0.5)
        tone *= 1.0 - 0.35 * w * street[S_PATCHES] * (
            1.0 - smooth_step(0.0, 0.012 + 0.1 * footprint, crack))
    lane = (t - street[S_LANE_START]) / street[S_LANE_WIDTH]
    inside = lane - math.floor(lane)
    track = math.exp(-((abs(inside - 0.5) - 0.24) / 0.09) ** 2)
    if 0.0 < lane < street[S_LANES]:
        tone *= 1.0 - 0.10 * track
    gutter = min(street[S_EDGE_LEFT] - t, t + street[S_EDGE_RIGHT])
    if abs(gutter) < 0.5:
        tone *= 0.80 + 0.4 * abs(gutter)
    r = street[S_ROAD_R] * tone
    g = street[S_ROAD_G] * tone
    b = street[S_ROAD_B] * tone
    paint = 0.0
    yellow = 0.0
    if kind == ROAD:
        lanes = int(street[S_LANES])
        nearest = int(math.floor(lane + 0.5))
        if 0 <= nearest <= lanes:
            offset = t - (street[S_LANE_START] + nearest * street[S_LANE_WIDTH])
            period = street[S_DASH] + street[S_GAP]
            phase = s - math.floor(s / period) * period
            dash = 1.0 if phase < street[S_DASH] else 0.0
            if nearest == int(street[S_CENTER]):
                style = int(street[S_CENTER_STYLE])
                if style == 0:
                    paint = dash * _line_cover(offset, 0.06, footprint)
                elif style == 1:
                    paint = max(_line_cover(offset - 0.12, 0.05, footprint),
                                _line_cover(offset + 0.12, 0.05, footprint))
                    yellow = 1.0
                elif style == 2:
                    paint = _line_cover(offset, 0.07, footprint)
            elif 0 < nearest < lanes:
                paint = dash * _line_cover(offset, 0.06, footprint)
            elif street[S_EDGE_LINE] > 0.5:
                paint = _line_cover(offset, 0.06, footprint)
        parking = 0.0
        if street[S_PARK_LEFT] > 0.0 and t > street[S_EDGE_LEFT] - street[S_PARK_LEFT]:
            parking = 1.0
        if street[S_PARK_RIGHT] > 0.0 and t < -street[S_EDGE_RIGHT] + street[S_PARK_RIGHT]:
            parking = 1.0
        if parking > 0.0 and street[S_EDGE_LINE] > 0.5:
            bay = s / 6.0
            paint = max(paint, _line_cover((bay - math.floor(bay + 0.5)) * 6.0, 0.05, footprint))
    elif kind == ZEBRA:
        bar = t / 1.0
        paint = _line_cover((bar - math.floor(bar) - 0.5) * 1.0, 0.26, footprint)
        if min(street[S_EDGE_LEFT] - t, t + street[S_EDGE_RIGHT]) < 0.25:
            paint = 0.0
    elif kind == STOP_LINE:
        paint = 1.0
    if paint > 0.0:
        worn = fractal_noise(s * 2.3, t * 5.1, seed + 29, 2)
        paint *= smooth_step(street[S_WEAR] - 0.28, street[S_WEAR] + 0.12, worn)
        r += (0.62 - r) * paint
        g += (0.62 - 0.17 * yellow - g) * paint
        b += (0.60 - 0.50 * yellow - b) * paint
    return r, g, b, 0.03, 0.0


@compiled
def shade_sidewalk(s, t, footprint, street, seed):
    """Slabs, asphalt or bricks."""
    style = int(street[S_WALK_STYLE])
    tone = 0.9 + 0.35 * (fractal_noise(s * 0.4, t * 0.6, seed + 41, 3) - 0.5)
    w = detail_weight(0.06, footprint)
    if w > 0.0:
        tone += w * 0.22 * (value_noise(s * 32.0, t * 32.0, seed + 43) - 0.5)
    if style != 1:
        length = 0.6 if style == 0 else (0.24 if style == 2 else 1.5)
        width = 0.6 if style == 0 else (0.12 if style == 2 else 1.5)
        row = math.floor(t / width)
        shift = 0.5 * length * (int(row) & 1) if style != 3 else 0.0
        column = math.floor((s + shift) / length)
        fade = detail_weight(width, footprint)
        tone *= 1.0 + fade * 0.24 * (hash_unit(int(column), int(row), seed + 47) - 0.5)
        du = (s + shift) / length - column
        dv = t / width - row
        edge = min(min(du, 1.0 - du) * length, min(dv, 1.0 - dv) * width)
        tone *= 1.0 - 0.45 * fade * (1.0 - smooth_step(0.004, 0.014 + 0.5 * footprint, edge))
    return street[S_WALK_R] * tone, street[S_WALK_G] * tone, street[S_WALK_B] * tone, 0.03, 0.0


@compiled
def shade_kerb(s, depth, footprint, street, seed):
    """Kerb stone: depth runs from the gutter (0) to the sidewalk side (1)."""
    tone = street[S_KERB] * (0.85 + 0.3 * value_noise(s * 3.0, depth * 2.0, seed + 51))
    joint = s - math.floor(s)
    tone *= 1.0 - 0.4 * detail_weight(0.2, footprint) * (1.0 - smooth_step(0.01, 0.03, joint))
    if depth < 0.40:
        tone *= 0.52
    elif depth < 0.5:
        tone *= 1.25
    return tone, tone * 0.985, tone * 0.95, 0.03, 0.0


@compiled
def shade_grass(s, t, footprint, street, seed):
    """Lawn with dry and worn places and blades close by."""
    dry = fractal_noise(s * 0.25, t * 0.25, seed + 61, 4)
    mix = smooth_step(0.75 - 0.6 * street[S_DRY], 1.1 - 0.6 * street[S_DRY], dry)
    tone = 0.75 + 0.5 * fractal_noise(s * 1.3, t * 1.3, seed + 67, 2)
    w = detail_weight(0.05, footprint)
    if w > 0.0:
        blades = value_noise(s * 40.0, t * 22.0, seed + 71) - 0.5
        tone *= 1.0 + 0.9 * w * blades
    r = street[S_GRASS_R] * (1.0 - mix) + 0.22 * mix
    g = street[S_GRASS_G] * (1.0 - mix) + 0.17 * mix
    b = street[S_GRASS_B] * (1.0 - mix) + 0.10 * mix
    return r * tone, g * tone, b * tone, 0.0, 0.0
