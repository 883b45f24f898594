# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle publishers of one camera, found by their topic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from seg_perception.ros.qos import name_product


class TopicPublishers:
    """Publishers of a node by topic ('~/points'), whatever the camera is called.

    Args:
        node: that publishes.
        camera: name of the camera; '' where there is only one.
    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        self._node = node
        self._camera = camera
        self._publishers: dict[str, Any] = {}

    def open(
        self, message_type: Any, topic: str, qos: QoSProfile, has_overrides: bool = True
    ) -> None:
        """Create the publisher of a topic.

        Args:
            message_type: of its messages.
            topic: such as '~/points'.
            qos: unless overridden.
            has_overrides: whether parameters `qos_overrides...` are declared for it.
        """
        options = QoSOverridingOptions.with_default_policies() if has_overrides else None
        self._publishers[topic] = self._node.create_lifecycle_publisher(
            message_type, name_product(topic, self._camera), qos, qos_overriding_options=options
        )

    @contextmanager
    def close_on_error(self) -> Iterator[None]:
        """Destroy what was opened where the rest cannot be: its owner is never made then."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def __getitem__(self, topic: str) -> Any:
        """Return the publisher of a topic."""
        return self._publishers[topic]

    def list_wanted(self) -> set[str]:
        """Return the topics that somebody listens to."""
        return {
            topic
            for topic, publisher in self._publishers.items()
            if publisher.get_subscription_count() > 0
        }

    def close(self) -> None:
        """Destroy the publishers; calling it twice does no harm."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
