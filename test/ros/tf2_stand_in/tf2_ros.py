# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Stands in for tf2_ros, which has no wheel: the names and signatures that the node uses.

Transforms come as geometry_msgs/TransformStamped on /tf_stand_in (tf2_msgs has no wheel either).
Looked up are only direct transforms, at exactly their stamp, or at any time with stamp 0 (static).
"""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TransformStamped


class TransformException(Exception):  # noqa: N818  (the name in tf2)
    """Base of all errors of a lookup, as in tf2."""


class ExtrapolationException(TransformException):
    """A stamp outside of what is known."""


class LookupException(TransformException):
    """Frames that are not connected."""


class Buffer:
    """Keeps transforms."""

    def __init__(self, cache_time: Any = None, node: Any = None) -> None:
        self._transforms: dict[tuple[str, str], dict[int, TransformStamped]] = {}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep one."""
        stamp = transform.header.stamp
        by_stamp = self._transforms.setdefault(
            (transform.header.frame_id, transform.child_frame_id), {}
        )
        by_stamp[stamp.sec * 10**9 + stamp.nanosec] = transform

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Any, timeout: Any = None
    ) -> TransformStamped:
        """Return target from source."""
        by_stamp = self._transforms.get((target_frame, source_frame))
        if by_stamp is None:
            raise LookupException(
                f'"{target_frame}" passed to lookupTransform argument target_frame does not exist.'
            )
        found = by_stamp.get(time.nanoseconds, by_stamp.get(0))
        if found is None:
            raise ExtrapolationException(
                f'Lookup would require extrapolation to time {time.nanoseconds * 1e-9:.6f}'
            )
        return found


class TransformListener:
    """Fills a buffer."""

    def __init__(self, buffer: Buffer, node: Any, *, spin_thread: bool = False) -> None:
        self._node = node
        self._subscription = node.create_subscription(
            TransformStamped,
            '/tf_stand_in',
            lambda message: buffer.set_transform(message, 'stand-in'),
            100,
        )

    def unregister(self) -> None:
        """Stop to listen."""
        self._node.destroy_subscription(self._subscription)
