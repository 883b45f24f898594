# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From a mask to what is known about the ground around the vehicle, in metres.

A cell is *free* where enough of its area is seen as ground, confidently. It is *occupied* where
a ray over the ground from below the camera ends at something that stands on it, as far behind as
its class is known to reach. All other cells are unknown: outside the view, hidden, or unsure.
What a standing thing hides needs no rule of its own: there the image shows the thing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, GroundView
from seg_perception.perception.ground_kernels import (
    KIND_GROUND,
    KIND_OTHER,
    KIND_STANDING,
    UNKNOWN,
    Planes,
    Rules,
    fill_cells,
    make_contacts,
    scan_rays,
)
from seg_perception.perception.ground_stamps import Geometry, attach_hanging, stamp_contacts
from seg_perception.perception.ground_tables import GroundTables, build_tables
from seg_perception.perception.occupancy_config import GridConfig, OccupancyConfig
from seg_perception.perception.worker_pool import count_threads, run_parts

_KINDS = {'ground': KIND_GROUND, 'standing': KIND_STANDING}


class PreparedCamera(NamedTuple):
    """A camera over the ground, and its lookup tables for one grid."""

    view: GroundView
    tables: GroundTables


def prepare_camera(view: GroundView, grid: GridConfig) -> PreparedCamera:
    """Make the lookup tables of a camera, in any thread; some 0.4 s for a 1024x2048 image."""
    return PreparedCamera(view, build_tables(view, grid))


class GroundGrid:
    """Projects masks of one camera to the ground; all buffers are allocated once.

    Not thread-safe: one grid belongs to one worker. `label`, `score` and `planes` are views that
    the next `project` overwrites.

    Attributes:
        config: what is projected.
        view: the camera above the ground, None before `set_camera`.
        tables: its lookup tables, None before `set_camera`.
        label: (rows, columns) int8, class id of the most probable class, -1 unknown.
        score: (rows, columns) int8, its probability 0..100, -1 unknown.
        planes: (classes, rows, columns) int8, probability 0..100 of each of
            `config.grid_classes`, -1 unknown.
    """

    def __init__(self, config: OccupancyConfig, threads: int = 0) -> None:
        """Allocate the grids; threads 0 takes as many as there are processors, at most 4."""
        self.config = config
        rows, columns = config.grid.rows, config.grid.columns
        self.label = np.full((rows, columns), UNKNOWN, np.int8)
        self.score = np.full((rows, columns), UNKNOWN, np.int8)
        self.planes = np.full((len(config.grid_classes), rows, columns), UNKNOWN, np.int8)
        self.view: GroundView | None = None
        self.tables: GroundTables | None = None
        self.rules = make_rules(config)
        self._threads = count_threads(threads)
        ground = [i for i in range(len(config.class_names)) if self.rules.ground[i] >= 0]
        names = [config.class_names.index(name) for name in config.grid_classes]
        self._planes = Planes(
            self.label.reshape(-1),
            self.score.reshape(-1),
            self.planes.reshape(len(names), -1),
            self.rules.ground[names],
            np.array(ground, np.int16),
        )
        self._sums = np.zeros((self._threads, len(ground)), np.int64)
        self._limits = (
            int(np.ceil(255 * config.min_confidence)),
            float(config.min_coverage),
            len(config.class_names),
        )

    def set_camera(self, model: CameraModel, pose: CameraPose) -> bool:
        """Take the camera of the next masks; rebuilds the tables only where it changed.

        Returns:
            True where the tables were rebuilt (some 0.5 s).

        Raises:
            CameraPoseError: the camera sees no ground; the last camera stays in use.
        """
        if self.view is not None and (self.view.model, self.view.pose) == (model, pose):
            return False
        self.use_camera(prepare_camera(GroundView(model, pose), self.config.grid))
        return True

    def use_camera(self, camera: PreparedCamera) -> None:
        """Take a camera whose tables were made for the grid of this configuration."""
        self.view, self.tables = camera.view, camera.tables
        rays, grid = camera.tables.rays, self.config.grid
        self.contacts = make_contacts(len(rays.starts) - 1)
        self._geometry = Geometry(
            grid.x_min_m, grid.y_min_m, grid.resolution_m, grid.rows, grid.columns,
            *camera.tables.foot_m, rays.step_rad)  # fmt: skip
        self._ray_cuts = _split(rays.starts, self._threads)
        self._cell_cuts = _split(camera.tables.cells.starts, self._threads)

    def project(self, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Overwrite `label`, `score` and `planes` with what one mask shows.

        Args:
            mask: (H, W) uint8 class ids, C-contiguous; other values are unlabelled.
            confidence: (H, W) uint8, C-contiguous, probability of the class times 255.

        Raises:
            ValueError: no camera yet, or arrays of another size or type.
        """
        if self.view is None or self.tables is None:
            raise ValueError('set_camera() was not called: there is no camera to project from')
        shape = (self.view.model.height_px, self.view.model.width_px)
        for name, array in (('mask', mask), ('confidence', confidence)):
            if array.shape != shape or array.dtype != np.uint8 or not array.flags.c_contiguous:
                raise ValueError(
                    f'{name} is {array.dtype} of shape {array.shape}, expected C-contiguous '
                    f'uint8 of the camera model, {shape}'
                )
        # One type of array for the compiled code, writable or not.
        values, certainty = mask.reshape(-1).view(), confidence.reshape(-1).view()
        values.flags.writeable = certainty.flags.writeable = False
        run_parts(lambda part: self._run_part(values, certainty, part), self._threads)
        attach_hanging(
            self.contacts, self.rules, self.tables.rays.step_rad, float(self.view.origin_m[2]),
            self.config.grid.resolution_m)  # fmt: skip
        stamp_contacts(
            self.contacts, self.tables.rays.directions, self.rules, self._geometry, self._limits,
            self._planes)  # fmt: skip

    def clear(self) -> None:
        """Set every cell to unknown: what is known is too old."""
        for array in (self.label, self.score, self.planes):
            array.fill(UNKNOWN)

    def _run_part(self, mask: np.ndarray, confidence: np.ndarray, part: int) -> None:
        assert self.tables is not None
        cells, rays = self.tables.cells, self.tables.rays
        fill_cells(
            mask, confidence, cells.starts, cells.pixels, cells.totals, self.rules, self._limits,
            *self._cell_cuts[part], self._sums[part], self._planes)  # fmt: skip
        scan_rays(
            mask, confidence, rays.starts, rays.pixels, self.tables.inverse_range, self.rules,
            *self._ray_cuts[part], self.contacts)  # fmt: skip


def make_rules(config: OccupancyConfig) -> Rules:
    """Return the rules of the classes as arrays by mask value; unlabelled values hide."""
    rules = Rules(
        kind=np.full(256, KIND_OTHER, np.int8),
        group=np.arange(256, dtype=np.int16),
        depth_m=np.zeros(256, np.float32),
        reach_m=np.zeros(256, np.float32),
        overhang_m=np.zeros(256, np.float32),
        widen_m=np.zeros(256, np.float32),
        margin_m=np.zeros(256, np.float32),
        side_m=np.zeros(256, np.float32),
        span_m=np.zeros(256, np.float32),
        size_m=np.zeros(256, np.float32),
        ground=np.full(256, -1, np.int16),
        plane=np.full(256, -1, np.int16),
    )
    groups: dict[str, int] = {}
    for class_id, name in enumerate(config.class_names):
        rule = config.find_rule(class_id)
        rules.kind[class_id] = _KINDS.get(rule.kind, KIND_OTHER)
        rules.group[class_id] = groups.setdefault(rule.group or name, class_id)
        rules.depth_m[class_id] = rule.depth_m
        rules.reach_m[class_id] = rule.reach_m
        rules.overhang_m[class_id] = rule.overhang_m
        rules.widen_m[class_id] = rule.widen_m
        rules.margin_m[class_id] = rule.margin_m
        rules.side_m[class_id] = rule.side_m
        rules.span_m[class_id] = rule.span_m
        rules.size_m[class_id] = rule.size_m
        if rule.kind == 'ground':
            rules.ground[class_id] = rules.ground.max() + 1
        if name in config.grid_classes:
            rules.plane[class_id] = config.grid_classes.index(name)
    return rules


def _split(starts: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Split rows of a table into runs with about the same number of entries."""
    cuts = np.searchsorted(starts, np.linspace(0, starts[-1], parts + 1)).tolist()
    cuts[0], cuts[-1] = 0, len(starts) - 1
    return list(zip(cuts[:-1], cuts[1:], strict=True))
