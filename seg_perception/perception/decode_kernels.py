# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the mask decoder; `decode.py` explains the method and is the interface.

A *cell* is the area between four neighbouring logits centres, a *band* a row of cells. The loops
release the GIL and are run by plain threads from outside: Numba's own work queue aborts the
process when two threads enter it at once. Helpers stay in this file because Numba's cache does
not watch any other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from seg_perception.perception.compiling import compile_kernel

TILE = 8  # mixed cells are interpolated in tiles of 8x8 pixels, a whole cell at stride 8
_TILE_PIXELS = TILE * TILE

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_FULL = np.float32(255.0)
_MAGNITUDE_BITS = np.int32(0x7FFFFFFF)
_INFINITY_BITS = np.int32(0x7F800000)
# Rounding can make two blends tie only where the values differ by less than 8 units of 2^-24 at
# some corner (three roundings on each side, and one to spare); twice that is always enough.
_TIE_SHARE = 2.0**-20
_TIE_FLOOR = np.float32(1e-37)


class Axis(NamedTuple):
    """One axis of the sampling grid, in pixels of the valid region.

    cell (pixels,) uint32: the cell of each pixel.
    starts (cells + 1,) int64: first pixel of each cell; a cell may hold no pixel at all.
    weights (2, pixels + TILE) float32: weights of the centres before and after the pixel.
    """

    cell: np.ndarray
    starts: np.ndarray
    weights: np.ndarray


class Scratch(NamedTuple):
    """Buffers of one thread; `row` buffers hold two rows of logits, even rows in slot 0."""

    row_index: np.ndarray  # (2,) int64, which row of logits lies in the slot
    row_logits: np.ndarray  # (2, C, w) float32
    row_tolerance: np.ndarray  # (2,) float32, two logits closer than this may tie in a blend
    row_best: np.ndarray  # (2, w) float32, highest logit
    row_winner: np.ndarray  # (2, w) int32, its class, -1 if another is too near
    row_certainty: np.ndarray  # (2, w) float32, 255 * max softmax
    row_confidence: np.ndarray  # (2, W) float32, the same interpolated along the row
    near_winner: np.ndarray  # (w,) int32
    mixed: np.ndarray  # (w,) int64, cells of the band that need interpolation
    line: np.ndarray  # (W,) uint8
    candidates: np.ndarray  # (C,) int32
    corners: np.ndarray  # (C, 4) float32, logits above left, above right, below left, below right
    tile_weights: np.ndarray  # (4, TILE * TILE) float32, left, right, upper, lower
    tile_best: np.ndarray  # (TILE * TILE,) float32
    tile_total: np.ndarray  # (TILE * TILE,) float32
    tile_winner: np.ndarray  # (TILE * TILE,) int32


def make_scratch(num_classes: int, logits_width: int, width_px: int) -> Scratch:
    """Allocate the buffers of one thread."""
    pixels = TILE * TILE
    return Scratch(
        row_index=np.full(2, -1, np.int64),
        # 16 floats of padding keep the classes of one centre out of the same cache set.
        row_logits=np.zeros((2, num_classes, logits_width + 16), np.float32),
        row_tolerance=np.zeros(2, np.float32),
        row_best=np.zeros((2, logits_width), np.float32),
        row_winner=np.zeros((2, logits_width), np.int32),
        row_certainty=np.zeros((2, logits_width), np.float32),
        row_confidence=np.zeros((2, width_px), np.float32),
        near_winner=np.zeros(logits_width, np.int32),
        mixed=np.zeros(logits_width, np.int64),
        line=np.zeros(width_px, np.uint8),
        candidates=np.zeros(num_classes, np.int32),
        corners=np.zeros((num_classes, 4), np.float32),
        tile_weights=np.zeros((4, pixels), np.float32),
        tile_best=np.zeros(pixels, np.float32),
        tile_total=np.zeros(pixels, np.float32),
        tile_winner=np.zeros(pixels, np.int32),
    )


@numba.njit(nogil=True, fastmath={'contract'})
def _exp(x):
    # e^x for x <= 0 as (1 + y + y^2 / 2)^64 with y = x / 64: less than 6e-5 off, where a step of
    # the 8-bit result is 4e-3. Plain arithmetic, so that LLVM vectorises it.
    y = max(x, np.float32(-32.0)) * np.float32(1.0 / 64.0)
    y = _ONE + y * (_ONE + y * _HALF)
    for _ in range(6):
        y *= y
    return y


@numba.njit(nogil=True)
def _load_row(logits, bits, row, copy, best):
    """Copy a row of logits and find the highest at each centre.

    Returns:
        Exponent e such that all magnitudes are below 2^e; 129 where not all are finite.
    """
    num_classes, _, width = logits.shape
    largest = np.int32(0)
    for class_id in range(num_classes):
        for x in range(width):
            largest = max(largest, np.int32(bits[class_id, row, x] & _MAGNITUDE_BITS))
        for x in range(width):
            value = logits[class_id, row, x]
            copy[class_id, x] = value
            best[x] = value if class_id == 0 or value > best[x] else best[x]
    return (largest >> 23) - 126


@numba.njit(nogil=True)
def _find_winners(values, best, tolerance, winner, near):
    """Find the first class that reaches the best, -1 if rounding could let a lower one tie."""
    width = best.shape[0]
    for step in range(values.shape[0]):
        class_id = np.int32(values.shape[0] - 1 - step)
        for x in range(width):
            winner[x] = class_id if values[class_id, x] >= best[x] else winner[x]
        for x in range(width):
            near[x] = class_id if values[class_id, x] >= best[x] - tolerance else near[x]
    for x in range(width):
        winner[x] = winner[x] if near[x] == winner[x] else np.int32(-1)


@numba.njit(nogil=True, fastmath={'contract'})
def _find_certainty(values, best, certainty, cell, weights, confidence):
    """Compute 255 * max softmax of a row of centres and interpolate it along the row."""
    width = best.shape[0]
    for x in range(width):
        certainty[x] = _ZERO
    for class_id in range(values.shape[0]):
        for x in range(width):
            certainty[x] += _exp(values[class_id, x] - best[x])
    for x in range(width):
        certainty[x] = _FULL / certainty[x]
    for x in range(cell.shape[0]):
        left = cell[x]
        right = min(left + np.uint32(1), np.uint32(width - 1))
        confidence[x] = weights[0, x] * certainty[left] + weights[1, x] * certainty[right]


@numba.njit(nogil=True)
def _fill_band(upper, lower, starts, pixels, mask, line, mixed):
    """Write the cells whose corners agree, list those that do not; return their number."""
    top, bottom, offset_y, offset_x = pixels
    cells = starts.shape[0] - 1
    count = 0
    for cell in range(cells):
        class_id = upper[cell]
        after = min(cell + 1, cells - 1)
        agree = (upper[after] == class_id) & (lower[cell] == class_id) & (lower[after] == class_id)
        if agree and class_id >= 0:
            for x in range(starts[cell], starts[cell + 1]):
                line[x] = np.uint8(class_id)
        elif starts[cell + 1] > starts[cell]:
            mixed[count] = cell
            count += 1
    width = starts[cells]
    for y in range(top, bottom):
        target = mask[y + offset_y, offset_x : offset_x + width]
        for x in range(width):
            target[x] = line[x]
    return count


@numba.njit(nogil=True, fastmath={'contract'})
def _fill_confidence(upper, lower, y_weights, pixels, confidence):
    """Interpolate the confidence of two rows over the pixels between them."""
    top, bottom, offset_y, offset_x = pixels
    for y in range(top, bottom):
        upper_weight, lower_weight = y_weights[0, y], y_weights[1, y]
        target = confidence[y + offset_y, offset_x : offset_x + upper.shape[0]]
        for x in range(upper.shape[0]):
            value = upper_weight * upper[x] + lower_weight * lower[x]
            target[x] = np.uint8(np.int32(value + _HALF))


@numba.njit(nogil=True)
def _choose_candidates(above, below, cell, after, margin, candidates, corners):
    """Gather the classes that can win in a cell, or matter in its softmax; return their number.

    A class is left out if its best corner is more than `margin` below the best worst corner.
    """
    num_classes = above.shape[0]
    threshold = np.float32(-np.inf)
    for class_id in range(num_classes):
        upper = min(above[class_id, cell], above[class_id, after])
        lower = min(below[class_id, cell], below[class_id, after])
        threshold = max(threshold, min(upper, lower))
    threshold -= margin
    count = 0
    for class_id in range(num_classes):
        upper_left, upper_right = above[class_id, cell], above[class_id, after]
        lower_left, lower_right = below[class_id, cell], below[class_id, after]
        if max(max(upper_left, upper_right), max(lower_left, lower_right)) >= threshold:
            candidates[count] = class_id
            corners[count, 0] = upper_left
            corners[count, 1] = upper_right
            corners[count, 2] = lower_left
            corners[count, 3] = lower_right
            count += 1
    return count


@numba.njit(nogil=True)
def _load_tile_weights(x_weights, y_weights, left, top, bottom, weights):
    # Unsigned indices: Numba need not look for negative ones, and LLVM vectorises the copies.
    begin = np.uint64(left)
    for row in range(np.uint64(TILE)):
        start = row * np.uint64(TILE)
        y = np.uint64(min(top + np.int64(row), bottom - 1))
        for column in range(np.uint64(TILE)):
            weights[0, start + column] = x_weights[0, begin + column]
            weights[1, start + column] = x_weights[1, begin + column]
        for column in range(np.uint64(TILE)):
            weights[2, start + column] = y_weights[0, y]
            weights[3, start + column] = y_weights[1, y]


@numba.njit(nogil=True)
def _blend_tile(count, candidates, corners, weights, best, winner):
    """Interpolate the candidates at each pixel of a tile; the first highest one wins."""
    for index in range(count):
        upper_left, upper_right = corners[index, 0], corners[index, 1]
        lower_left, lower_right = corners[index, 2], corners[index, 3]
        class_id = candidates[index]
        for pixel in range(_TILE_PIXELS):
            upper = weights[0, pixel] * upper_left + weights[1, pixel] * upper_right
            lower = weights[0, pixel] * lower_left + weights[1, pixel] * lower_right
            value = weights[2, pixel] * upper + weights[3, pixel] * lower
            is_better = index == 0 or value > best[pixel]
            winner[pixel] = class_id if is_better else winner[pixel]
            best[pixel] = value if is_better else best[pixel]


@numba.njit(nogil=True)
def _blend_tile_confidence(count, corners, weights, best, total):
    """Compute 255 * max softmax of the interpolated candidates at each pixel of a tile.

    The blends must be those of `_blend_tile` to the last bit, so without contraction here.
    """
    for pixel in range(_TILE_PIXELS):
        total[pixel] = _ZERO
    for index in range(count):
        upper_left, upper_right = corners[index, 0], corners[index, 1]
        lower_left, lower_right = corners[index, 2], corners[index, 3]
        for pixel in range(_TILE_PIXELS):
            upper = weights[0, pixel] * upper_left + weights[1, pixel] * upper_right
            lower = weights[0, pixel] * lower_left + weights[1, pixel] * lower_right
            value = weights[2, pixel] * upper + weights[3, pixel] * lower
            total[pixel] += _exp(value - best[pixel])
    for pixel in range(_TILE_PIXELS):
        total[pixel] = _FULL / total[pixel] + _HALF


@numba.njit(nogil=True)
def _store_tile(values, pixels, left, right, image):
    top, bottom, offset_y, offset_x = pixels
    rows = np.uint64(min(bottom - top, TILE))
    columns = np.uint64(min(right - left, TILE))
    first_y, first_x = np.uint64(top + offset_y), np.uint64(left + offset_x)
    for row in range(rows):
        for column in range(columns):
            value = np.int32(values[row * np.uint64(TILE) + column])
            image[first_y + row, first_x + column] = np.uint8(value)


@compile_kernel(nogil=True)
def decode_bands(
    logits, bits, x_axis, y_axis, corner_px, bands, softmax_margin, mask, confidence, scratch
):
    """Decode the bands first <= band < last of a frame into the valid region.

    Args:
        logits: (C, h, w) float32, and `bits`, the same memory as int32.
        x_axis: Axis of the columns, and `y_axis` that of the rows.
        corner_px: (top, left) of the valid region.
        bands: (first, last), half open.
        softmax_margin: classes so far below the winner do not count in the confidence.
        mask: (H, W) uint8 output, and `confidence` likewise, or (0, 0) for none.
        scratch: buffers of this thread.

    Returns:
        True where all logits that were read are finite; else the outputs are incomplete.
    """
    cell_of, starts, x_weights = x_axis
    _, y_starts, y_weights = y_axis
    candidates, corners, tile_weights = scratch.candidates, scratch.corners, scratch.tile_weights
    tile_best, tile_total = scratch.tile_best, scratch.tile_total
    tile_winner, mixed = scratch.tile_winner, scratch.mixed
    with_confidence = confidence.shape[0] > 0
    num_classes, height, width = logits.shape
    scratch.row_index[0] = scratch.row_index[1] = -1
    for band in range(bands[0], bands[1]):
        top, bottom = y_starts[band], y_starts[band + 1]
        if top == bottom:
            continue
        next_row = min(band + 1, height - 1)
        for row in range(band, next_row + 1):
            slot = row % 2
            if scratch.row_index[slot] == row:
                continue
            values, best = scratch.row_logits[slot], scratch.row_best[slot]
            exponent = _load_row(logits, bits, row, values, best)
            if exponent > 128:
                return False
            tolerance = max(_TIE_FLOOR, np.float32(math.ldexp(_TIE_SHARE, exponent)))
            _find_winners(values, best, tolerance, scratch.row_winner[slot], scratch.near_winner)
            if with_confidence:
                certainty, line = scratch.row_certainty[slot], scratch.row_confidence[slot]
                _find_certainty(values, best, certainty, cell_of, x_weights, line)
            scratch.row_tolerance[slot] = tolerance
            scratch.row_index[slot] = row
        upper, lower = band % 2, next_row % 2
        pixels = (top, bottom, corner_px[0], corner_px[1])
        winner_above, winner_below = scratch.row_winner[upper], scratch.row_winner[lower]
        mixed_count = _fill_band(
            winner_above, winner_below, starts, pixels, mask, scratch.line, mixed
        )
        margin = max(scratch.row_tolerance[upper], scratch.row_tolerance[lower])
        if with_confidence:
            confidence_above = scratch.row_confidence[upper]
            confidence_below = scratch.row_confidence[lower]
            _fill_confidence(confidence_above, confidence_below, y_weights, pixels, confidence)
            margin = max(margin, softmax_margin)
        above, below = scratch.row_logits[upper], scratch.row_logits[lower]
        for index in range(mixed_count):
            cell = mixed[index]
            after = min(cell + 1, width - 1)
            count = _choose_candidates(above, below, cell, after, margin, candidates, corners)
            for tile_top in range(top, bottom, TILE):
                for left in range(starts[cell], starts[cell + 1], TILE):
                    tile = (tile_top, bottom, corner_px[0], corner_px[1])
                    _load_tile_weights(x_weights, y_weights, left, tile_top, bottom, tile_weights)
                    _blend_tile(count, candidates, corners, tile_weights, tile_best, tile_winner)
                    _store_tile(tile_winner, tile, left, starts[cell + 1], mask)
                    if with_confidence:
                        _blend_tile_confidence(count, corners, tile_weights, tile_best, tile_total)
                        _store_tile(tile_total, tile, left, starts[cell + 1], confidence)
    return True
