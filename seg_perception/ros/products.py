# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The publishers of what the node makes of a camera's images, and of its class names."""

from __future__ import annotations

import functools
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image

from seg_perception.perception.labels import LabelSpace
from seg_perception.ros.events import publisher_events
from seg_perception.ros.messages import build_label_info, has_label_info
from seg_perception.ros.qos import latched_qos, name_policy, name_product, product_qos

PRODUCT_TOPICS = ('~/mask', '~/confidence', '~/overlay')
INFO_TOPIC = '~/camera_info'


class ProductPublishers:
    """Publishers of one camera of a node, there from `open` to `close`.

    Attributes:
        mask, confidence, overlay: lifecycle publishers of sensor_msgs/Image, which publish while
            the node is active; None while closed.
        camera_info: the same of sensor_msgs/CameraInfo.

    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        self._node = node
        self._topics = tuple(name_product(topic, camera) for topic in PRODUCT_TOPICS)
        self._info_topic = name_product(INFO_TOPIC, camera)
        self.mask: Any = None
        self.confidence: Any = None
        self.overlay: Any = None
        self.camera_info: Any = None

    def open(self, queue_depth: int) -> None:
        """Create the publishers of the images."""
        # one by one: where one cannot be made, close() finds the others
        for name, topic in zip(('mask', 'confidence', 'overlay'), self._topics, strict=True):
            publisher = self._node.create_lifecycle_publisher(
                Image,
                topic,
                product_qos(queue_depth),
                event_callbacks=publisher_events(
                    functools.partial(self._on_incompatible_subscriber, topic)
                ),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            setattr(self, name, publisher)
        self.camera_info = self._node.create_lifecycle_publisher(
            CameraInfo,
            self._info_topic,
            product_qos(queue_depth),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def close(self) -> None:
        """Destroy whatever is open; calling it twice does no harm."""
        for publisher in (self.mask, self.confidence, self.overlay, self.camera_info):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)
        self.mask = self.confidence = self.overlay = self.camera_info = None

    def _on_incompatible_subscriber(self, topic: str, event: Any) -> None:
        self._node.get_logger().warning(
            f'a subscriber on {self._node.resolve_topic_name(topic)} asks for QoS that is not '
            f'offered ({name_policy(event)}): it receives nothing; products are reliable and '
            'volatile'
        )


class LabelInfoPublisher:
    """The latched class names of a node, one for all of its cameras."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publisher: Any = None

    def publish(self, label_space: LabelSpace) -> None:
        """Publish the class names, latched; without vision_msgs say that they are not."""
        if not has_label_info():
            self._node.get_logger().info(
                'vision_msgs is not installed: ~/label_info is not published; class names are '
                'those of the label space in /diagnostics'
            )
            return
        message = build_label_info(label_space, self._node.get_clock().now().to_msg())
        # No lifecycle publisher: names are latched while inactive too, for consumers that start
        # in any order.
        self._publisher = self._node.create_publisher(
            type(message), '~/label_info', latched_qos()
        )
        self._publisher.publish(message)

    def close(self) -> None:
        """Destroy the publisher; calling it twice does no harm."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None
