# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where an encoding is unknown: what is asked of cv_bridge, and what when it fails.

cv_bridge has no wheel; a module of its name and interface stands in for it.
"""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from sensor_msgs.msg import Image

from seg_perception.perception.frame import FrameError, FrameReader
from seg_perception.ros import cv_bridge_images
from seg_perception.ros.cv_bridge_images import convert_by_cv_bridge


class Bridge:
    """Answers as CvBridge.imgmsg_to_cv2 does, with what the test wants."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def imgmsg_to_cv2(self, message, desired_encoding):
        self.calls.append((message.encoding, desired_encoding))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def install_bridge(monkeypatch):
    def install(bridge):
        module = ModuleType('cv_bridge')
        module.CvBridge = lambda: bridge
        monkeypatch.setitem(sys.modules, 'cv_bridge', module)

    cv_bridge_images._load_bridge.cache_clear()
    yield install
    cv_bridge_images._load_bridge.cache_clear()


def make_image(encoding='nv24', height=4, width=6):
    message = Image(height=height, width=width, encoding=encoding, step=3 * width)
    message.data.frombytes(bytes(3 * width * height))
    return message


def test_an_unknown_encoding_is_given_to_cv_bridge(install_bridge):
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    bridge = Bridge(pixels)
    install_bridge(bridge)
    frame = FrameReader(convert_by_cv_bridge).read_image(make_image())
    assert frame.channel_order == 'rgb' and np.array_equal(frame.image, pixels)
    assert bridge.calls == [('nv24', 'rgb8')]


def test_a_known_encoding_is_not(install_bridge):
    bridge = Bridge(RuntimeError('not to be asked'))
    install_bridge(bridge)
    FrameReader(convert_by_cv_bridge).read_image(make_image('rgb8'))
    assert bridge.calls == []


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        (TypeError('Unsupported conversion'), 'cannot read it either: Unsupported conversion'),
        (np.zeros((4, 5, 3), np.uint8), r'shape \(4, 5, 3\) of it, expected uint8 .*\(4, 6, 3\)'),
        (np.zeros((4, 6, 3), np.uint16), 'uint16'),
        (None, 'expected uint8'),
    ],
)
def test_what_cv_bridge_cannot_read_is_refused(install_bridge, answer, message):
    install_bridge(Bridge(answer))
    with pytest.raises(FrameError, match=f"'nv24', expected one of: rgb8, .*{message}") as caught:
        FrameReader(convert_by_cv_bridge).read_image(make_image())
    assert caught.value.kind == 'encoding'


def test_without_cv_bridge_that_is_said(install_bridge, monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    with pytest.raises(FrameError, match='cv_bridge, which may know more, is not installed'):
        FrameReader(convert_by_cv_bridge).read_image(make_image())


def test_a_cv_bridge_for_another_numpy_does_not_end_the_node(install_bridge, monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise AttributeError('_ARRAY_API not found')

    monkeypatch.setitem(sys.modules, 'cv_bridge', Broken('cv_bridge'))
    with pytest.raises(FrameError, match='cv_bridge'):
        FrameReader(convert_by_cv_bridge).read_image(make_image())
