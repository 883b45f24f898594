# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a panoptic network would say of a crowded street, for measuring what comes after it.

60 instances are as many cars and persons of a crowded street, ellipses that grow towards the
bottom; centres and offsets are exact plus noise.
"""

from __future__ import annotations

import numpy as np

CAMERA_HW = (1024, 2048)
STRIDE = 4
GRID_HW = (CAMERA_HW[0] // STRIDE, CAMERA_HW[1] // STRIDE)
PERSON, CAR = 11, 13
STUFF = ((0, 10), (330, 2), (480, 0))  # first row and class: sky, building, road


def draw_crowd(instances: int = 60, shift_px: int = 0) -> tuple[np.ndarray, ...]:
    """Return mask (H, W) uint8 of Cityscapes' ids, heatmap (h, w) and offsets (2, h, w) float32.

    shift_px: how far everything stands to the right.
    """
    # The noise has its own generator: how much is drawn of it depends on the shift.
    random, noise_source = np.random.default_rng(0), np.random.default_rng(1)
    mask = np.zeros(CAMERA_HW, np.uint8)
    for first_row, class_id in STUFF:
        mask[first_row:] = class_id
    heatmap = np.zeros(GRID_HW, np.float32)
    offsets = noise_source.normal(0, 2, (2, *GRID_HW)).astype(np.float32)
    rows, columns = np.mgrid[: CAMERA_HW[0], : CAMERA_HW[1]]
    middle = (STRIDE - 1) / 2
    node_y, node_x = STRIDE * np.mgrid[: GRID_HW[0], : GRID_HW[1]] + middle
    xs = random.permutation(np.linspace(60, CAMERA_HW[1] - 60, instances)) + shift_px
    for place, x in zip(np.sort(random.random(instances)), xs, strict=True):
        class_id = CAR if random.random() < 0.6 else PERSON
        height_px = 16 + 150 * place**1.5
        width_px = height_px * (1.4 if class_id == CAR else 0.4)
        y = 440 + 400 * place
        mask[((rows - y) / height_px) ** 2 + ((columns - x) / width_px) ** 2 < 1] = class_id
        is_inside = ((node_y - y) / height_px) ** 2 + ((node_x - x) / width_px) ** 2 < 1.2
        for axis, (center, node) in enumerate(((y, node_y), (x, node_x))):
            noise = noise_source.normal(0, 2, is_inside.sum())
            offsets[axis][is_inside] = center - node[is_inside] + noise
        distance = (node_y - y) ** 2 + (node_x - x) ** 2
        heatmap = np.maximum(heatmap, np.exp(-distance / 128).astype(np.float32))
    return mask, heatmap, offsets
