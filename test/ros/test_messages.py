# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Outgoing images hold what was written into their pixels, and the camera's own header."""

import sys

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from seg_perception.ros.messages import OutgoingImage


@pytest.mark.parametrize(('encoding', 'channels'), [('mono8', 1), ('rgb8', 3), ('bgr8', 3)])
def test_pixels_written_are_the_pixels_sent(encoding, channels):
    outgoing = OutgoingImage()
    rng = np.random.default_rng(0)
    header = Header(frame_id='camera_optical_frame')
    header.stamp.sec, header.stamp.nanosec = 12, 345_678_901
    # the second and third pass reuse the message, the fourth changes its size
    for height_px, width_px in ((3, 5), (3, 5), (3, 5), (1, 1)):
        shape = (height_px, width_px) if channels == 1 else (height_px, width_px, channels)
        expected = rng.integers(0, 256, shape, np.uint8)
        outgoing.pixels(height_px, width_px, encoding)[:] = expected
        sent = deserialize_message(serialize_message(outgoing.message(header)), Image)
        assert (sent.height, sent.width, sent.encoding) == (height_px, width_px, encoding)
        assert sent.step == width_px * channels
        assert bytes(sent.data) == expected.tobytes()
        assert sent.header == header


def test_whole_numbers_are_sent_as_they_are_and_a_mask_may_follow():
    outgoing = OutgoingImage()
    expected = np.array([[-1, 13001, 18999], [0, 2**31 - 1, -(2**31)]], np.int32)
    outgoing.pixels(2, 3, '32SC1')[:] = expected
    sent = deserialize_message(serialize_message(outgoing.message(Header())), Image)
    assert (sent.height, sent.width, sent.step, sent.encoding) == (2, 3, 12, '32SC1')
    assert sent.is_bigendian == (sys.byteorder == 'big')
    np.testing.assert_array_equal(np.frombuffer(sent.data, np.int32).reshape(2, 3), expected)
    assert outgoing.pixels(2, 3).dtype == np.uint8
    assert outgoing.message(Header()).step == 3


def test_same_size_reuses_the_buffer():
    outgoing = OutgoingImage()
    first = outgoing.pixels(4, 6)
    assert np.shares_memory(first, outgoing.pixels(4, 6))
    assert first.flags.c_contiguous
