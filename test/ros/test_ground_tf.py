# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera pose and ego motion from tf: at the image's stamp, missing, jumping, no numbers.

tf2_ros has no wheel: tf2_stand_in/ takes its place.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from ground_camera import CLOUD_TYPE, FOCAL_PX, GRID_TYPE, IMAGE_HW, GroundCamera, view_points

from seg_perception.perception.camera_pose import CameraPose

NODE = '/tf/segnext'
IMAGE = '/tf/camera/image_raw'
CAMERA_FRAME = 'camera_optical_frame'
PARAMETERS = {
    'occupancy.enabled': True,
    'occupancy.fusion': True,
    'occupancy.ego_motion': 'tf',
    'occupancy.max_age_s': 60.0,  # so that a pause is no trouble, which would hide the one before
}


@pytest.fixture(scope='module')
def camera(start_node):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(Path(__file__).parent / 'tf2_stand_in'), prepend=':')
        node = start_node(PARAMETERS, namespace='/tf', remappings={'image': IMAGE})
        camera = GroundCamera(NODE, IMAGE)
        node.wait_active()
    camera.transforms = camera._node.create_publisher(TransformStamped, '/tf_stand_in', 100)
    camera.wait_matched()
    camera.wait_matched(camera.transforms)
    camera.subscribe_ground('costmap', GRID_TYPE)
    camera.subscribe_ground('points', CLOUD_TYPE)
    camera.send_info()
    yield camera
    camera.close()


def send_transform(camera, target, source, matrix, stamp=None):
    message = TransformStamped(child_frame_id=source)
    message.header.frame_id = target
    if stamp is not None:
        message.header.stamp = stamp
    shift, turn = message.transform.translation, message.transform.rotation
    shift.x, shift.y, shift.z = matrix[:3, 3].tolist()
    turn.w = 0.5 * math.sqrt(max(0.0, 1.0 + np.trace(matrix[:3, :3])))
    turn.x = (matrix[2, 1] - matrix[1, 2]) / (4 * turn.w)
    turn.y = (matrix[0, 2] - matrix[2, 0]) / (4 * turn.w)
    turn.z = (matrix[1, 0] - matrix[0, 1]) / (4 * turn.w)
    camera.transforms.publish(message)
    camera.spin_for(0.15)
    return message


def send_pose(camera, pose, stamp=None):
    return send_transform(camera, 'base_link', CAMERA_FRAME, pose.to_matrix(), stamp)


def find_height_m(cloud, pitch_rad):
    """Return the height of a camera above the ground on which the points of its cloud lie."""
    points = view_points(cloud)
    row, column = np.argwhere(np.isfinite(points[:, :, 0]))[-1]
    ray = [(column - 79.5) / FOCAL_PX, (row - 47.5) / FOCAL_PX, 1.0]
    ray = CameraPose(pitch_rad=pitch_rad).to_matrix()[:3, :3] @ ray
    return -ray[2] * points[row, column, 0] / ray[0]


def test_frames_that_tf_does_not_know_are_named(camera):
    camera.send(camera.make_image(*IMAGE_HW))
    status = camera.read_ground()
    expected = f'tf has no base_link from {CAMERA_FRAME} at the image: "base_link" passed to'
    assert status['message'].startswith(expected)
    assert int(status['trouble camera pose']) >= 1


def test_the_pose_is_that_of_the_stamp_and_a_wanting_ego_motion_stops_only_the_grids(camera):
    image = camera.make_image(*IMAGE_HW)
    other = camera.make_image(*IMAGE_HW)
    send_pose(camera, CameraPose(z_m=9.0, pitch_rad=0.2), other.header.stamp)
    send_pose(camera, CameraPose(z_m=1.25, pitch_rad=0.2), image.header.stamp)
    _, cloud = camera.send_both(image, 'points')
    assert find_height_m(cloud, 0.2) == pytest.approx(1.25, abs=1e-4)
    assert camera.find_stamp('costmap', image.header) is None
    status = camera.read_ground()
    assert 'tf has no odom from base_link' in status['message']
    assert int(status['trouble odometry']) >= 1


def test_with_ego_motion_grids_come(camera):
    send_transform(camera, 'odom', 'base_link', np.eye(4))
    send_pose(camera, CameraPose(z_m=1.25, pitch_rad=0.2))
    _, cost = camera.send_both(camera.make_image(*IMAGE_HW), 'costmap')
    assert cost.header.frame_id == 'odom'
    assert camera.read_ground()['camera pose from'] == 'tf'


def test_a_pose_that_jumps_is_named_and_used(camera):
    image = camera.make_image(*IMAGE_HW)
    send_pose(camera, CameraPose(z_m=1.5, pitch_rad=0.2), image.header.stamp)
    camera.send_both(image, 'costmap')
    assert 'jumped by 0.25 m and 0.0 degrees' in camera.read_ground()['last trouble']


def test_a_frame_that_is_not_on_the_vehicle_is_named(camera):
    image = camera.make_image(*IMAGE_HW)
    image.header.frame_id = 'rear_optical_frame'
    camera.send(image)
    assert 'tf has no base_link from rear_optical_frame' in camera.read_ground()['message']


@pytest.mark.parametrize(
    ('pose', 'expected'),
    [
        (CameraPose(z_m=-0.5, pitch_rad=0.2), 'is -0.500 m above the ground'),
        (CameraPose(z_m=1.5, pitch_rad=-1.2), 'it looks at the sky'),
    ],
)
def test_cameras_that_see_no_ground_are_named(camera, pose, expected):
    image = camera.make_image(*IMAGE_HW)
    send_pose(camera, pose, image.header.stamp)
    camera.send(image)
    assert expected in camera.read_ground()['message']


def test_transforms_that_are_no_rotation_are_named(camera):
    image = camera.make_image(*IMAGE_HW)
    message = TransformStamped(child_frame_id=CAMERA_FRAME)
    message.header.frame_id, message.header.stamp = 'base_link', image.header.stamp
    message.transform.rotation.w = 0.0
    camera.transforms.publish(message)
    camera.spin_for(0.15)
    camera.send(image)
    assert 'holds no numbers or no rotation' in camera.read_ground()['message']
