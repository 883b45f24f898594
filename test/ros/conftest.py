# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A camera and a consumer in the test process, against nodes in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from message_package import VISION_MSGS, build_message_package, find_missing_tools
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from seg_perception.ros.environment import prepare_this_process
from seg_perception.ros.lifecycle_client import LifecycleClient
from seg_perception.ros.node_process import NodeProcess

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


@pytest.fixture(scope='session', autouse=True)
def ros() -> Iterator[None]:
    """ROS for the session: the shipped transport, a domain of its own."""
    # away from a robot, and from other test runs on this machine; ids to 101 are safe on Linux
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    prepare_this_process()
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope='session')
def vision_msgs_folder(tmp_path_factory) -> Path:
    """Return a folder for PYTHONPATH with a vision_msgs made here."""
    missing = find_missing_tools()
    if missing:
        pytest.skip(f'vision_msgs cannot be generated here without {", ".join(missing)}')
    folder = tmp_path_factory.mktemp('messages')
    depends = ('geometry_msgs', 'std_msgs', 'builtin_interfaces')
    build_message_package(folder, 'vision_msgs', VISION_MSGS, depends)
    return folder


@pytest.fixture(scope='module')
def vision_msgs(vision_msgs_folder) -> Iterator[Any]:
    """Return the messages of vision_msgs, there for this module's processes alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(vision_msgs_folder))
        patch.setenv('PYTHONPATH', str(vision_msgs_folder), prepend=':')
        import vision_msgs.msg

        yield vision_msgs.msg
    for name in [name for name in sys.modules if name.partition('.')[0] == 'vision_msgs']:
        del sys.modules[name]


@pytest.fixture(scope='module')
def start_camera() -> Iterator[Callable[..., Camera]]:
    """Return a maker of cameras that are closed when the module is done."""
    cameras = []

    def start(*arguments: Any, **options: Any) -> Camera:
        cameras.append(Camera(*arguments, **options))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.close()


@pytest.fixture(scope='module')
def start_client() -> Iterator[Callable[[str], LifecycleClient]]:
    """Return a maker of lifecycle clients that are closed when the module is done."""
    clients = []

    def start(node_name: str) -> LifecycleClient:
        clients.append(LifecycleClient(node_name))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture(scope='module')
def start_node(tiny_model) -> Iterator[Callable[..., NodeProcess]]:
    """Return a starter of nodes with the tiny model; they are stopped after the module."""
    nodes = []

    def start(parameters: dict | None = None, **options: Any) -> NodeProcess:
        defaults = {
            'model.path': str(tiny_model),
            'diagnostics.period_s': 0.2,
            'occupancy.enabled': False,  # starts sooner
        }
        node = NodeProcess({**defaults, **(parameters or {})}, **options)
        nodes.append(node)
        node.start()
        return node

    yield start
    for node in nodes:
        node.stop()
