# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pose and lane width from lane lines, on a road drawn by formulas of its own."""

import math

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.lanes.lane_lines import LaneLinesError, find_lines
from seg_perception.evaluation.lanes.lane_scale import find_dashes, measure_lane
from seg_perception.perception.camera_model import CameraModel

HEIGHT_PX, WIDTH_PX = 720, 1280
MODEL = CameraModel(
    HEIGHT_PX, WIDTH_PX, (1150.0, 1140.0), (652.0, 371.0), 'plumb_bob',
    (-0.24, -0.02, -0.0006, 0.0002, 0.01))  # fmt: skip
WIDTH_M, PERIOD_M, DASH_M, PAINT_M = 3.6, 12.0, 3.0, 0.12
ASPHALT, WHITE, YELLOW = (80, 78, 76), (235, 235, 235), (60, 180, 235)


def draw_road(height_m, pitch_deg, yaw_deg=0.0, left_m=1.9, radius_m=math.inf, dashes=True):
    """Draw a solid yellow line left of the camera and two dashed ones at its right.

    Rays are OpenCV's, the rest is the intersection with a plane; 2x2 samples a pixel.
    """
    v, u = np.mgrid[0 : 2 * HEIGHT_PX, 0 : 2 * WIDTH_PX].astype(float)
    pixels = np.column_stack([(u.ravel() - 0.5) / 2, (v.ravel() - 0.5) / 2])
    fx, fy = MODEL.focal_px
    matrix = np.array([[fx, 0, MODEL.center_px[0]], [0, fy, MODEL.center_px[1]], [0, 0, 1]])
    plane = cv2.undistortPoints(pixels[:, None], matrix, np.array(MODEL.distortion))[:, 0]
    pitch, yaw = math.radians(pitch_deg), math.radians(yaw_deg)
    # forward, left and up of the camera, turned down by the pitch, then left by the yaw
    forward = math.cos(pitch) - plane[:, 1] * math.sin(pitch)
    up = -math.sin(pitch) - plane[:, 1] * math.cos(pitch)
    x = forward * math.cos(yaw) + plane[:, 0] * math.sin(yaw)
    y = forward * math.sin(yaw) - plane[:, 0] * math.cos(yaw)
    with np.errstate(divide='ignore', invalid='ignore'):
        x, y = x * height_m / -up, y * height_m / -up
        y = y - x * x / (2 * radius_m)
    ground = up < 0
    colors = np.full((pixels.shape[0], 3), (220, 170, 120), float)
    colors[ground] = ASPHALT
    colors[ground & (np.abs(y - left_m) < PAINT_M / 2)] = YELLOW
    for lane, phase_m in ((1, 2.0), (2, 7.0)):
        line = ground & (np.abs(y - left_m + lane * WIDTH_M) < PAINT_M / 2)
        if dashes:
            line &= np.mod(x - phase_m, PERIOD_M) < DASH_M
        colors[line] = WHITE
    image = colors.reshape(HEIGHT_PX, 2, WIDTH_PX, 2, 3).mean(axis=(1, 3))
    image += np.random.default_rng(1).normal(0.0, 4.0, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('height_m', 'pitch_deg', 'yaw_deg', 'radius_m'),
    [
        (1.25, -1.5, 0.0, math.inf),
        (1.5, 2.0, -1.5, math.inf),
        (1.25, 0.5, 2.0, 800.0),
        (1.1, -1.0, -1.0, -600.0),
    ],
)
def test_measure_lane_recovers_pose_and_width(height_m, pitch_deg, yaw_deg, radius_m):
    found = measure_lane(draw_road(height_m, pitch_deg, yaw_deg, radius_m=radius_m), MODEL)
    assert math.degrees(found.lines.pitch_rad) == pytest.approx(pitch_deg, abs=0.1)
    assert math.degrees(found.lines.yaw_rad) == pytest.approx(yaw_deg, abs=0.2)
    assert found.dashes is not None
    height = PERIOD_M / found.dashes.period
    assert height == pytest.approx(height_m, rel=0.02)
    assert found.width * height == pytest.approx(WIDTH_M, rel=0.02)
    # 40 m away a pixel is 3.5 cm wide, and a cell reads the nearest one
    assert found.spread * height < 0.08


def test_measure_lane_says_why_solid_lines_have_no_period():
    found = measure_lane(draw_road(1.3, 0.0, dashes=False), MODEL)
    assert found.dashes is None
    assert 'shows two dashes' in found.no_period
    assert found.width * 1.3 == pytest.approx(WIDTH_M, rel=0.02)


def test_find_lines_refuses_a_road_without_lines():
    image = np.random.default_rng(2).normal(90.0, 3.0, (HEIGHT_PX, WIDTH_PX, 3))
    with pytest.raises(LaneLinesError, match='lines were found'):
        find_lines(image.astype(np.uint8), MODEL)


def test_find_lines_ignores_rows_of_the_vehicle():
    image = draw_road(1.25, -1.0)
    # a bonnet with bright stripes that point elsewhere
    for u in range(100, 1200, 120):
        cv2.line(image, (u, 640), (u - 80, 719), WHITE, 12)
    lines = find_lines(image, MODEL, bottom_px=635)
    assert math.degrees(lines.pitch_rad) == pytest.approx(-1.0, abs=0.1)


def test_find_dashes_leaves_out_reflectors_and_ends_that_are_not_seen():
    x = np.arange(3.0, 30.0, 0.025)
    strength = np.where(np.mod(x - 2.0, 10.0) < 2.5, 100.0, 0.0)
    strength[np.abs(x - 8.0) < 0.2] = 100.0
    dashes = find_dashes(strength, x)
    assert np.isnan(dashes[0, 0])
    np.testing.assert_allclose(dashes[:, 1], [4.5, 14.5, 24.5], atol=0.03)
    np.testing.assert_allclose(dashes[1:, 0], [12.0, 22.0], atol=0.03)
