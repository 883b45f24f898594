# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Point clouds of a mask in the base frame: organised ones, and the obstacles alone."""

from __future__ import annotations

import math

import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.cloud_kernels import (
    copy_ground,
    list_contacts,
    list_depth_obstacles,
    place_depth,
)
from seg_perception.perception.ground_grid import GroundGrid, make_rules
from seg_perception.perception.occupancy_config import OccupancyConfig

# The layout of `obstacles` and the fields of its PointCloud2; 20 bytes a point.
OBSTACLE_TYPE = np.dtype(
    [
        ('x', np.float32),
        ('y', np.float32),
        ('z', np.float32),
        ('class_id', np.uint32),
        ('confidence', np.float32),
    ]
)
_ENCODINGS: dict[str, tuple[np.dtype, float]] = {
    '16UC1': (np.dtype(np.uint16), 1e-3),
    '32FC1': (np.dtype(np.float32), 1.0),
}


class CloudMaker:
    """Makes the clouds of one camera; buffers are allocated once. Not thread-safe.

    `points` and what the methods return are views that the next call overwrites.

    Attributes:
        points: (H, W, 3) float32 x, y, z in m in the base frame, row-major as the mask; all
            three NaN where there is no point.
    """

    def __init__(
        self, config: OccupancyConfig, view: GroundView, max_range_m: float = 60.0
    ) -> None:
        """Look up where each pixel sees the ground; some 0.5 s for 1024x2048.

        Args:
            config: classes and the least confidence.
            view: camera and pose; make a new cloud maker when it changes.
            max_range_m: no point farther than this from the camera.
        """
        if not max_range_m > 0.0:
            raise UserError(f'max_range_m is {max_range_m}, expected above 0')
        height, width = view.model.height_px, view.model.width_px
        self.view = view
        self.points = np.full((height, width, 3), np.nan, np.float32)
        self._rules = make_rules(config)
        self._lowest = int(np.ceil(255 * config.min_confidence))
        self._max_range_m = max_range_m
        self._ground = np.full((height, width, 2), np.nan, np.float32)
        self._rays: np.ndarray | None = None
        self._obstacles = np.zeros(0, OBSTACLE_TYPE)
        columns = np.arange(width, dtype=float)
        for row in range(height):
            ground = view.find_ground(np.column_stack([columns, np.full(width, float(row))]))
            far = np.hypot(*(ground - view.origin_m[:2]).T) > max_range_m
            ground[far] = np.nan
            self._ground[row] = ground

    def place_on_ground(self, mask: np.ndarray) -> np.ndarray:
        """Return `points`: pixels of ground classes where they see the plane z = 0.

        Pixels of other classes do not lie on the plane and are NaN.
        """
        self._require('mask', mask, np.dtype(np.uint8))
        copy_ground(mask, self._ground, self._rules.kind, self.points)
        return self.points

    def place_by_depth(self, depth: np.ndarray, encoding: str) -> np.ndarray:
        """Return `points` from a depth image registered to the mask (REP-118).

        Args:
            depth: (H, W) distance along the optical axis: uint16 mm, 0 for none, or float32 m,
                NaN or infinite for none.
            encoding: '16UC1' or '32FC1'.

        Raises:
            UserError: another encoding, or an image of another size than the mask.
        """
        if encoding not in _ENCODINGS:
            raise UserError(
                f"depth image has encoding '{encoding}', expected 16UC1 (mm) or 32FC1 (m)"
            )
        dtype, scale_m = _ENCODINGS[encoding]
        self._require('depth image', depth, dtype)
        if self._rays is None:
            self._rays = self._look_up_rays()
        place_depth(
            depth, np.float32(scale_m), self._rays, self.view.origin_m,
            np.float32(self._max_range_m), self.points)  # fmt: skip
        return self.points

    def list_contacts(self, grid: GroundGrid, lift_m: float = 0.0) -> np.ndarray:
        """Return the ground contacts of a grid just projected, (N,) of `OBSTACLE_TYPE`.

        Args:
            grid: its last projection is read.
            lift_m: height given to the points; obstacle layers cut by height.
        """
        rays = len(grid.contacts.counts)
        self._reserve(rays * grid.contacts.edge_m.shape[1])
        assert grid.tables is not None
        count = list_contacts(
            grid.contacts, grid.tables.rays.directions, self._rules.overhang_m, grid.tables.foot_m,
            self._lowest, lift_m, self._obstacles)  # fmt: skip
        return self._obstacles[:count]

    def list_obstacles(
        self, mask: np.ndarray, confidence: np.ndarray, stride: int = 2
    ) -> np.ndarray:
        """Return the points of standing classes after `place_by_depth`, (N,) `OBSTACLE_TYPE`.

        Args:
            mask: (H, W) uint8.
            confidence: (H, W) uint8.
            stride: take every n-th pixel of every n-th row.
        """
        if stride < 1:
            raise UserError(f'stride of the obstacle points is {stride}, expected at least 1')
        self._require('mask', mask, np.dtype(np.uint8))
        self._require('confidence', confidence, np.dtype(np.uint8))
        height, width = mask.shape
        self._reserve(math.ceil(height / stride) * math.ceil(width / stride))
        count = list_depth_obstacles(
            mask, confidence, self.points, self._rules.kind, self._lowest, stride,
            self._obstacles)  # fmt: skip
        return self._obstacles[:count]

    def _reserve(self, count: int) -> None:
        if self._obstacles.size < count:
            self._obstacles = np.zeros(count, OBSTACLE_TYPE)

    def _look_up_rays(self) -> np.ndarray:
        """Return what a metre of depth moves a pixel's point by, (H, W, 3) in the base frame."""
        height, width = self.points.shape[:2]
        turn = self.view.pose.to_matrix()[:3, :3]
        out = np.empty((height, width, 3), np.float32)
        columns = np.arange(width, dtype=float)
        for row in range(height):
            rays = self.view.model.find_rays(np.column_stack([columns, np.full(width, row)]))
            with np.errstate(divide='ignore', invalid='ignore'):
                # Beside or behind the image plane there is no depth along the axis.
                rays = np.where(rays[:, 2:] > 1e-3, rays / rays[:, 2:], np.nan)
            out[row] = rays @ turn.T
        return out

    def _require(self, what: str, image: np.ndarray, dtype: np.dtype) -> None:
        shape = self.points.shape[:2]
        if image.shape != shape or image.dtype != dtype:
            raise UserError(
                f'{what} is {image.dtype} of shape {image.shape}, expected {dtype} of the size '
                f'of the mask, {shape[0]}x{shape[1]}; a depth image must be registered to the '
                'camera (depth_image_proc) and scaled to the mask'
            )
