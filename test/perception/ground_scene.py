# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A closed-form scene on flat ground, seen by OpenCV's camera models: stripes and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

NAMES = ('road', 'sidewalk', 'wall', 'sky', 'sign')
ROAD, SIDEWALK, WALL, SKY, SIGN = range(5)
ROAD_HALF_M = 3.03  # not a multiple of any cell


@dataclass(frozen=True)
class Box:
    """Axis-aligned box of a class; z_low_m above 0 hangs in the air."""

    x_m: tuple[float, float]
    y_m: tuple[float, float]
    height_m: float
    class_id: int = WALL
    z_low_m: float = 0.0


def undistort(pixels, k, d, r, p) -> np.ndarray:
    """Return cv2.undistortPoints, iterated until it converged."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)
    if hasattr(cv2, 'undistortPointsIter'):  # OpenCV 4
        return cv2.undistortPointsIter(pixels, k, d, r, p, stop)
    return cv2.undistortPoints(pixels, k, d, R=r, P=p, criteria=stop)


def list_rays(model) -> np.ndarray:
    """Return rays (H * W, 3) of all pixels by OpenCV, in the optical frame."""
    v, u = np.mgrid[0 : model.height_px, 0 : model.width_px]
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2).astype(float)
    (fx, fy), (cx, cy) = model.focal_px, model.center_px
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    d = np.array(model.distortion) if model.distortion else None
    if model.distortion_model == 'equidistant':
        plane = cv2.fisheye.undistortPoints(pixels, k, d)
    elif d is None:
        plane = (pixels - [cx, cy]) / [fx, fy]
    else:
        plane = undistort(pixels, k, d, np.eye(3), np.eye(3))
    plane = plane.reshape(-1, 2)
    return np.column_stack([plane, np.ones(len(plane))])


def cast_scene(model, base_from_optical: np.ndarray, boxes: tuple[Box, ...]) -> np.ndarray:
    """Return the mask (H, W) uint8 of the scene."""
    origin = base_from_optical[:3, 3]
    rays = list_rays(model) @ base_from_optical[:3, :3].T
    with np.errstate(divide='ignore', invalid='ignore'):
        nearest = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        y = origin[1] + rays[:, 1] * nearest
        mask = np.where(np.abs(y) < ROAD_HALF_M, ROAD, SIDEWALK)
        mask[~np.isfinite(nearest)] = SKY
        for box in boxes:
            limits = np.array([box.x_m, box.y_m, (box.z_low_m, box.height_m)])
            low = (limits[:, 0] - origin) / rays
            high = (limits[:, 1] - origin) / rays
            enter = np.minimum(low, high).max(axis=1)
            leave = np.maximum(low, high).min(axis=1)
            hit = (enter < leave) & (enter > 0) & (enter < nearest)
            mask[hit], nearest[hit] = box.class_id, enter[hit]
    return mask.reshape(model.height_px, model.width_px).astype(np.uint8)
