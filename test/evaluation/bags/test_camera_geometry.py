# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Calibration and mounting of a recorded camera, found in the recording."""

import math

import numpy as np
import pytest

from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.camera_geometry import find_transform, read_recorded_camera
from seg_perception.evaluation.bags.recording import CameraBagConfig, write_camera_bag
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.evaluation.bags.sources import SourceFrame
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC
from seg_perception.sample.drive import SampleDrive


def move(x_m, yaw_rad):
    out = np.eye(4)
    out[:2, :2] = [
        [math.cos(yaw_rad), -math.sin(yaw_rad)], [math.sin(yaw_rad), math.cos(yaw_rad)]
    ]  # fmt: skip
    out[0, 3] = x_m
    return out


def test_transforms_are_chained_in_both_directions():
    transforms = {
        ('base', 'mast'): move(1.0, 0.5),
        ('camera', 'mast'): move(0.25, -0.2),
        ('base', 'lidar'): move(3.0, 0.0),
    }
    expected = move(1.0, 0.5) @ np.linalg.inv(move(0.25, -0.2))
    np.testing.assert_allclose(find_transform(transforms, 'base', 'camera'), expected)
    np.testing.assert_allclose(
        find_transform(transforms, 'camera', 'lidar'), np.linalg.inv(expected) @ move(3.0, 0.0)
    )
    assert find_transform(transforms, 'base', 'rear') is None


def test_the_camera_of_a_sample_drive_is_where_the_renderer_has_it(tmp_path):
    path = tmp_path / 'bag'
    write_sample_bag(path, SampleBagConfig(9, 1, 64, 128))
    with BagReader(path) as reader:
        camera = read_recorded_camera(reader, IMAGE_TOPIC)
    assert camera is not None and not camera.is_rectified
    np.testing.assert_allclose(
        camera.pose.to_matrix(), SampleDrive(9, 1, 64, 128).base_from_camera, atol=1e-9
    )
    assert camera.pose.pitch_rad == pytest.approx(math.radians(3.0))


def test_a_recording_without_calibration_has_no_camera(tmp_path):
    path = tmp_path / 'bag'
    picture = SourceFrame(0, np.zeros((8, 8, 3), np.uint8))
    write_camera_bag([picture], path, CameraBagConfig('test'))
    with BagReader(path) as reader:
        topic = next(topic.name for topic in reader.topics)
        assert read_recorded_camera(reader, topic) is None
