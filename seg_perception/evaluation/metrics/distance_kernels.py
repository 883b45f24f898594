# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Counting pixels by two ids and by depth in one pass."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.compiling import compile_kernel


@compile_kernel(nogil=True)
def count_pairs_by_depth(first, second, depth_m, edges_m, unlabelled, counts):
    """Add to counts[bin, a, b] the pixels that are a in the first and b in the second image.

    first, second: (N,) uint8, pixels that are `unlabelled` in the first are left out. depth_m:
    (N,) float32, pixels without a positive finite one are left out. edges_m: (B - 1,) float32,
    ascending. counts: (B, 256, 256) int64.
    """
    bins = edges_m.size + 1
    # Two tables take turns, since a pixel is most often of the same pair as its neighbour.
    tables = np.zeros((2, bins << 16), np.uint32)
    for i in range(first.size):
        if first[i] != unlabelled and depth_m[i] > 0 and depth_m[i] < np.inf:
            place = 0
            for edge_m in edges_m:
                place += depth_m[i] >= edge_m
            tables[i & 1, (place << 16) | (np.int64(first[i]) << 8) | second[i]] += 1
    for place in range(bins << 16):
        total = tables[0, place] + tables[1, place]
        if total:
            counts[place >> 16, (place >> 8) & 255, place & 255] += total
