# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compressed images: JPEG and PNG, up to 8k, and corrupt ones."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

NODE = '/jpeg/segnext'


@pytest.fixture(scope='module')
def camera(start_node, start_camera):
    node = start_node(
        {'image_transport': 'compressed'},
        namespace='/jpeg',
        remappings={'image': '/jpeg/front/image_raw'},
    )
    camera = start_camera(NODE, '/jpeg/front/image_raw')
    node.wait_active()
    camera.wait_matched(camera.compressed)
    return camera


def make_compressed(camera, extension):
    pixels = np.random.default_rng(3).integers(0, 256, (48, 80, 3), np.uint8)
    message = CompressedImage(format=extension.strip('.'))
    message.data.frombytes(cv2.imencode(extension, pixels)[1].tobytes())
    camera.stamp(message)
    return message


@pytest.mark.parametrize('extension', ['.jpeg', '.png'])
def test_compressed_images_are_segmented(camera, extension):
    message = make_compressed(camera, extension)
    mask = camera.send(message, camera.compressed)
    assert mask.header == message.header
    assert (mask.height, mask.width) == (48, 80)


def test_an_8k_image_comes_back_as_an_8k_mask(camera):
    pixels = np.full((4320, 7680, 3), 128, np.uint8)
    message = CompressedImage(format='jpeg')
    message.data.frombytes(cv2.imencode('.jpeg', pixels)[1].tobytes())
    camera.stamp(message)
    mask = camera.send(message, camera.compressed)
    assert (mask.height, mask.width, len(mask.data)) == (4320, 7680, 4320 * 7680)


def test_a_corrupt_jpeg_is_counted_and_the_next_one_is_fine(camera):
    before = int(camera.read_diagnostics()['frames bad'])
    bad = make_compressed(camera, '.jpeg')
    del bad.data[len(bad.data) // 2 :]
    camera.compressed.publish(bad)
    good = make_compressed(camera, '.jpeg')
    camera.spin_for(0.3)
    assert camera.send(good, camera.compressed).header == good.header
    assert int(camera.read_diagnostics()['frames bad']) == before + 1
