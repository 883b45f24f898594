# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A cost for each cell, from a cost for each class; inflation is left to the planner."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.occupancy_config import OccupancyConfig


class Costmap:
    """Turns grids of class ids into costs 0 (free) to 100 (lethal), -1 unknown.

    Attributes:
        cost: (rows, columns) int8, overwritten by `update`; the data of an OccupancyGrid.
    """

    def __init__(self, config: OccupancyConfig, shape: tuple[int, int]) -> None:
        """Allocate the costmap of grids of a shape (rows, columns)."""
        self.cost = np.full(shape, -1, np.int8)
        # By the class id as a byte: -1, unknown, is 255.
        self._costs = np.full(256, -1, np.int8)
        for class_id in range(len(config.class_names)):
            self._costs[class_id] = config.find_rule(class_id).cost

    def update(self, label: np.ndarray) -> np.ndarray:
        """Return `cost` for a grid of class ids (rows, columns) int8, -1 unknown.

        Raises:
            ValueError: a grid of another shape or type.
        """
        if label.shape != self.cost.shape or label.dtype != np.int8:
            raise ValueError(
                f'label is {label.dtype} of shape {label.shape}, expected int8 of shape '
                f'{self.cost.shape}'
            )
        # With mode='clip' NumPy writes to `out` without a copy; no byte is out of range.
        np.take(self._costs, label.view(np.uint8), out=self.cost, mode='clip')
        return self.cost
