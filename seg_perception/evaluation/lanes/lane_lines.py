# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A camera's pose from the lane lines that it sees, to check the ground geometry on real roads.

Lines along the road meet in its vanishing point: that gives pitch and yaw. The known period of a
dashed line gives the height, for a wrong height scales all lengths on the ground alike. The width
of the lane sets nothing, so it is a check. Assumed: a flat road, roll 0, and lines that are
parallel, straight or with one common, gentle bend.

Until the height is known lengths are in camera heights: the camera is placed 1 m above the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose

# Paint is 0.10 to 0.15 m wide and a camera of a car 1.1 to 1.6 m high.
_PAINT_WIDTH = 0.09
_LEAST_CONTRAST = 14.0  # of 255; worn paint on asphalt has 30, on concrete 15
_LINE_TOLERANCE_PX = 2.5
_LEAST_ROWS = 12  # a dash 14 camera heights away has 14 at 1150 px
_MAX_LINES = 8
_TRIALS = 600
# The horizon's distance from the principal point is at most 8 degrees.
_MAX_SLOPE = 0.14
_MAX_OFFSET = 6.0  # of a line beside the camera, in camera heights: two lanes
_NEAR, _FAR = 0.06, 0.03  # image plane below the horizon: 17 and 33 camera heights away


class LaneLinesError(UserError, ValueError):
    """An image whose lines do not say what was asked; the message says why."""


@dataclass(frozen=True)
class RoadLines:
    """Lines of one image and the direction of the road at the camera.

    Attributes:
        pitch_rad: pitch of the camera against the road, > 0 looks down.
        yaw_rad: yaw of the camera against the road, > 0 looks left of it.
        offsets: where each line is beside the camera, left to right, > 0 left; camera heights.
        curvature: common bend of the lines, > 0 to the left; 1 / camera height.
        points_px: (N, 2) centres of paint that the lines go through.
    """

    pitch_rad: float
    yaw_rad: float
    offsets: tuple[float, ...]
    curvature: float
    points_px: np.ndarray

    def make_pose(self, height_m: float = 1.0) -> CameraPose:
        """Return the pose in a frame below the camera, x along the road."""
        return CameraPose(z_m=height_m, pitch_rad=self.pitch_rad, yaw_rad=self.yaw_rad)


def find_lines(image_bgr: np.ndarray, model: CameraModel, bottom_px: int = 0) -> RoadLines:
    """Find the lane lines of an image and the pitch and yaw that their vanishing point says.

    Args:
        image_bgr: (H, W, 3) uint8, as the camera gave it, not rectified.
        model: the camera.
        bottom_px: first row that shows the vehicle; 0 for none.

    Raises:
        LaneLinesError: fewer than two lines meet in a point near the image's middle.
    """
    random = np.random.default_rng(0)
    bottom = bottom_px or image_bgr.shape[0]
    horizon, bend = np.zeros(2), 0.0
    for reach in (_FAR, _NEAR, _NEAR):  # the paint's width in px follows from the horizon
        pixels = find_paint(image_bgr, model.center_px[1] + horizon[1] * model.focal_px[1], bottom)
        rays = model.find_rays(pixels)
        plane = rays[:, :2] / rays[:, 2:]
        tolerance = _LINE_TOLERANCE_PX / model.focal_px[0]
        near = plane[plane[:, 1] > horizon[1] + reach]
        lines = _meet(_find_straight(near, tolerance, random))
        horizon, bend, slopes, used = _fit_parallel(plane, lines, tolerance)
    direction = np.array([1.0, -horizon[0], -horizon[1]])
    direction /= np.linalg.norm(direction)
    pitch = math.atan2(direction[2], direction[0])
    yaw = -math.asin(direction[1])
    # In a level, straight view a line at y is u = -y v and a bend of c is u = -c / (2 v).
    tilt = math.cos(pitch)
    offsets = tuple(float(-slope / tilt) for slope in sorted(slopes))
    return RoadLines(pitch, yaw, offsets, -2.0 * bend, pixels[used])


def find_paint(image_bgr: np.ndarray, horizon_px: float, bottom_px: int) -> np.ndarray:
    """Return the centres (N, 2) px of bright or yellow bands of a line's width, row by row."""
    lab = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2LAB).astype(np.float32)
    out = []
    first = max(0, math.ceil(horizon_px + 0.02 * image_bgr.shape[0]))
    for row in range(first, min(bottom_px, image_bgr.shape[0])):
        width = max(3, round(_PAINT_WIDTH * (row - horizon_px)))
        # Yellow differs little from concrete in lightness, but much in b.
        response = np.maximum(_find_bands(lab[row, :, 0], width),
                              2.0 * _find_bands(lab[row, :, 2], width))  # fmt: skip
        peaks = _pick_peaks(response, width)
        out.append(np.column_stack([peaks, np.full(len(peaks), float(row))]))
    return np.concatenate(out) if out else np.empty((0, 2))


def _find_bands(signal: np.ndarray, width: int) -> np.ndarray:
    """Return how much each place is above both sides of a band of `width` samples around it."""
    sums = np.concatenate([[0.0], np.cumsum(signal, dtype=np.float64)])
    out = np.full(len(signal), -1.0)
    reach = width // 2 + 2 * width
    places = np.arange(reach, len(signal) - reach)
    if places.size == 0:
        return out
    start = places - width // 2
    middle = (sums[start + width] - sums[start]) / width
    left = (sums[start - width // 2] - sums[start - width // 2 - width]) / width
    end = start + width + width // 2
    right = (sums[end + width] - sums[end]) / width
    out[places] = middle - np.maximum(left, right)
    return out


def _pick_peaks(response: np.ndarray, width: int) -> np.ndarray:
    """Return the centres of what is above half of its highest response."""
    kernel = np.ones(2 * width + 1, np.uint8)
    highest = cv2.dilate(response[None].astype(np.float32), kernel[None]).ravel()
    peaks = np.nonzero((response >= highest - 1e-6) & (response > _LEAST_CONTRAST))[0]
    out = []
    for peak in peaks:
        window = slice(max(0, peak - width), peak + width + 1)
        weight = np.maximum(response[window] - 0.5 * response[peak], 0.0)
        out.append(window.start + float((weight * np.arange(weight.size)).sum() / weight.sum()))
    return np.array(out)


def _find_straight(
    plane: np.ndarray, tolerance: float, random: np.random.Generator
) -> list[tuple[float, float, int]]:
    """Return lines u = slope * v + start with their number of rows, by RANSAC, longest first."""
    lines: list[tuple[float, float, int]] = []
    left = plane
    while len(lines) < _MAX_LINES and len(left) >= _LEAST_ROWS:
        pairs = random.integers(0, len(left), (_TRIALS, 2))
        a, b = left[pairs[:, 0]], left[pairs[:, 1]]
        rise = b[:, 1] - a[:, 1]
        apart = np.abs(rise) > 0.006
        a, b, rise = a[apart], b[apart], rise[apart]
        slope = (b[:, 0] - a[:, 0]) / rise
        start = a[:, 0] - slope * a[:, 1]
        road = (np.abs(slope) < _MAX_OFFSET) & (np.abs(start) < 3.0 * _MAX_SLOPE)
        if not road.any():
            break
        slope, start = slope[road], start[road]
        # Distances are taken across the line: flat lines pass many rows of other things.
        scale = 1.0 / np.hypot(1.0, slope)
        misses = np.abs(left[None, :, 0] - slope[:, None] * left[None, :, 1] - start[:, None])
        inliers = misses * scale[:, None] < tolerance
        best = int(np.argmax(inliers.sum(axis=1)))
        chosen = inliers[best]
        rows = len(np.unique(np.round(left[chosen, 1] / tolerance)))
        slope_fit, start_fit = np.polyfit(left[chosen, 1], left[chosen, 0], 1)
        if chosen.sum() < _LEAST_ROWS:
            break
        lines.append((float(slope_fit), float(start_fit), rows))
        # What is a little beside the line belongs to it too (the edges of a wide band).
        left = left[~(misses[best] * scale[best] < 3.0 * tolerance)]
    return lines


def _meet(lines: list[tuple[float, float, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the point where most lines meet and the slopes of the lines that do."""
    best_support, best = 0, None
    for i, (slope_a, start_a, _) in enumerate(lines):
        for slope_b, start_b, _ in lines[:i]:
            if abs(slope_a - slope_b) < 0.5 or slope_a * slope_b > 0.0:
                continue  # the camera is between two of them
            v = (start_b - start_a) / (slope_a - slope_b)
            u = slope_a * v + start_a
            if abs(v) > _MAX_SLOPE or abs(u) > 3.0 * _MAX_SLOPE:
                continue
            through = [
                line for line in lines
                if abs(u - line[0] * v - line[1]) / math.hypot(1.0, line[0]) < 0.008
            ]  # fmt: skip
            support = sum(line[2] for line in through)
            if support > best_support:
                best_support, best = support, (np.array([u, v]), through)
    if best is None:
        raise LaneLinesError(
            f'{len(lines)} straight lines were found and no two of them meet near the middle of '
            'the image; expected the painted lines of a road that is nearly straight'
        )
    return best[0], np.array([line[0] for line in best[1]])


def _fit_parallel(
    plane: np.ndarray, lines: tuple[np.ndarray, np.ndarray], tolerance: float
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Fit u = u0 + slope_i * (v - v0) + bend / (v - v0) to all points near the lines.

    Parallel lines with a common bend look so in an image. Gauss-Newton with Cauchy weights.

    Returns:
        (u0, v0), bend, slopes, indices of the points used.
    """
    horizon, slopes = lines
    horizon, slopes, bend = horizon.copy(), slopes.copy(), 0.0
    # From near to far, so that the bend is known where it matters.
    for reach in (_NEAR, _NEAR, 0.045, _FAR, _FAR, _FAR, _FAR, _FAR):
        below = plane[:, 1] - horizon[1]
        seen = np.nonzero(below > reach)[0]
        drop = below[seen]
        misses = (plane[seen, 0] - horizon[0] - bend / drop)[:, None] - drop[:, None] * slopes
        nearest = np.abs(misses).argmin(axis=1)
        miss = misses[np.arange(len(seen)), nearest]
        close = np.abs(miss) < np.maximum(3.0 * tolerance, 0.08 * drop)
        seen, drop, nearest, miss = seen[close], drop[close], nearest[close], miss[close]
        weight = 1.0 / (1.0 + (miss / tolerance) ** 2)
        columns = [np.ones_like(drop), -slopes[nearest] + bend / drop**2, 1.0 / drop]
        members = [(nearest == i) * drop for i in range(len(slopes))]
        matrix = np.column_stack(columns + members) * np.sqrt(weight)[:, None]
        step = np.linalg.lstsq(matrix, miss * np.sqrt(weight), rcond=None)[0]
        horizon += step[:2]
        bend += float(step[2])
        slopes += step[3:]
    return horizon, bend, slopes, seen
