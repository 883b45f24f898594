# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the ground products need besides the image is read as the message standards say."""

import math

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, Vector3
from sensor_msgs.msg import CameraInfo, Image

from seg_perception.perception.camera_model import CameraModelError
from seg_perception.perception.camera_pose import CameraPose, make_transform_matrix
from seg_perception.ros.ground_inputs import (
    build_model,
    compare_poses,
    describe_camera_info,
    name_camera_info_topic,
    read_depth,
)
from seg_perception.ros.ground_trouble import GroundError


def make_info(**changes):
    info = CameraInfo(height=480, width=640, distortion_model='plumb_bob')
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [480.0, 0.0, 310.0, 0.0, 0.0, 490.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize(
    ('image_topic', 'expected'),
    [
        ('/front/camera/image_raw', '/front/camera/camera_info'),
        ('/camera/image_rect/compressed', '/camera/camera_info'),
        ('/image', '/camera_info'),
    ],
)
def test_camera_info_is_the_sibling_of_the_image_topic(image_topic, expected):
    assert name_camera_info_topic(image_topic) == expected


def test_raw_images_take_k_and_d_and_rectified_ones_p():
    raw = build_model(make_info(), (480, 640), rectified=False)
    assert (raw.focal_px, raw.center_px) == ((500.0, 510.0), (320.0, 240.0))
    rectified = build_model(make_info(), (480, 640), rectified=True)
    assert (rectified.focal_px, rectified.center_px) == ((480.0, 490.0), (310.0, 230.0))


def test_a_smaller_image_is_a_scaled_one():
    model = build_model(make_info(), (240, 320), rectified=True)
    assert model.focal_px == pytest.approx((240.0, 245.0))
    # Pixel centers are at whole numbers: halving moves them by a quarter of a pixel.
    assert model.center_px == pytest.approx((154.75, 114.75))


def test_a_region_of_interest_is_a_cut():
    info = make_info()
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 320, 240
    model = build_model(info, (240, 320), rectified=False)
    assert (model.focal_px, model.center_px) == ((500.0, 510.0), (220.0, 200.0))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'k': [0.0] * 9}, 'focal'),
        ({'k': [math.nan] * 9}, 'nan'),
        ({'distortion_model': 'odd'}, "'odd'"),
    ],
)
def test_calibrations_that_cannot_be_used_are_named(changes, expected):
    with pytest.raises(CameraModelError, match=expected):
        build_model(make_info(**changes), (480, 640), rectified=False)


def test_any_change_of_the_calibration_is_seen_and_a_new_stamp_is_none():
    same = make_info()
    same.header.stamp.sec = 5
    assert describe_camera_info(same) == describe_camera_info(make_info())
    changed = make_info()
    changed.k[0] = 501.0
    assert describe_camera_info(changed) != describe_camera_info(make_info())


@pytest.mark.parametrize(('encoding', 'code'), [('16UC1', 'u2'), ('32FC1', 'f4')])
@pytest.mark.parametrize('order', ['<', '>'])
def test_depth_is_read_in_both_byte_orders_and_with_padded_rows(encoding, code, order):
    depth = np.arange(12).reshape(3, 4).astype(order + code)
    rows = np.zeros((3, depth.itemsize * 4 + 6), np.uint8)
    rows[:, : depth.itemsize * 4] = depth.view(np.uint8)
    message = Image(height=3, width=4, encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(order == '>')
    message.data.frombytes(rows.tobytes())
    found = read_depth(message)
    assert found.dtype == np.dtype(code)
    np.testing.assert_array_equal(found, depth)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [({'encoding': 'mono8'}, "'mono8', expected 16UC1"), ({'height': 4}, 'has 24 bytes')],
)
def test_depth_that_cannot_be_read_is_named(changes, expected):
    message = Image(height=3, width=4, encoding='16UC1', step=8)
    message.data.frombytes(bytes(24))
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(GroundError, match=expected):
        read_depth(message)


def test_poses_differ_by_metres_and_radians():
    moved_m, turned_rad = compare_poses(
        CameraPose(yaw_rad=0.1), CameraPose(x_m=0.3, y_m=0.4, yaw_rad=0.35)
    )
    assert (moved_m, turned_rad) == pytest.approx((0.5, 0.25))


def test_a_transform_becomes_its_matrix_and_a_zero_quaternion_no_numbers():
    transform = Transform(
        translation=Vector3(x=1.0, y=2.0, z=3.0),
        rotation=Quaternion(z=math.sin(0.25), w=math.cos(0.25)),
    )
    matrix = make_transform_matrix(transform)
    assert matrix[:3, 3].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(
        matrix[:2, :2], [[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]]
    )
    assert np.isnan(make_transform_matrix(Transform(rotation=Quaternion(w=0.0)))).all()
