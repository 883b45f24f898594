# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the panoptic merge; `panoptic.py` explains the method and is the interface.

A *node* is a pixel of the network's outputs, a *cell* the area between four of them, a *band* a
row of cells. The loops release the GIL and are run by plain threads from outside.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from seg_perception.perception.compiling import compile_kernel

VOID_CODE = 255
FIRST_CENTER_CODE = 256  # codes below are classes
BANDS_AT_ONCE = 8  # threads take turns at so many bands: things crowd around the horizon

_UNKNOWN = np.int32(-2)
_UNCLEAR = np.int32(-1)
# Squared distances, in pixels of the outputs. A target is at most 2^15 from a centre, so a squared
# distance is at most 2^31 and off by 2^-20; where one centre is nearer by more than this margin at
# all four nodes of a cell, rounding cannot make another one the nearest in between.
_MARGIN = 2.0**-12


class NodeAxis(NamedTuple):
    """One axis of the sampling grid, in pixels of the valid region.

    cell (pixels,) int64: the cell of each pixel.
    starts (cells + 1,) int64: first pixel of each cell; a cell may hold no pixel at all.
    weights (2, pixels) float64: weights of the nodes before and after the pixel.
    """

    cell: np.ndarray
    starts: np.ndarray
    weights: np.ndarray


@compile_kernel(nogil=True)
def find_centers(heatmap, threshold, reach, rows, columns):
    """List the local maxima above a threshold in raster order.

    A maximum is above all that come before it in its window of 2 * reach + 1 pixels, and not below
    those after it. heatmap: (h, w) float32. rows, columns: int32 outputs with a place for each.

    Returns:
        Their number, or -1 where the heatmap holds NaN or infinity.
    """
    height, width = heatmap.shape
    count = 0
    is_finite = True
    for y in range(height):
        for x in range(width):
            value = heatmap[y, x]
            is_finite &= value - value == 0.0
            if value > threshold and _is_peak(heatmap, y, x, reach):
                rows[count] = y
                columns[count] = x
                count += 1
    return count if is_finite else -1


@numba.njit(nogil=True)
def _is_peak(heatmap, y, x, reach):
    height, width = heatmap.shape
    value = heatmap[y, x]
    for j in range(max(0, y - reach), min(height, y + reach + 1)):
        for i in range(max(0, x - reach), min(width, x + reach + 1)):
            is_before = j < y or (j == y and i < x)
            if heatmap[j, i] > value or (is_before and heatmap[j, i] == value):
                return False
    return True


@compile_kernel(nogil=True)
def locate_targets(offsets, scale, limit, targets):
    """Add each node's offset to its position, limited; return False for NaN or infinity.

    offsets: (2, h, w) float32, y and x. targets: (2, h, w) float64 output.
    """
    _, height, width = offsets.shape
    wrong = 0
    for y in range(height):
        for x in range(width):
            # Zero for finite numbers, NaN for the others.
            wrong += (offsets[0, y, x] - offsets[0, y, x]) + (
                offsets[1, y, x] - offsets[1, y, x]) != 0.0
            step_y = np.float64(offsets[0, y, x]) * scale
            step_x = np.float64(offsets[1, y, x]) * scale
            targets[0, y, x] = y + min(max(step_y, -limit), limit)
            targets[1, y, x] = x + min(max(step_x, -limit), limit)
    return wrong == 0


@numba.njit(nogil=True)
def _find_nearest(y, x, center_y, center_x):
    """Return the nearest centre of a point, -1 where another is about as near."""
    best, second, winner = np.inf, np.inf, 0
    for index in range(center_y.size):
        step_y, step_x = y - center_y[index], x - center_x[index]
        distance = step_y * step_y + step_x * step_x
        if distance < second:
            if distance < best:
                best, second, winner = distance, best, index
            else:
                second = distance
    return np.int32(winner) if second - best > _MARGIN else _UNCLEAR


@numba.njit(nogil=True)
def _read_node(row, column, targets, center_y, center_x, nearest):
    if nearest[row, column] == _UNKNOWN:
        nearest[row, column] = _find_nearest(
            targets[0, row, column], targets[1, row, column], center_y, center_x)
    return nearest[row, column]


@numba.njit(nogil=True)
def _choose_candidates(corners, center_y, center_x, candidates):
    """List the centres that can be nearest to a point between four targets; return their number.

    |target - centre|^2 less |target|^2 is linear in the target, so between the four it is between
    its values there. A centre whose least value is above the least of the others' greatest is out.
    """
    threshold = np.inf
    for index in range(center_y.size):
        threshold = min(threshold, _bound(corners, center_y[index], center_x[index])[1])
    count = 0
    for index in range(center_y.size):
        if _bound(corners, center_y[index], center_x[index])[0] <= threshold + _MARGIN:
            candidates[count] = index
            count += 1
    return count


@numba.njit(nogil=True)
def _bound(corners, y, x):
    square = y * y + x * x
    lowest, highest = np.inf, -np.inf
    for corner in range(4):
        value = square - 2.0 * (corners[0, corner] * y + corners[1, corner] * x)
        lowest, highest = min(lowest, value), max(highest, value)
    return lowest, highest


@numba.njit(nogil=True)
def _blend(corners, axis, x_weights, y_weights, x, y):
    upper = x_weights[0, x] * corners[axis, 0] + x_weights[1, x] * corners[axis, 1]
    lower = x_weights[0, x] * corners[axis, 2] + x_weights[1, x] * corners[axis, 3]
    return y_weights[0, y] * upper + y_weights[1, y] * lower


@numba.njit(nogil=True)
def _find_nearest_candidate(y, x, center_y, center_x, candidates):
    best, winner = np.inf, 0
    for index in candidates:
        step_y, step_x = y - center_y[index], x - center_x[index]
        distance = step_y * step_y + step_x * step_x
        if distance < best:
            best, winner = distance, index
    return winner


@numba.njit(nogil=True)
def _copy_classes(mask, top, bottom, left, cell_of, kinds, codes, areas, has_things):
    """Write the classes of a band as codes, count them, and mark the cells that hold things."""
    width = cell_of.size
    for y in range(top, bottom):
        start = 0
        while start < width:
            class_id = mask[y, left + start]
            end = start + 1
            while end < width and mask[y, left + end] == class_id:
                end += 1
            kind = kinds[class_id]
            code = np.uint16(class_id if kind else VOID_CODE)
            for x in range(left + start, left + end):
                codes[y, x] = code
            areas[class_id] += end - start
            if kind == 2:
                for cell in range(cell_of[start], cell_of[end - 1] + 1):
                    has_things[cell] = True
            start = end


@compile_kernel(nogil=True)
def assign_pixels(
    mask, kinds, targets, center_y, center_x, x_axis, y_axis, corner_px, part, parts, nearest,
    has_things, candidates, codes, areas, votes,
):  # fmt: skip
    """Write the code of each pixel of this part's bands: class, or centre of a thing.

    Args:
        mask: (H, W) uint8.
        kinds: (256,) uint8 by class: 0 void, 1 stuff, 2 thing.
        targets: (2, h, w) float64, where each node points to.
        center_y: (K,) float64, rows of the centres, and `center_x` the columns.
        x_axis: NodeAxis of the columns, and `y_axis` that of the rows.
        corner_px: (top, left) of the valid region.
        part: which of the `parts` threads this is.
        parts: number of threads.
        nearest: (h, w) int32, -2 at first; nearest centre of each node, filled as needed. Threads
            share it: they write the same.
        has_things: (w,) bool, scratch.
        candidates: (K,) int32, scratch.
        codes: (H, W) uint16 output: class, 255 void, 256 + centre.
        areas: (256,) int64, pixels of each id in the mask are added.
        votes: (K, 256) int32, pixels of each class at each centre are added.
    """
    cell_of, x_starts, x_weights = x_axis
    _, y_starts, y_weights = y_axis
    height, width = nearest.shape
    top_px, left_px = corner_px
    corners = np.empty((2, 4), np.float64)
    for band in range(height):
        if (band // BANDS_AT_ONCE) % parts != part or y_starts[band] == y_starts[band + 1]:
            continue
        top, bottom = y_starts[band], y_starts[band + 1]
        has_things[:] = False
        _copy_classes(
            mask, top_px + top, top_px + bottom, left_px, cell_of, kinds, codes, areas,
            has_things)
        if center_y.size == 0:
            continue
        below = min(band + 1, height - 1)
        for cell in range(width):
            if not has_things[cell]:
                continue
            after = min(cell + 1, width - 1)
            winner = _read_node(band, cell, targets, center_y, center_x, nearest)
            right = _read_node(band, after, targets, center_y, center_x, nearest)
            lower = _read_node(below, cell, targets, center_y, center_x, nearest)
            last = _read_node(below, after, targets, center_y, center_x, nearest)
            is_clear = winner != _UNCLEAR and winner == right == lower == last
            count = 0
            if not is_clear:
                for axis in range(2):
                    corners[axis, 0] = targets[axis, band, cell]
                    corners[axis, 1] = targets[axis, band, after]
                    corners[axis, 2] = targets[axis, below, cell]
                    corners[axis, 3] = targets[axis, below, after]
                count = _choose_candidates(corners, center_y, center_x, candidates)
            for y in range(top, bottom):
                for x in range(x_starts[cell], x_starts[cell + 1]):
                    class_id = mask[top_px + y, left_px + x]
                    if kinds[class_id] != 2:
                        continue
                    if not is_clear:
                        winner = _find_nearest_candidate(
                            _blend(corners, 0, x_weights, y_weights, x, y),
                            _blend(corners, 1, x_weights, y_weights, x, y),
                            center_y, center_x, candidates[:count])
                    codes[top_px + y, left_px + x] = np.uint16(FIRST_CENTER_CODE + winner)
                    votes[winner, class_id] += 1


@compile_kernel(nogil=True)
def write_ids(codes, ids_by_code, first_row, last_row, panoptic, boxes):
    """Write the id of each code into rows first <= row < last, and widen the centres' boxes.

    codes: (H, W) uint16. ids_by_code: (256 + K,) int32. panoptic: (H, W) int32 output. boxes:
    (K, 4) int32, top, left, bottom, right, half open; (H, W, 0, 0) at first.
    """
    width = codes.shape[1]
    for y in range(first_row, last_row):
        start = 0
        while start < width:
            code = codes[y, start]
            end = start + 1
            while end < width and codes[y, end] == code:
                end += 1
            id_ = ids_by_code[code]
            for x in range(start, end):
                panoptic[y, x] = id_
            if code >= FIRST_CENTER_CODE:
                box = boxes[code - FIRST_CENTER_CODE]
                box[0] = min(box[0], y)
                box[1] = min(box[1], start)
                box[2] = max(box[2], y + 1)
                box[3] = max(box[3], end)
            start = end
