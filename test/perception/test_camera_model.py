# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays and back, against OpenCV's camera models."""

import cv2
import numpy as np
import pytest
from ground_scene import undistort

from seg_perception.perception.camera_model import (
    CameraModel,
    CameraModelError,
    make_camera_model,
)

K = (700.0, 0.0, 511.2, 0.0, 690.0, 255.7, 0.0, 0.0, 1.0)
R = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
P = (650.0, 0.0, 500.0, -60.0, 0.0, 650.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LENSES = {
    'plumb_bob': (-0.3, 0.1, 0.001, -0.002, -0.01),
    'rational_polynomial': (-0.3, 0.1, 0.001, -0.002, -0.01, 0.02, -0.01, 0.003),
    'equidistant': (-0.02, 0.01, -0.003, 0.0005),
}


def make(lens='plumb_bob', d=None, k=K, r=R, p=P, image_hw=(512, 1024), info_hw=(512, 1024),
         rectified=False):  # fmt: skip
    d = LENSES.get(lens, ()) if d is None else d
    return make_camera_model(image_hw, info_hw, lens, d, k, r, p, rectified)


def draw_pixels(count=400):
    return np.random.default_rng(0).uniform([-0.5, -0.5], [1023.5, 511.5], (count, 2))


def project_by_opencv(lens, points):
    project = cv2.fisheye.projectPoints if lens == 'equidistant' else cv2.projectPoints
    k, d = np.reshape(K, (3, 3)), np.array(LENSES[lens])
    return project(points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), k, d)[0].reshape(-1, 2)


@pytest.mark.parametrize('lens', LENSES)
def test_rays_project_back_to_their_pixels_in_opencv(lens):
    pixels = draw_pixels()
    rays = make(lens).find_rays(pixels)
    assert np.abs(project_by_opencv(lens, rays) - pixels).max() < 1e-4


@pytest.mark.parametrize('lens', LENSES)
def test_pixels_of_points_are_those_of_opencv(lens):
    points = np.random.default_rng(1).uniform([-3, -2, 4], [3, 2, 30], (400, 3))
    assert np.abs(make(lens).find_pixels(points) - project_by_opencv(lens, points)).max() < 1e-6


def test_a_rectified_image_uses_p_and_r_as_opencv_does():
    turn = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
    model = make(r=tuple(turn.ravel()), rectified=True)
    points = np.random.default_rng(2).uniform([-3, -2, 4], [3, 2, 30], (200, 3))
    raw = project_by_opencv('plumb_bob', points).reshape(-1, 1, 2)
    new_k = np.reshape(P, (3, 4))[:, :3]
    expected = undistort(raw, np.reshape(K, (3, 3)), np.array(LENSES['plumb_bob']), turn, new_k)
    pixels = model.find_pixels(points)
    assert np.abs(pixels - expected.reshape(-1, 2)).max() < 1e-3
    rays = model.find_rays(pixels)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert np.abs(rays - unit).max() < 1e-9


def test_a_scaled_image_sees_the_same_rays():
    whole, half = make(), make(image_hw=(256, 512))
    # The middle of a half-size pixel is between four pixels of the whole.
    small = np.array([[10.0, 20.0], [400.0, 200.0]])
    np.testing.assert_allclose(half.find_rays(small), whole.find_rays(2 * small + 0.5), atol=1e-9)


def test_a_fisheye_sees_beyond_90_degrees():
    ray = np.array([[1.0, 0.0, -0.1]])
    model = make('equidistant')
    back = model.find_rays(model.find_pixels(ray))
    np.testing.assert_allclose(back, ray / np.linalg.norm(ray), atol=1e-6)


def test_a_point_far_outside_a_barrel_lens_has_no_pixel():
    # r (1 - 0.3 r^2) falls from r = 1.05 on and would bring the point back into the image.
    model = make(d=(-0.3, 0.0, 0.0, 0.0, 0.0))
    assert np.isnan(model.find_pixels(np.array([[1.7, 0.0, 1.0]]))).all()
    assert np.isfinite(model.find_pixels(np.array([[1.0, 0.0, 1.0]]))).all()


def test_models_compare_equal_until_the_calibration_changes():
    assert make() == make()
    assert make() != make(d=(-0.31, 0.1, 0.001, -0.002, -0.01))


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'k': (0.0,) * 9}, 'focal length'),
        ({'k': (float('nan'), *K[1:])}, 'K or P'),
        ({'d': (0.1, 0.2, 0.3)}, 'D of camera_info has 3'),
        ({'d': (float('inf'), 0, 0, 0, 0)}, 'D of camera_info holds'),
        ({'lens': 'kannala'}, "'kannala'"),
        ({'lens': 'equidistant', 'd': ()}, 'D of camera_info has 0'),
        ({'lens': '', 'd': (0.1,) * 5}, 'distortion model'),
        ({'p': (0.0,) * 12, 'rectified': True}, 'focal length'),
        ({'r': (2.0, *R[1:]), 'rectified': True}, 'expected a rotation'),
        ({'k': K[:6]}, 'K of camera_info has 6'),
        ({'image_hw': (512, 512)}, 'same shape'),
        ({'image_hw': (0, 0), 'info_hw': (0, 0)}, '0x0'),
    ],
)
def test_a_bad_calibration_is_named(change, named):
    with pytest.raises(CameraModelError, match=named.replace('(', r'\(')):
        make(**change)


def test_an_image_without_distortion_needs_no_model_name():
    assert make('', ()) == CameraModel(512, 1024, (700.0, 690.0), (511.2, 255.7))
