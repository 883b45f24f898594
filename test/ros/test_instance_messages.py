# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages of instances: ~/instances in the real type of vision_msgs over DDS, and clouds."""

from __future__ import annotations

import numpy as np
import pytest
from ground_camera import IMAGE_HW, GroundCamera
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from seg_perception.perception.labels import load_label_space
from seg_perception.perception.panoptic import Instances
from seg_perception.ros.instance_messages import INSTANCE_TYPE, InstanceCloud

# of the generators' parser
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning:lark')
SPACE = load_label_space('cityscapes')
CAR = 13


def make_instances(count):
    """Return so many cars."""
    return Instances(
        np.full(count, CAR, np.int32), np.arange(1, count + 1, dtype=np.int32),
        np.linspace(1, 0.5, count, dtype=np.float32), np.arange(count) + 100,
        np.tile(np.array([[1, 2, 30, 40]], np.int32), (count, 1)), np.zeros((count, 2)),
    )  # fmt: skip


@pytest.mark.parametrize('counts', [(0,), (3, 0, 3), (999,)])
def test_cloud_has_a_point_for_each_instance_however_many_there_were_before(counts):
    cloud = InstanceCloud('base_link')
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 12, 345_678_901
    for count in counts:
        ground_m = np.stack([np.arange(count) + 0.5, -np.arange(count)], -1)
        built = cloud.build(header, make_instances(count), ground_m)
        sent = deserialize_message(serialize_message(built), PointCloud2)
        assert (sent.height, sent.width, sent.point_step) == (1, count, INSTANCE_TYPE.itemsize)
        assert sent.header.stamp == header.stamp and sent.header.frame_id == 'base_link'
        points = np.frombuffer(bytes(sent.data), INSTANCE_TYPE)
        assert points['id'].tolist() == [13001 + index for index in range(count)]
        np.testing.assert_array_equal(points['x'], ground_m[:, 0].astype(np.float32))
        assert sent.is_dense
    fields = {field.name: field.offset for field in built.fields}
    assert fields == {name: offset for name, (_, offset) in INSTANCE_TYPE.fields.items()}


def test_a_cloud_without_ground_is_in_the_frame_of_the_image():
    message = InstanceCloud('').build(
        Header(frame_id='camera'), make_instances(2), np.full((2, 2), np.nan)
    )
    assert message.header.frame_id == 'camera' and not message.is_dense


@pytest.fixture(scope='module')
def camera(vision_msgs, start_node, tiny_panoptic_model):
    parameters = {
        'model.path': str(tiny_panoptic_model),
        'occupancy.enabled': True,
        'occupancy.camera_pose': 'parameters',
        'occupancy.camera_pitch_rad': 0.2,
    }
    node = start_node(parameters, namespace='/boxes')
    camera = GroundCamera('/boxes/segnext', '/boxes/image')
    node.wait_active()
    camera.wait_matched()
    camera.subscribe_ground('instances', vision_msgs.Detection2DArray)
    camera.subscribe_ground('panoptic', Image)
    yield camera
    camera.close()


def send(camera):
    """Return map, detections and image of one more image."""
    image = camera.make_image(*IMAGE_HW)
    camera.send(image)
    array = camera.spin_until(lambda: camera.find('instances', image.header), 'detections')
    message = camera.spin_until(lambda: camera.find('panoptic', image.header), 'the map')
    return np.frombuffer(message.data, np.int32).reshape(IMAGE_HW), array, image


def test_detections_are_the_instances_of_the_map(camera):
    panoptic, array, image = send(camera)
    assert array.header == image.header
    ids = np.unique(panoptic[(panoptic > 0) & (panoptic % 1000 > 0)])
    assert sorted(int(detection.id) for detection in array.detections) == ids.tolist()
    assert len(ids) > 3
    for detection in array.detections:
        rows, columns = np.nonzero(panoptic == int(detection.id))
        box = detection.bbox
        assert box.center.position.x == (columns.min() + columns.max()) / 2
        assert box.center.position.y == (rows.min() + rows.max()) / 2
        assert box.size_x == columns.max() + 1 - columns.min()
        assert box.size_y == rows.max() + 1 - rows.min()
        (result,) = detection.results
        assert result.hypothesis.class_id == SPACE.class_names[int(detection.id) // 1000]
        assert result.hypothesis.score > 0
        assert np.isnan(result.pose.pose.position.x)
        assert detection.header == image.header  # there was no calibration


def test_positions_are_in_the_frame_of_the_vehicle_where_they_are_known(camera):
    camera.send_info()
    _, array, image = send(camera)
    frames = set()
    for detection in array.detections:
        assert detection.header.stamp == image.header.stamp
        is_known = np.isfinite(detection.results[0].pose.pose.position.x)
        frames.add((detection.header.frame_id, bool(is_known)))
    assert ('base_link', True) in frames
    assert frames <= {('base_link', True), (image.header.frame_id, False)}
