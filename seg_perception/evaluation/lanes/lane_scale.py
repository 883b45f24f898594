# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera height from the period of dashed lane lines, and the width of the lane.

Works on the image warped to the ground by the lookup tables of the occupancy grids, with the
pose that `lane_lines` found. A grid here is built for a camera 1 m high, so its lengths are in
camera heights; times the height they are metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seg_perception.evaluation.lanes.lane_lines import LaneLinesError, RoadLines, find_lines
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.ground_tables import build_cells
from seg_perception.perception.occupancy_config import GridConfig

# In camera heights, as GridConfig counts metres.
UNIT_GRID = GridConfig(0.025, 3.0, 32.0, -7.0, 7.0)
_PAINT, _SIDE = 0.08, 0.12  # width of a line and how far beside it the road is compared
_SEARCH = 0.15
_LEAST_CONTRAST = 8.0
_PAINTED = 0.4  # of the brightest line's contrast
_APART = 0.6  # two lines along the road
_LONGEST_DASH = 7.0  # longer ones are solid
_SHORTEST_DASH = 0.6  # of the longest of its line: reflectors between the dashes are shorter
_PERIOD_RANGE = (4.0, 20.0)
_FITS = 0.08  # of a period: edges farther from the fit are no dashes of it


@dataclass(frozen=True)
class GroundImage:
    """An image warped to the ground and what of it looks like a painted line.

    Attributes:
        grid: its cells.
        colors_bgr: (rows, columns, 3) uint8; 0 where the camera does not see.
        seen: (rows, columns) bool.
        contrast: (rows, columns) float32, brighter or yellower than both sides by this (of 255).
    """

    grid: GridConfig
    colors_bgr: np.ndarray
    seen: np.ndarray
    contrast: np.ndarray

    @property
    def x_m(self) -> np.ndarray:
        """Return the middle of each column."""
        return self.grid.x_min_m + (np.arange(self.grid.columns) + 0.5) * self.grid.resolution_m


@dataclass(frozen=True)
class DashPeriod:
    """Common period of the dashed lines of an image.

    Attributes:
        period: in the unit of the grid.
        error: its standard error, from how far the edges lie from the fit.
        dash: median length of a dash.
        edges: number of edges (starts and ends of dashes) used.
        alone: period of each line by its offset, fitted alone.
    """

    period: float
    error: float
    dash: float
    edges: int
    alone: dict[float, float]


@dataclass(frozen=True)
class LaneMeasurement:
    """What one image says, in camera heights.

    Attributes:
        lines: pose and lines.
        lane: offsets of the lines left and right of the camera.
        dashes: period of the dashed lines; None where an image shows too few dashes.
        no_period: why there is none.
        widths: (N, 2) distance and width of the lane, see `measure_width`.
    """

    lines: RoadLines
    lane: tuple[float, float]
    dashes: DashPeriod | None
    no_period: str
    widths: np.ndarray

    @property
    def width(self) -> float:
        """Return the median width."""
        return float(np.median(self.widths[:, 1]))

    @property
    def spread(self) -> float:
        """Return the standard deviation of the widths at the different distances."""
        return float(np.std(self.widths[:, 1]))


def measure_lane(
    image_bgr: np.ndarray, model: CameraModel, bottom_px: int = 0
) -> LaneMeasurement:
    """Find pose, period and width of the lane that the camera is in.

    Args:
        image_bgr: (H, W, 3) uint8, as the camera gave it, not rectified.
        model: the camera.
        bottom_px: first row that shows the vehicle; 0 for none.

    Raises:
        LaneLinesError: the lines left and right of the camera are not seen.
    """
    lines = find_lines(image_bgr, model, bottom_px)
    view = GroundView(model, lines.make_pose())
    ground = warp_to_ground(image_bgr, view, UNIT_GRID, bottom_px)
    lane = choose_lane(ground, lines)
    widths = measure_width(ground, lane, lines.curvature)
    if not len(widths):
        raise LaneLinesError('the lines left and right of the camera are nowhere seen together')
    try:
        dashes = find_period(ground, lane, lines.curvature, model.focal_px[1])
    except LaneLinesError as error:
        return LaneMeasurement(lines, lane, None, str(error), widths)
    return LaneMeasurement(lines, lane, dashes, '', widths)


def choose_lane(ground: GroundImage, lines: RoadLines) -> tuple[float, float]:
    """Return the nearest lines left and right of the camera that are painted, not seams.

    Raises:
        LaneLinesError: there is none on one side.
    """
    levels = [_take_bright(cut_strip(ground, y, lines.curvature)[0]) for y in lines.offsets]
    least = _PAINTED * max(levels)
    painted = [y for y, level in zip(lines.offsets, levels, strict=True) if level >= least]
    left, right = [y for y in painted if y > 0.0], [y for y in painted if y < 0.0]
    if not left or not right:
        raise LaneLinesError('no lane line was found on one side of the camera')
    return min(left), max(right)


def warp_to_ground(
    image_bgr: np.ndarray, view: GroundView, grid: GridConfig, bottom_px: int = 0
) -> GroundImage:
    """Average in each cell the pixels that the occupancy's lookup table reads for it."""
    table = build_cells(view, grid)
    pixels = image_bgr.reshape(-1, 3)[table.pixels].astype(np.float64)
    rows = table.pixels // image_bgr.shape[1]
    valid = rows < (bottom_px or image_bgr.shape[0])
    pixels[~valid] = 0.0
    sums = np.concatenate([np.zeros((1, 4)), np.cumsum(np.column_stack([pixels, valid]), axis=0)])
    totals = sums[table.starts[1:]] - sums[table.starts[:-1]]
    count = np.rint(totals[:, 3])
    seen = 2 * count > table.totals
    flat = np.zeros((len(seen), 3), np.uint8)
    flat[seen] = np.rint(totals[seen, :3] / count[seen, None])
    shape = (grid.rows, grid.columns)
    colors, seen = flat.reshape(*shape, 3), seen.reshape(shape)
    return GroundImage(grid, colors, seen, _find_contrast(colors, seen, grid.resolution_m))


def _find_contrast(colors_bgr: np.ndarray, seen: np.ndarray, cell: float) -> np.ndarray:
    lab = cv2.cvtColor(colors_bgr, cv2.COLOR_BGR2LAB).astype(np.float32)
    width, gap = max(1, round(_PAINT / cell)), max(1, round(_SIDE / cell))
    out = np.zeros(seen.shape)
    for channel, gain in ((0, 1.0), (2, 2.0)):
        mean = cv2.blur(lab[:, :, channel], (1, width))
        left, right = np.roll(mean, gap + width // 2, 0), np.roll(mean, -gap - width // 2, 0)
        out = np.maximum(out, gain * (mean - np.maximum(left, right)))
    kernel = np.ones((2 * (gap + width) + 1, 1), np.uint8)
    edges = cv2.BORDER_CONSTANT
    inside = cv2.erode(seen.astype(np.uint8), kernel, borderType=edges, borderValue=0) > 0
    return np.where(inside, out, 0.0).astype(np.float32)


def cut_strip(ground: GroundImage, offset: float, curvature: float) -> tuple[np.ndarray, ...]:
    """Follow a line through the warped image.

    Returns:
        strength (columns,): highest contrast near the line, NaN where the ground is not seen.
        center (columns,): y of the paint; NaN where there is none.
    """
    grid, x = ground.grid, ground.x_m
    path = offset + 0.5 * curvature * x * x
    reach = round(_SEARCH / grid.resolution_m)
    middle = np.rint((path - grid.y_min_m) / grid.resolution_m - 0.5).astype(int)
    rows = middle[None, :] + np.arange(-reach, reach + 1)[:, None]
    inside = ((rows >= 0) & (rows < grid.rows)).all(axis=0)
    rows = np.clip(rows, 0, grid.rows - 1)
    columns = np.arange(grid.columns)[None, :]
    strip = ground.contrast[rows, columns]
    strength = np.where(inside & ground.seen[rows, columns].all(axis=0), strip.max(axis=0), np.nan)
    weight = np.maximum(strip - 0.5 * strip.max(axis=0), 0.0)
    y = grid.y_min_m + (rows + 0.5) * grid.resolution_m
    with np.errstate(invalid='ignore', divide='ignore'):
        center = (weight * y).sum(axis=0) / weight.sum(axis=0)
    center[~(strength > _LEAST_CONTRAST)] = np.nan
    return strength, center


def find_offsets(ground: GroundImage, curvature: float) -> list[float]:
    """Return where lines along the road are, also those too faint or far for the image's rows."""
    grid = ground.grid
    offsets = np.arange(grid.y_min_m + 0.5, grid.y_max_m - 0.5, grid.resolution_m)
    shift = 0.5 * curvature * ground.x_m**2
    near = ground.x_m < 22.0
    rows = np.rint((offsets[:, None] + shift - grid.y_min_m) / grid.resolution_m).astype(int)
    inside = (rows >= 0) & (rows < grid.rows)
    rows = np.clip(rows, 0, grid.rows - 1)
    values = np.where(inside, ground.contrast[rows, np.arange(grid.columns)], 0.0)
    # Paint is there or not; how bright must not make a car outweigh a line.
    score = np.minimum(values, 30.0)[:, near].mean(axis=1)
    distance = round(_APART / grid.resolution_m)
    highest = cv2.dilate(score[:, None], np.ones((2 * distance + 1, 1), np.uint8)).ravel()
    return offsets[(score >= highest) & (score > 1.5)].tolist()


def find_dashes(strength: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return start and end (N, 2) of each dash along a line; NaN for an end that is not seen.

    A solid line has none. Edges are where the contrast falls through half of the dash's own.
    """
    seen = np.isfinite(strength)
    if seen.sum() < 50:
        return np.empty((0, 2))
    values = np.where(seen, strength, 0.0)
    level = max(_LEAST_CONTRAST, 0.35 * float(np.percentile(values[seen], 95)))
    above = np.concatenate([[False], values > level, [False]])
    starts = np.nonzero(~above[:-1] & above[1:])[0].tolist()
    ends = np.nonzero(above[:-1] & ~above[1:])[0].tolist()
    cell = x[1] - x[0]
    joined: list[list[int]] = []
    for start, end in zip(starts, ends, strict=True):
        if joined and (start - joined[-1][1]) * cell < 0.5:  # worn paint
            joined[-1][1] = end
        else:
            joined.append([start, end])
    first, last = np.nonzero(seen)[0][[0, -1]]
    joined = [run for run in joined if (run[1] - run[0]) * cell <= _LONGEST_DASH]
    longest = max((end - start for start, end in joined), default=0)
    dashes = []
    for start, end in joined:
        whole = start > first + 2, end < last - 2
        if all(whole) and end - start < _SHORTEST_DASH * longest:
            continue
        half = 0.5 * float(np.median(values[start:end]))
        low = _cross(values, start, -1, half, x) if whole[0] else np.nan
        high = _cross(values, end - 1, 1, half, x) if whole[1] else np.nan
        dashes.append((low, high))
    return np.array(dashes).reshape(-1, 2)


def _cross(values: np.ndarray, place: int, step: int, level: float, x: np.ndarray) -> float:
    """Walk outwards (or back in) from an end of a dash to where it crosses the level."""
    while 0 < place < len(values) - 1 and values[place] < level:
        place -= step
    while 0 < place < len(values) - 1 and values[place + step] >= level:
        place += step
    if not 0 <= place + step < len(values):
        return float('nan')
    inner, outer = values[place], values[place + step]
    part = (inner - level) / max(inner - outer, 1e-6)
    return float(x[place] + part * (x[place + step] - x[place]))


def find_period(
    ground: GroundImage, lane: tuple[float, float], curvature: float, focal_px: float
) -> DashPeriod:
    """Find the period of the dashed lines of the lane, and of those beside it that share it.

    Raises:
        LaneLinesError: neither line of the lane shows two dashes.
    """
    strengths = [cut_strip(ground, y, curvature)[0] for y in lane]
    first = [find_dashes(strength, ground.x_m) for strength in strengths]
    guess = _guess_period(first)
    lines = {y: _keep_periodic(d, guess) for y, d in zip(lane, first, strict=True)}
    level = min(_take_bright(s) for s, d in zip(strengths, lines.values(), strict=True) if len(d))
    for y in find_offsets(ground, curvature):
        strength = cut_strip(ground, y, curvature)[0]
        alike = _take_bright(strength) > 0.5 * level
        if alike and min(abs(y - other) for other in lines) > _APART:
            lines[y] = _keep_periodic(find_dashes(strength, ground.x_m), guess)
    return fit_period({y: dashes for y, dashes in lines.items() if len(dashes)}, guess, focal_px)


def _take_bright(strength: np.ndarray) -> float:
    seen = strength[np.isfinite(strength)]
    return float(np.percentile(seen, 95)) if seen.size else 0.0


def _guess_period(lines: list[np.ndarray]) -> float:
    """Return the distance of two neighbouring edges that the most and nearest others confirm."""
    gaps = np.concatenate([np.diff(line, axis=0).ravel() for line in lines])
    gaps = gaps[np.isfinite(gaps) & (gaps > _PERIOD_RANGE[0]) & (gaps < _PERIOD_RANGE[1])]
    best_score, best = 0.0, 0.0
    for gap in gaps.tolist():
        kept = np.concatenate([_keep_periodic(line, gap).ravel() for line in lines])
        score = float(np.nansum(1.0 / kept))
        if score > best_score:
            best_score, best = score, gap
    if not best:
        raise LaneLinesError('neither line of the lane shows two dashes, so there is no period')
    return best


def _keep_periodic(dashes: np.ndarray, period: float) -> np.ndarray:
    """Drop edges that are not a whole number of periods from their line's first; NaN for them."""
    out = np.full_like(dashes, np.nan)
    for side in (0, 1):
        edges = dashes[:, side]
        known = np.nonzero(np.isfinite(edges))[0]
        if known.size < 2:
            continue
        count = (edges - edges[known[0]]) / period
        whole = np.abs(count - np.rint(count)) < _FITS * np.maximum(1.0, np.rint(count))
        if len(set(np.rint(count[whole]))) > 1:
            out[whole, side] = edges[whole]
    return out[np.isfinite(out).any(axis=1)]


def fit_period(lines: dict[float, np.ndarray], guess: float, focal_px: float) -> DashPeriod:
    """Fit one period to the dashes (N, 2) of lines by offset; starts and ends have phases each.

    Weighted least squares of edge = phase + n * period. Edges count by how well a row of pixels
    tells their distance, x * x / focal_px.
    """
    alone = {y: _solve([dashes], guess, focal_px)[0] for y, dashes in lines.items()}
    period, error, edges = _solve(list(lines.values()), guess, focal_px)
    lengths = np.concatenate([dashes[:, 1] - dashes[:, 0] for dashes in lines.values()])
    lengths = lengths[np.isfinite(lengths)]
    dash = float(np.median(lengths)) if lengths.size else float('nan')
    return DashPeriod(period, error, dash, edges, alone)


def _solve(lines: list[np.ndarray], guess: float, focal_px: float) -> tuple[float, float, int]:
    groups = [line[np.isfinite(line[:, side]), side] for line in lines for side in (0, 1)]
    groups = [edges for edges in groups if edges.size]
    edge = np.concatenate(groups)
    matrix = np.zeros((edge.size, len(groups) + 1))
    row = 0
    for index, edges in enumerate(groups):
        matrix[row : row + edges.size, index] = 1.0
        matrix[row : row + edges.size, -1] = np.rint((edges - edges[0]) / guess)
        row += edges.size
    sigma = 0.02 + 0.4 * edge**2 / focal_px
    weighted = matrix / sigma[:, None]
    solution = np.linalg.lstsq(weighted, edge / sigma, rcond=None)[0]
    miss = (edge - matrix @ solution) / sigma
    freedom = max(1, edge.size - len(groups) - 1)
    scatter = max(1.0, float((miss**2).sum()) / freedom)
    variance = np.linalg.inv(weighted.T @ weighted)[-1, -1] * scatter
    return float(solution[-1]), float(np.sqrt(variance)), edge.size


def measure_width(
    ground: GroundImage, lane: tuple[float, float], curvature: float, step: float = 0.5
) -> np.ndarray:
    """Return distance x and width (N, 2) of the lane wherever both of its lines are painted."""
    centers = [cut_strip(ground, offset, curvature)[1] for offset in lane]
    x = ground.x_m
    # Across the road, which turns by curvature * x.
    width = (centers[0] - centers[1]) * np.cos(np.arctan(curvature * x))
    bins = ((x - x[0]) / step).astype(int)
    found = []
    for index in range(bins[-1] + 1):
        part = (bins == index) & np.isfinite(width)
        if part.sum() >= 3:
            found.append((float(x[part].mean()), float(np.median(width[part]))))
    return np.array(found).reshape(-1, 2)
