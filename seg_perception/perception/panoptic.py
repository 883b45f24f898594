# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From class mask, centre heatmap and offsets to a panoptic map at camera resolution, fast.

`panoptic_reference.py` defines the map and says what happens in the corner cases. This gives the
same bytes with less work: where the four cells around a pixel point nearest to one centre, all
pixels between do, because what is nearest to a centre is convex. Only elsewhere are points
interpolated, and only centres compared that can be nearest there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seg_perception.perception.geometry import SamplingGrid
from seg_perception.perception.panoptic_reference import (
    INSTANCES_PER_CLASS,
    OFFSET_LIMIT,
    VOID,
    MergeConfig,
    count_reach,
)
from seg_perception.perception.worker_pool import MAX_THREADS, count_threads, run_parts

if TYPE_CHECKING:
    from seg_perception.perception.panoptic_kernels import NodeAxis


# Of smaller maps one thread makes as much of as two: 1.5 ms of 256x512 after a pause, by 1.65.
_PIXELS_PER_THREAD = 1 << 18


class Instances(NamedTuple):
    """The instances of one map, N of them, by falling score.

    Attributes:
        class_id: (N,) int32.
        instance_id: (N,) int32, 1..999 within its class.
        score: (N,) float32, value of the heatmap.
        area_px: (N,) int64.
        box_px: (N, 4) int32, top, left, bottom, right, half open.
        center_px: (N, 2) float64, row and column of the centre in the camera image.
    """

    class_id: np.ndarray
    instance_id: np.ndarray
    score: np.ndarray
    area_px: np.ndarray
    box_px: np.ndarray
    center_px: np.ndarray


class PanopticResult(NamedTuple):
    """A panoptic map and what is in it.

    Attributes:
        panoptic: (H, W) int32, class * 1000 + instance, -1 void.
        instances: what has a number in it.
        centers_found: before the best k were taken.
    """

    panoptic: np.ndarray
    instances: Instances
    centers_found: int


class PanopticMerger:
    """Merges the outputs of one geometry; buffers are allocated once.

    Safe to call from any thread; calls of one merger take turns.
    """

    def __init__(
        self,
        grid: SamplingGrid,
        stride: int,
        num_classes: int,
        thing_ids: Sequence[int],
        config: MergeConfig | None = None,
        threads: int = 0,
    ) -> None:
        """Allocate the buffers.

        Args:
            grid: where each camera pixel reads heatmap and offsets.
            stride: pixels of the network's input for each cell of the outputs.
            num_classes: number of classes C, 1..255.
            thing_ids: classes with instances, each below C.
            config: see MergeConfig.
            threads: number of threads, 0 for as many as there are processors and the map is worth,
                at most 4.

        Raises:
            ValueError: a number outside its range.
        """
        if not 1 <= num_classes <= 255:
            raise ValueError(f'number of classes is {num_classes}, expected 1 to 255')
        wrong = [id_ for id_ in thing_ids if not 0 <= id_ < num_classes]
        if wrong:
            raise ValueError(f'thing class is {wrong[0]}, expected 0..{num_classes - 1}')
        if stride < 1:
            raise ValueError(f'stride is {stride}, expected at least 1')
        if not 0 <= threads <= MAX_THREADS:
            raise ValueError(f'number of threads is {threads}, expected 0 to {MAX_THREADS}')
        from seg_perception.perception import panoptic_kernels  # Numba takes 0.5 s to import

        self._kernels = panoptic_kernels
        self.grid = grid
        self.num_classes = num_classes
        self.config = config or MergeConfig()
        self._cells_per_px = 1.0 / stride
        self._reach = count_reach(self.config.center_kernel_px, stride)
        self._kinds = np.zeros(256, np.uint8)
        self._kinds[:num_classes] = 1
        self._kinds[list(thing_ids)] = 2
        top, left, bottom, right = grid.valid_region_px
        self._x_axis = _build_axis(grid.scale_x, grid.offset_x, left, right, grid.logits_width)
        self._y_axis = _build_axis(grid.scale_y, grid.offset_y, top, bottom, grid.logits_height)
        pixels = grid.camera_height_px * grid.camera_width_px
        self._parts = threads or min(count_threads(0), max(1, pixels // _PIXELS_PER_THREAD))
        height, width, top_k = grid.logits_height, grid.logits_width, self.config.top_k
        self._rows, self._columns = np.empty((2, height * width), np.int32)
        self._targets = np.empty((2, height, width))
        self._nearest = np.empty((height, width), np.int32)
        self._codes = np.full(self._camera_hw, panoptic_kernels.VOID_CODE, np.uint16)
        self._has_things = np.empty((self._parts, width), np.bool_)
        self._candidates = np.empty((self._parts, top_k), np.int32)
        self._areas = np.empty((self._parts, 256), np.int64)
        self._votes = np.empty((self._parts, top_k, 256), np.int32)
        self._boxes = np.empty((self._parts, top_k, 4), np.int32)
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Compile, or load compiled code from the cache, so that the first frame does not."""
        grid_hw = (self.grid.logits_height, self.grid.logits_width)
        mask = np.zeros(self._camera_hw, np.uint8)
        self.merge(mask, np.zeros(grid_hw, np.float32), np.zeros((2, *grid_hw), np.float32))

    def merge(
        self,
        mask: np.ndarray,
        heatmap: np.ndarray,
        offsets: np.ndarray,
        panoptic_out: np.ndarray | None = None,
    ) -> PanopticResult:
        """Merge one frame.

        Args:
            mask: (H, W) uint8 class ids at camera resolution; ids from C on are void, and so is
                what lies outside the grid's valid region.
            heatmap: (h, w) float32, C-contiguous, scores of centres.
            offsets: (2, h, w) float32, C-contiguous, from each cell to the centre of its
                instance, y and x, pixels of the network's input.
            panoptic_out: (H, W) int32, C-contiguous, receives the map; a new array when None.

        Raises:
            ValueError: an array of another shape, type or layout, or a heatmap or offsets that
                hold NaN or infinity; the output is then unspecified.
        """
        grid_hw = (self.grid.logits_height, self.grid.logits_width)
        _require_array('mask', mask, self._camera_hw, np.uint8)
        _require_array('heatmap', heatmap, grid_hw, np.float32)
        _require_array('offsets', offsets, (2, *grid_hw), np.float32)
        if panoptic_out is None:
            panoptic_out = np.empty(self._camera_hw, np.int32)
        _require_array('panoptic_out', panoptic_out, self._camera_hw, np.int32)
        if not panoptic_out.flags.writeable:
            raise ValueError('panoptic_out is read-only, expected a buffer that can be written')
        with self._lock:
            return self._merge(
                _protect(mask), _protect(heatmap), _protect(offsets), panoptic_out
            )

    @property
    def _camera_hw(self) -> tuple[int, int]:
        return (self.grid.camera_height_px, self.grid.camera_width_px)

    def _merge(
        self, mask: np.ndarray, heatmap: np.ndarray, offsets: np.ndarray, out: np.ndarray
    ) -> PanopticResult:
        rows, columns, found = self._find_centers(heatmap)
        if not self._kernels.locate_targets(
            offsets, self._cells_per_px, OFFSET_LIMIT, self._targets
        ):
            raise ValueError(_describe_overflow('offsets'))
        areas, votes = self._assign_pixels(mask, rows, columns)
        class_ids = votes.argmax(axis=1).astype(np.int32)
        instance_areas = votes.sum(axis=1, dtype=np.int64)
        instance_ids = _number_instances(class_ids, instance_areas > 0)
        ids_by_code = self._make_ids(areas, class_ids, instance_ids)
        boxes = self._write_ids(ids_by_code, out)
        kept = np.flatnonzero(instance_areas)
        centers_px = np.stack(
            [
                (rows[kept] - self.grid.offset_y) / self.grid.scale_y,
                (columns[kept] - self.grid.offset_x) / self.grid.scale_x,
            ],
            axis=-1,
        )
        instances = Instances(
            class_ids[kept],
            instance_ids[kept],
            heatmap[rows, columns][kept],
            instance_areas[kept],
            boxes[kept],
            centers_px,
        )
        return PanopticResult(out, instances, found)

    def _find_centers(self, heatmap: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return rows and columns of the best k, by falling score, and how many there were."""
        threshold = np.float32(self.config.center_threshold)
        found = self._kernels.find_centers(
            heatmap, threshold, self._reach, self._rows, self._columns
        )
        if found < 0:
            raise ValueError(_describe_overflow('heatmap'))
        rows, columns = self._rows[:found], self._columns[:found]
        order = np.argsort(-heatmap[rows, columns], kind='stable')[: self.config.top_k]
        return rows[order], columns[order], found

    def _assign_pixels(
        self, mask: np.ndarray, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fill the codes; return (256,) pixels of each id and (K, 256) of each centre and id."""
        centers_y, centers_x = rows.astype(np.float64), columns.astype(np.float64)
        areas, votes = self._areas, self._votes[:, : rows.size]
        self._nearest.fill(-2)
        areas.fill(0)
        votes.fill(0)

        def run(part: int) -> None:
            self._kernels.assign_pixels(
                mask, self._kinds, self._targets, centers_y, centers_x, self._x_axis,
                self._y_axis, self.grid.valid_region_px[:2], part, self._parts, self._nearest,
                self._has_things[part], self._candidates[part], self._codes, areas[part],
                votes[part])  # fmt: skip

        run_parts(run, self._parts)
        return areas.sum(axis=0), votes.sum(axis=0)

    def _make_ids(
        self, areas: np.ndarray, class_ids: np.ndarray, instance_ids: np.ndarray
    ) -> np.ndarray:
        """Return the panoptic id of each code, int32."""
        least = self.config.stuff_area_share * self._codes.size
        is_kept = (self._kinds == 1) & (areas >= least)
        ids_by_class = np.where(is_kept, np.arange(256) * INSTANCES_PER_CLASS, VOID)
        ids_by_center = class_ids * INSTANCES_PER_CLASS + instance_ids
        return np.concatenate([ids_by_class, ids_by_center]).astype(np.int32)

    def _write_ids(self, ids_by_code: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill the map; return the (K, 4) boxes of the centres."""
        height, width = out.shape
        boxes = self._boxes[:, : ids_by_code.size - 256]
        boxes[...] = (height, width, 0, 0)
        edges = [height * part // self._parts for part in range(self._parts + 1)]

        def run(part: int) -> None:
            self._kernels.write_ids(
                self._codes, ids_by_code, edges[part], edges[part + 1], out, boxes[part]
            )

        run_parts(run, self._parts)
        return np.concatenate([boxes[..., :2].min(axis=0), boxes[..., 2:].max(axis=0)], axis=1)


def _number_instances(class_ids: np.ndarray, is_instance: np.ndarray) -> np.ndarray:
    """Count the instances of each class from 1; 0 for what is none."""
    numbers = np.zeros(class_ids.size, np.int32)
    for class_id in np.unique(class_ids[is_instance]):
        members = np.flatnonzero(is_instance & (class_ids == class_id))
        numbers[members] = np.arange(1, members.size + 1)
    return numbers


def _build_axis(scale: float, offset: float, begin_px: int, end_px: int, nodes: int) -> NodeAxis:
    """Compute the cells and weights of the pixels begin_px <= u < end_px."""
    from seg_perception.perception.panoptic_kernels import NodeAxis

    position = np.clip(scale * np.arange(begin_px, end_px) + offset, 0.0, nodes - 1.0)
    cell = np.floor(position).astype(np.int64)
    after = position - cell
    starts = np.searchsorted(cell, np.arange(nodes + 1)).astype(np.int64)
    return NodeAxis(cell, starts, np.stack([1.0 - after, after]))


def _protect(array: np.ndarray) -> np.ndarray:
    """Return a read-only view: one type for the compiled code, whether writable or not."""
    view = array.view()
    view.flags.writeable = False
    return view


def _describe_overflow(what: str) -> str:
    return (
        f'{what} hold NaN or infinity: the network overflowed or its weights are damaged; '
        "try precision 'f32' or export the model again"
    )


def _require_array(what: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        layout = '' if array.flags.c_contiguous else ', not C-contiguous'
        raise ValueError(
            f'{what} is {array.dtype} of shape {array.shape}{layout}, expected C-contiguous '
            f'{np.dtype(dtype)} of shape {shape}'
        )
