# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The running node over DDS: masks, bad input, parameters, diagnostics."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.perception.frame import FrameReader
from seg_perception.perception.overlay import draw_overlay
from seg_perception.pipeline import SegmentationPipeline

NODE = '/live/segnext'


@pytest.fixture(scope='module')
def client(start_client):
    return start_client(NODE)


@pytest.fixture(scope='module')
def camera(start_node, start_camera):
    node = start_node(namespace='/live', remappings={'image': '/live/camera/image_raw'})
    camera = start_camera(NODE, '/live/camera/image_raw')
    node.wait_active()
    camera.wait_matched()
    return camera


@pytest.fixture(scope='module')
def reference(tiny_model):
    """Return the same model in this process, without ROS."""
    pipeline = SegmentationPipeline(load_engine(EngineConfig(str(tiny_model))))
    yield pipeline
    pipeline.close()


def view_pixels(message, channels=1):
    """Return the pixels of an image message without row padding."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, channels)
    return pixels[:, :, 0] if channels == 1 else pixels


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_mask_has_the_header_and_size_of_its_image_and_is_that_of_the_pipeline(
    camera, reference, encoding
):
    image = camera.make_image(96, 130, encoding)
    mask = camera.send(image)
    assert mask.header == image.header
    assert (mask.height, mask.width, mask.encoding, mask.step) == (96, 130, 'mono8', 130)
    confidence = camera.spin_until(lambda: camera.find('confidence', image.header), 'confidence')
    assert (confidence.height, confidence.width, confidence.encoding) == (96, 130, 'mono8')
    frame = FrameReader().read_image(image)
    expected = reference.process(frame, None, np.empty((96, 130), np.uint8))
    np.testing.assert_array_equal(view_pixels(mask), expected.mask)
    np.testing.assert_array_equal(view_pixels(confidence), expected.confidence)


@pytest.mark.parametrize(
    ('height_px', 'width_px', 'encoding'),
    [(1, 1, 'rgb8'), (241, 321, 'bgr8'), (64, 128, 'rgb8')],
)
def test_camera_may_change_its_size(camera, height_px, width_px, encoding):
    mask = camera.send(camera.make_image(height_px, width_px, encoding))
    assert (mask.height, mask.width, len(mask.data)) == (height_px, width_px, height_px * width_px)


def make_truncated(message):
    del message.data[-10:]


def make_wrong_step(message):
    message.step = message.width


def make_empty(message):
    message.height = message.width = message.step = 0
    del message.data[:]


def make_unknown_encoding(message):
    message.encoding = 'yuv422_odd'


@pytest.mark.parametrize(
    ('spoil', 'expected'),
    [
        (make_truncated, 'image data has 24566 bytes, expected 24576'),
        (make_wrong_step, 'image step is 128 bytes, expected at least 384'),
        (make_empty, 'image is 0x0 pixels, expected at least 1x1'),
        (make_unknown_encoding, "'yuv422_odd', expected one of: rgb8, bgr8, rgba8"),
    ],
)
def test_a_bad_image_is_counted_and_named_and_the_next_one_is_fine(camera, spoil, expected):
    before = int(camera.read_diagnostics()['frames bad'])
    bad = camera.make_image(64, 128)
    spoil(bad)
    camera.raw.publish(bad)
    camera.wait_status(
        lambda s: {v.key: v.value for v in s.values}['frames bad'] == str(before + 1), 'bad + 1'
    )
    assert expected in {v.key: v.value for v in camera.status.values}['last error']
    assert camera.status.level == DiagnosticStatus.WARN
    good = camera.make_image(64, 128)
    assert camera.send(good).header == good.header
    assert camera.find('mask', bad.header) is None


def test_odd_stamps_are_counted_and_their_images_used(camera):
    before = int(camera.read_diagnostics()['stamps not increasing'])
    zero, newest, older = (camera.make_image(64, 128) for _ in range(3))
    zero.header.stamp.sec = zero.header.stamp.nanosec = 0
    newest.header.stamp.sec += 100
    for image in (zero, newest, older):
        assert camera.send(image).header == image.header
    assert int(camera.read_diagnostics()['stamps not increasing']) == before + 2


def test_newest_image_is_never_lost_and_masks_come_in_order(camera):
    camera.received['mask'].clear()
    images = [camera.make_image(64, 128) for _ in range(40)]
    for image in images:
        camera.raw.publish(image)
    camera.spin_until(lambda: camera.find('mask', images[-1].header), 'the last mask')
    stamps_ns = [
        m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in camera.received['mask']
    ]
    assert stamps_ns == sorted(stamps_ns)
    counts = camera.read_diagnostics()
    received, used, dropped, bad, failed = (
        int(counts[f'frames {name}']) for name in ('received', 'used', 'dropped', 'bad', 'failed')
    )
    assert received == used + dropped + bad + failed
    assert failed == 0


def test_overlay_is_published_only_while_somebody_listens(camera, client, reference):
    camera.send(camera.make_image(64, 128))
    subscription = camera.subscribe('overlay')
    camera.spin_for(0.5)
    assert client.set_parameter('output.overlay_alpha', 0.25) == ''
    image = camera.make_image(64, 128)
    mask = view_pixels(camera.send(image))
    overlay = camera.spin_until(lambda: camera.find('overlay', image.header), 'the overlay')
    assert (overlay.encoding, overlay.step) == ('rgb8', 3 * 128)
    expected = draw_overlay(
        view_pixels(image, 3), 'rgb', mask, reference.engine.metadata.label_space, alpha=0.25
    )
    np.testing.assert_array_equal(view_pixels(overlay, 3), expected)
    assert len(camera.received['overlay']) == 1
    camera.unsubscribe(subscription)


def test_confidence_can_be_switched_off_live(camera, client):
    assert client.set_parameter('output.confidence', False) == ''
    image = camera.make_image(64, 128)
    camera.send(image)
    assert client.set_parameter('output.confidence', True) == ''
    following = camera.make_image(64, 128)
    camera.send(following)
    camera.spin_until(lambda: camera.find('confidence', following.header), 'confidence')
    assert camera.find('confidence', image.header) is None


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('model.threads', 1, 'while the node is unconfigured, and it is active'),
        ('image_transport', 'compressed', 'while the node is unconfigured, and it is active'),
        ('output.overlay_alpha', 1.5, '0.0'),
        ('output.overlay_alpha', 1, 'Wrong parameter type'),
        ('diagnostics.period_s', 0.0, '0.1'),
        ('autostart', False, 'read-only'),
    ],
)
def test_a_change_is_refused_with_a_reason(camera, client, name, value, reason):
    assert reason in client.set_parameter(name, value)


def test_diagnostics_say_what_runs_and_how_fast(camera, tiny_model):
    camera.send(camera.make_image(64, 128))
    values = camera.read_diagnostics()
    assert values['state'] == 'active'
    assert values['model'] == str(tiny_model)
    assert values['backend'] in ('openvino', 'torch')
    assert values['label space'] == 'cityscapes'
    assert values['image topic'] == '/live/camera/image_raw'
    assert values['publishers on image topic'] == '1'
    inference_ms = [float(values[f'inference {p} (ms)']) for p in ('p50', 'p95')]
    total_ms = [float(values[f'total {p} (ms)']) for p in ('p50', 'p95')]
    assert 0 < inference_ms[0] <= inference_ms[1]
    assert inference_ms[0] < total_ms[0] <= total_ms[1]
    assert camera.status.hardware_id == 'camera_optical_frame'


def test_silence_is_a_warning_that_names_the_topic(camera, client):
    assert client.set_parameter('diagnostics.stale_timeout_s', 0.3) == ''
    status = camera.wait_status(lambda s: 'no camera image' in s.message, 'the warning')
    assert status.level == DiagnosticStatus.WARN
    assert 'no camera image on /live/camera/image_raw for' in status.message
    assert client.set_parameter('diagnostics.stale_timeout_s', 2.0) == ''
