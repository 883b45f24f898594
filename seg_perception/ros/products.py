# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The publishers of what the node makes of an image, and of its class names."""

from __future__ import annotations

import functools
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from seg_perception.perception.labels import LabelSpace
from seg_perception.ros.events import publisher_events
from seg_perception.ros.messages import build_label_info, has_label_info
from seg_perception.ros.qos import latched_qos, name_policy, product_qos

PRODUCT_TOPICS = ('~/mask', '~/confidence', '~/overlay')


class ProductPublishers:
    """Publishers of a node, there from `open` to `close`.

    Attributes:
        mask, confidence, overlay: lifecycle publishers of sensor_msgs/Image, which publish while
            the node is active; None while closed.

    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self.mask: Any = None
        self.confidence: Any = None
        self.overlay: Any = None
        self._label_info: Any = None

    def open(self, queue_depth: int) -> None:
        """Create the publishers of the images."""
        self.mask, self.confidence, self.overlay = (
            self._node.create_lifecycle_publisher(
                Image,
                topic,
                product_qos(queue_depth),
                event_callbacks=publisher_events(
                    functools.partial(self._on_incompatible_subscriber, topic)
                ),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic in PRODUCT_TOPICS
        )

    def publish_label_info(self, label_space: LabelSpace) -> None:
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
        self._label_info = self._node.create_publisher(
            type(message), '~/label_info', latched_qos()
        )
        self._label_info.publish(message)

    def close(self) -> None:
        """Destroy whatever is open; calling it twice does no harm."""
        for publisher in (self.mask, self.confidence, self.overlay):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)
        self.mask = self.confidence = self.overlay = None
        if self._label_info is not None:
            self._node.destroy_publisher(self._label_info)
            self._label_info = None

    def _on_incompatible_subscriber(self, topic: str, event: Any) -> None:
        self._node.get_logger().warning(
            f'a subscriber on {self._node.resolve_topic_name(topic)} asks for QoS that is not '
            f'offered ({name_policy(event)}): it receives nothing; products are reliable and '
            'volatile'
        )
