# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A camera and a consumer of masks, in the test process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

TIMEOUT_S = 60.0
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'mono8': 1}


class Camera:
    """Publishes images to one node and collects what it publishes, in one thread.

    Args:
        node_name: full name of the segmentation node.
        reliable: QoS of the camera; cameras are best effort, reliable makes tests exact.
        name: of the camera, where the node has several.

    """

    def __init__(
        self, node_name: str, image_topic: str, reliable: bool = True, name: str = ''
    ) -> None:
        self.node_name = node_name
        self.name = name
        self.products_name = f'{node_name}/{name}'.rstrip('/')
        self._node = rclpy.create_node(f'test_camera_{time.monotonic_ns() % 10**9}')
        reliability = (
            QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT
        )
        self._topic = image_topic
        self._qos = QoSProfile(depth=5, reliability=reliability)
        self.raw = self.publish_on(image_topic, Image)
        self.compressed = self.publish_on(f'{image_topic}/compressed', CompressedImage)
        self.received: dict[str, list[Image]] = {}
        self.status: Any = None
        self.status_count = 0
        self.subscribe('mask')
        self.subscribe('confidence')
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._stamp_ns = 1_700_000_000_000_000_000

    def publish_on(self, topic: str, message_type: Any) -> Any:
        """Return a publisher."""
        return self._node.create_publisher(message_type, topic, self._qos)

    def restart(self, message_type: Any = Image) -> None:
        """Leave the image topic, as a driver that ends, and publish on it again."""
        self._node.destroy_publisher(self.raw)
        self.raw = self.publish_on(self._topic, message_type)
        if message_type is Image:
            self.wait_matched()

    def count_publishers(self, topic: str) -> int:
        """Return how many there are in the graph."""
        return self._node.count_publishers(topic)

    def subscribe(self, product: str) -> Any:
        """Collect ~/product in received[product]."""
        messages = self.received.setdefault(product, [])
        return self._node.create_subscription(
            Image, f'{self.products_name}/{product}', messages.append, QoSProfile(depth=50)
        )

    def unsubscribe(self, subscription: Any) -> None:
        """Stop collecting."""
        self._node.destroy_subscription(subscription)

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()

    def make_image(self, height_px: int, width_px: int, encoding: str = 'rgb8') -> Image:
        """Return an image of smooth random colours with the next stamp, 100 ms later."""
        rng = np.random.default_rng(self._stamp_ns % 2**32)
        channels = CHANNELS[encoding]
        colours = rng.integers(0, 256, (4, 4, channels))
        rows = np.minimum(np.arange(height_px) * 4 // height_px, 3)
        columns = np.minimum(np.arange(width_px) * 4 // width_px, 3)
        pixels = colours[rows][:, columns].astype(np.uint8)
        message = Image(height=height_px, width=width_px, encoding=encoding)
        message.step = width_px * channels
        message.data.frombytes(pixels.tobytes())
        self.stamp(message)
        return message

    def stamp(self, message: Any) -> None:
        """Give a message the next stamp and the camera's frame."""
        self._stamp_ns += 100_000_001
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._stamp_ns, 10**9)
        message.header.frame_id = 'camera_optical_frame'

    def spin_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Spin until a condition is true and return its value."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not (value := condition()):
            assert time.monotonic() < deadline_s, f'waited {TIMEOUT_S} s for {what}'
            rclpy.spin_once(self._node, timeout_sec=0.02)
        return value

    def spin_for(self, duration_s: float) -> None:
        """Spin for a while."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            rclpy.spin_once(self._node, timeout_sec=0.02)

    def wait_matched(self, publisher: Any = None) -> None:
        """Wait until the node listens and its publishers are seen."""
        publisher = publisher or self.raw
        self.spin_until(publisher.get_subscription_count, 'the node to subscribe')
        self.spin_until(
            lambda: self._node.count_publishers(f'{self.products_name}/confidence'), 'publishers'
        )
        self.spin_for(0.3)

    def find(self, product: str, header: Any) -> Image | None:
        """Return the received product with exactly this header."""
        return next((m for m in self.received[product] if m.header == header), None)

    def send(self, message: Any, publisher: Any = None) -> Image:
        """Publish one message and return its mask."""
        (publisher or self.raw).publish(message)
        return self.spin_until(lambda: self.find('mask', message.header), 'the mask')

    def read_diagnostics(self) -> dict[str, str]:
        """Return the values of a status composed after this call."""
        count = self.status_count
        # the next one may have been composed before; the one after it was not
        self.spin_until(lambda: self.status_count >= count + 2, '/diagnostics')
        return {value.key: value.value for value in self.status.values}

    def wait_status(self, condition: Callable[[Any], bool], what: str) -> Any:
        """Spin until a status fulfils a condition and return it."""
        self.status = None
        return self.spin_until(
            lambda: self.status if self.status and condition(self.status) else None, what
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f'{self.node_name.lstrip("/")}: segmentation {self.name}'.rstrip():
                self.status = status
                self.status_count += 1
