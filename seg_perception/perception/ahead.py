# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is ahead of the vehicle, in few enough numbers to log every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.occupancy_config import OccupancyConfig


@dataclass(frozen=True)
class CorridorConfig:
    """Straight corridor ahead, in the base frame, as long as the grid.

    Attributes:
        width_m: its width, with the x axis in its middle.
        front_m: x of the vehicle's front, from which distances count.
    """

    width_m: float = 3.0
    front_m: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width_m) and self.width_m > 0.0):
            raise UserError(f'corridor: width_m is {self.width_m}, expected above 0')
        if not math.isfinite(self.front_m):
            raise UserError(f'corridor: front_m is {self.front_m}, expected a number')


@dataclass(frozen=True)
class Ahead:
    """Shares and distances by class id; the arrays are reused from frame to frame.

    Attributes:
        image_share: (C,) float32, share of the image, 0..1.
        corridor_share: (C,) float32, share of the corridor's cells.
        obstacle_m: (C,) float32, distance from the vehicle's front to the first cell of a
            standing class in the corridor; infinite where there is none, 0 beside the front.
        unknown_share: (1,) float32, share of the corridor's cells of which nothing is known.
    """

    image_share: np.ndarray
    corridor_share: np.ndarray
    obstacle_m: np.ndarray
    unknown_share: np.ndarray


class AheadMeter:
    """Measures masks and grids of one configuration."""

    def __init__(self, config: OccupancyConfig, corridor: CorridorConfig | None = None) -> None:
        """Find the corridor's cells; UserError where the grid has none."""
        corridor = corridor or CorridorConfig()
        grid, count = config.grid, len(config.class_names)
        y = grid.y_min_m + (np.arange(grid.rows) + 0.5) * grid.resolution_m
        x = grid.x_min_m + (np.arange(grid.columns) + 0.5) * grid.resolution_m
        rows = np.nonzero(np.abs(y) <= 0.5 * corridor.width_m)[0]
        columns = np.nonzero(x >= corridor.front_m)[0]
        if not rows.size or not columns.size:
            raise UserError(
                f'the corridor of {corridor.width_m} m from x = {corridor.front_m} m has no cell '
                'of the grid; widen the grid or the corridor'
            )
        self._area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        self._edge_m = np.maximum(x[columns] - 0.5 * grid.resolution_m - corridor.front_m, 0.0)
        self._standing = [
            i for i in range(count) if config.find_rule(i).kind == 'standing'
        ]
        self._shape = (grid.rows, grid.columns)
        self._ahead = Ahead(
            np.zeros(count, np.float32),
            np.zeros(count, np.float32),
            np.full(count, np.inf, np.float32),
            np.ones(1, np.float32),
        )

    def measure(self, mask: np.ndarray, label: np.ndarray) -> Ahead:
        """Measure one frame.

        Args:
            mask: (H, W) uint8 class ids.
            label: (rows, columns) int8 class ids of the ground grid, -1 unknown.
        """
        if label.shape != self._shape:
            raise ValueError(f'label has shape {label.shape}, expected {self._shape}')
        out, count = self._ahead, len(self._ahead.image_share)
        pixels = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
        out.image_share[:] = pixels[:count] / mask.size
        corridor = label[self._area]
        for class_id in range(count):
            cells = corridor == class_id
            total = np.count_nonzero(cells)
            out.corridor_share[class_id] = total / corridor.size
            if class_id in self._standing:
                out.obstacle_m[class_id] = (
                    self._edge_m[cells.any(axis=0).argmax()] if total else np.inf
                )
        out.unknown_share[0] = np.count_nonzero(corridor < 0) / corridor.size
        return out
