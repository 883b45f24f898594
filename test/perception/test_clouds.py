# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Point clouds against the closed-form scene."""

import numpy as np
import pytest
from ground_scene import NAMES, ROAD, SIDEWALK, WALL, Box, cast_scene, list_rays

from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.clouds import OBSTACLE_TYPE, CloudMaker
from seg_perception.perception.ground_grid import GroundGrid
from seg_perception.perception.occupancy_config import ClassRule, GridConfig, OccupancyConfig

MODEL = CameraModel(121, 201, (130.0, 130.0), (100.0, 60.0))
POSE = CameraPose(1.0, 0.2, 1.5, 0.05, 0.1, 0.1)
BOX = Box((6.0, 6.5), (-1.0, 1.0), 1.0)
RULES = {
    'road': ClassRule('ground'),
    'sidewalk': ClassRule('ground'),
    'wall': ClassRule('standing', depth_m=0.5),
}
CONFIG = OccupancyConfig(NAMES, GridConfig(0.1, 0.0, 20.0, -8.0, 8.0), RULES, NAMES[:3])


@pytest.fixture(scope='module')
def grid():
    grid = GroundGrid(CONFIG, 1)
    grid.set_camera(MODEL, POSE)
    return grid


@pytest.fixture
def maker(grid):
    return CloudMaker(CONFIG, grid.view, max_range_m=30.0)


@pytest.fixture(scope='module')
def mask():
    return cast_scene(MODEL, POSE.to_matrix(), (BOX,))


def test_ground_pixels_lie_on_the_plane_and_all_others_are_nan_in_x_y_and_z(maker, mask):
    points = maker.place_on_ground(mask)
    assert points.shape == (121, 201, 3)
    assert points.dtype == np.float32
    rays = (list_rays(MODEL) @ POSE.to_matrix()[:3, :3].T).reshape(points.shape)
    with np.errstate(divide='ignore', invalid='ignore'):
        expected = np.array([1.0, 0.2]) - rays[..., :2] * 1.5 / rays[..., 2:]
        near = np.hypot(*np.moveaxis(expected - [1.0, 0.2], -1, 0)) <= 30.0
    on_ground = ((mask == ROAD) | (mask == SIDEWALK)) & near
    assert on_ground.sum() > 3000
    np.testing.assert_allclose(points[on_ground, :2], expected[on_ground], atol=1e-4)
    assert (points[on_ground, 2] == 0).all()
    assert np.isnan(points[~on_ground]).all()


@pytest.mark.parametrize(('encoding', 'unit'), [('16UC1', 1000), ('32FC1', 1)])
def test_depth_places_points_along_the_optical_axis(maker, encoding, unit):
    dtype = np.uint16 if encoding == '16UC1' else np.float32
    depth = np.zeros((121, 201), dtype)
    depth[60, 100] = 5 * unit
    points = maker.place_by_depth(depth, encoding)
    np.testing.assert_allclose(points[60, 100], POSE.to_matrix()[:3] @ [0, 0, 5, 1], atol=1e-3)
    depth[20, 30] = 4 * unit
    point = maker.place_by_depth(depth, encoding)[20, 30]
    optical = [(30 - 100) / 130 * 4, (20 - 60) / 130 * 4, 4, 1]
    np.testing.assert_allclose(point, POSE.to_matrix()[:3] @ optical, atol=1e-3)


@pytest.mark.parametrize('nothing', [0.0, np.nan, np.inf, -1.0, 1000.0])
def test_no_depth_is_nan(maker, nothing):
    points = maker.place_by_depth(np.full((121, 201), nothing, np.float32), '32FC1')
    assert np.isnan(points).all()


def test_a_depth_image_that_does_not_fit_is_named(maker):
    with pytest.raises(UserError, match='size of the mask, 121x201'):
        maker.place_by_depth(np.zeros((60, 100), np.float32), '32FC1')
    with pytest.raises(UserError, match="'mono16'"):
        maker.place_by_depth(np.zeros((121, 201), np.uint16), 'mono16')


def test_contacts_lie_on_the_near_side_of_a_box(maker, grid, mask):
    grid.project(mask, np.full(mask.shape, 204, np.uint8))
    obstacles = maker.list_contacts(grid, lift_m=0.3)
    assert obstacles.dtype == OBSTACLE_TYPE
    assert obstacles.size > 20
    assert (obstacles['class_id'] == WALL).all()
    np.testing.assert_allclose(obstacles['confidence'], 0.8)
    assert (obstacles['z'] == np.float32(0.3)).all()
    # a pixel is 0.15 m long on the ground there
    assert abs(np.median(obstacles['x']) - 6.0) < 0.08
    assert (np.abs(obstacles['y']) < 1.1).all()


def test_depth_obstacles_are_the_standing_points_that_are_sure(maker, mask):
    depth = np.full(mask.shape, 5.0, np.float32)
    maker.place_by_depth(depth, '32FC1')
    confidence = np.where(np.arange(201) < 100, 255, 50).astype(np.uint8)
    confidence = np.tile(confidence, (121, 1))
    obstacles = maker.list_obstacles(mask, confidence, stride=1)
    sure = (mask == WALL) & (confidence == 255)
    assert obstacles.size == sure.sum() > 0
    np.testing.assert_array_equal(obstacles['x'], maker.points[sure, 0])
    assert maker.list_obstacles(mask, confidence, stride=3).size < obstacles.size / 4
