# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""All ground products of one camera behind one object: what the node feeds and publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.ahead import Ahead, AheadMeter, CorridorConfig
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.clouds import CloudMaker
from seg_perception.perception.costmap import Costmap
from seg_perception.perception.fusion import FusedGrid, FusionConfig
from seg_perception.perception.ground_grid import GroundGrid, PreparedCamera
from seg_perception.perception.occupancy_config import OccupancyConfig


@dataclass(frozen=True)
class OccupancyResult:
    """Products of one frame; all arrays are views that the next call overwrites.

    Attributes:
        stamp_ns: stamp of the image that they were made from; None before the first, and once
            they went unknown by age.
        origin_m: (x, y) of the outer corner of cell (0, 0), in odom where `is_fused`, else in
            the base frame.
        resolution_m: edge of a cell.
        is_fused: the grids are in odom, else in the base frame.
        label: (rows, columns) int8 class ids, -1 unknown.
        planes: (classes, rows, columns) int8, 0..100 for each of `grid_classes`, -1 unknown.
        cost: (rows, columns) int8, 0..100, -1 unknown.
        ahead: shares and distances, always in the base frame; None before the first frame.
        trouble: what was wrong with clock or odometry, for diagnostics; None where nothing.
    """

    stamp_ns: int | None
    origin_m: tuple[float, float]
    resolution_m: float
    is_fused: bool
    label: np.ndarray
    planes: np.ndarray
    cost: np.ndarray
    ahead: Ahead | None
    trouble: str | None


class Occupancy:
    """Projects, fuses and prices the masks of one camera. Not thread-safe.

    Attributes:
        config: classes and extent.
        grid: the projection of the last mask, in the base frame.
        clouds: point clouds of the camera in use, None until `set_camera`, or where not asked
            for.
    """

    def __init__(
        self,
        config: OccupancyConfig,
        fusion: FusionConfig | None = None,
        corridor: CorridorConfig | None = None,
        max_age_s: float = 1.0,
        with_clouds: bool = False,
        threads: int = 0,
    ) -> None:
        """Allocate all grids.

        Args:
            config: classes and extent.
            fusion: how to fuse frames; None publishes each frame's own grid.
            corridor: what counts as ahead.
            max_age_s: without a new frame for longer, `expire` makes the grids unknown.
            with_clouds: make `clouds` for each camera.
            threads: 0 for as many as there are processors, at most 4.
        """
        if not max_age_s > 0.0:
            raise UserError(f'max_age_s is {max_age_s}, expected above 0')
        self.config = config
        self.grid = GroundGrid(config, threads)
        self.clouds: CloudMaker | None = None
        self._fused = FusedGrid(config, fusion, threads) if fusion else None
        self._meter = AheadMeter(config, corridor)
        self._costmap = Costmap(config, (self._fused or self.grid).label.shape)
        self._max_age_ns = round(max_age_s * 1e9)
        self._with_clouds = with_clouds
        self._stamp_ns: int | None = None
        self._ahead: Ahead | None = None

    def set_camera(self, model: CameraModel, pose: CameraPose) -> bool:
        """Take the camera of the next masks; True where tables were rebuilt (some 0.5 s).

        Raises:
            CameraPoseError: the camera sees no ground; the last camera stays in use.
        """
        is_new = self.grid.set_camera(model, pose)
        if is_new and self._with_clouds and self.grid.view is not None:
            self.clouds = CloudMaker(self.config, self.grid.view)
        return is_new

    def use_camera(self, camera: PreparedCamera, clouds: CloudMaker | None = None) -> None:
        """Take a camera prepared in another thread, with its clouds where they are wanted."""
        self.grid.use_camera(camera)
        self.clouds = clouds

    def warm_up(self) -> None:
        """Compile, or load compiled code from the cache, so that the first frame does not."""
        if self.grid.view is None:
            raise ValueError('set_camera() was not called: there is no camera to warm up for')
        model = self.grid.view.model
        blank = np.zeros((model.height_px, model.width_px), np.uint8)
        self.update(blank, blank, 0, (0.0, 0.0, 0.0))
        self.reset()

    def update(
        self,
        mask: np.ndarray,
        confidence: np.ndarray,
        stamp_ns: int,
        odom_from_base: Sequence[float] | None = None,
    ) -> OccupancyResult:
        """Project one mask and return all products.

        Args:
            mask: (H, W) uint8 class ids, of the size of the camera model.
            confidence: (H, W) uint8, probability of the class times 255.
            stamp_ns: stamp of the image.
            odom_from_base: (x m, y m, yaw rad) of the base frame in odom at the stamp; needed
                where frames are fused.

        Raises:
            UserError: fusion without ego motion, or with one that is no number; the products
                stay those of the last good frame.
            ValueError: arrays that do not fit the camera.
        """
        trouble = None
        if self._fused is not None and odom_from_base is None:
            raise UserError(
                'there is no ego motion at the stamp of the image: fusion needs nav_msgs/Odometry '
                'or tf from odom to the base frame; or switch fusion off'
            )
        self.grid.project(mask, confidence)
        if self._fused is not None and odom_from_base is not None:
            trouble = self._fused.update(self.grid, odom_from_base, stamp_ns)
        elif self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            trouble = f'the clock went back by {(self._stamp_ns - stamp_ns) * 1e-9:.3f} s'
        self._ahead = self._meter.measure(mask, self.grid.label)
        self._stamp_ns = stamp_ns
        return self._collect(trouble)

    def expire(self, now_ns: int) -> OccupancyResult | None:
        """Return products that are all unknown where the last frame is too old, else None."""
        if self._stamp_ns is None or now_ns - self._stamp_ns <= self._max_age_ns:
            return None
        age_s = (now_ns - self._stamp_ns) * 1e-9
        self.reset()
        return self._collect(f'no valid frame for {age_s:.1f} s: all cells are unknown')

    def reset(self) -> None:
        """Forget all frames: every cell is unknown."""
        self.grid.clear()
        if self._fused is not None:
            self._fused.reset()
        self._stamp_ns, self._ahead = None, None

    def _collect(self, trouble: str | None) -> OccupancyResult:
        source = self._fused or self.grid
        area = self.config.grid
        origin = self._fused.origin_m if self._fused else (area.x_min_m, area.y_min_m)
        return OccupancyResult(
            self._stamp_ns,
            origin,
            area.resolution_m,
            self._fused is not None,
            source.label,
            source.planes,
            self._costmap.update(source.label),
            self._ahead,
            trouble,
        )
