# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Quality-of-service profiles and topic names, chosen for what cameras and consumers expect."""

from __future__ import annotations

from typing import Any

from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_policy_name_from_kind,
)

RAW = 'raw'
COMPRESSED = 'compressed'
COMPRESSED_SUFFIX = '/compressed'


def camera_qos() -> QoSProfile:
    """Return best effort, keep last 1: connects to any camera; only the newest frame counts."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def product_qos(depth: int) -> QoSProfile:
    """Return reliable and volatile: serves best-effort and reliable subscribers alike."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def latched_qos() -> QoSProfile:
    """Return reliable and transient local, depth 1: a late subscriber gets the last message."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
    )


def name_image_topic(image_topic: str, image_transport: str) -> str:
    """Return the topic of a transport, from the image topic after remapping.

    image_transport publishes compressed images beside the raw ones, on `<image>/compressed`; a
    topic that was remapped to such a name already is left as it is.
    """
    if image_transport == COMPRESSED and not image_topic.endswith(COMPRESSED_SUFFIX):
        return image_topic + COMPRESSED_SUFFIX
    return image_topic


def name_input(topic: str, camera: str) -> str:
    """Return the name before remapping of what is subscribed for a camera: 'front/image'."""
    return f'{camera}/{topic}' if camera else topic


def name_product(topic: str, camera: str) -> str:
    """Return the name of a camera's product: '~/front/mask' of '~/mask'."""
    return f'~/{camera}/{topic.removeprefix("~/")}' if camera else topic


def name_policy(event: Any) -> str:
    """Return 'RELIABILITY' or the like: the policy of an incompatible-QoS event of rclpy."""
    return qos_policy_name_from_kind(event.last_policy_kind)
