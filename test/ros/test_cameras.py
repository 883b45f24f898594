# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""One node with several cameras, over DDS: masks, topics, parameters, diagnostics, bad input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ground_camera import GRID_TYPE, IMAGE_HW, GroundCamera, view_cells
from node_camera import Camera
from sensor_msgs.msg import CompressedImage

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.perception.frame import FrameReader
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.ros.node_process import NodeProcess

NODE = '/rig/segnext'
NAMES = ('front', 'left', 'rear')
PARAMETERS = {
    'cameras': list(NAMES),
    'diagnostics.stale_timeout_s': 0.5,
    'left.output.confidence': False,
    'left.camera.height': 48,
    'left.camera.width': 96,
    'rear.image_transport': 'compressed',
    'qos_overrides./rig/left/image.subscription.reliability': 'reliable',
}


@pytest.fixture(scope='module')
def client(start_client):
    return start_client(NODE)


@pytest.fixture(scope='module')
def node(start_node):
    node = start_node(
        PARAMETERS, namespace='/rig', remappings={'front/image': '/rig/front_camera/image_raw'}
    )
    node.wait_active()
    return node


@pytest.fixture(scope='module')
def rig(node, start_camera):
    """Return the cameras of the node by name; front is remapped, rear is compressed."""
    topics = {'front': '/rig/front_camera/image_raw'}
    cameras = {
        name: start_camera(NODE, topics.get(name, f'/rig/{name}/image'), name=name)
        for name in NAMES
    }
    for name, camera in cameras.items():
        camera.wait_matched(camera.compressed if name == 'rear' else camera.raw)
    return cameras


@pytest.fixture(scope='module')
def reference(tiny_model):
    """Return the same model in this process, without ROS."""
    pipeline = SegmentationPipeline(load_engine(EngineConfig(str(tiny_model))))
    yield pipeline
    pipeline.close()


def view_mask(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def compress(camera, height_px, width_px):
    """Return a PNG of the camera's next image, whose pixels are exact."""
    image = camera.make_image(height_px, width_px)
    pixels = np.frombuffer(image.data, np.uint8).reshape(height_px, width_px, 3)
    data = cv2.imencode('.png', pixels[:, :, ::-1])[1]
    message = CompressedImage(header=image.header, format='rgb8; png compressed bgr8')
    message.data.frombytes(data.tobytes())
    return message


def test_masks_are_those_of_the_pipeline_for_cameras_of_any_size_and_transport(rig, reference):
    images = {
        'front': rig['front'].make_image(64, 128),
        'left': rig['left'].make_image(48, 96, 'bgr8'),
        'rear': compress(rig['rear'], 50, 70),
    }
    for name, image in images.items():
        camera = rig[name]
        mask = camera.send(image, camera.compressed if name == 'rear' else None)
        reader = FrameReader()
        frame = reader.read_compressed(image) if name == 'rear' else reader.read_image(image)
        assert mask.header == image.header
        np.testing.assert_array_equal(view_mask(mask), reference.process(frame).mask)


def test_cameras_of_different_sizes_are_prepared_once(rig, node):
    for _ in range(3):
        rig['front'].send(rig['front'].make_image(64, 128))
        rig['left'].send(rig['left'].make_image(48, 96))
    before = node.read_log().count('prepared in')
    for _ in range(3):
        rig['front'].send(rig['front'].make_image(64, 128))
        rig['left'].send(rig['left'].make_image(48, 96))
    assert node.read_log().count('prepared in') == before


def test_a_camera_that_changes_size_leaves_the_others_as_they_are(rig, node):
    mask = rig['left'].send(rig['left'].make_image(41, 77))
    assert (mask.height, mask.width) == (41, 77)
    mask = rig['front'].send(rig['front'].make_image(64, 128))
    assert (mask.height, mask.width) == (64, 128)
    assert '[rig.segnext.left]: camera images are 41x77' in node.read_log()


def test_each_camera_has_a_status_and_one_that_stops_warns_alone(rig):
    front, left = rig['front'], rig['left']
    left.send(left.make_image(48, 96))
    for _ in range(12):
        front.send(front.make_image(64, 128))
        front.spin_for(0.1)
    assert 'no camera image' not in front.status.message
    status = left.wait_status(lambda s: 'no camera image' in s.message, 'the warning')
    assert status.level == DiagnosticStatus.WARN
    assert 'no camera image on /rig/left/image for' in status.message
    values = front.read_diagnostics()
    assert values['image topic'] == '/rig/front_camera/image_raw'
    assert int(values['frames used']) >= 12


def test_bad_images_are_counted_for_their_camera_alone(rig):
    before = {name: int(rig[name].read_diagnostics()['frames bad']) for name in NAMES}
    bad = rig['left'].make_image(64, 128)
    del bad.data[-10:]
    rig['left'].raw.publish(bad)
    rig['left'].wait_status(
        lambda s: {v.key: v.value for v in s.values}['frames bad'] == str(before['left'] + 1),
        'bad + 1',
    )
    after = {name: int(rig[name].read_diagnostics()['frames bad']) for name in NAMES}
    assert after == {**before, 'left': before['left'] + 1}


def test_a_second_publisher_on_a_topic_is_named(rig, start_camera):
    second = Camera(NODE, '/rig/left/image', name='left')
    second.wait_matched()
    status = rig['left'].wait_status(lambda s: '2 publishers' in s.message, 'the warning')
    assert '2 publishers on /rig/left/image' in status.message
    assert second.send(second.make_image(48, 96)).height == 48
    second.close()


def test_own_parameters_hold_for_their_camera_alone(rig, client):
    image = rig['left'].make_image(48, 96)
    rig['left'].send(image)
    rig['left'].spin_for(0.3)
    assert rig['left'].find('confidence', image.header) is None
    image = rig['front'].make_image(64, 128)
    rig['front'].send(image)
    rig['front'].spin_until(lambda: rig['front'].find('confidence', image.header), 'confidence')
    assert client.set_parameter('left.output.confidence', True) == ''
    image = rig['left'].make_image(48, 96)
    rig['left'].send(image)
    rig['left'].spin_until(lambda: rig['left'].find('confidence', image.header), 'confidence')
    refused = client.set_parameter('left.image_transport', 'compressed')
    assert 'left.image_transport can only be changed while the node is unconfigured' in refused
    assert client.set_parameter('front.output.overlay_alpha', 1.5) != ''


def test_a_slow_camera_has_its_turns_beside_one_that_sends_all_the_time(rig):
    fast, slow = rig['front'], rig['left']
    fast_image, slow_image = fast.make_image(512, 1024), slow.make_image(48, 96)
    for camera, image in ((fast, fast_image), (slow, slow_image)):
        camera.send(image)
        camera.received['mask'].clear()
    dropped = int(fast.read_diagnostics()['frames dropped'])
    for index in range(400):
        fast.stamp(fast_image)
        fast.raw.publish(fast_image)
        if index % 20 == 0:
            slow.stamp(slow_image)
            slow.raw.publish(slow_image)
        slow.spin_for(0.001)
    slow.spin_until(lambda: slow.find('mask', slow_image.header), 'the last mask')
    assert int(fast.read_diagnostics()['frames dropped']) > dropped
    assert len(slow.received['mask']) >= 18


def test_ground_products_are_made_for_each_camera(start_node):
    node = start_node(
        {
            'cameras': ['front', 'left'],
            'occupancy.enabled': True,
            'occupancy.camera_pose': 'parameters',
            'occupancy.camera_z_m': 1.5,
            'occupancy.camera_pitch_rad': 0.2,
            'occupancy.min_confidence': 0.01,
            'left.occupancy.camera_yaw_rad': 1.57,
        },
        namespace='/ground_rig',
    )
    cameras = [
        GroundCamera('/ground_rig/segnext', f'/ground_rig/{name}/image', name)
        for name in ('front', 'left')
    ]
    node.wait_active()
    grids = []
    for camera in cameras:
        camera.wait_matched()
        camera.subscribe_ground('costmap', GRID_TYPE)
        camera.send_info()
        grids.append(camera.send_both(camera.make_image(*IMAGE_HW), 'costmap')[1])
        topic = camera.read_ground()['camera_info topic']
        assert topic == f'/ground_rig/{camera.name}/camera_info'
    known = [np.argwhere(view_cells(grid) >= 0).mean(axis=0) for grid in grids]
    for camera in cameras:
        camera.close()
    # rows are y: the camera that looks left sees what is to the left
    assert known[1][0] > known[0][0] + 5
    assert known[1][1] < known[0][1] - 5


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        ({'cameras': ['front', 'front']}, 'cameras has "front" twice'),
        ({'cameras': ['front', '2nd']}, 'cameras has "2nd", expected names'),
        ({'cameras': ['front/left']}, 'cameras has "front/left", expected names'),
        ({'cameras': ['output']}, 'cameras has "output", which is the name of parameters'),
        ({'cameras': 'front'}, 'cameras: expected string array'),
        (
            {'cameras': ['front'], 'front.image_transprt': 'raw'},
            'front.image_transprt: no such parameter; did you mean front.image_transport?',
        ),
        (
            {'cameras': ['front'], 'front.output.overlay_alpha': 2.0},
            'front.output.overlay_alpha: expected 0.0 to 1.0, got 2.0',
        ),
    ],
)
def test_wrong_cameras_end_the_node_with_one_line(parameters, message):
    with NodeProcess(parameters) as node:
        assert node.wait_exit() == 2
        lines = node.read_log().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: bad parameters for /segnext: ')
    assert message in lines[0]
