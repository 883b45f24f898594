# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Published ground grids as a picture from above: the vehicle below, forward is up."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from seg_perception.evaluation.reports.pictures import QUIET_TEXT_BGR, Picture, draw_text
from seg_perception.perception.labels import LabelSpace

UNKNOWN, OTHER_OBSTACLE = 255, 254
_UNKNOWN_BGR, _OBSTACLE_BGR = (62, 57, 54), (215, 215, 215)
_LINE_BGR = (115, 110, 108)
_LETHAL, _LIKELY = 100, 50
_LINES_M = 10.0


def combine_grids(grids: Mapping[int, np.ndarray], cost: np.ndarray) -> np.ndarray:
    """Return what is most likely in each cell, (rows, columns) uint8.

    Args:
        grids: by class id (rows, columns) int8, 0..100, -1 unknown.
        cost: (rows, columns) int8, the costmap.

    Returns:
        Class id; OTHER_OBSTACLE where only the costmap says lethal; UNKNOWN.
    """
    cells = np.full(cost.shape, UNKNOWN, np.uint8)
    cells[cost >= _LETHAL] = OTHER_OBSTACLE
    best = np.full(cost.shape, _LIKELY - 1, np.int8)
    for class_id, grid in grids.items():
        is_better = grid > best
        cells[is_better] = class_id
        best[is_better] = grid[is_better]
    return cells


def draw_birds_eye(
    cells: np.ndarray,
    label_space: LabelSpace,
    height_px: int,
    area_m: tuple[float, float, float],
) -> Picture:
    """Return a BGR picture with lines each 10 m.

    Args:
        cells: (rows along y, columns along x) uint8 of `combine_grids`.
        label_space: colours of the classes.
        height_px: height of the picture; the width follows.
        area_m: x of the near edge, y of the right edge, edge of a cell.
    """
    x_min_m, y_min_m, cell_m = area_m
    colors = np.full((256, 3), _UNKNOWN_BGR, np.uint8)
    count = label_space.num_classes
    colors[:count] = label_space.palette_array('bgr')[:count]
    colors[OTHER_OBSTACLE] = _OBSTACLE_BGR
    rows, columns = cells.shape
    # Rows go to the left and columns ahead: ahead is up, left stays left.
    picture = np.ascontiguousarray(colors[cells[::-1, ::-1].T])
    scale = height_px / columns
    size = (max(1, round(rows * scale)), height_px)
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    first = int(np.ceil(x_min_m / _LINES_M))
    last = int(np.floor((x_min_m + columns * cell_m) / _LINES_M))
    for step in range(first, last + 1):
        row = round(height_px - (step * _LINES_M - x_min_m) / cell_m * scale)
        if 0 < row < height_px:
            cv2.line(picture, (0, row), (size[0], row), _LINE_BGR, 1)
            draw_text(picture, f'{step * _LINES_M:.0f} m', 4, row - 4, 0.4, QUIET_TEXT_BGR)
    # The vehicle's axis: where y is 0.
    column = round((rows + y_min_m / cell_m) * scale)
    if 0 <= column < size[0]:
        cv2.line(picture, (column, height_px - 1), (column, height_px - 10), QUIET_TEXT_BGR, 2)
    return picture
