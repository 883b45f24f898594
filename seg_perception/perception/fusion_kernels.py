# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loop of the fused grid; `fusion.py` explains the method and is the interface."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seg_perception.perception.compiling import compile_kernel

PERCENT_STEPS = 1024


class Measurement(NamedTuple):
    """One projected grid, flat, and where its base frame is: base = turn(odom - position)."""

    label: np.ndarray  # (cells,) int8
    score: np.ndarray  # (cells,) int8
    planes: np.ndarray  # (K, cells) int8
    x_min_m: float
    y_min_m: float
    resolution_m: float
    rows: int
    columns: int
    position_x_m: float
    position_y_m: float
    cosine: float
    sine: float


class Memory(NamedTuple):
    """What is kept between frames; cell (row, column) of odom lies at row % R, column % C.

    evidence (R, C, K + 2) float32: log odds; the last two of standing classes without a plane,
    those that stay and those that move. other (R, C, 2) int8: which class these were. known
    (R, C) bool: there is any evidence.
    """

    evidence: np.ndarray
    other: np.ndarray
    known: np.ndarray


class Weights(NamedTuple):
    """How evidence counts: log odds by probability 0..100, fading factor of each plane."""

    log_odds: np.ndarray  # (101,) float32
    fade: np.ndarray  # (K + 2,) float32
    dynamic: np.ndarray  # (K + 2,) bool
    is_ground: np.ndarray  # (256,) bool, by class id
    plane: np.ndarray  # (256,) int16, by class id; K or K + 1 of the others, -1 of none
    plane_class: np.ndarray  # (K,) int16
    percent: np.ndarray  # (PERCENT_STEPS + 1,) int8, by log odds from -limit to limit
    limit: float
    least: float


@compile_kernel(nogil=True)
def fuse_rows(measured, memory, weights, window, first, last, label_out, score_out, planes_out):
    """Fade, add one measurement and write the result for rows first..last of the window.

    window: (first row, first column) of the output in cells of odom, and the cell size in m.
    """
    row_0, column_0, cell_m = window
    planes = planes_out.shape[0]
    rows, columns = label_out.shape
    scale = np.float32(PERCENT_STEPS / (2.0 * weights.limit))
    for row in range(first, last):
        slot_row = (row_0 + row) % rows
        for column in range(columns):
            slot = (column_0 + column) % columns
            x = (column_0 + column + 0.5) * cell_m - measured.position_x_m
            y = (row_0 + row + 0.5) * cell_m - measured.position_y_m
            base_x = measured.cosine * x + measured.sine * y
            base_y = measured.cosine * y - measured.sine * x
            from_column = int(np.floor((base_x - measured.x_min_m) / measured.resolution_m))
            from_row = int(np.floor((base_y - measured.y_min_m) / measured.resolution_m))
            label = -1
            cell = 0
            if 0 <= from_column < measured.columns and 0 <= from_row < measured.rows:
                cell = from_row * measured.columns + from_column
                label = measured.label[cell]
            label_out[row, column] = -1
            score_out[row, column] = -1
            if label < 0 and not memory.known[slot_row, slot]:
                for plane in range(planes):
                    planes_out[plane, row, column] = -1
                continue
            is_ground = label >= 0 and weights.is_ground[label]
            is_cleared = False
            if is_ground:
                for plane in range(planes + 2):
                    if weights.dynamic[plane] and memory.evidence[slot_row, slot, plane] > 0.0:
                        is_cleared = True
            best, best_plane, known = np.float32(-1e9), -1, np.float32(0.0)
            for plane in range(planes + 2):
                value = memory.evidence[slot_row, slot, plane] * weights.fade[plane]
                if label >= 0:
                    percent = np.int8(0)
                    if plane < planes:
                        percent = measured.planes[plane, cell]
                    elif weights.plane[label] == plane:
                        percent = measured.score[cell]
                        memory.other[slot_row, slot, plane - planes] = label
                    if is_cleared:
                        # Seen through: it is gone, and so is what it said against the ground.
                        if weights.dynamic[plane]:
                            value = min(value, np.float32(0.0))
                        elif weights.plane[label] == plane:
                            value = max(value, np.float32(0.0))
                    value += weights.log_odds[percent]
                    value = min(max(value, -weights.limit), weights.limit)
                memory.evidence[slot_row, slot, plane] = value
                known = max(known, abs(value))
                if value > best:
                    best, best_plane = value, plane
            memory.known[slot_row, slot] = known >= weights.least
            for plane in range(planes):
                value = memory.evidence[slot_row, slot, plane]
                planes_out[plane, row, column] = (
                    weights.percent[int((value + weights.limit) * scale + 0.5)]
                    if abs(value) >= weights.least else np.int8(-1))
            if best < weights.least:
                continue
            score_out[row, column] = weights.percent[int((best + weights.limit) * scale + 0.5)]
            label_out[row, column] = (
                memory.other[slot_row, slot, best_plane - planes] if best_plane >= planes
                else weights.plane_class[best_plane])


@compile_kernel(nogil=True)
def forget_outside(memory, row_0, column_0, old_row_0, old_column_0):
    """Forget the cells that enter the window when it moves from its old place."""
    rows, columns = memory.known.shape
    for row in range(row_0, row_0 + rows):
        new_row = row < old_row_0 or row >= old_row_0 + rows
        for column in range(column_0, column_0 + columns):
            if new_row or column < old_column_0 or column >= old_column_0 + columns:
                memory.known[row % rows, column % columns] = False
                memory.evidence[row % rows, column % columns] = np.float32(0.0)
