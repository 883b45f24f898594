# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Ground grids, costmap, clouds and what is ahead of the running node, over DDS."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ground_camera import (
    CLOUD_TYPE,
    COVERAGE_TYPE,
    FOCAL_PX,
    GRID_TYPE,
    IMAGE_HW,
    GroundCamera,
    view_cells,
    view_points,
)

from seg_perception.engines.model_file import load_model_file
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.clouds import OBSTACLE_TYPE, CloudMaker
from seg_perception.perception.occupancy import Occupancy
from seg_perception.perception.occupancy_config import GridConfig, OccupancyConfig

NODE = '/ground/segnext'
IMAGE = '/ground/camera/image_raw'
GRID = GridConfig(0.2, 0.0, 20.0, -5.0, 5.0)
POSE = CameraPose(z_m=1.5, pitch_rad=0.2)
PARAMETERS = {
    'occupancy.enabled': True,
    'occupancy.camera_pose': 'parameters',
    'occupancy.camera_z_m': POSE.z_m,
    'occupancy.camera_pitch_rad': POSE.pitch_rad,
    'occupancy.resolution_m': GRID.resolution_m,
    'occupancy.x_max_m': GRID.x_max_m,
    'occupancy.y_min_m': GRID.y_min_m,
    'occupancy.y_max_m': GRID.y_max_m,
    'occupancy.min_confidence': 0.01,
    'occupancy.max_age_s': 30.0,
}
MODEL = CameraModel(*IMAGE_HW, (FOCAL_PX, FOCAL_PX), (79.5, 47.5))


@pytest.fixture(scope='module')
def config(tiny_model) -> OccupancyConfig:
    names = load_model_file(tiny_model).metadata.label_space.class_names
    return OccupancyConfig(names, GRID, min_confidence=0.01)


@pytest.fixture(scope='module')
def camera(start_node):
    node = start_node(PARAMETERS, namespace='/ground', remappings={'image': IMAGE})
    camera = GroundCamera(NODE, IMAGE)
    node.wait_active()
    camera.wait_matched()
    for product in ('costmap', 'occupancy/road', 'occupancy/car'):
        camera.subscribe_ground(product, GRID_TYPE)
    yield camera
    camera.close()


def read_image(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def send_with_confidence(camera, product):
    """Return the mask, the confidence and a ground product of one more image."""
    image = camera.make_image(*IMAGE_HW)
    mask, found = camera.send_both(image, product)
    confidence = camera.spin_until(lambda: camera.find('confidence', image.header), 'confidence')
    return read_image(mask), read_image(confidence), found


def test_without_camera_info_the_mask_comes_and_the_want_is_named(camera):
    camera.send(camera.make_image(*IMAGE_HW))
    status = camera.read_ground()
    assert 'no camera_info on /ground/camera/camera_info yet' in status['message']
    assert status['level'] == DiagnosticStatus.WARN
    assert int(status['trouble camera_info']) >= 1
    assert not camera.received['costmap']


def test_a_calibration_that_cannot_be_used_is_named(camera):
    camera.send_info(focal_px=0.0)
    camera.send(camera.make_image(*IMAGE_HW))
    status = camera.read_ground()
    assert '/ground/camera/camera_info: focal length' in status['message']
    camera.send_info()


def test_grids_are_those_of_the_mask_and_its_confidence(camera, config):
    camera.send_info()
    mask, confidence, cost = send_with_confidence(camera, 'costmap')
    occupancy = Occupancy(config)
    occupancy.set_camera(MODEL, POSE)
    expected = occupancy.update(mask, confidence, 0)
    np.testing.assert_array_equal(view_cells(cost), expected.cost)
    assert (view_cells(cost) >= 0).any()
    for index, name in enumerate(config.grid_classes):
        if name in ('road', 'car'):
            grid = camera.spin_until(
                lambda name=name: camera.find_stamp(f'occupancy/{name}', cost.header), name
            )
            np.testing.assert_array_equal(view_cells(grid), expected.planes[index])
    assert cost.header.frame_id == 'base_link'
    position = cost.info.origin.position
    assert (position.x, position.y) == (GRID.x_min_m, GRID.y_min_m)
    status = camera.read_ground()
    assert int(status['frames mapped']) >= 1
    assert float(status['ground p50 (ms)']) > 0.0


def test_a_late_latched_subscriber_gets_the_last_costmap(camera):
    image = camera.make_image(*IMAGE_HW)
    camera.send_both(image, 'costmap')
    late = GroundCamera(NODE, IMAGE)
    late.subscribe_ground('costmap', GRID_TYPE, latched=True)
    found = late.spin_until(lambda: late.find_stamp('costmap', image.header), 'latched costmap')
    late.close()
    assert found.info.width == GRID.columns


def test_points_have_the_size_and_stamp_of_the_mask_and_lie_on_the_ground(camera, config):
    subscription = camera.subscribe_ground('points', CLOUD_TYPE)
    mask, _, cloud = send_with_confidence(camera, 'points')
    camera.unsubscribe(subscription)
    occupancy = Occupancy(config, with_clouds=True)
    occupancy.set_camera(MODEL, POSE)
    np.testing.assert_array_equal(view_points(cloud), occupancy.clouds.place_on_ground(mask))
    assert cloud.header.frame_id == 'base_link'
    assert not cloud.is_dense


def test_obstacle_points_are_the_contacts_of_the_grid(camera, config):
    subscription = camera.subscribe_ground('obstacle_points', CLOUD_TYPE)
    mask, confidence, cloud = send_with_confidence(camera, 'obstacle_points')
    camera.unsubscribe(subscription)
    occupancy = Occupancy(config)
    occupancy.set_camera(MODEL, POSE)
    occupancy.update(mask, confidence, 0)
    expected = CloudMaker(config, occupancy.grid.view).list_contacts(occupancy.grid, 0.5)
    points = np.frombuffer(cloud.data, OBSTACLE_TYPE)
    np.testing.assert_array_equal(points, expected)
    assert (points['z'] == np.float32(0.5)).all()


def test_coverage_is_the_share_of_the_mask(camera, config):
    subscription = camera.subscribe_ground('class_coverage', COVERAGE_TYPE)
    mask, _, message = send_with_confidence(camera, 'class_coverage')
    camera.unsubscribe(subscription)
    shares = {s.name: {v.key: float(v.value) for v in s.values} for s in message.status}
    for class_id, name in enumerate(config.class_names):
        assert shares[name]['image_share'] == pytest.approx((mask == class_id).mean(), abs=1e-4)
    corridor = sum(share['corridor_share'] for share in shares.values())
    assert corridor == pytest.approx(1.0, abs=2e-3)


def test_a_camera_that_is_another_size_than_its_calibration_says_so_and_recovers(camera):
    camera.send(camera.make_image(96, 96))
    status = camera.read_ground()
    assert 'camera_info' in status['message'] and status['level'] == DiagnosticStatus.WARN
    camera.send_both(camera.make_image(*IMAGE_HW), 'costmap')
    assert camera.read_ground()['message'] != status['message']


def test_nothing_is_computed_when_nobody_listens(start_node):
    node = start_node(
        PARAMETERS, namespace='/quiet', remappings={'image': '/quiet/camera/image_raw'}
    )
    camera = GroundCamera('/quiet/segnext', '/quiet/camera/image_raw')
    node.wait_active()
    camera.wait_matched()
    camera.send_info()
    camera.send(camera.make_image(*IMAGE_HW))
    status = camera.read_ground()
    camera.close()
    assert status['frames mapped'] == '0'
    assert status['level'] == DiagnosticStatus.OK
    assert status['message'].startswith('nothing computed yet: nobody listens')
