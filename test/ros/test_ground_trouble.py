# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Odometry, depth and silence: what is wrong is named, and nothing stale is left standing."""

from __future__ import annotations

import array
import copy
import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ground_camera import (
    CLOUD_TYPE,
    FOCAL_PX,
    GRID_TYPE,
    IMAGE_HW,
    GroundCamera,
    view_cells,
    view_points,
)
from sensor_msgs.msg import Image, Imu

from seg_perception.errors import UserError
from seg_perception.ros.ground_trouble import KINDS, ODOMETRY, GroundStatistics
from seg_perception.ros.node_process import NodeProcess
from seg_perception.sample.drive import SampleDrive

NODE = '/trouble/segnext'
IMAGE = '/trouble/camera/image_raw'
MAX_AGE_S = 1.0
PITCH_RAD = 0.052  # of the sample drive's camera
PARAMETERS = {
    'model.path': 'segnext_t_street',
    'input.height': 128,
    'input.width': 256,
    'occupancy.enabled': True,
    'occupancy.camera_pose': 'parameters',
    'occupancy.camera_pitch_rad': PITCH_RAD,
    'occupancy.resolution_m': 0.2,
    'occupancy.x_max_m': 20.0,
    'occupancy.y_min_m': -5.0,
    'occupancy.y_max_m': 5.0,
    'occupancy.max_age_s': MAX_AGE_S,
    'occupancy.fusion': True,
    'occupancy.fusion_size_m': 50.0,
    'occupancy.points_from': 'depth',
}
DEPTH_MM = 7000


@pytest.fixture(scope='module')
def camera(start_node):
    node = start_node(PARAMETERS, namespace='/trouble', remappings={'image': IMAGE})
    camera = GroundCamera(NODE, IMAGE)
    camera.read_log = node.read_log
    node.wait_active()
    camera.wait_matched()
    camera.subscribe_ground('costmap', GRID_TYPE)
    camera.send_info()
    yield camera
    camera.close()


@pytest.fixture(scope='module')
def street() -> np.ndarray:
    """Return a rendered street: fused cells need a network that is sure of what it sees."""
    return SampleDrive(9, 100, *IMAGE_HW).render(0).image


def make_street_image(camera, street):
    image = camera.make_image(*IMAGE_HW)
    image.data[:] = array.array('B', street.tobytes())
    return image


def send_odometry(camera, message):
    camera.odometry.publish(message)
    camera.spin_for(0.15)


def test_without_odometry_the_mask_comes_and_the_want_is_named(camera):
    camera.send_twice(camera.make_image(*IMAGE_HW))
    status = camera.read_ground()
    assert status['message'].startswith('there is no odometry yet (topic /trouble/odom)')
    assert status['level'] == DiagnosticStatus.WARN


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'child_frame_id': 'trailer'}, "odometry is that of 'trailer'"),
        ({'frame_id': 'map'}, "odometry is in 'map', expected odom_frame 'odom'"),
        ({'w': 0.0}, 'expected numbers'),
    ],
)
def test_odometry_that_cannot_be_used_is_named(camera, changes, expected):
    image = camera.make_image(*IMAGE_HW)
    send_odometry(camera, camera.make_odometry(image.header.stamp, 0.0, **changes))
    assert expected in camera.read_ground()['message']


def test_fused_grids_are_in_the_odometry_frame_and_move_with_the_vehicle(camera, street):
    origins = []
    for x_m in (0.0, 3.0):
        image = make_street_image(camera, street)
        send_odometry(camera, camera.make_odometry(image.header.stamp, x_m))
        _, cost = camera.send_both(image, 'costmap')
        origins.append(cost.info.origin.position.x)
    assert (cost.info.width, cost.info.height) == (250, 250)
    assert cost.header.frame_id == 'odom'
    assert (view_cells(cost) >= 0).any()
    assert origins[1] - origins[0] == pytest.approx(3.0, abs=0.2)
    assert camera.read_ground()['trouble internal'] == '0'


def test_grids_go_unknown_once_after_max_age_and_come_back(camera, street):
    image = make_street_image(camera, street)
    send_odometry(camera, camera.make_odometry(image.header.stamp, 3.0))
    _, last = camera.send_both(image, 'costmap')
    last = copy.deepcopy(last)
    count = len(camera.received['costmap'])
    unknown = camera.spin_until(lambda: camera.received['costmap'][count:], 'an unknown costmap')
    assert (view_cells(unknown[0]) == -1).all()
    age_s = unknown[0].header.stamp.sec - last.header.stamp.sec
    age_s += (unknown[0].header.stamp.nanosec - last.header.stamp.nanosec) * 1e-9
    assert MAX_AGE_S <= age_s < MAX_AGE_S + 1.0
    status = camera.read_ground()
    assert status['level'] == DiagnosticStatus.ERROR
    assert 'all cells are unknown' in status['message']
    camera.spin_for(1.5 * MAX_AGE_S)
    assert len(camera.received['costmap']) == count + 1
    image = make_street_image(camera, street)
    send_odometry(camera, camera.make_odometry(image.header.stamp, 3.2))
    _, cost = camera.send_both(image, 'costmap')
    assert (view_cells(cost) >= 0).any()
    assert camera.read_ground()['level'] != DiagnosticStatus.ERROR


def test_a_clock_that_goes_back_is_named_and_the_map_begins_anew(camera, street):
    before = int(camera.read_ground()['trouble clock'])
    image = make_street_image(camera, street)
    image.header.stamp.sec -= 500
    send_odometry(camera, camera.make_odometry(image.header.stamp, 0.0))
    _, cost = camera.send_both(image, 'costmap')
    assert (view_cells(cost) >= 0).any()
    status = camera.read_ground()
    assert int(status['trouble clock']) > before
    # in the log, since that no image follows is the next trouble, after MAX_AGE_S
    assert 'went back by' in camera.read_log()


def make_depth(image, height_px=IMAGE_HW[0], width_px=IMAGE_HW[1], encoding='16UC1'):
    depth = np.full((height_px, width_px), DEPTH_MM, np.uint16)
    if encoding == '32FC1':
        depth = depth.astype(np.float32) * np.float32(1e-3)
    message = Image(height=height_px, width=width_px, encoding=encoding)
    message.header = image.header
    message.step = width_px * depth.itemsize
    message.data.frombytes(depth.tobytes())
    return message


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_points_come_from_the_depth_image_of_the_stamp(camera, encoding):
    subscription = camera.subscribe_ground('points', CLOUD_TYPE)
    image = camera.make_image(*IMAGE_HW)
    camera.depth.publish(make_depth(image, encoding=encoding))
    camera.spin_for(0.2)
    _, cloud = camera.send_both(image, 'points')
    camera.unsubscribe(subscription)
    points = view_points(cloud)
    assert points.shape == (*IMAGE_HW, 3)
    # Closed form: the point of pixel (u, v) at depth d, turned down by the pitch, 1.5 m up.
    depth_m, down = DEPTH_MM * 1e-3, (80 - 47.5) / FOCAL_PX
    expected = [
        depth_m * (np.cos(PITCH_RAD) - down * np.sin(PITCH_RAD)),
        -depth_m * (100 - 79.5) / FOCAL_PX,
        1.5 - depth_m * (np.sin(PITCH_RAD) + down * np.cos(PITCH_RAD)),
    ]
    np.testing.assert_allclose(points[80, 100], expected, atol=1e-4)


def test_a_depth_image_of_another_size_is_named_and_masks_go_on(camera):
    subscription = camera.subscribe_ground('points', CLOUD_TYPE)
    image = camera.make_image(*IMAGE_HW)
    camera.depth.publish(make_depth(image, 48, 80))
    camera.spin_for(0.2)
    camera.send_twice(image)
    status = camera.read_ground()
    camera.unsubscribe(subscription)
    assert 'of the size of the mask' in status['message']
    assert int(status['trouble depth']) >= 1
    assert camera.find_stamp('points', image.header) is None


def test_grids_that_nobody_wants_any_more_do_not_expire(start_node, street):
    parameters = {**PARAMETERS, 'occupancy.fusion': False, 'occupancy.points_from': 'ground'}
    node = start_node(parameters, namespace='/clouds', remappings={'image': IMAGE})
    camera = GroundCamera('/clouds/segnext', IMAGE)
    node.wait_active()
    camera.wait_matched()
    costmap = camera.subscribe_ground('costmap', GRID_TYPE)
    camera.subscribe_ground('obstacle_points', CLOUD_TYPE)
    camera.send_info()
    camera.send_both(make_street_image(camera, street), 'costmap')
    camera.unsubscribe(costmap)
    camera.spin_for(1.5 * MAX_AGE_S)
    camera.send_both(make_street_image(camera, street), 'obstacle_points')
    status = camera.read_ground()
    assert status['level'] == DiagnosticStatus.OK, status['message']
    camera.close()


def make_imu(image, pitch_rad, covariance=0.0):
    message = Imu()
    message.header.stamp = image.header.stamp
    message.orientation.y, message.orientation.w = math.sin(pitch_rad / 2), math.cos(pitch_rad / 2)
    message.orientation_covariance[0] = covariance
    return message


def test_an_imu_tilts_the_ground_and_what_is_wrong_with_it_is_named(start_node):
    parameters = PARAMETERS | {
        'occupancy.fusion': False,
        'occupancy.points_from': 'ground',
        'occupancy.tilt_from': 'imu',
        'occupancy.camera_pitch_rad': 0.1,
    }
    start_node(parameters, namespace='/tilt', remappings={'image': '/tilt/camera/image_raw'})
    camera = GroundCamera('/tilt/segnext', '/tilt/camera/image_raw')
    imu = camera._node.create_publisher(Imu, '/tilt/imu', 10)
    camera.spin_until(lambda: camera.raw.get_subscription_count(), 'the node')
    camera.wait_matched(imu)
    camera.subscribe_ground('points', CLOUD_TYPE)
    camera.send_info()
    image = camera.make_image(*IMAGE_HW)
    camera.send(image)
    assert camera.read_ground()['message'] == 'there is no IMU yet (topic /tilt/imu)'
    imu.publish(make_imu(image, 0.1, covariance=-1.0))
    camera.spin_for(0.2)
    assert 'IMU is (nan, nan, 0.0)' in camera.read_ground()['message']
    imu.publish(make_imu(image, 0.2))
    camera.spin_for(0.2)
    image.data[:] = array.array('B', SampleDrive(9, 100, *IMAGE_HW).render(0).image.tobytes())
    _, cloud = camera.send_both(image, 'points')
    camera.close()
    points = view_points(cloud)
    row, column = np.argwhere(np.isfinite(points[:, :, 0]))[-1]
    # Mounting and tilt add up to 0.3 rad, to the step of 0.1 degrees; the mast leans ahead.
    angle_rad = 0.3 + math.atan((row - 47.5) / FOCAL_PX)
    expected_m = 1.5 * math.sin(0.2) + 1.5 * math.cos(0.2) / math.tan(angle_rad)
    assert points[row, column, 0] == pytest.approx(expected_m, rel=0.01)


def test_settings_that_cannot_be_used_keep_the_node_unconfigured_with_the_reason(tiny_model):
    parameters = {'model.path': str(tiny_model), 'occupancy.classes': ['lorry']}
    expected = 'grid_classes has lorry, but the model has only'
    with (
        NodeProcess(parameters, namespace='/unusable') as node,
        pytest.raises(UserError, match=expected),
    ):
        node.wait_active()


def test_troubles_are_counted_by_kind_until_they_end():
    logged = []
    statistics = GroundStatistics(lambda kind, text: logged.append((kind, text)), lambda: 5.0)
    statistics.count_trouble(ODOMETRY, 'a gap')
    snapshot = statistics.take_snapshot()
    assert snapshot.troubles == dict.fromkeys(KINDS, 0) | {ODOMETRY: 1}
    assert snapshot.current == {ODOMETRY: 'a gap'}
    assert logged == [(ODOMETRY, 'ground occupancy: a gap')]
    statistics.end_trouble(ODOMETRY)
    statistics.count_frame(4.0)
    snapshot = statistics.take_snapshot()
    assert (snapshot.current, snapshot.troubles[ODOMETRY], snapshot.frames) == ({}, 1, 1)
    assert snapshot.ground_p50_ms == 4.0
