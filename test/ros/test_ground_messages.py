# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages of the ground hold what consumers read, and take no memory from frame to frame."""

import math
import tracemalloc

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2, PointField

from seg_perception.perception.ahead import Ahead
from seg_perception.perception.clouds import OBSTACLE_TYPE
from seg_perception.ros.ground_messages import (
    OutgoingCoverage,
    OutgoingGrid,
    make_obstacle_cloud,
    make_point_cloud,
)

STAMP_NS = 1_700_000_000_123_456_789


def test_grid_has_rows_along_y_and_its_corner_as_origin():
    cells = np.arange(-1, 11, dtype=np.int8).reshape(3, 4)
    message = OutgoingGrid(3, 4, 0.25, 'base_link').fill(cells, (-1.0, 2.0), STAMP_NS)
    message = deserialize_message(serialize_message(message), type(message))
    assert (message.info.height, message.info.width) == (3, 4)
    assert message.info.resolution == pytest.approx(0.25)
    origin = message.info.origin
    assert (origin.position.x, origin.position.y, origin.orientation.w) == (-1.0, 2.0, 1.0)
    assert list(message.data) == cells.ravel().tolist()
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1700000000, 123456789)
    assert message.header.frame_id == 'base_link'


def test_organised_cloud_has_the_size_of_the_mask_and_reads_back():
    points = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    points[0, 1] = np.nan
    message = make_point_cloud('base_link').fill(points, (2, 4), False, STAMP_NS)
    message = deserialize_message(serialize_message(message), PointCloud2)
    assert (message.height, message.width, message.point_step, message.row_step) == (2, 4, 12, 48)
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [
        ('x', 0, PointField.FLOAT32), ('y', 4, PointField.FLOAT32), ('z', 8, PointField.FLOAT32)
    ]  # fmt: skip
    assert not message.is_dense
    np.testing.assert_array_equal(np.frombuffer(message.data, np.float32), points.ravel())


def test_obstacle_cloud_carries_class_and_confidence():
    obstacles = np.array([(1, 2, 0.5, 13, 0.75), (4, 5, 0.5, 11, 1)], OBSTACLE_TYPE)
    message = make_obstacle_cloud('base_link').fill(obstacles, (1, 2), True, STAMP_NS)
    assert [field.name for field in message.fields] == list(OBSTACLE_TYPE.names)
    assert message.fields[3].datatype == PointField.UINT32
    assert np.frombuffer(message.data, OBSTACLE_TYPE).tolist() == obstacles.tolist()


def test_cloud_may_grow_shrink_and_be_empty():
    cloud = make_obstacle_cloud('base_link')
    for count in (3, 0, 5, 2):
        message = cloud.fill(np.zeros(count, OBSTACLE_TYPE), (1, count), True, STAMP_NS)
        assert (message.width, len(message.data)) == (count, 20 * count)


def test_a_cloud_of_the_same_size_takes_no_memory():
    cloud = make_point_cloud('base_link')
    points = np.ones((256, 512, 3), np.float32)
    cloud.fill(points, (256, 512), False, STAMP_NS)
    tracemalloc.start()
    cloud.fill(points, (256, 512), False, STAMP_NS)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20_000 < points.nbytes


def test_coverage_names_each_class_and_what_is_unknown():
    ahead = Ahead(
        np.array([0.5, 0.25], np.float32),
        np.array([0.75, 0.0], np.float32),
        np.array([math.inf, 12.5], np.float32),
        np.array([0.125], np.float32),
    )
    message = OutgoingCoverage(('road', 'car'), 'base_link').fill(ahead, STAMP_NS)
    values = {s.name: {v.key: v.value for v in s.values} for s in message.status}
    assert values == {
        'road': {'image_share': '0.5000', 'corridor_share': '0.7500', 'obstacle_m': 'inf'},
        'car': {'image_share': '0.2500', 'corridor_share': '0.0000', 'obstacle_m': '12.5000'},
        'unknown': {'corridor_share': '0.1250'},
    }
