# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Finding the outlines of classes, and how much of one lies near another."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.compiling import compile_kernel


@compile_kernel(nogil=True)
def mark_boundary(ids, num_classes, margin_px, edges):
    """Write the ids of boundary pixels: a neighbour above, below, left or right has another one.

    ids: (H, W) uint8; ids from num_classes on are no class, and no other one either. edges:
    (H + 2 * margin_px, W + 2 * margin_px) uint8, 255 everywhere.
    """
    height, width = ids.shape
    for y in range(height):
        for x in range(width):
            id_ = ids[y, x]
            if id_ >= num_classes:
                continue
            # Both pixels of an edge are marked by the one above or left of it.
            if x + 1 < width and ids[y, x + 1] != id_ and ids[y, x + 1] < num_classes:
                edges[margin_px + y, margin_px + x] = id_
                edges[margin_px + y, margin_px + x + 1] = ids[y, x + 1]
            if y + 1 < height and ids[y + 1, x] != id_ and ids[y + 1, x] < num_classes:
                edges[margin_px + y, margin_px + x] = id_
                edges[margin_px + y + 1, margin_px + x] = ids[y + 1, x]


@compile_kernel(nogil=True)
def count_near(edges, others, steps, margin_px, totals, near):
    """Count boundary pixels by id, and those with one of their id in `others` within reach.

    edges, others: see `mark_boundary`. steps: (S,) int64, ascending by length, from a pixel to
    those within reach, as distances in the flat array; none reaches beyond margin_px. totals,
    near: (256,) int64.
    """
    height, width = edges.shape
    flat = others.reshape(-1)
    for y in range(margin_px, height - margin_px):
        for x in range(margin_px, width - margin_px):
            id_ = edges[y, x]
            if id_ == np.uint8(255):
                continue
            totals[id_] += 1
            here = y * width + x
            for step in steps:
                if flat[here + step] == id_:
                    near[id_] += 1
                    break
