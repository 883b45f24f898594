# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""True ground occupancy in base_link, from the geometry that makes the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg_perception.sample.mesh import Mesh
from seg_perception.sample.raster import fill_triangles, project_parallel
from seg_perception.sample.scene import StandingObject

CELL_M = 0.2
FORWARD_M = 40.0
SIDE_M = 20.0
# Two-wheelers and walkers touch the ground in a narrower strip than their handlebars or arms.
_CONTACT_WIDTH_M = {11: 0.4, 17: 0.4, 18: 0.3}
CELLS = (int(FORWARD_M / CELL_M), int(2 * SIDE_M / CELL_M))


def map_ground(ground: Mesh, objects: Sequence[StandingObject],
               world_from_base: np.ndarray) -> np.ndarray:
    """Class of each ground cell, (200, 200) int8 train ids, -1 where the world ends.

    Cell [i, j] is centred at base_link x = (i + 0.5) * 0.2 m, y = -20 m + (j + 0.5) * 0.2 m.
    The ground's own class, replaced by a standing object where its footprint covers the cell's
    centre or where the middle of the footprint lies in the cell (thin poles count).
    """
    rotation = world_from_base[:3, :3].T
    offset = world_from_base[:3, 3]
    rows, columns = CELLS
    axes = np.stack([rotation[1], rotation[0], rotation[2]])
    scale = 1.0 / CELL_M
    xs, ys, keys, source = project_parallel(
        ground.vertices, offset, ground.material, True, axes, scale, SIDE_M * scale - 0.5, -0.5,
        columns, rows)
    key = np.full(CELLS, -1e30, np.float32)
    ids = np.full(CELLS, -1, np.int32)
    fill_triangles(xs, ys, keys, source, ground.material, ground.texture,
                   ground.seeds, False, key, ids)
    out = np.where(ids >= 0, ground.label[np.maximum(ids, 0)].astype(np.int8), np.int8(-1))
    places = np.array([o.pose[:2, 3] for o in objects]).reshape(-1, 2)
    near = np.hypot(*(places - offset[:2]).T) < 75.0
    for item in (o for o, is_near in zip(objects, near, strict=True) if is_near):
        _stamp_footprint(out, item, rotation, offset)
    return out


def _stamp_footprint(out: np.ndarray, item: StandingObject, rotation: np.ndarray,
                     offset: np.ndarray) -> None:
    center = rotation @ (item.pose[:3, 3] - offset)
    axis = rotation @ item.pose[:3, 0]
    axis = axis[:2] / np.hypot(axis[0], axis[1])
    half = 0.5 * item.size[0], 0.5 * min(item.size[1], _CONTACT_WIDTH_M.get(item.label, 1e3))
    reach = float(np.hypot(*half))
    low_i = int(np.floor((center[0] - reach) / CELL_M)) - 1
    low_j = int(np.floor((center[1] - reach + SIDE_M) / CELL_M)) - 1
    count = int(np.ceil(2 * reach / CELL_M)) + 3
    i0, i1 = max(low_i, 0), min(low_i + count, CELLS[0])
    j0, j1 = max(low_j, 0), min(low_j + count, CELLS[1])
    if i0 >= i1 or j0 >= j1:
        return
    x = (np.arange(i0, i1) + 0.5) * CELL_M - center[0]
    y = (np.arange(j0, j1) + 0.5) * CELL_M - SIDE_M - center[1]
    along = x[:, None] * axis[0] + y[None] * axis[1]
    across = y[None] * axis[0] - x[:, None] * axis[1]
    inside = (np.abs(along) <= half[0]) & (np.abs(across) <= half[1])
    inside |= (np.abs(x)[:, None] <= CELL_M / 2) & (np.abs(y)[None] <= CELL_M / 2)
    out[i0:i1, j0:j1][inside] = item.label
