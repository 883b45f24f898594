# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From pixels to rays and back, by the fields of a sensor_msgs/CameraInfo.

Pixel coordinates are those of CameraInfo and OpenCV: integers are pixel centres, so the image
reaches from -0.5 to size - 0.5. Rays are in the camera's optical frame (REP-103: z forward, x
right, y down). The formulas are those of OpenCV's camera model (`plumb_bob`,
`rational_polynomial`) and of its fisheye model (`equidistant`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from seg_perception.errors import UserError

# Lengths of D that each model of sensor_msgs/distortion_models.hpp may have; 0 is no distortion.
_LENGTHS = {'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 4, 5, 8), 'equidistant': (4,)}
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# Beyond these the numbers are damage, and unit rays come out as zero: no lens is that long.
_LARGEST_PX = 1e7
_SMALLEST_FOCAL_PX = 1e-3
_ITERATIONS = 25
_CONVERGED = 1e-7  # of the image plane at distance 1: some 1e-4 px
_ASPECT_TOLERANCE = 0.02  # a scaled image may be rounded to whole pixels, a cropped one is another


class CameraModelError(UserError, ValueError):
    """A calibration that cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class CameraModel:
    """Camera of one image size; compares equal when nothing about it changed.

    Attributes:
        height_px: height of the images.
        width_px: width of the images.
        focal_px: (fx, fy).
        center_px: (cx, cy), principal point.
        distortion_model: 'plumb_bob', 'rational_polynomial' or 'equidistant'.
        distortion: D; empty where the image is free of distortion.
        rotation: R of a rectified image, row-major 9: rectified ray = R @ ray; else identity.
    """

    height_px: int
    width_px: int
    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    distortion_model: str = 'plumb_bob'
    distortion: tuple[float, ...] = ()
    rotation: tuple[float, ...] = _IDENTITY

    def __post_init__(self) -> None:
        if self.height_px < 1 or self.width_px < 1:
            raise CameraModelError(
                f'the camera image is {self.height_px}x{self.width_px} px (height x width); does '
                'the camera driver publish a calibrated camera_info?'
            )
        if self.distortion_model not in _LENGTHS:
            raise CameraModelError(
                f"distortion model is '{self.distortion_model}', expected one of: "
                f'{", ".join(_LENGTHS)}'
            )
        lengths = _LENGTHS[self.distortion_model]
        if len(self.distortion) not in lengths:
            raise CameraModelError(
                f'D of camera_info has {len(self.distortion)} values, expected '
                f'{" or ".join(map(str, lengths))} for {self.distortion_model}'
            )
        for name, values in (('K or P', (*self.focal_px, *self.center_px)), ('D', self.distortion),
                             ('R', self.rotation)):  # fmt: skip
            if not all(math.isfinite(value) for value in values):
                raise CameraModelError(f'{name} of camera_info holds {values}, expected numbers')
        if min(self.focal_px) <= 0.0:
            raise CameraModelError(
                f'focal length (fx, fy) is {self.focal_px} px, expected both above 0: the camera '
                'is not calibrated; calibrate it or give its calibration file to its driver'
            )
        largest_px = max(map(abs, (*self.focal_px, *self.center_px)))
        if largest_px > _LARGEST_PX or min(self.focal_px) < _SMALLEST_FOCAL_PX:
            raise CameraModelError(
                f'focal length (fx, fy) is {self.focal_px} px and principal point (cx, cy) '
                f'{self.center_px} px, expected pixels of an image; K or P of camera_info is '
                'damaged'
            )
        turn = np.reshape(self.rotation, (3, 3))
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-4):
            raise CameraModelError(f'R of camera_info is {self.rotation}, expected a rotation')

    def scale_to(self, image_hw: tuple[int, int]) -> CameraModel:
        """Return the model for the same view at another size, (height, width) px.

        Raises:
            CameraModelError: the aspect ratio differs by more than 2 %, so it is another view.
        """
        height, width = image_hw
        if (height, width) == (self.height_px, self.width_px):
            return self
        if min(height, width) < 1:
            raise CameraModelError(f'image size is {height}x{width} px, expected at least 1x1')
        y, x = height / self.height_px, width / self.width_px
        if abs(x / y - 1.0) > _ASPECT_TOLERANCE:
            raise CameraModelError(
                f'the image is {height}x{width} px (height x width) but its camera_info says '
                f'{self.height_px}x{self.width_px}; expected the same shape at any scale'
            )
        return replace(
            self,
            height_px=height,
            width_px=width,
            focal_px=(self.focal_px[0] * x, self.focal_px[1] * y),
            center_px=((self.center_px[0] + 0.5) * x - 0.5, (self.center_px[1] + 0.5) * y - 0.5),
        )

    def find_rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return the unit rays (N, 3) float64 of pixels (N, 2) (u, v); NaN where there is none.

        Only lenses with strong distortion have pixels without a ray: beyond the edge to which
        their polynomial rises.
        """
        plane = (np.asarray(pixels, float) - self.center_px) / self.focal_px
        if self.distortion_model == 'equidistant':
            rays = self._invert_fisheye(plane)
        else:
            ideal = self._invert_polynomial(plane) if self.distortion else plane
            rays = np.column_stack([ideal, np.ones(len(ideal))])
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return rays if self.rotation == _IDENTITY else rays @ np.reshape(self.rotation, (3, 3))

    def find_pixels(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) float64 of points (N, 3) in the optical frame.

        NaN where the lens does not see the point; pixels may lie outside the image.
        """
        points = np.asarray(points, float)
        if self.rotation != _IDENTITY:
            points = points @ np.reshape(self.rotation, (3, 3)).T
        if self.distortion_model == 'equidistant':
            plane = self._project_fisheye(points)
        else:
            with np.errstate(divide='ignore', invalid='ignore'):
                plane = np.where(points[:, 2:] > 0.0, points[:, :2] / points[:, 2:], np.nan)
            if self.distortion:
                plane[np.hypot(*plane.T) >= self._largest_radius] = np.nan
                plane = self._distort(plane)[0]
        return plane * self.focal_px + self.center_px

    @cached_property
    def _coefficients(self) -> np.ndarray:
        # k1 k2 p1 p2 k3 k4 k5 k6
        return np.pad(np.array(self.distortion, float), (0, 8 - len(self.distortion)))

    def _distort(self, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distorted positions (N, 2) and their derivatives (N, 2, 2)."""
        k1, k2, p1, p2, k3, k4, k5, k6 = self._coefficients
        x, y = plane.T
        r2 = x * x + y * y
        upper = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        lower = 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
        factor = upper / lower
        slope = (k1 + r2 * (2 * k2 + 3 * k3 * r2)) / lower
        slope -= factor * (k4 + r2 * (2 * k5 + 3 * k6 * r2)) / lower
        out = np.empty_like(plane)
        out[:, 0] = x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        out[:, 1] = y * factor + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        derivative = np.empty((len(plane), 2, 2))
        derivative[:, 0, 0] = factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
        derivative[:, 1, 1] = factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        cross = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        derivative[:, 0, 1] = derivative[:, 1, 0] = cross
        return out, derivative

    @cached_property
    def _largest_radius(self) -> float:
        """Distance from the axis, at z = 1, up to which the lens polynomial rises."""
        radius = np.linspace(0.0, 20.0, 40001)
        k1, k2, _, _, k3, k4, k5, k6 = self._coefficients
        r2 = radius * radius
        lower = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        with np.errstate(divide='ignore', invalid='ignore'):
            distorted = radius * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / lower
        falling = ~(np.diff(distorted) > 0.0) | (lower[1:] <= 0.0)
        return float(radius[np.argmax(falling)]) if falling.any() else math.inf

    def _invert_polynomial(self, target: np.ndarray) -> np.ndarray:
        """Undistort positions (N, 2) by Newton's method; NaN where it does not converge."""
        limit = min(self._largest_radius, 1e3)
        plane = np.array(target)
        for _ in range(_ITERATIONS):
            value, derivative = self._distort(plane)
            error = value - target
            with np.errstate(divide='ignore', invalid='ignore'):
                determinant = (derivative[:, 0, 0] * derivative[:, 1, 1]
                               - derivative[:, 0, 1] ** 2)  # fmt: skip
                step_x = derivative[:, 1, 1] * error[:, 0] - derivative[:, 0, 1] * error[:, 1]
                step_y = derivative[:, 0, 0] * error[:, 1] - derivative[:, 0, 1] * error[:, 0]
                plane -= np.column_stack([step_x, step_y]) / determinant[:, None]
            radius = np.hypot(*plane.T)
            # A step beyond the edge of the lens would land on the branch that falls again.
            plane *= np.minimum(1.0, 0.999 * limit / np.maximum(radius, 1e-9))[:, None]
            if not np.any(np.abs(error) >= _CONVERGED):  # false for NaN, which is given up
                break
        error = np.abs(self._distort(plane)[0] - target).max(axis=1)
        plane[~(error < _CONVERGED) | (np.hypot(*plane.T) >= limit)] = np.nan
        return plane

    @cached_property
    def _largest_angle(self) -> float:
        """Angle from the axis up to which the fisheye polynomial rises, at most pi."""
        angle = np.linspace(0.0, math.pi, 20001)
        falling = np.diff(self._bend(angle)) <= 0.0
        return float(angle[np.argmax(falling)]) if falling.any() else math.pi

    def _bend(self, angle: np.ndarray) -> np.ndarray:
        k1, k2, k3, k4 = self.distortion
        square = angle * angle
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))

    def _project_fisheye(self, points: np.ndarray) -> np.ndarray:
        radius = np.hypot(points[:, 0], points[:, 1])
        angle = np.arctan2(radius, points[:, 2])
        with np.errstate(divide='ignore', invalid='ignore'):
            scale = np.where(radius > 1e-12, self._bend(angle) / radius, 1.0 / points[:, 2])
        scale[angle >= self._largest_angle] = np.nan
        return points[:, :2] * scale[:, None]

    def _invert_fisheye(self, plane: np.ndarray) -> np.ndarray:
        # The bent angle rises with the angle, so a fine table and linear steps between its
        # entries find it: 20000 steps over pi leave an error below 1e-8 rad.
        table = np.linspace(0.0, self._largest_angle, 20001)
        radius = np.hypot(*plane.T)
        angle = np.interp(radius, self._bend(table), table, right=np.nan)
        scale = np.divide(np.sin(angle), radius, out=np.ones_like(radius), where=radius > 1e-12)
        return np.column_stack([plane * scale[:, None], np.cos(angle)])


def make_camera_model(
    image_hw: tuple[int, int],
    info_hw: tuple[int, int],
    distortion_model: str,
    d: Sequence[float],
    k: Sequence[float],
    r: Sequence[float],
    p: Sequence[float],
    rectified: bool,
) -> CameraModel:
    """Build the model of an image from the fields of its CameraInfo (REP-104).

    Args:
        image_hw: (height, width) of the image or mask, px; may be a scaled one.
        info_hw: (height, width) in the message; (0, 0) is taken for the image's.
        distortion_model: lens model; an empty one with an empty D is an image without distortion.
        d: distortion, any length that the model knows.
        k: intrinsics of the raw image, 9 values, row-major.
        r: rectification, 9 values.
        p: projection of the rectified image, 12 values. Its fourth column is not used: rays
            start at the image's own camera, whose optical frame the header must name.
        rectified: the image is a rectified one (image_rect): P and R hold and D does not.

    Raises:
        CameraModelError: a value is missing or impossible, or the two sizes are of other shapes.
    """
    for name, values, length in (('K', k, 9), ('R', r, 9), ('P', p, 12)):
        if len(values) != length:
            raise CameraModelError(
                f'{name} of camera_info has {len(values)} values, expected {length}'
            )
    height, width = info_hw if max(info_hw) > 0 else image_hw
    if rectified:
        rotation = tuple(map(float, r)) if any(r) else _IDENTITY
        model = CameraModel(
            height, width, (float(p[0]), float(p[5])), (float(p[2]), float(p[6])),
            rotation=rotation)  # fmt: skip
    else:
        # a lens without distortion is named '' by some drivers
        name = distortion_model or ('' if len(d) else 'plumb_bob')
        model = CameraModel(
            height, width, (float(k[0]), float(k[4])), (float(k[2]), float(k[5])), name,
            tuple(map(float, d)))  # fmt: skip
    return model.scale_to(image_hw)
