# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Outgoing messages of the ground: grids, clouds, what is ahead. Reused from frame to frame."""

from __future__ import annotations

import array
import math
import sys
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import PointCloud2, PointField

from seg_perception.perception.ahead import Ahead
from seg_perception.perception.clouds import OBSTACLE_TYPE

_FIELD_TYPES = {'f4': PointField.FLOAT32, 'u4': PointField.UINT32}
POINT_TYPE = np.dtype([('x', np.float32), ('y', np.float32), ('z', np.float32)])


def set_stamp(header: Any, stamp_ns: int) -> None:
    """Write nanoseconds into the stamp of a header."""
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)


class OutgoingGrid:
    """One nav_msgs/OccupancyGrid of a fixed size."""

    def __init__(self, rows: int, columns: int, resolution_m: float, frame_id: str) -> None:
        message = OccupancyGrid()
        message.header.frame_id = frame_id
        message.info.width, message.info.height = columns, rows
        message.info.resolution = resolution_m
        message.info.origin.orientation.w = 1.0
        message.data = array.array('b', bytes(rows * columns))
        # the setter may have copied: take the array that the message holds
        self._cells = np.frombuffer(message.data, np.int8).reshape(rows, columns)
        self._message = message

    def fill(self, cells: np.ndarray, origin_m: tuple[float, float], stamp_ns: int) -> Any:
        """Return the message with (rows, columns) int8 cells whose outer corner is at origin."""
        message = self._message
        np.copyto(self._cells, cells)
        set_stamp(message.header, stamp_ns)
        message.info.map_load_time = message.header.stamp
        message.info.origin.position.x, message.info.origin.position.y = origin_m
        return message


class OutgoingCloud:
    """One sensor_msgs/PointCloud2 of points with the fields of a NumPy type."""

    def __init__(self, dtype: np.dtype, frame_id: str) -> None:
        message = PointCloud2(is_bigendian=sys.byteorder == 'big', point_step=dtype.itemsize)
        message.header.frame_id = frame_id
        assert dtype.names is not None and dtype.fields is not None
        message.fields = [
            PointField(
                name=name,
                offset=dtype.fields[name][1],
                datatype=_FIELD_TYPES[dtype.fields[name][0].str[1:]],
                count=1,
            )
            for name in dtype.names
        ]
        self._message = message
        self._bytes = np.empty(0, np.uint8)

    def fill(
        self, points: np.ndarray, shape: tuple[int, int], is_dense: bool, stamp_ns: int
    ) -> Any:
        """Return the message with points, C-contiguous, of a cloud of (height, width) points.

        No memory is taken while the number of points stays the same.
        """
        message = self._message
        content = points.reshape(-1).view(np.uint8)
        if self._bytes.size != content.size:
            self._bytes = np.empty(0, np.uint8)  # an array that is looked at cannot be resized
            message.data = array.array('B', bytes(content.size))
            self._bytes = np.frombuffer(message.data, np.uint8)
        np.copyto(self._bytes, content)
        set_stamp(message.header, stamp_ns)
        message.height, message.width = shape
        message.row_step = message.point_step * message.width
        message.is_dense = is_dense
        return message


def make_obstacle_cloud(frame_id: str) -> OutgoingCloud:
    """Return a cloud of x, y, z, class_id and confidence."""
    return OutgoingCloud(OBSTACLE_TYPE, frame_id)


def make_point_cloud(frame_id: str) -> OutgoingCloud:
    """Return a cloud of x, y and z."""
    return OutgoingCloud(POINT_TYPE, frame_id)


class OutgoingCoverage:
    """A diagnostic_msgs/DiagnosticArray: one status per class and one for what is unknown.

    A class has the values image_share, corridor_share (0..1) and obstacle_m, `inf` where no
    obstacle of the class is in the corridor.
    """

    def __init__(self, class_names: tuple[str, ...], frame_id: str) -> None:
        self._message = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    name=name,
                    values=[
                        KeyValue(key=key)
                        for key in ('image_share', 'corridor_share', 'obstacle_m')
                    ],
                )
                for name in class_names
            ]
            + [DiagnosticStatus(name='unknown', values=[KeyValue(key='corridor_share')])]
        )
        self._message.header.frame_id = frame_id

    def fill(self, ahead: Ahead, stamp_ns: int) -> Any:
        """Return the message of one frame."""
        set_stamp(self._message.header, stamp_ns)
        columns = (ahead.image_share, ahead.corridor_share, ahead.obstacle_m)
        *classes, unknown = self._message.status
        for status, *figures in zip(classes, *columns, strict=True):
            for entry, figure in zip(status.values, figures, strict=True):
                entry.value = f'{figure:.4f}' if math.isfinite(figure) else 'inf'
        unknown.values[0].value = f'{ahead.unknown_share[0]:.4f}'
        return self._message
