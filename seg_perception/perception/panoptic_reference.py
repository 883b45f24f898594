# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Semantic mask, centre heatmap and offsets to one panoptic map, in plain NumPy.

After Panoptic-DeepLab (arXiv 1911.10194, section 3.4). This is the definition; `panoptic.py`
gives the same bytes in less time. Each cell of the outputs points to its place plus its offset. A
camera pixel reads this field of points bilinearly, where the mask decoder reads the logits
(clamped at the edge), and belongs to the centre nearest to the point that it read: all in cells
of the outputs and in float64. Centres are looked for among the cells: a bilinear enlargement has
its maxima there. The corner cases, on which the published code differs:

- Of equal neighbours in the heatmap the first in reading order is the centre, so a plateau has
  one. The published code keeps every cell of it.
- Exactly the `top_k` best centres survive; of equal scores, the first in reading order. The
  published code drops all that tie with the k-th.
- With no centre in the image, every thing pixel is void, as in the published code: the class is
  still in the mask, but nothing tells how many there are.
- A pixel as near to two centres belongs to the one of the higher score.
- Of classes with equally many pixels in an instance, the one of the lower id wins.
- Only pixels of thing classes are grouped and vote, so no instance is voted to be stuff.
- A centre to which no thing pixel belongs makes no instance.
- No class has more than 999 instances, since no image keeps more centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.geometry import SamplingGrid

INSTANCES_PER_CLASS = 1000
VOID = -1
MAX_CENTERS = INSTANCES_PER_CLASS - 1
OFFSET_LIMIT = 16384.0  # cells; what a network says beyond is cut
_ROWS_AT_ONCE = 1 << 14  # pixels whose distances to all centres are in memory together


@dataclass(frozen=True)
class MergeConfig:
    """How outputs become instances.

    Attributes:
        center_threshold: a centre has a higher score.
        center_kernel_px: a centre is the highest of a square of that side, px of the network's
            input, odd; in cells of the heatmap it is at least 3.
        top_k: centres that are kept, the best ones, at most 999.
        stuff_area_share: stuff classes on less of the image than that become void; 1 / 1024 are
            the 2048 px of an image of 1024x2048.

    Raises:
        UserError: a value that cannot be used.
    """

    center_threshold: float = 0.1
    center_kernel_px: int = 7
    top_k: int = 200
    stuff_area_share: float = 1 / 1024
    label_divisor: int = INSTANCES_PER_CLASS

    def __post_init__(self) -> None:
        if not 0.0 <= self.center_threshold < np.inf:
            raise UserError(f'center_threshold is {self.center_threshold}, expected 0 or more')
        if self.center_kernel_px < 1 or self.center_kernel_px % 2 == 0:
            raise UserError(f'center_kernel_px is {self.center_kernel_px}, expected an odd number')
        if not 1 <= self.top_k <= MAX_CENTERS:
            raise UserError(f'top_k is {self.top_k}, expected 1 to {MAX_CENTERS}')
        if not 0 <= self.stuff_area_share <= 1:
            raise UserError(f'stuff_area_share is {self.stuff_area_share}, expected 0 to 1')
        if self.label_divisor != INSTANCES_PER_CLASS:
            raise UserError(
                f'label_divisor is {self.label_divisor}, expected {INSTANCES_PER_CLASS}: panoptic '
                f'ids are class * {INSTANCES_PER_CLASS} + instance in every map and recording'
            )


@dataclass(frozen=True)
class Instance:
    """One thing. panoptic_id: class * 1000 + number; score: of its centre; area in pixels."""

    panoptic_id: int
    class_id: int
    score: float
    area_px: int


@dataclass(frozen=True)
class PanopticFrame:
    """ids: (H, W) int32, class * 1000 + instance, things from 1, stuff 0, void -1."""

    ids: np.ndarray
    instances: tuple[Instance, ...]


def merge_panoptic(
    mask: np.ndarray,
    center: np.ndarray,
    offset: np.ndarray,
    grid: SamplingGrid,
    stride: int,
    thing_ids: Sequence[int],
    config: MergeConfig,
) -> PanopticFrame:
    """Merge one image.

    Args:
        mask: (H, W) uint8 class ids of the camera image, 255 where unlabelled.
        center: (h, w) float32 heatmap of the network.
        offset: (2, h, w) float32, y and x to the centre, px of the network's input.
        grid: where camera pixels read the outputs.
        stride: px of the network's input per cell.
        thing_ids: classes that have instances.
        config: thresholds.

    Raises:
        ValueError: arrays that do not fit together.
    """
    require_shapes(mask, center, offset, grid)
    rows, columns, scores = find_centers(center, stride, config)
    is_thing = np.isin(mask, np.asarray(thing_ids, np.uint8))
    v, u = np.nonzero(is_thing)
    owner = group_pixels(v, u, offset, grid, stride, rows, columns)
    ids = keep_stuff(mask, is_thing, config.stuff_area_share)
    if not len(rows):
        return PanopticFrame(ids, ())
    votes = np.zeros((len(rows), 256), np.int64)
    np.add.at(votes, (owner, mask[v, u]), 1)
    classes, areas = votes.argmax(1), votes.sum(1)
    panoptic_ids = np.full(len(rows), VOID, np.int32)
    instances = []
    numbers = np.zeros(256, np.int64)
    for index in np.flatnonzero(areas):
        class_id = int(classes[index])
        numbers[class_id] += 1
        panoptic_ids[index] = class_id * INSTANCES_PER_CLASS + numbers[class_id]
        instances.append(
            Instance(
                int(panoptic_ids[index]), class_id, float(scores[index]), int(areas[index])
            )
        )  # fmt: skip
    ids[v, u] = panoptic_ids[owner]
    return PanopticFrame(ids, tuple(instances))


def find_centers(
    center: np.ndarray, stride: int, config: MergeConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns (int64) and scores (float32) of the centres, best first."""
    reach = count_reach(config.center_kernel_px, stride)
    height, width = center.shape
    padded = np.pad(center, reach, constant_values=-np.inf)
    is_peak = center > np.float32(config.center_threshold)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            neighbour = padded[
                reach + down : reach + down + height, reach + right : reach + right + width
            ]
            if (down, right) < (0, 0):
                is_peak &= center > neighbour
            elif (down, right) > (0, 0):
                is_peak &= center >= neighbour
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-center[rows, columns], kind='stable')[: config.top_k]
    return rows[order], columns[order], center[rows, columns][order]


def count_reach(kernel_px: int, stride: int) -> int:
    """Return how many cells a square of kernel_px reaches to each side: half of it, rounded."""
    return max(1, int(kernel_px // 2 / stride + 0.5))


def group_pixels(
    v: np.ndarray,
    u: np.ndarray,
    offset: np.ndarray,
    grid: SamplingGrid,
    stride: int,
    rows: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Return for camera pixels (v, u) the index (N,) of the nearest centre to where they point.

    Without centres all are 0.
    """
    owner = np.zeros(len(v), np.int64)
    if not len(rows):
        return owner
    height, width = offset.shape[1:]
    steps = np.clip(offset.astype(np.float64) * (1.0 / stride), -OFFSET_LIMIT, OFFSET_LIMIT)
    points = np.indices((height, width)) + steps
    y = np.clip(grid.scale_y * v + grid.offset_y, 0.0, height - 1.0)
    x = np.clip(grid.scale_x * u + grid.offset_x, 0.0, width - 1.0)
    toward_y, toward_x = (sample_bilinearly(plane, y, x) for plane in points)
    for start in range(0, len(v), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        distance_y = toward_y[part, None] - rows
        distance_x = toward_x[part, None] - columns
        owner[part] = (distance_y * distance_y + distance_x * distance_x).argmin(1)
    return owner


def sample_bilinearly(plane: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sample an (h, w) plane at places in it: (N,) rows and columns, float64."""
    height, width = plane.shape
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, along = y - top, x - left
    upper = (1.0 - along) * plane[top, left] + along * plane[top, right]
    lower = (1.0 - along) * plane[bottom, left] + along * plane[bottom, right]
    return (1.0 - down) * upper + down * lower


def keep_stuff(mask: np.ndarray, is_thing: np.ndarray, area_share: float) -> np.ndarray:
    """Return (H, W) int32 with the stuff classes of enough area, void elsewhere."""
    areas = np.bincount(mask.ravel(), minlength=256)
    areas[255] = 0
    lut = np.where(
        (areas > 0) & (areas >= area_share * mask.size), np.arange(256) * INSTANCES_PER_CLASS, VOID
    )
    ids = lut.astype(np.int32)[mask]
    ids[is_thing] = VOID
    return ids


def require_shapes(
    mask: np.ndarray, center: np.ndarray, offset: np.ndarray, grid: SamplingGrid
) -> None:
    """Raise ValueError for arrays that do not fit together."""
    camera_hw = (grid.camera_height_px, grid.camera_width_px)
    cells_hw = (grid.logits_height, grid.logits_width)
    if mask.shape != camera_hw or mask.dtype != np.uint8:
        raise ValueError(f'mask is {mask.dtype} of {mask.shape}, expected uint8 of {camera_hw}')
    for name, array, shape in (
        ('center', center, cells_hw),
        ('offset', offset, (2, *cells_hw)),
    ):
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(
                f'{name} is {array.dtype} of {array.shape}, expected float32 of {shape}'
            )
