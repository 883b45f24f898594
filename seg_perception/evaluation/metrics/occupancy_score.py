# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""How right a grid of ground classes is, against the true one: counts first, then figures.

All cells are counted whose middle is in the image and no farther than `reach_m` from the point
below the camera. *Visible* are those whose middle the image truly shows, by the true labels.

Contacts are the cells of a group of classes that face the camera and are not hidden by others of
the group, in the true and in the given grid alike. Two of them match where the position of one is
at most half a cell, or half of a pixel's extent on the ground, whichever is more, from the cell of
the other: along the ray by the pixel's extent along the ray, across it by that across.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.occupancy_config import GridConfig, OccupancyConfig

# A counted contact may match one that is this far outside of what is counted: more than half a
# pixel on the ground at 25 m.
_BEYOND_M = 1.0
CONTACT_GROUPS = {
    'vehicles': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle', 'rider'),
    'persons': ('person',),
    'cars_trucks_buses': ('car', 'truck', 'bus', 'train'),
    'two_wheelers': ('motorcycle', 'bicycle', 'rider'),
}


@dataclass
class _Pair:
    """How many of how many."""

    hits: int = 0
    total: int = 0

    def add(self, hits: int, total: int) -> None:
        self.hits += int(hits)
        self.total += int(total)

    def share(self) -> float | None:
        return self.hits / self.total if self.total else None


@dataclass
class OccupancyCounts:
    """Sums over frames; `summarize` turns them into figures."""

    road: _Pair = field(default_factory=_Pair)
    occupied_free: dict[str, _Pair] = field(default_factory=dict)
    contact_free: dict[str, _Pair] = field(default_factory=dict)
    free_free: dict[str, _Pair] = field(default_factory=dict)
    precision: dict[str, _Pair] = field(default_factory=dict)
    recall: dict[str, _Pair] = field(default_factory=dict)

    def summarize(self) -> dict[str, object]:
        """Return shares 0..1 by name; None where nothing was counted."""
        precision = _list_shares(self.precision)
        recall = _list_shares(self.recall)
        f1 = {name: _combine(precision[name], recall[name]) for name in precision}
        return {
            'road_iou': self.road.share(),
            'contact_f1': f1,
            'contact_precision': precision,
            'contact_recall': recall,
            'occupied_reported_free': _list_shares(self.occupied_free),
            'contact_reported_free': _list_shares(self.contact_free),
            'free_reported_free': _list_shares(self.free_free),
            'occupied_cells': {name: pair.total for name, pair in self.occupied_free.items()},
        }


def _combine(precision: float | None, recall: float | None) -> float | None:
    """Return F1: 0 where one side found nothing of the other, None where both are empty."""
    if precision is None and recall is None:
        return None
    if not precision or not recall:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _list_shares(pairs: dict[str, _Pair]) -> dict[str, float | None]:
    return {name: pair.share() for name, pair in pairs.items()}


class OccupancyScorer:
    """Compares grids of one camera with the truth; grids are (rows, columns) int8 class ids.

    Attributes:
        counts: the sums so far.
    """

    def __init__(self, config: OccupancyConfig, view: GroundView, reach_m: float = 25.0) -> None:
        self._config, self._view = config, view
        grid = config.grid
        self._points = list_cell_centers(grid)
        offset = self._points - view.origin_m[:2]
        self._distance_m = np.hypot(*offset.T)
        self._along = offset / np.maximum(self._distance_m, 1e-9)[:, None]
        pixels = np.floor(view.find_pixels(self._points) + 0.5)
        size = view.model.width_px, view.model.height_px
        with np.errstate(invalid='ignore'):
            inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
        self._counted = inside & (self._distance_m <= reach_m)
        self._comparable = self._distance_m <= reach_m + _BEYOND_M
        pixels[~inside] = 0
        self._pixel = (pixels[:, 1] * size[0] + pixels[:, 0]).astype(np.int64)
        self._half_extent_m = self._measure_pixels()
        self._rays = _trace_rays(grid, view, reach_m + _BEYOND_M)
        kinds = [config.find_rule(i).kind for i in range(len(config.class_names))]
        self._ground_ids = [i for i, kind in enumerate(kinds) if kind == 'ground']
        self._standing_ids = [i for i, kind in enumerate(kinds) if kind == 'standing']
        self.counts = OccupancyCounts()

    def add(self, label: np.ndarray, truth: np.ndarray, true_mask: np.ndarray) -> None:
        """Count one frame.

        Args:
            label: the grid to judge, -1 unknown.
            truth: the true class of each cell, -1 where there is no truth.
            true_mask: (H, W) uint8, true classes of the image.
        """
        label, truth = label.reshape(-1), truth.reshape(-1)
        seen = true_mask.reshape(-1)[self._pixel]
        shows_ground = np.isin(seen, self._ground_ids)
        truly_free = np.isin(truth, self._ground_ids)
        says_free = np.isin(label, self._ground_ids)
        visible = self._counted & shows_ground
        names, counts = self._config.class_names, self.counts
        if 'road' in names:
            road = names.index('road')
            union = visible & ((label == road) | (truth == road))
            counts.road.add((union & (label == truth)).sum(), union.sum())
        for class_id in self._ground_ids:
            cells = visible & truly_free & (truth == class_id)
            _pair(counts.free_free, names[class_id]).add((cells & says_free).sum(), cells.sum())
        true_contact = self._find_contacts(truth, self._standing_ids)
        for class_id in self._standing_ids:
            cells = self._counted & (truth == class_id)
            pair = _pair(counts.occupied_free, names[class_id])
            pair.add((cells & says_free).sum(), cells.sum())
            # Cells whose middle is seen as ground or as the thing itself: nothing hides them.
            cells = cells & true_contact & (shows_ground | (seen == class_id))
            pair = _pair(counts.contact_free, names[class_id])
            pair.add((cells & says_free).sum(), cells.sum())
        self._match_contacts(label, truth, seen, shows_ground)

    def _match_contacts(
        self,
        label: np.ndarray,
        truth: np.ndarray,
        seen: np.ndarray,
        shows_ground: np.ndarray,
    ) -> None:
        for group, members in CONTACT_GROUPS.items():
            ids = [i for i, name in enumerate(self._config.class_names) if name in members]
            is_true = self._find_contacts(truth, ids) & self._comparable
            is_given = self._find_contacts(label, ids) & self._comparable
            cells = np.nonzero(is_given & self._counted)[0]
            matched = self._have_match(cells, np.nonzero(is_true)[0])
            _pair(self.counts.precision, group).add(matched.sum(), cells.size)
            # A true contact that something else hides in the image cannot be found.
            shown = np.nonzero(is_true & self._counted & (shows_ground | np.isin(seen, ids)))[0]
            matched = self._have_match(shown, np.nonzero(is_given)[0])
            _pair(self.counts.recall, group).add(matched.sum(), shown.size)

    def _have_match(self, cells: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return for each cell whether one of the others is near enough."""
        if not others.size or not cells.size:
            return np.zeros(cells.size, bool)
        offset = self._points[others][None] - self._points[cells][:, None]
        along = self._along[cells][:, None]
        radial = np.abs((offset * along).sum(-1))
        across = np.abs(offset[..., 1] * along[..., 0] - offset[..., 0] * along[..., 1])
        half = 0.5 * self._config.grid.resolution_m
        allowed = half + np.maximum(half, self._half_extent_m[cells]) + 1e-6
        near = (radial <= allowed[:, None, 0]) & (across <= allowed[:, None, 1])
        return near.any(axis=1)

    def _find_contacts(self, label: np.ndarray, class_ids: list[int]) -> np.ndarray:
        """Mark the cells of classes that face the camera and that none of the others hides."""
        rows, columns = self._config.grid.rows, self._config.grid.columns
        standing = np.isin(label, class_ids)
        hits = np.append(standing, False)[self._rays]
        first = hits.argmax(axis=1)
        met = np.nonzero(hits.any(axis=1))[0]
        seen = np.zeros((rows + 2, columns + 2), bool)
        row, column = np.divmod(self._rays[met, first[met]], columns)
        for down in range(3):
            for right in range(3):
                # Rays that graze a side meet only some of its cells.
                seen[row + down, column + right] = True
        padded = np.pad(standing.reshape(rows, columns), 1)
        towards_x = np.where(self._along[:, 0] > 0, padded[1:-1, :-2].ravel(),
                             padded[1:-1, 2:].ravel())  # fmt: skip
        towards_y = np.where(self._along[:, 1] > 0, padded[:-2, 1:-1].ravel(),
                             padded[2:, 1:-1].ravel())  # fmt: skip
        # A side that the view passes within 1 degree is not faced.
        faces = ~towards_x & (np.abs(self._along[:, 0]) > 0.02)
        faces |= ~towards_y & (np.abs(self._along[:, 1]) > 0.02)
        return standing & faces & seen[1:-1, 1:-1].ravel()

    def _measure_pixels(self) -> np.ndarray:
        """Return half of a pixel's extent on the ground, along and across the ray, (cells, 2)."""
        across = np.column_stack([-self._along[:, 1], self._along[:, 0]])
        middle = self._view.find_pixels(self._points)
        delta = 1e-3
        out = []
        for direction in (self._along, across):
            moved = self._view.find_pixels(self._points + delta * direction)
            out.append(0.5 * delta / np.maximum(np.hypot(*(moved - middle).T), 1e-12))
        return np.nan_to_num(np.column_stack(out))


def list_cell_centers(grid: GridConfig) -> np.ndarray:
    """Return the middle of each cell in m, (rows * columns, 2)."""
    y, x = np.mgrid[0 : grid.rows, 0 : grid.columns]
    return np.column_stack(
        [
            grid.x_min_m + (x.ravel() + 0.5) * grid.resolution_m,
            grid.y_min_m + (y.ravel() + 0.5) * grid.resolution_m,
        ]
    )


def _trace_rays(grid: GridConfig, view: GroundView, reach_m: float) -> np.ndarray:
    """Return the cells along rays from below the camera, near to far; cell count is no cell."""
    steps = np.arange(0.0, reach_m, 0.25 * grid.resolution_m)
    azimuth = np.arange(-np.pi, np.pi, 0.4 * grid.resolution_m / reach_m)
    x = view.origin_m[0] + np.cos(azimuth)[:, None] * steps
    y = view.origin_m[1] + np.sin(azimuth)[:, None] * steps
    column = np.floor((x - grid.x_min_m) / grid.resolution_m).astype(np.int32)
    row = np.floor((y - grid.y_min_m) / grid.resolution_m).astype(np.int32)
    inside = (column >= 0) & (column < grid.columns) & (row >= 0) & (row < grid.rows)
    cells = np.where(inside, row * grid.columns + column, grid.rows * grid.columns)
    return cells[inside.any(axis=1)]


def _pair(pairs: dict[str, _Pair], name: str) -> _Pair:
    return pairs.setdefault(name, _Pair())
