# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Poses by REP-103, and the ground that a camera sees, against closed forms."""

import math

import numpy as np
import pytest

from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, CameraPoseError, GroundView

MODEL = CameraModel(481, 641, (500.0, 500.0), (320.0, 240.0))


def test_a_level_camera_looks_along_x_with_rep_103_axes():
    turn = CameraPose(z_m=1.5).to_matrix()[:3, :3]
    # optical z is x ahead, optical x is to the right (-y), optical y is down (-z)
    np.testing.assert_allclose(turn, [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)


def test_a_pose_survives_its_matrix():
    pose = CameraPose(1.2, -0.3, 1.4, 0.05, 0.1, -2.0)
    back = CameraPose.from_matrix(pose.to_matrix())
    for name in ('x_m', 'y_m', 'z_m', 'roll_rad', 'pitch_rad', 'yaw_rad'):
        assert getattr(back, name) == pytest.approx(getattr(pose, name), abs=1e-12)


@pytest.mark.parametrize('row', [260, 300, 480])
def test_the_middle_column_sees_the_ground_at_height_over_tangent(row):
    view = GroundView(MODEL, CameraPose(1.0, 0.5, 1.5, 0.0, 0.1, 0.0))
    expected = 1.0 + 1.5 / math.tan(0.1 + math.atan((row - 240) / 500))
    point = view.find_ground(np.array([[320.0, row]]))[0]
    np.testing.assert_allclose(point, [expected, 0.5], atol=1e-9)
    assert view.find_inverse_range(np.array([[320.0, row]]))[0] == pytest.approx(
        1 / (expected - 1.0))  # fmt: skip


def test_ground_points_and_pixels_are_inverse_with_all_angles():
    view = GroundView(MODEL, CameraPose(1.0, 0.5, 1.5, 0.07, 0.2, 0.6))
    pixels = np.random.default_rng(0).uniform([0, 250], [640, 480], (100, 2))
    ground = view.find_ground(pixels)
    assert np.isfinite(ground).all()
    np.testing.assert_allclose(view.find_pixels(ground), pixels, atol=1e-8)


def test_above_the_horizon_there_is_no_ground():
    view = GroundView(MODEL, CameraPose(z_m=1.5))
    pixels = np.array([[320.0, 100.0]])
    assert np.isnan(view.find_ground(pixels)).all()
    assert view.find_inverse_range(pixels)[0] < 0


def test_a_vehicle_that_dips_its_nose_looks_farther_down():
    pose = CameraPose(1.0, 0.0, 1.5, 0.0, 0.05, 0.0)
    dipped = pose.level(pitch_rad=0.02, roll_rad=0.0)
    assert dipped.pitch_rad == pytest.approx(0.07)
    # the base frame turns about its own origin, which takes the camera with it
    assert dipped.z_m == pytest.approx(1.5 * math.cos(0.02) - 1.0 * math.sin(0.02))


def test_a_vehicle_that_leans_to_the_right_rolls_its_camera():
    assert CameraPose(z_m=1.5).level(0.0, roll_rad=0.03).roll_rad == pytest.approx(0.03)


@pytest.mark.parametrize(
    ('pose', 'named'),
    [
        ({'z_m': -0.5}, 'above the ground'),
        ({'z_m': 0.0}, 'above the ground'),
        ({'pitch_rad': -1.2}, 'looks at the sky'),
    ],
)
def test_a_camera_without_ground_is_refused(pose, named):
    with pytest.raises(CameraPoseError, match=named):
        GroundView(MODEL, CameraPose(**pose))


def test_a_pose_that_is_no_number_is_refused():
    with pytest.raises(CameraPoseError, match='roll_rad is nan'):
        CameraPose(roll_rad=float('nan'))
    with pytest.raises(CameraPoseError, match='4x4 numbers'):
        CameraPose.from_matrix(np.full((4, 4), np.nan))
