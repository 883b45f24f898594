# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a replayed node published, kept small until it is scored and drawn."""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from seg_perception.evaluation.bags.camera_geometry import RecordedCamera
from seg_perception.evaluation.reports.birds_eye import UNKNOWN, combine_grids, draw_birds_eye
from seg_perception.perception.labels import LabelSpace
from seg_perception.perception.occupancy_config import GridConfig
from seg_perception.ros.ground_publishers import COSTMAP_TOPIC
from seg_perception.ros.occupancy_parameters import (
    DEFAULT_CLASSES,
    choose_classes,
    name_class_topic,
)
from seg_perception.ros.replayed import ReplayedGrid, ReplayedMask


class MaskStore:
    """Masks by stamp, kept as PNG: some 10 kB each, so that long drives fit into memory."""

    def __init__(self) -> None:
        self._encoded: dict[int, tuple[np.ndarray, float]] = {}

    def add(self, replayed: ReplayedMask) -> None:
        """Keep a mask and its latency."""
        is_encoded, data = cv2.imencode('.png', replayed.mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not is_encoded:
            raise RuntimeError(f'a mask of shape {replayed.mask.shape} cannot be encoded as PNG')
        self._encoded[replayed.stamp_ns] = (data, replayed.latency_ms)

    def __len__(self) -> int:
        return len(self._encoded)

    def __contains__(self, stamp_ns: int) -> bool:
        return stamp_ns in self._encoded

    def read(self, stamp_ns: int) -> tuple[np.ndarray, float]:
        """Return the (H, W) uint8 mask of a stamp and its latency in ms."""
        data, latency_ms = self._encoded[stamp_ns]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8), latency_ms


class ConfidenceStore:
    """Confidences by stamp, as they are in a temporary file: they hardly get smaller.

    2 MB each at 1024x2048, with neither memory nor, while the node works, processor time.
    """

    def __init__(self) -> None:
        # closed, and with that removed, when the store goes
        self._file = tempfile.TemporaryFile(prefix='seg_perception_confidence_')  # noqa: SIM115
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}

    def add(self, replayed: ReplayedMask) -> None:
        """Keep the confidence of a mask, where it came."""
        if replayed.confidence is None:
            return
        self._places[replayed.stamp_ns] = (self._file.tell(), replayed.confidence.shape)
        self._file.write(np.ascontiguousarray(replayed.confidence).data)

    def read(self, stamp_ns: int) -> np.ndarray | None:
        """Return the (H, W) uint8 confidence of a stamp, None without one.

        What is read comes after all that is added.
        """
        if stamp_ns not in self._places:
            return None
        place, shape = self._places[stamp_ns]
        self._file.seek(place)
        return np.frombuffer(self._file.read(math.prod(shape)), np.uint8).reshape(shape)


class GroundStore:
    """The node's ground grids by stamp, combined into one (rows, columns) uint8 each, as PNG.

    Args:
        label_space: classes of the model; the topics are those of the default classes.
    """

    def __init__(self, label_space: LabelSpace) -> None:
        names = label_space.class_names
        self._class_ids = {
            name_class_topic(name).removeprefix('~/'): names.index(name)
            for name in choose_classes(DEFAULT_CLASSES, names)
        }
        self.topics = (*self._class_ids, COSTMAP_TOPIC.removeprefix('~/'))
        self._pending: dict[int, dict[str, np.ndarray]] = {}
        self._encoded: dict[int, np.ndarray] = {}

    def add(self, replayed: ReplayedGrid) -> None:
        """Keep a grid; the last one of a stamp completes the picture."""
        grids = self._pending.setdefault(replayed.stamp_ns, {})
        grids[replayed.name] = replayed.cells
        if len(grids) < len(self.topics):
            return
        del self._pending[replayed.stamp_ns]
        cost = grids.pop(self.topics[-1])
        by_class = {self._class_ids[name]: cells for name, cells in grids.items()}
        is_encoded, data = cv2.imencode('.png', combine_grids(by_class, cost))
        if not is_encoded:
            raise RuntimeError(f'a grid of shape {cost.shape} cannot be encoded as PNG')
        self._encoded[replayed.stamp_ns] = data

    def __len__(self) -> int:
        return len(self._encoded)

    def draw(self, stamp_ns: int, label_space: LabelSpace, height_px: int) -> np.ndarray | None:
        """Return the ground from above at a stamp; without one all is unknown; None for none."""
        if not self._encoded:
            return None
        data = self._encoded.get(stamp_ns)
        cells = cv2.imdecode(
            next(iter(self._encoded.values())) if data is None else data, cv2.IMREAD_UNCHANGED
        )
        cells = np.asarray(cells, np.uint8)
        if data is None:
            cells = np.full_like(cells, UNKNOWN)
        grid = GridConfig()
        area_m = grid.x_min_m, grid.y_min_m, grid.resolution_m
        return draw_birds_eye(cells, label_space, height_px, area_m)


def list_camera_parameters(camera: RecordedCamera | None) -> dict[str, Any]:
    """Return the node's parameters that tell it where a recorded camera is."""
    if camera is None:
        return {'occupancy.enabled': False}
    return {
        'occupancy.camera_pose': 'parameters',
        'occupancy.rectified': 'yes' if camera.is_rectified else 'no',
        **{f'occupancy.camera_{axis}': value for axis, value in asdict(camera.pose).items()},
    }
