# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node with a panoptic model, over DDS: map, instances, overlay, several cameras."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from ground_camera import CLOUD_TYPE, FOCAL_PX, IMAGE_HW, GroundCamera
from sensor_msgs.msg import Image

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, GroundView
from seg_perception.perception.foot_points import find_foot_pixels
from seg_perception.perception.frame import FrameReader
from seg_perception.perception.overlay import draw_outlines, draw_overlay
from seg_perception.perception.tracks import TrackConfig
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.ros.instance_messages import INSTANCE_TYPE
from seg_perception.ros.node_process import NodeProcess

NODE = '/street/segnext'
IMAGE = '/street/camera/image_raw'
PARAMETERS = {
    'panoptic.required': True,
    'panoptic.instances_as': 'points',
    'occupancy.enabled': True,
    'occupancy.camera_pose': 'parameters',
    'occupancy.camera_pitch_rad': 0.2,
}
VIEW = GroundView(
    CameraModel(*IMAGE_HW, (FOCAL_PX, FOCAL_PX), (79.5, 47.5)), CameraPose(pitch_rad=0.2)
)


@pytest.fixture(scope='module')
def parameters(tiny_panoptic_model):
    return {**PARAMETERS, 'model.path': str(tiny_panoptic_model)}


@pytest.fixture(scope='module')
def camera(start_node, parameters):
    node = start_node(parameters, namespace='/street', remappings={'image': IMAGE})
    camera = GroundCamera(NODE, IMAGE)
    node.wait_active()
    camera.wait_matched()
    yield camera
    camera.close()


@pytest.fixture(scope='module')
def client(start_client):
    return start_client(NODE)


@pytest.fixture(scope='module')
def engine(tiny_panoptic_model):
    loaded = load_engine(EngineConfig(str(tiny_panoptic_model)))
    yield loaded
    loaded.close()


def listen(camera, *products):
    """Subscribe to products, whose messages are then in camera.received."""
    types = {'instances': CLOUD_TYPE}
    return [camera.subscribe_ground(name, types.get(name, Image)) for name in products]


def send(camera, product, image=None):
    """Return an image that was sent, and its product."""
    image = image or camera.make_image(*IMAGE_HW)
    camera.send(image)
    return image, camera.spin_until(lambda: camera.find_stamp(product, image.header), product)


def view_pixels(message, dtype=np.int32):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1).squeeze()


def test_nothing_is_computed_when_nobody_listens(camera):
    camera.send(camera.make_image(*IMAGE_HW))
    values = camera.read_diagnostics()
    assert int(values['frames used']) >= 1
    assert not any(name.startswith('panoptic') for name in values)


def test_map_and_mask_are_those_of_the_pipeline_with_the_header_of_the_image(camera, engine):
    subscriptions = listen(camera, 'panoptic')
    reference = SegmentationPipeline(engine, tracks=TrackConfig())
    for _ in range(3):  # with tracks
        image, message = send(camera, 'panoptic')
        assert message.header == image.header
        assert (message.height, message.width) == IMAGE_HW
        assert (message.encoding, message.step) == ('32SC1', 4 * IMAGE_HW[1])
        expected = reference.process(
            FrameReader().read_image(image), panoptic_out=np.empty(IMAGE_HW, np.int32)
        )
        np.testing.assert_array_equal(view_pixels(message), expected.panoptic)
        mask = view_pixels(camera.find('mask', image.header), np.uint8)
        np.testing.assert_array_equal(mask, expected.mask)
    assert len(expected.instances.score) > 3
    assert float(camera.read_diagnostics()['panoptic p50 (ms)']) > 0
    camera.unsubscribe(*subscriptions)


def test_instances_are_those_of_the_map_and_without_calibration_nowhere(camera):
    subscriptions = listen(camera, 'panoptic', 'instances')
    image, cloud = send(camera, 'instances')
    panoptic = view_pixels(camera.find('panoptic', image.header))
    points = np.frombuffer(cloud.data, INSTANCE_TYPE)
    ids = np.unique(panoptic[(panoptic > 0) & (panoptic % 1000 > 0)])
    assert sorted(points['id'].tolist()) == ids.tolist() and len(ids) > 3
    for point in points:
        rows, columns = np.nonzero(panoptic == point['id'])
        assert point['class_id'] == point['id'] // 1000
        assert point['area_px'] == len(rows)
        assert (point['top_px'], point['bottom_px']) == (rows.min(), rows.max() + 1)
        assert (point['left_px'], point['right_px']) == (columns.min(), columns.max() + 1)
    assert (np.diff(points['score']) <= 0).all()
    assert np.isnan(points['x']).all() and not cloud.is_dense
    assert cloud.header.frame_id == 'base_link'
    assert cloud.header.stamp == image.header.stamp
    assert 'no camera_info on' in camera.read_ground()['message']
    for subscription in subscriptions:
        camera.unsubscribe(subscription)


def test_with_calibration_instances_stand_on_the_ground(camera):
    subscriptions = listen(camera, 'panoptic', 'instances')
    camera.send_info()
    image, cloud = send(camera, 'instances')
    panoptic = view_pixels(camera.find('panoptic', image.header))
    points = np.frombuffer(cloud.data, INSTANCE_TYPE)
    for point in points:
        rows, columns = np.nonzero(panoptic == point['id'])
        foot = columns[rows == rows.max()].mean(), rows.max() + 0.5
        expected = VIEW.find_ground(np.array([foot]))[0]
        np.testing.assert_allclose([point['x'], point['y']], expected, rtol=1e-5)
    assert np.isfinite(points['x']).any() and (points['z'][np.isfinite(points['x'])] == 0).all()
    for subscription in subscriptions:
        camera.unsubscribe(subscription)


def test_overlay_has_outlines_that_can_be_switched_off(camera, client, engine):
    subscriptions = listen(camera, 'panoptic', 'overlay')
    image, overlay = send(camera, 'overlay')
    mask = view_pixels(camera.find('mask', image.header), np.uint8)
    expected = draw_overlay(
        view_pixels(image, np.uint8), 'rgb', mask, engine.metadata.label_space
    )
    plain = expected.copy()
    draw_outlines(expected, view_pixels(camera.find('panoptic', image.header)))
    assert (expected != plain).any()
    np.testing.assert_array_equal(view_pixels(overlay, np.uint8), expected)
    assert client.set_parameter('panoptic.outlines', False) == ''
    camera.stamp(image)
    _, overlay = send(camera, 'overlay', image)
    np.testing.assert_array_equal(view_pixels(overlay, np.uint8), plain)
    assert client.set_parameter('panoptic.outlines', True) == ''
    for subscription in subscriptions:
        camera.unsubscribe(subscription)


def test_each_camera_has_its_map_its_size_and_its_tracks(start_node, parameters, engine):
    rig = {'cameras': ['front', 'left'], 'front.output.scale': 0.5, 'occupancy.enabled': False}
    node = start_node({**parameters, **rig}, namespace='/pair')
    cameras = {
        name: GroundCamera('/pair/segnext', f'/pair/{name}/image', name)
        for name in ('front', 'left')
    }
    node.wait_active()
    for camera in cameras.values():
        camera.wait_matched()
        listen(camera, 'panoptic', 'instances')
    reference = SegmentationPipeline(engine, tracks=TrackConfig())
    for _ in range(2):
        for name, output_hw in (('front', (48, 80)), ('left', IMAGE_HW)):
            image, cloud = send(cameras[name], 'instances')
            panoptic = view_pixels(cameras[name].find('panoptic', image.header))
            expected = reference.process(
                FrameReader().read_image(image), np.empty(output_hw, np.uint8),
                panoptic_out=np.empty(output_hw, np.int32), camera=name)  # fmt: skip
            np.testing.assert_array_equal(panoptic, expected.panoptic)
            points = np.frombuffer(cloud.data, INSTANCE_TYPE)
            np.testing.assert_array_equal(points['area_px'], expected.instances.area_px)
            assert cloud.header == image.header  # nothing knows the ground
            assert find_foot_pixels(panoptic, expected.instances).shape == (len(points), 2)
    for camera in cameras.values():
        camera.close()


def test_masks_come_where_the_instances_are_broken(start_node, tiny_panoptic_model, tmp_path):
    model = onnx.load(tiny_panoptic_model)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ['sound' if name == 'center' else name for name in node.output]
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), 'zero')
    graph.initializer.append(zero)
    graph.node.append(onnx.helper.make_node('Div', ['sound', 'zero'], ['center']))
    path = tmp_path / 'broken.onnx'
    onnx.save(model, path)
    node = start_node(
        {**PARAMETERS, 'model.path': str(path)}, namespace='/broken', remappings={'image': IMAGE}
    )
    camera = GroundCamera('/broken/segnext', IMAGE)
    node.wait_active()
    camera.wait_matched()
    listen(camera, 'panoptic')
    for _ in range(3):
        send(camera, 'mask')
    status = camera.wait_status(lambda s: 'could not be published' in s.message, 'a warning')
    values = {value.key: value.value for value in status.values}
    assert int(values['frames used']) >= 2 and values['frames failed'] == '0'
    assert 'instances cannot be made' in values['last error']
    camera.close()


def test_a_semantic_model_is_refused_with_one_line(tiny_model):
    parameters = {'model.path': str(tiny_model), 'panoptic.required': True}
    with NodeProcess(parameters, namespace='/wrong') as node:
        with pytest.raises(UserError, match='could not be configured'):
            node.wait_active()
        lines = [line for line in node.read_log().splitlines() if 'cannot configure' in line]
    assert len(lines) == 1
    assert 'returns logits alone, but panoptic.required is set' in lines[0]
    assert str(tiny_model) in lines[0] and 'set model.path to a panoptic model' in lines[0]
