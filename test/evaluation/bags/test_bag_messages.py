# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages built without ROS are those that the real rclpy reads."""

import numpy as np
import pytest

from seg_perception.evaluation.bags import bag_messages as messages

STAMP_NS = 1_700_000_123 * 10**9 + 456_789_012
STORE = messages.get_message_store()


def rotate(axis, angle_rad):
    """Return the (4, 4) rotation about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    return matrix


def read_with_rclpy(message, type_name):
    """Serialise with rosbags and read the bytes with the real deserialiser."""
    serialization = pytest.importorskip('rclpy.serialization')
    package, _, name = type_name.split('/')
    ros_type = getattr(pytest.importorskip(f'{package}.msg'), name)
    data = bytes(STORE.serialize_cdr(message, type_name))
    return serialization.deserialize_message(data, ros_type)


@pytest.mark.parametrize(
    ('encoding', 'dtype', 'channels'),
    [
        ('rgb8', np.uint8, 3),
        ('mono8', np.uint8, 1),
        ('32SC1', np.int32, 1),
        ('32FC1', np.float32, 1),
    ],
)
def test_rclpy_reads_image_by_value(encoding, dtype, channels):
    shape = (5, 7, 3) if channels == 3 else (5, 7)
    pixels = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    image = read_with_rclpy(
        messages.make_image(pixels, encoding, STAMP_NS, 'camera_optical_frame'),
        'sensor_msgs/msg/Image',
    )
    assert (image.height, image.width, image.encoding) == (5, 7, encoding)
    assert image.step == 7 * channels * np.dtype(dtype).itemsize
    assert image.header.frame_id == 'camera_optical_frame'
    assert messages.stamp_to_ns(image.header.stamp) == STAMP_NS
    assert np.array_equal(np.frombuffer(image.data, dtype).reshape(shape), pixels)


def test_image_of_strided_pixels_has_no_padding():
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)[:, ::2]
    image = messages.make_image(pixels, 'mono8', STAMP_NS, 'c')
    assert image.step == 5
    assert np.array_equal(image.data.reshape(6, 5), pixels)


def test_image_refuses_pixels_of_another_encoding():
    with pytest.raises(ValueError, match='mono8 needs uint8 pixels of 1 channels, got int64'):
        messages.make_image(np.zeros((2, 2), np.int64), 'mono8', STAMP_NS, 'c')


def test_rclpy_reads_camera_info():
    k = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    info = read_with_rclpy(
        messages.make_camera_info((480, 640), k, STAMP_NS, 'c'), 'sensor_msgs/msg/CameraInfo'
    )
    assert (info.height, info.width, info.distortion_model) == (480, 640, 'plumb_bob')
    assert np.array_equal(info.k.reshape(3, 3), k)
    assert np.array_equal(info.p.reshape(3, 4), np.c_[k, np.zeros(3)])
    assert np.array_equal(info.r.reshape(3, 3), np.eye(3))


def test_rclpy_reads_odometry():
    pose = rotate((0, 0, 1), 0.5)
    pose[:3, 3] = (1.0, -2.0, 0.5)
    odometry = read_with_rclpy(
        messages.make_odometry(pose, 8.5, 0.1, STAMP_NS), 'nav_msgs/msg/Odometry'
    )
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('odom', 'base_link')
    position, orientation = odometry.pose.pose.position, odometry.pose.pose.orientation
    assert (position.x, position.y, position.z) == (1.0, -2.0, 0.5)
    assert np.allclose([orientation.z, orientation.w], [np.sin(0.25), np.cos(0.25)])
    assert (odometry.twist.twist.linear.x, odometry.twist.twist.angular.z) == (8.5, 0.1)


def test_rclpy_reads_occupancy_grid():
    cells = np.array([[0, 1, -1], [10, -1, 18]], dtype=np.int8)
    grid = read_with_rclpy(
        messages.make_occupancy_grid(cells, 0.25, (-3.0, 4.0), STAMP_NS, 'base_link'),
        'nav_msgs/msg/OccupancyGrid',
    )
    assert (grid.info.height, grid.info.width, grid.info.resolution) == (2, 3, 0.25)
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (-3.0, 4.0)
    assert np.array_equal(np.array(grid.data, np.int8).reshape(2, 3), cells)


def test_rclpy_reads_compressed_image():
    image = read_with_rclpy(
        messages.make_compressed_image(b'\xff\xd8bytes', 'jpeg', STAMP_NS, 'c'),
        'sensor_msgs/msg/CompressedImage',
    )
    assert image.format == 'bgr8; jpeg compressed bgr8'
    assert bytes(image.data) == b'\xff\xd8bytes'


@pytest.mark.parametrize('axis', [(0, 0, 1), (1, 0, 0), (0, 1, 0), (1, -2, 3), (-1, 1, 1)])
@pytest.mark.parametrize('angle_rad', [0.0, 0.3, 1.6, 3.0, np.pi])
def test_quaternion_is_half_angle_about_axis(axis, angle_rad):
    x, y, z, w = messages.compute_quaternion(rotate(axis, angle_rad)[:3, :3])
    expected = np.r_[
        np.sin(angle_rad / 2) * np.asarray(axis) / np.linalg.norm(axis), np.cos(angle_rad / 2)
    ]
    # q and -q are the same rotation; at pi the sign of w is not determined
    assert min(np.abs(np.array([x, y, z, w]) - s * expected).max() for s in (1, -1)) < 1e-7


def test_transform_takes_child_to_parent():
    matrix = rotate((1, 2, 3), 1.0)
    matrix[:3, 3] = (1.0, 2.0, 3.0)
    message = messages.make_transforms(matrix, STAMP_NS, 'base_link', 'camera_optical_frame')
    data = STORE.serialize_cdr(message, 'tf2_msgs/msg/TFMessage')
    transform = STORE.deserialize_cdr(data, 'tf2_msgs/msg/TFMessage').transforms[0]
    assert transform.header.frame_id == 'base_link'
    assert transform.child_frame_id == 'camera_optical_frame'
    translation = transform.transform.translation
    assert (translation.x, translation.y, translation.z) == (1.0, 2.0, 3.0)
