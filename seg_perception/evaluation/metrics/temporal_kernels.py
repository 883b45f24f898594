# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Following the pixels of one image into the next along optical flow."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.compiling import compile_kernel


@compile_kernel(nogil=True)
def count_changes(
    forward_px, backward_px, ids, next_mask, scale_x, scale_y, tolerance_px, slack, counts
):
    """Add up what becomes of the sampled pixels of an image; return how many could be followed.

    A pixel is followed where flow leads back to where it started: |forward + backward|^2 <=
    tolerance_px^2 + slack * (|forward|^2 + |backward|^2), with backward between the pixels it
    has a value for (Sundaram, Brox and Keutzer, ECCV 2010). Where it leads out of the image, or
    its id has no row in counts, it is left out.

    forward_px, backward_px: (h, w, 2) float32, flow to the next image and back, in its pixels.
    ids: (h, w) uint8, of the sampled pixels. next_mask: (H, W) uint8. scale_x, scale_y: W / w,
    H / h. counts: (C, 2) int64, by id: pixels followed, and those whose id changes.
    """
    height, width = ids.shape
    followed = 0
    for row in range(height):
        for column in range(width):
            move_x = forward_px[row, column, 0]
            move_y = forward_px[row, column, 1]
            x, y = column + move_x, row + move_y
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                continue
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            part_x, part_y = x - left, y - top
            difference = forward = backward = np.float32(0)
            for axis in range(2):
                above = (1 - part_x) * backward_px[top, left, axis] + part_x * backward_px[
                    top, left + 1, axis
                ]
                below = (1 - part_x) * backward_px[top + 1, left, axis] + part_x * backward_px[
                    top + 1, left + 1, axis
                ]
                back = (1 - part_y) * above + part_y * below
                ahead = forward_px[row, column, axis]
                difference += (ahead + back) ** 2
                forward += ahead**2
                backward += back**2
            if difference > tolerance_px**2 + slack * (forward + backward):
                continue
            # The sampled pixel is the one at the middle of its cell, see `sample`.
            start_x = int((column + 0.5) * scale_x)
            start_y = int((row + 0.5) * scale_y)
            end_x = int(np.floor(start_x + move_x * scale_x + 0.5))
            end_y = int(np.floor(start_y + move_y * scale_y + 0.5))
            if not (0 <= end_x < next_mask.shape[1] and 0 <= end_y < next_mask.shape[0]):
                continue
            followed += 1
            id_ = ids[row, column]
            if id_ < len(counts):
                counts[id_, 0] += 1
                counts[id_, 1] += next_mask[end_y, end_x] != id_
    return followed
