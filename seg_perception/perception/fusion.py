# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What several frames know together: a grid in odom that rolls along with the vehicle.

Each cell keeps the log odds of each class. They fade at the pace of the class, a frame adds those
of its probabilities, and a person or vehicle is gone as soon as ground is seen in its place.
Unknown cells of a frame add nothing. The memory is a ring in both directions: the window moves by
whole cells of odom and nothing is resampled twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.fusion_kernels import (
    PERCENT_STEPS,
    Measurement,
    Memory,
    Weights,
    forget_outside,
    fuse_rows,
)
from seg_perception.perception.ground_grid import GroundGrid
from seg_perception.perception.occupancy_config import OccupancyConfig
from seg_perception.perception.worker_pool import count_threads, run_parts

_LEAST_EVIDENCE = 0.2  # log odds; below it a cell is unknown
_MARGIN_M = 1.0  # of a jump, for noise of the odometry


@dataclass(frozen=True)
class FusionConfig:
    """How frames are fused.

    Attributes:
        size_m: edge of the square window around the vehicle.
        gain: weight of a frame's log odds; below 1 since the frames' mistakes are alike.
        limit: most log odds that a cell may gather, so that it can change its mind.
        max_gap_s: a longer time between two frames is reported.
        max_speed_mps: a faster move between two frames is a jump of the odometry.
    """

    size_m: float = 60.0
    gain: float = 0.5
    limit: float = 4.0
    max_gap_s: float = 1.0
    max_speed_mps: float = 70.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise UserError(f'fusion: {name} is {value}, expected a number above 0')


class FusedGrid:
    """Fuses the grids of one camera or of several that share the configuration.

    Not thread-safe. `label`, `score` and `planes` are views that the next call overwrites: as
    those of `GroundGrid`, but with the axes of odom.

    Attributes:
        origin_m: (x, y) in odom of the outer corner of cell (0, 0).
        stamp_ns: time of the last frame, None before the first.
    """

    def __init__(
        self, config: OccupancyConfig, fusion: FusionConfig | None = None, threads: int = 0
    ) -> None:
        """Allocate the memory; threads 0 takes as many as there are processors, at most 4."""
        self.config = config
        self.fusion = fusion or FusionConfig()
        self._threads = count_threads(threads)
        self._cell_m = config.grid.resolution_m
        self._cells = cells = max(1, round(self.fusion.size_m / self._cell_m))
        count = len(config.grid_classes)
        self.label = np.full((cells, cells), -1, np.int8)
        self.score = np.full((cells, cells), -1, np.int8)
        self.planes = np.full((count, cells, cells), -1, np.int8)
        self.origin_m = (0.0, 0.0)
        self.stamp_ns: int | None = None
        self._pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._corner = (0, 0)
        self._memory = Memory(
            np.zeros((cells, cells, count + 2), np.float32),
            np.full((cells, cells, 2), -1, np.int8),
            np.zeros((cells, cells), bool),
        )
        self._weights = self._make_weights()

    def update(
        self, grid: GroundGrid, odom_from_base: Sequence[float], stamp_ns: int
    ) -> str | None:
        """Add what a grid holds.

        Args:
            grid: just projected.
            odom_from_base: (x m, y m, yaw rad) of the vehicle at the image's stamp.
            stamp_ns: the image's stamp.

        Returns:
            None, or what was wrong, for diagnostics: the clock went back or the odometry jumped
            (all that was known is forgotten), or there was a gap.

        Raises:
            UserError: the pose is no number; nothing changed.
        """
        x, y, yaw = (float(value) for value in odom_from_base)
        if not all(map(math.isfinite, (x, y, yaw))):
            raise UserError(f'odometry is {(x, y, yaw)}, expected x, y and yaw as numbers')
        trouble = self._check_motion(x, y, stamp_ns)
        elapsed_s = 0.0
        if self.stamp_ns is not None:
            elapsed_s = (stamp_ns - self.stamp_ns) * 1e-9
        self._move_window(x, y)
        for plane, fade_s in enumerate(self._fade_s):
            self._weights.fade[plane] = math.exp(-elapsed_s / fade_s)
        area = grid.config.grid
        measured = Measurement(
            grid.label.reshape(-1), grid.score.reshape(-1),
            grid.planes.reshape(len(grid.planes), -1), area.x_min_m, area.y_min_m,
            area.resolution_m, area.rows, area.columns, x, y, math.cos(yaw),
            math.sin(yaw))  # fmt: skip
        window = (*self._corner, self._cell_m)

        def run(part: int) -> None:
            first, last = (self._cells * (part + k) // self._threads for k in (0, 1))
            fuse_rows(
                measured, self._memory, self._weights, window, first, last, self.label,
                self.score, self.planes)  # fmt: skip

        run_parts(run, self._threads)
        self._pose, self.stamp_ns = (x, y, yaw), stamp_ns
        return trouble

    def reset(self) -> None:
        """Forget everything: all cells are unknown."""
        self._memory.evidence.fill(0.0)
        self._memory.known.fill(False)
        for array in (self.label, self.score, self.planes):
            array.fill(-1)
        self.stamp_ns = None

    def _check_motion(self, x: float, y: float, stamp_ns: int) -> str | None:
        if self.stamp_ns is None:
            return None
        elapsed_s = (stamp_ns - self.stamp_ns) * 1e-9
        if elapsed_s < 0.0:
            self.reset()
            return f'the clock went back by {-elapsed_s:.3f} s; the fused grid was reset'
        moved_m = math.hypot(x - self._pose[0], y - self._pose[1])
        if moved_m > self.fusion.max_speed_mps * elapsed_s + _MARGIN_M:
            self.reset()
            return (
                f'the odometry jumped by {moved_m:.1f} m in {elapsed_s:.3f} s; the fused grid '
                'was reset'
            )
        if elapsed_s > self.fusion.max_gap_s:
            return f'no frame for {elapsed_s:.1f} s'
        return None

    def _move_window(self, x: float, y: float) -> None:
        half = self._cells // 2
        corner = (math.floor(y / self._cell_m) - half, math.floor(x / self._cell_m) - half)
        if self.stamp_ns is not None and corner != self._corner:
            forget_outside(self._memory, *corner, *self._corner)
        self._corner = corner
        self.origin_m = (corner[1] * self._cell_m, corner[0] * self._cell_m)

    def _make_weights(self) -> Weights:
        config = self.config
        odds = np.linspace(-self.fusion.limit, self.fusion.limit, PERCENT_STEPS + 1)
        percent = np.clip(np.arange(101) / 100.0, 0.02, 0.98)
        ids = [config.class_names.index(name) for name in config.grid_classes]
        rules = [config.find_rule(class_id) for class_id in ids]
        planes = np.full(256, -1, np.int16)
        planes[ids] = np.arange(len(ids))
        is_ground = np.zeros(256, bool)
        fade_s = [rule.fade_s for rule in rules] + [math.inf, math.inf]
        for class_id in range(len(config.class_names)):
            rule = config.find_rule(class_id)
            is_ground[class_id] = rule.kind == 'ground'
            if rule.kind == 'standing' and planes[class_id] < 0:
                # They share a plane and fade at the pace of the quickest.
                plane = len(ids) + int(rule.dynamic)
                planes[class_id] = plane
                fade_s[plane] = min(fade_s[plane], rule.fade_s)
        self._fade_s = fade_s
        return Weights(
            log_odds=(self.fusion.gain * np.log(percent / (1 - percent))).astype(np.float32),
            fade=np.ones(len(ids) + 2, np.float32),
            dynamic=np.array([rule.dynamic for rule in rules] + [False, True]),
            is_ground=is_ground,
            plane=planes,
            plane_class=np.array(ids, np.int16),
            percent=np.round(100 / (1 + np.exp(-odds))).astype(np.int8),
            limit=float(self.fusion.limit),
            least=_LEAST_EVIDENCE,
        )
