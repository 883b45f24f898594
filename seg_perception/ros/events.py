# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Event callbacks of subscriptions and publishers, on humble and newer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # humble
    from rclpy.qos_event import (  # type: ignore[no-redef]
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
    )


def subscription_events(
    on_incompatible_qos: Callable[[Any], None],
) -> SubscriptionEventCallbacks:
    """Return the events of the camera subscription.

    rclpy itself warns of publishers with another message type (jazzy and newer).
    """
    return SubscriptionEventCallbacks(incompatible_qos=on_incompatible_qos)


def publisher_events(on_incompatible_qos: Callable[[Any], None]) -> PublisherEventCallbacks:
    """Return the events of a product's publisher."""
    return PublisherEventCallbacks(incompatible_qos=on_incompatible_qos)
