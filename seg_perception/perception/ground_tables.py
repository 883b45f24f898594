# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lookup tables between the pixels of one camera and the cells of a ground grid.

Built once for a camera, its pose and a grid; a frame then needs no geometry.

- Cells read pixels: up to 4x4 samples, spread evenly over the cell, each reading the pixel that
  sees it. Near cells, which cover many pixels, are averaged over their area; far cells, smaller
  than a pixel, read the one that sees their middle.
- Rays run over the ground from below the camera outwards, dense enough to meet every pixel. Along
  one, the image is what a walker would meet first: ground, then the contact of what stands there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.occupancy_config import GridConfig

_SAMPLES = 4  # per axis of a cell
_MAX_RAYS, _MAX_STEPS = 8192, 4096
_BLOCK = 1 << 18  # points projected at once, to bound the memory


class CellTable(NamedTuple):
    """Pixels that each cell reads; cell index is row * columns + column.

    starts (cells + 1,) int32: where the cell's pixels begin in `pixels`.
    pixels (n,) int32: flat pixel index of each sample inside the image.
    totals (cells,) uint8: samples of the cell, those outside the image included.
    """

    starts: np.ndarray
    pixels: np.ndarray
    totals: np.ndarray


class RayTable(NamedTuple):
    """Pixels along each ray over the ground, from near to far.

    starts (rays + 1,) int32: where the ray's pixels begin in `pixels`.
    pixels (n,) int32: flat pixel index, -1 outside the image or the grid.
    directions (rays, 2) float32: unit vectors in the base frame.
    step_rad: angle between neighbouring rays.
    """

    starts: np.ndarray
    pixels: np.ndarray
    directions: np.ndarray
    step_rad: float


class GroundTables(NamedTuple):
    """All tables of one camera, pose and grid.

    inverse_range (H * W,) float32: see `GroundView.find_inverse_range`; NaN where no ray.
    """

    cells: CellTable
    rays: RayTable
    inverse_range: np.ndarray
    foot_m: tuple[float, float]


def build_tables(view: GroundView, grid: GridConfig) -> GroundTables:
    """Build the tables; some 0.5 s for a 1024x2048 image and 400x200 cells."""
    height, width = view.model.height_px, view.model.width_px
    inverse_range = np.empty(height * width, np.float32)
    columns = np.arange(width, dtype=float)
    for row in range(height):
        pixels = np.column_stack([columns, np.full(width, float(row))])
        inverse_range[row * width : (row + 1) * width] = view.find_inverse_range(pixels)
    foot = (float(view.origin_m[0]), float(view.origin_m[1]))
    return GroundTables(build_cells(view, grid), build_rays(view, grid), inverse_range, foot)


def build_cells(view: GroundView, grid: GridConfig) -> CellTable:
    """Choose the samples of each cell by how many pixels it covers and look up their pixels."""
    resolution = grid.resolution_m
    y, x = np.mgrid[0 : grid.rows, 0 : grid.columns]
    corners = np.column_stack(
        [grid.x_min_m + x.ravel() * resolution, grid.y_min_m + y.ravel() * resolution]
    )
    count_x = _count_samples(view, corners, np.array([resolution, 0.0]))
    count_y = _count_samples(view, corners, np.array([0.0, resolution]))
    totals = (count_x * count_y).astype(np.uint8)
    slots = np.full((len(corners), _SAMPLES**2), -1, np.int32)
    for across in range(1, _SAMPLES + 1):
        for along in range(1, _SAMPLES + 1):
            chosen = np.nonzero((count_x == along) & (count_y == across))[0]
            offset_y, offset_x = np.mgrid[0:across, 0:along]
            offsets = np.column_stack(
                [(offset_x.ravel() + 0.5) / along, (offset_y.ravel() + 0.5) / across]
            )
            points = corners[chosen, None, :] + offsets[None] * resolution
            found = _look_up(view, points.reshape(-1, 2)).reshape(len(chosen), along * across)
            slots[chosen, : along * across] = found
    inside = slots >= 0
    starts = np.zeros(len(corners) + 1, np.int32)
    np.cumsum(inside.sum(axis=1), out=starts[1:])
    return CellTable(starts, slots[inside], totals)


def build_rays(view: GroundView, grid: GridConfig) -> RayTable:
    """Lay rays and steps so that neighbouring samples are about a pixel apart."""
    heading = view.pose.yaw_rad
    first, last = _find_azimuths(view, grid, heading)
    nearest, farthest = _find_ranges(view, grid)
    height_m = view.origin_m[2]
    low, high = math.atan2(height_m, farthest), math.atan2(height_m, nearest)
    step_rad, drop_rad = _find_steps(view, grid, heading, (first, last), (low, high))
    rays = min(_MAX_RAYS, max(1, math.ceil((last - first) / step_rad)))
    steps = min(_MAX_STEPS, max(2, math.ceil((high - low) / drop_rad)))
    step_rad = (last - first) / rays
    azimuth = heading + first + (np.arange(rays) + 0.5) * step_rad
    ranges = height_m / np.tan(np.linspace(high, low, steps))
    directions = np.column_stack([np.cos(azimuth), np.sin(azimuth)])
    starts, parts = [0], []
    for direction in directions:
        points = view.origin_m[:2] + ranges[:, None] * direction
        # One cell beyond the edge, so that a contact at the edge has its ground before it.
        margin = grid.resolution_m
        inside = (points[:, 0] > grid.x_min_m - margin) & (points[:, 0] < grid.x_max_m + margin)
        inside &= (points[:, 1] > grid.y_min_m - margin) & (points[:, 1] < grid.y_max_m + margin)
        used = np.nonzero(inside)[0]
        if used.size:
            found = _look_up(view, points[used[0] : used[-1] + 1])
            found[~inside[used[0] : used[-1] + 1]] = -1
            visible = np.nonzero(found >= 0)[0]
            if visible.size:
                parts.append(found[visible[0] : visible[-1] + 1])
                starts.append(starts[-1] + parts[-1].size)
                continue
        starts.append(starts[-1])
    pixels = np.concatenate(parts) if parts else np.empty(0, np.int32)
    return RayTable(
        np.array(starts, np.int32), pixels, directions.astype(np.float32), float(step_rad)
    )


def _look_up(view: GroundView, points: np.ndarray) -> np.ndarray:
    """Return the flat index of the pixel that sees each ground point, -1 outside the image."""
    out = np.full(len(points), -1, np.int32)
    height, width = view.model.height_px, view.model.width_px
    for start in range(0, len(points), _BLOCK):
        pixels = view.find_pixels(points[start : start + _BLOCK])
        u, v = np.floor(pixels + 0.5).T
        with np.errstate(invalid='ignore'):
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        out[start : start + _BLOCK][inside] = (v[inside] * width + u[inside]).astype(np.int32)
    return out


def _count_samples(view: GroundView, corners: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return the pixels that one edge of each cell crosses, rounded up, 1.._SAMPLES."""
    extent = np.empty(len(corners))
    for start in range(0, len(corners), _BLOCK):
        middle = corners[start : start + _BLOCK] + 0.5 * edge[::-1]
        ends = view.find_pixels(middle), view.find_pixels(middle + edge)
        extent[start : start + _BLOCK] = np.hypot(*(ends[1] - ends[0]).T)
    return np.clip(np.ceil(np.nan_to_num(extent, nan=_SAMPLES)), 1, _SAMPLES).astype(np.int64)


def _sample_view(view: GroundView) -> np.ndarray:
    """Return ground points (N, 2) that the image sees, from pixels spread over all of it."""
    columns = np.linspace(-0.5, view.model.width_px - 0.5, 129)
    rows = np.linspace(-0.5, view.model.height_px - 0.5, 129)
    points = view.find_ground(np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2))
    return points[np.isfinite(points).all(axis=1)]


def _find_azimuths(
    view: GroundView, grid: GridConfig, heading: float
) -> tuple[float, float]:
    """Return the first and last azimuth of the view, relative to the camera's heading."""
    foot = _look_up(view, view.origin_m[None, :2])
    if foot[0] >= 0:
        return -math.pi, math.pi
    offset = _sample_view(view) - view.origin_m[:2]
    azimuth = np.arctan2(offset[:, 1], offset[:, 0]) - heading
    azimuth = np.mod(azimuth + math.pi, 2 * math.pi) - math.pi
    margin = 2.0 / min(view.model.focal_px)
    return max(-math.pi, azimuth.min() - margin), min(math.pi, azimuth.max() + margin)


def _find_ranges(view: GroundView, grid: GridConfig) -> tuple[float, float]:
    """Return the nearest and farthest distance from below the camera that image and grid have."""
    distance = np.hypot(*(_sample_view(view) - view.origin_m[:2]).T)
    x, y = (grid.x_min_m, grid.x_max_m), (grid.y_min_m, grid.y_max_m)
    corners = np.array([(a, b) for a in x for b in y]) - view.origin_m[:2]
    farthest = np.hypot(*corners.T).max() + grid.resolution_m
    nearest = max(0.9 * distance.min(), 0.02 * view.origin_m[2])
    return min(nearest, 0.5 * farthest), farthest


def _find_steps(
    view: GroundView,
    grid: GridConfig,
    heading: float,
    azimuths: tuple[float, float],
    drops: tuple[float, float],
) -> tuple[float, float]:
    """Return the angles sideways and downwards that move a ground point by about one pixel."""
    azimuth, drop = np.meshgrid(
        heading + np.linspace(*azimuths, 49)[1:-1], np.linspace(*drops, 49)[1:-1]
    )
    delta = 1e-4

    def project(a: np.ndarray, d: np.ndarray) -> np.ndarray:
        distance = view.origin_m[2] / np.tan(d)
        offset = np.stack([np.cos(a), np.sin(a)], -1) * distance[..., None]
        return view.find_pixels((view.origin_m[:2] + offset).reshape(-1, 2))

    base = project(azimuth, drop)
    edge = np.array([view.model.width_px, view.model.height_px]) - 0.5
    with np.errstate(invalid='ignore'):
        seen = ((base > -0.5) & (base < edge)).all(axis=1)
    fallback = 1.0 / max(view.model.focal_px)
    steps = []
    # Sideways, a pixel left out now and then is nothing; downwards it is where a contact lies.
    ends = (project(azimuth + delta, drop), 60), (project(azimuth, drop + delta), 95)
    for moved, percentile in ends:
        speed = np.hypot(*(moved - base)[seen].T) / delta
        speed = speed[np.isfinite(speed)]
        steps.append(1.0 / np.percentile(speed, percentile) if speed.size else fallback)
    return steps[0], steps[1]
