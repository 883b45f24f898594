# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The panoptic maps that a replayed node published, kept small until they are scored."""

from __future__ import annotations

import cv2
import numpy as np

from seg_perception.ros.replayed import ReplayedPanoptic


class PanopticStore:
    """Panoptic maps by stamp, kept as PNG with the four bytes of an id as channels."""

    def __init__(self) -> None:
        self._encoded: dict[int, np.ndarray] = {}

    def add(self, replayed: ReplayedPanoptic) -> None:
        """Keep a map."""
        ids = np.ascontiguousarray(replayed.panoptic)
        pixels = ids.view(np.uint8).reshape(*ids.shape, 4)
        is_encoded, data = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not is_encoded:
            raise RuntimeError(f'a panoptic map of shape {ids.shape} cannot be encoded as PNG')
        self._encoded[replayed.stamp_ns] = data

    def __contains__(self, stamp_ns: int) -> bool:
        return stamp_ns in self._encoded

    def read(self, stamp_ns: int) -> np.ndarray | None:
        """Return the (H, W) int32 map of a stamp, None without one."""
        data = self._encoded.get(stamp_ns)
        if data is None:
            return None
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)
        return np.ascontiguousarray(pixels).view(np.int32)[..., 0]
