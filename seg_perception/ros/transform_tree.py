# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The tf of a node: one buffer and listener for all of its cameras."""

from __future__ import annotations

import importlib.util
from typing import Any


class TransformError(Exception):
    """tf does not know a transform at a time."""


def has_tf() -> bool:
    """Tell whether tf2_ros is installed."""
    return importlib.util.find_spec('tf2_ros') is not None


class TransformTree:
    """Listens to tf from the first `open` to the last `close`.

    A listener in Python reads every message of /tf: with one for each camera, tf at 200 Hz would
    take the processor time of the network.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._users: set[int] = set()
        self._buffer: Any = None
        self._listener: Any = None

    def open(self, user: object) -> None:
        """Begin to listen, unless some user did."""
        import tf2_ros

        self._users.add(id(user))
        if self._listener is None:
            self._buffer = tf2_ros.Buffer(node=self._node)
            self._listener = tf2_ros.TransformListener(
                self._buffer, self._node, spin_thread=False
            )

    def close(self, user: object) -> None:
        """End listening where no other user is left; calling it twice does no harm."""
        self._users.discard(id(user))
        if self._users or self._listener is None:
            return
        self._listener.unregister()
        # of the buffer, which makes it and does not destroy it
        service = getattr(self._buffer, 'srv', None)
        if service is not None:
            self._node.destroy_service(service)
        self._buffer = self._listener = None

    def look_up(self, target_frame: str, source_frame: str, stamp_ns: int) -> Any:
        """Return the TransformStamped at a stamp, while open; from any thread.

        Raises:
            TransformError: it is not known.
        """
        import tf2_ros
        from rclpy.time import Time

        try:
            return self._buffer.lookup_transform(
                target_frame, source_frame, Time(nanoseconds=stamp_ns)
            )
        except tf2_ros.TransformException as error:
            raise TransformError(str(error)) from error
