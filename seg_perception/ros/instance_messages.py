# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Outgoing messages of instances: vision_msgs/Detection2DArray, or a cloud with a point each."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg_perception.perception.labels import LabelSpace
from seg_perception.perception.panoptic import Instances
from seg_perception.perception.panoptic_reference import INSTANCES_PER_CLASS
from seg_perception.ros.ground_messages import OutgoingCloud

INSTANCE_TYPE = np.dtype(
    [(name, np.float32) for name in ('x', 'y', 'z', 'score')]
    + [
        (name, np.uint32)
        for name in ('id', 'class_id', 'area_px', 'left_px', 'top_px', 'right_px', 'bottom_px')
    ]
)


def has_detections() -> bool:
    """Tell whether vision_msgs is installed, in a version whose boxes are as since Humble."""
    try:
        from vision_msgs.msg import BoundingBox2D, Detection2DArray
    except ImportError:
        return False
    return bool(Detection2DArray) and hasattr(BoundingBox2D().center, 'position')


def find_instances_type(as_detections: bool) -> Any:
    """Return the type of the messages that `build_detections` or `InstanceCloud` makes."""
    if as_detections:
        from vision_msgs.msg import Detection2DArray

        return Detection2DArray
    from sensor_msgs.msg import PointCloud2

    return PointCloud2


def build_detections(
    header: Any,
    instances: Instances,
    ground_m: np.ndarray,
    base_frame: str,
    label_space: LabelSpace,
) -> Any:
    """Return a vision_msgs/Detection2DArray.

    Args:
        header: of the image.
        instances: N of them.
        ground_m: (N, 2) x and y in the base frame, NaN where not known: then the position is
            NaN and the detection's frame that of the image.
        base_frame: of the positions.
        label_space: names the classes.
    """
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

    message = Detection2DArray(header=header)
    ids = list_ids(instances)
    rows = zip(ids.tolist(), instances.class_id.tolist(), instances.score.tolist(),
               instances.box_px.tolist(), ground_m.tolist(), strict=True)  # fmt: skip
    for id_, class_id, score, (top, left, bottom, right), (x_m, y_m) in rows:
        is_known = bool(np.isfinite(x_m))
        detection = Detection2D(id=str(id_))
        detection.header.stamp = header.stamp
        detection.header.frame_id = base_frame if is_known else header.frame_id
        # edges of pixels lie half a pixel outside of their centres, which are at whole numbers
        detection.bbox.center.position.x = (left + right - 1) / 2
        detection.bbox.center.position.y = (top + bottom - 1) / 2
        detection.bbox.size_x = float(right - left)
        detection.bbox.size_y = float(bottom - top)
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = label_space.class_names[class_id]
        result.hypothesis.score = score
        position = result.pose.pose.position
        position.x, position.y, position.z = x_m, y_m, 0.0 if is_known else np.nan
        detection.results.append(result)
        message.detections.append(detection)
    return message


class InstanceCloud:
    """One sensor_msgs/PointCloud2 of INSTANCE_TYPE, a point where each instance stands."""

    def __init__(self, base_frame: str) -> None:
        """Points are in base_frame; '' where no position is known: that of the image."""
        self._base_frame = base_frame
        self._cloud = OutgoingCloud(INSTANCE_TYPE, base_frame)

    def build(self, header: Any, instances: Instances, ground_m: np.ndarray) -> Any:
        """Return the message; arguments as those of `build_detections`."""
        top, left, bottom, right = instances.box_px.T
        points = np.empty(len(instances.score), INSTANCE_TYPE)
        points['x'], points['y'] = ground_m.T
        points['z'] = np.where(np.isfinite(ground_m[:, 0]), 0.0, np.nan)
        columns = {'id': list_ids(instances), 'class_id': instances.class_id,
                   'score': instances.score, 'area_px': instances.area_px, 'left_px': left,
                   'top_px': top, 'right_px': right, 'bottom_px': bottom}  # fmt: skip
        for name, values in columns.items():
            points[name] = values
        stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
        is_dense = bool(np.isfinite(points['x']).all())
        message = self._cloud.fill(points, (1, len(points)), is_dense, stamp_ns)
        message.header.frame_id = self._base_frame or header.frame_id
        return message


def list_ids(instances: Instances) -> np.ndarray:
    """Return the ids (N,) of instances in the map: class * 1000 + number."""
    return instances.class_id * INSTANCES_PER_CLASS + instances.instance_id
