# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where the camera is on the vehicle, and which ground point each pixel sees.

Frames follow REP-103: base frame and camera body x forward, y left, z up; the optical frame
z forward, x right, y down. The ground is the plane z = 0 of the base frame, or of the base frame
levelled by a measured pitch and roll.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel

_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_LOWEST_CAMERA_M = 0.02


class CameraPoseError(UserError, ValueError):
    """A camera pose from which no ground can be seen; the message says why."""


@dataclass(frozen=True)
class CameraPose:
    """Camera body (x along the view) in the base frame: metres, radians, fixed axes as in URDF.

    Rotation is yaw about z after pitch about y after roll about x; pitch > 0 looks down.
    """

    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 1.5
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    yaw_rad: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise CameraPoseError(f'camera pose: {field.name} is {value}, expected a number')

    def to_matrix(self) -> np.ndarray:
        """Return base_from_optical, (4, 4) float64."""
        out = np.eye(4)
        out[:3, :3] = rotate(self.roll_rad, self.pitch_rad, self.yaw_rad) @ _BODY_FROM_OPTICAL
        out[:3, 3] = self.x_m, self.y_m, self.z_m
        return out

    @staticmethod
    def from_matrix(base_from_optical: np.ndarray) -> CameraPose:
        """Return the pose of a (4, 4) transform, such as tf's; CameraPoseError for NaN."""
        matrix = np.asarray(base_from_optical, float)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise CameraPoseError(f'camera pose is {matrix.tolist()}, expected 4x4 numbers')
        body = matrix[:3, :3] @ _BODY_FROM_OPTICAL.T
        return CameraPose(
            float(matrix[0, 3]),
            float(matrix[1, 3]),
            float(matrix[2, 3]),
            math.atan2(body[2, 1], body[2, 2]),
            math.atan2(-body[2, 0], math.hypot(body[2, 1], body[2, 2])),
            math.atan2(body[1, 0], body[0, 0]),
        )

    def level(self, pitch_rad: float, roll_rad: float) -> CameraPose:
        """Return the pose in the levelled base frame of a vehicle that pitches and rolls.

        Args:
            pitch_rad: vehicle against the ground, > 0 nose down (an IMU's or a horizon's).
            roll_rad: vehicle against the ground, > 0 right side down.
        """
        turn = np.eye(4)
        turn[:3, :3] = rotate(roll_rad, pitch_rad, 0.0)
        return CameraPose.from_matrix(turn @ self.to_matrix())


def rotate(roll_rad: float, pitch_rad: float, yaw_rad: float) -> np.ndarray:
    """Return the rotation (3, 3) of roll, pitch and yaw about fixed axes, in this order."""
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    cp, sp = math.cos(pitch_rad), math.sin(pitch_rad)
    cy, sy = math.cos(yaw_rad), math.sin(yaw_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


class GroundView:
    """A camera above the ground: pixels to ground points and back.

    Attributes:
        model: the camera.
        pose: its pose.
        origin_m: (3,) camera in the base frame.

    Raises CameraPoseError where the camera is not above the ground or sees none of it.
    """

    def __init__(self, model: CameraModel, pose: CameraPose) -> None:
        matrix = pose.to_matrix()
        self.model, self.pose = model, pose
        self._rotation = matrix[:3, :3]
        self.origin_m = matrix[:3, 3]
        if not self.origin_m[2] >= _LOWEST_CAMERA_M:
            raise CameraPoseError(
                f'the camera is {self.origin_m[2]:.3f} m above the ground (z of the base frame), '
                f'expected at least {_LOWEST_CAMERA_M} m; is the base frame on the ground?'
            )
        columns = np.linspace(0, model.width_px - 1, 33)
        rows = np.linspace(0, model.height_px - 1, 33)
        pixels = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
        if not (self.find_inverse_range(pixels) > 0).any():
            raise CameraPoseError(
                'no pixel of the camera sees the ground: with roll, pitch and yaw of '
                f'{math.degrees(pose.roll_rad):.1f}, {math.degrees(pose.pitch_rad):.1f} and '
                f'{math.degrees(pose.yaw_rad):.1f} degrees it looks at the sky; pitch > 0 looks '
                'down (REP-103), and x of the pose is the direction of view'
            )

    def find_inverse_range(self, pixels: np.ndarray) -> np.ndarray:
        """Return 1 / (distance on the ground from below the camera), (N,) in 1/m.

        0 at the horizon, below 0 above it, NaN where the pixel has no ray. It is nearly linear
        in the image, where the distance itself is not.
        """
        direction = self.model.find_rays(pixels) @ self._rotation.T
        flat = np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-12)
        return -direction[:, 2] / (flat * self.origin_m[2])

    def find_ground(self, pixels: np.ndarray) -> np.ndarray:
        """Return the ground points (N, 2) x, y in m of pixels (N, 2); NaN where there is none."""
        direction = self.model.find_rays(pixels) @ self._rotation.T
        down = -direction[:, 2]
        with np.errstate(divide='ignore', invalid='ignore'):
            scale = np.where(down > 1e-9, self.origin_m[2] / down, np.nan)
        return self.origin_m[:2] + direction[:, :2] * scale[:, None]

    def find_pixels(self, points_m: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) of points (N, 2) on the ground or (N, 3) of the base frame.

        NaN where the lens does not see the point; pixels may lie outside the image.
        """
        points = np.asarray(points_m, float)
        if points.shape[1] == 2:
            points = np.column_stack([points, np.zeros(len(points))])
        return self.model.find_pixels((points - self.origin_m) @ self._rotation)


def make_transform_matrix(transform: Any) -> np.ndarray:
    """Return the (4, 4) matrix of a geometry_msgs/Transform; NaN where it is no rotation."""
    turn, shift = transform.rotation, transform.translation
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, 3] = shift.x, shift.y, shift.z
    if not abs(x * x + y * y + z * z + w * w - 1.0) < 0.01:
        out[:] = np.nan
    return out
