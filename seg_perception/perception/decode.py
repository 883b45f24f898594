# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From low-resolution logits to a mask and a confidence image at camera resolution.

The mask is *defined* as the argmax (lowest id wins ties) of the logits, sampled bilinearly once
at each camera pixel. It is found without sampling most of them: a bilinear blend is a convex
combination and keeps the order of its four corners, so between four centres with the same winner
every pixel has that winner. Only the other cells are interpolated, and in them only classes whose
best corner reaches the best worst corner. Rounding can break that order where two classes come
within a few units in the last place, so such centres count as disagreeing: the result is bit for
bit that of interpolating everything in float32.

The confidence is the probability of the winner: max softmax of the centres, interpolated, where
the corners agree; softmax of the interpolated logits where they do not, since between 0.95 road
and 0.95 sidewalk it is about 0.5, not 0.95.
"""

from __future__ import annotations

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from seg_perception.perception.geometry import SamplingGrid

if TYPE_CHECKING:
    from seg_perception.perception.decode_kernels import Axis

MAX_THREADS = 4  # memory bandwidth, not cores, limits the decode from there on


class MaskDecoder:
    """Decodes logits of one geometry; buffers are allocated once.

    Safe to call from any thread; calls of one decoder take turns, those of different decoders
    run at the same time.
    """

    def __init__(
        self, grid: SamplingGrid, num_classes: int, ignore_id: int = 255, threads: int = 0
    ) -> None:
        """Allocate the buffers.

        Args:
            grid: where each camera pixel reads the logits.
            num_classes: number of classes C, 1..255.
            ignore_id: value of the mask outside the valid region of the grid.
            threads: number of threads, 0 for as many as there are processors, at most 4.

        Raises:
            ValueError: a number outside its range.
        """
        if not 1 <= num_classes <= 255:
            raise ValueError(f'number of classes is {num_classes}, expected 1 to 255')
        if not 0 <= ignore_id <= 255:
            raise ValueError(f'ignore id is {ignore_id}, expected 0 to 255')
        if threads < 0:
            raise ValueError(f'number of threads is {threads}, expected 0 (automatic) or more')
        from seg_perception.perception import decode_kernels  # Numba takes 0.5 s to import

        self._kernel = decode_kernels.decode_bands
        self.grid = grid
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        top, left, bottom, right = grid.valid_region_px
        self._x_axis = _build_axis(grid.scale_x, grid.offset_x, left, right, grid.logits_width)
        self._y_axis = _build_axis(grid.scale_y, grid.offset_y, top, bottom, grid.logits_height)
        self._bands = _split_bands(self._y_axis.starts, threads or _count_processors())
        self._scratches = [
            decode_kernels.make_scratch(num_classes, grid.logits_width, right - left)
            for _ in self._bands
        ]
        # All classes left out of a softmax together stay below half an 8-bit step.
        self._softmax_margin = np.float32(math.log(2 * 255 * num_classes))
        self._no_confidence = np.empty((0, 0), np.uint8)
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Compile, or load compiled code from the cache, so that the first frame does not."""
        grid = self.grid
        logits = np.zeros((self.num_classes, grid.logits_height, grid.logits_width), np.float32)
        self.decode(logits, confidence_out=np.empty(self._camera_hw, np.uint8))

    def decode(
        self,
        logits: np.ndarray,
        mask_out: np.ndarray | None = None,
        confidence_out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode one frame.

        Args:
            logits: (C, h, w) float32, C-contiguous.
            mask_out: (H, W) uint8, C-contiguous, receives the mask; a new array when None.
            confidence_out: (H, W) uint8, C-contiguous, receives round(255 * probability of the
                winner), 0 outside the valid region; not computed when None.

        Returns:
            Mask of class ids, `ignore_id` outside the valid region, and the confidence or None.

        Raises:
            ValueError: an array of another shape, type or layout, or logits that hold NaN or
                infinity; the outputs are then unspecified.
        """
        grid = self.grid
        _require_array(
            'logits',
            logits,
            (self.num_classes, grid.logits_height, grid.logits_width),
            np.float32,
        )
        if mask_out is None:
            mask_out = np.empty(self._camera_hw, np.uint8)
        _require_output('mask_out', mask_out, self._camera_hw)
        if confidence_out is not None:
            _require_output('confidence_out', confidence_out, self._camera_hw)
        # One type of array for the compiled code, whether a backend's output is writable or not.
        values = logits.view()
        values.flags.writeable = False
        confidence = self._no_confidence if confidence_out is None else confidence_out
        with self._lock:
            is_finite = self._run_bands(values, mask_out, confidence)
        if not is_finite:
            raise ValueError(
                'logits hold NaN or infinity: the network overflowed or its weights are damaged; '
                "try precision 'f32' or export the model again"
            )
        _fill_outside(mask_out, grid.valid_region_px, self.ignore_id)
        if confidence_out is not None:
            _fill_outside(confidence_out, grid.valid_region_px, 0)
        return mask_out, confidence_out

    @property
    def _camera_hw(self) -> tuple[int, int]:
        return (self.grid.camera_height_px, self.grid.camera_width_px)

    def _run_bands(self, logits: np.ndarray, mask: np.ndarray, confidence: np.ndarray) -> bool:
        bits = logits.view(np.int32)
        corner_px = self.grid.valid_region_px[:2]

        def run(index: int) -> bool:
            return self._kernel(
                logits,
                bits,
                self._x_axis,
                self._y_axis,
                corner_px,
                self._bands[index],
                self._softmax_margin,
                mask,
                confidence,
                self._scratches[index],
            )

        others = [
            _worker_pool(os.getpid()).submit(run, index) for index in range(1, len(self._bands))
        ]
        results = [run(0)]
        results.extend(other.result() for other in others)
        return all(results)


@lru_cache(maxsize=1)
def _worker_pool(process_id: int) -> ThreadPoolExecutor:
    # By process: the threads of a pool do not live on in a forked child.
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix='decode')


def _count_processors() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return min(MAX_THREADS, len(os.sched_getaffinity(0)))
    return min(MAX_THREADS, os.cpu_count() or 1)


def _build_axis(scale: float, offset: float, begin_px: int, end_px: int, centres: int) -> Axis:
    """Compute the cells and weights of the pixels begin_px <= u < end_px."""
    from seg_perception.perception.decode_kernels import TILE, Axis

    position = np.clip(scale * np.arange(begin_px, end_px) + offset, 0.0, centres - 1.0)
    cell = np.floor(position).astype(np.int64)
    weights = np.zeros((2, cell.size + TILE), np.float32)
    weights[1, : cell.size] = position - cell
    weights[0, : cell.size] = np.float32(1.0) - weights[1, : cell.size]
    starts = np.searchsorted(cell, np.arange(centres + 1)).astype(np.int64)
    return Axis(cell.astype(np.uint32), starts, weights)


def _split_bands(starts: np.ndarray, threads: int) -> list[tuple[int, int]]:
    """Split the bands into one run for each thread, with about the same number of pixel rows."""
    rows = starts[-1]
    cuts = [int(np.searchsorted(starts, rows * i / threads)) for i in range(1, threads)]
    edges = sorted({0, *cuts, starts.size - 1})
    return list(zip(edges[:-1], edges[1:], strict=True))


def _fill_outside(image: np.ndarray, region: tuple[int, int, int, int], value: int) -> None:
    top, left, bottom, right = region
    image[:top] = value
    image[bottom:] = value
    image[top:bottom, :left] = value
    image[top:bottom, right:] = value


def _require_array(what: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        layout = '' if array.flags.c_contiguous else ', not C-contiguous'
        raise ValueError(
            f'{what} is {array.dtype} of shape {array.shape}{layout}, expected C-contiguous '
            f'{np.dtype(dtype)} of shape {shape}'
        )


def _require_output(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    _require_array(what, array, shape, np.uint8)
    if not array.flags.writeable:
        raise ValueError(f'{what} is read-only, expected a buffer that can be written')
