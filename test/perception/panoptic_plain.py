# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The panoptic merge as it is defined, in plain NumPy: every pixel with every centre."""

from __future__ import annotations

import numpy as np


def find_centers(heatmap, threshold, window, top_k):
    """Return [(row, column)] of the best k local maxima, by falling score, then raster order."""
    height, width = heatmap.shape
    reach = window // 2
    peaks = []
    for y in range(height):
        for x in range(width):
            value = heatmap[y, x]
            if not value > np.float32(threshold):
                continue
            top, left = max(0, y - reach), max(0, x - reach)
            around = heatmap[top : y + reach + 1, left : x + reach + 1]
            first = np.argwhere(around == around.max())[0]
            if around.max() == value and (first[0] + top, first[1] + left) == (y, x):
                peaks.append((y, x))
    peaks.sort(key=lambda peak: -heatmap[peak])  # stable
    return peaks[:top_k]


def sample_axis(scale, offset, pixels, nodes):
    """Return node before, node after and the latter's weight of each pixel."""
    position = np.clip(scale * np.arange(pixels) + offset, 0.0, nodes - 1.0)
    before = np.floor(position).astype(int)
    return before, np.minimum(before + 1, nodes - 1), position - before


def sample_targets(grid, offsets, offset_scale_yx, limit):
    """Return (2, H, W) float64: where each camera pixel points to, in pixels of the grid."""
    height, width = offsets.shape[1:]
    nodes = np.stack(np.mgrid[:height, :width]).astype(np.float64)
    for axis in range(2):
        step = offsets[axis].astype(np.float64) * offset_scale_yx[axis]
        nodes[axis] += np.clip(step, -limit, limit)
    above, below, down = sample_axis(grid.scale_y, grid.offset_y, grid.camera_height_px, height)
    left, right, along = sample_axis(grid.scale_x, grid.offset_x, grid.camera_width_px, width)
    rows = []
    for row in (above, below):
        first, second = nodes[:, row][:, :, left], nodes[:, row][:, :, right]
        rows.append((1.0 - along) * first + along * second)
    return (1.0 - down)[:, None] * rows[0] + down[:, None] * rows[1]


def merge_plainly(grid, num_classes, thing_ids, config, mask, heatmap, offsets, scale_yx=(1, 1)):
    """Return the (H, W) int32 panoptic map."""
    top, left, bottom, right = grid.valid_region_px
    is_seen = np.zeros(mask.shape, bool)
    is_seen[top:bottom, left:right] = True
    is_seen &= mask < num_classes
    is_thing = is_seen & np.isin(mask, thing_ids)
    least = config.stuff_area_px * (bottom - top) * (right - left) / (1024 * 2048)
    panoptic = np.full(mask.shape, -1, np.int32)

    centers = find_centers(heatmap, config.threshold, config.nms_window, config.top_k)
    owner = np.full(mask.shape, -1)
    if centers:
        target_y, target_x = sample_targets(grid, offsets, scale_yx, 16384.0)
        distances = np.stack([(target_y - y) ** 2 + (target_x - x) ** 2 for y, x in centers])
        owner[is_thing] = distances.argmin(axis=0)[is_thing]

    left_over = np.where(is_seen, mask.astype(int), -1)
    numbers = dict.fromkeys(thing_ids, 0)
    for index in range(len(centers)):
        pixels = owner == index
        if not pixels.any():
            continue
        class_id = int(np.bincount(mask[pixels]).argmax())
        numbers[class_id] += 1
        left_over[pixels] = class_id
        if numbers[class_id] <= 999:
            panoptic[pixels] = class_id * 1000 + numbers[class_id]
            left_over[pixels] = -1
    for class_id in range(num_classes):
        pixels = left_over == class_id
        if pixels.sum() >= least:
            panoptic[pixels] = class_id * 1000
    return panoptic
