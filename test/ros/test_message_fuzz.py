# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Fuzzed camera messages against the running node, and fuzzed calibrations."""

from __future__ import annotations

import fuzz_messages as fuzz
import numpy as np
import pytest
from ground_camera import GRID_TYPE, GroundCamera
from hypothesis import given
from hypothesis import strategies as st
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.errors import UserError
from seg_perception.perception.frame import FrameError, FrameReader
from seg_perception.ros.cv_bridge_images import convert_by_cv_bridge
from seg_perception.ros.ground_inputs import build_model

# One, since the node compiles its network for each size and channel order.
SIZES_HW = st.just((48, 64))
# As many messages as may be on their way at once: none is lost before the node counts it.
QUEUE = 2000
IMAGE_SHARE = 0.5 * fuzz.DDS_SHARE
COMPRESSED_SHARE = 0.3 * fuzz.DDS_SHARE
CAMERA_INFO_SHARE = 0.2 * fuzz.DDS_SHARE


def make_image(fields):
    names = ('height', 'width', 'encoding', 'is_bigendian', 'step')
    message = Image(**{name: fields[name] for name in names})
    message.data.frombytes(fields['data'])
    return message


def make_compressed(fields):
    message = CompressedImage(format=fields['format'])
    message.data.frombytes(fields['data'])
    return message


def make_info(fields):
    names = ('height', 'width', 'distortion_model', 'd', 'k', 'r', 'p')
    info = CameraInfo(**{name: fields[name] for name in names})
    info.roi.x_offset, info.roi.y_offset, info.roi.height, info.roi.width = fields['roi']
    info.header.frame_id = fields['frame_id']
    return info


@fuzz.configure(fuzz.CAMERA_INFO_SHARE)
@given(fuzz.make_camera_info_fields(), st.booleans())
def test_a_calibration_gives_a_camera_or_is_refused(fields, rectified):
    try:
        with np.errstate(all='ignore'):
            model = build_model(make_info(fields), (48, 64), rectified)
            rays = model.find_rays(np.array([[0.0, 0.0], [31.5, 23.5], [63.0, 47.0]]))
            pixels = model.find_pixels(np.array([[0.0, 0.0, 1.0], [0.5, 0.2, 2.0]]))
    except UserError as error:
        assert len(str(error)) > 20
        return
    assert (model.height_px, model.width_px) == (48, 64)
    assert rays.shape == (3, 3) and pixels.shape == (2, 2)
    lengths = np.linalg.norm(rays, axis=1)
    assert np.all(np.isnan(lengths) | (np.abs(lengths - 1.0) < 1e-6))


class FuzzedCamera:
    """Sends fuzzed messages and knows which of them the node must answer."""

    def __init__(self, camera, topic, message_type, read):
        qos = QoSProfile(depth=QUEUE)
        self.camera = camera
        self.publisher = camera._node.create_publisher(message_type, topic, qos)
        camera.wait_matched(self.publisher)
        self._read = read
        self.sent = self.answered = 0

    def send(self, message, frame_id):
        """Publish a message; wait for its mask if the reader can read it."""
        self.camera.stamp(message)
        message.header.frame_id = frame_id
        self.sent += 1
        try:
            height, width = self._read(message).image.shape[:2]
        except FrameError:
            self.publisher.publish(message)
            self.camera.spin_for(0.002)
            return
        mask = self.camera.send(message, self.publisher)
        assert (mask.height, mask.width) == (height, width)
        self.answered += 1

    def check_counts(self):
        """Every message was counted, and all that could be read were used."""
        counts = self.camera.spin_until(self._read_counts, 'the node to count every message')
        assert counts['frames used'] == self.answered > 0
        assert counts['frames failed'] == 0
        refused = counts['frames bad'] + counts['frames dropped']
        assert refused == self.sent - self.answered
        assert counts['frames bad'] > 0

    def _read_counts(self):
        values = self.camera.read_diagnostics()
        counts = {key: int(text) for key, text in values.items() if key.startswith('frames ')}
        done = sum(count for key, count in counts.items() if key != 'frames received')
        return counts if counts['frames received'] == self.sent == done else None


@pytest.fixture
def start_fuzzed(start_node, start_camera):
    def start(name, message_type, read, make_camera=start_camera, **parameters):
        topic = f'/{name}/camera/image_raw'
        listened = topic + ('/compressed' if message_type is CompressedImage else '')
        policies = {'reliability': 'reliable', 'history': 'keep_last', 'depth': QUEUE}
        overrides = {
            f'qos_overrides.{listened}.subscription.{key}': value
            for key, value in policies.items()
        }
        node = start_node(
            {**overrides, **parameters}, namespace=f'/{name}', remappings={'image': topic}
        )
        camera = make_camera(f'/{name}/segnext', topic)
        node.wait_active()
        return FuzzedCamera(camera, listened, message_type, read)

    return start


def test_the_node_outlives_fuzzed_images_and_calibrations(start_fuzzed):
    fuzzed = start_fuzzed(
        'fuzz_raw',
        Image,
        FrameReader(convert_by_cv_bridge).read_image,
        GroundCamera,
        **{
            'occupancy.enabled': True,
            'occupancy.camera_pose': 'parameters',
            'occupancy.resolution_m': 1.0,  # lookup tables are made for each calibration
        },
    )
    camera = fuzzed.camera
    camera.subscribe('overlay')
    camera.subscribe_ground('costmap', GRID_TYPE)
    for fields in fuzz.collect(fuzz.make_image_fields(SIZES_HW), IMAGE_SHARE):
        fuzzed.send(make_image(fields), fields['frame_id'])
    for fields in fuzz.collect(fuzz.make_camera_info_fields(), CAMERA_INFO_SHARE):
        camera.info.publish(make_info(fields))
        fuzzed.send(camera.make_image(48, 64), fields['frame_id'])
    fuzzed.send(camera.make_image(48, 64), 'camera')
    fuzzed.check_counts()
    ground = camera.read_ground()
    assert int(ground['trouble camera_info']) > 0
    assert int(ground['trouble internal']) == 0
    camera.close()


def test_the_node_outlives_fuzzed_compressed_images(start_fuzzed):
    fuzzed = start_fuzzed(
        'fuzz_compressed',
        CompressedImage,
        FrameReader().read_compressed,
        image_transport='compressed',
    )
    for fields in fuzz.collect(fuzz.make_compressed_fields(), COMPRESSED_SHARE):
        fuzzed.send(make_compressed(fields), fields['frame_id'])
    sound = {'format': 'jpeg', 'data': fuzz.FILES[-1]}
    fuzzed.send(make_compressed(sound), 'camera')
    fuzzed.check_counts()
