# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The panoptic products of one camera: ~/panoptic, ~/instances, and outlines in ~/overlay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from seg_perception.errors import UserError
from seg_perception.perception.foot_points import locate_instances
from seg_perception.perception.frame import Frame
from seg_perception.perception.labels import LabelSpace
from seg_perception.pipeline import SegmentationResult
from seg_perception.ros.ground import GroundProducts
from seg_perception.ros.instance_messages import (
    InstanceCloud,
    build_detections,
    find_instances_type,
    has_detections,
)
from seg_perception.ros.messages import OutgoingImage
from seg_perception.ros.panoptic_parameters import DETECTIONS, POINTS
from seg_perception.ros.qos import product_qos
from seg_perception.ros.topic_publishers import TopicPublishers

PANOPTIC_TOPIC = '~/panoptic'
INSTANCES_TOPIC = '~/instances'
PANOPTIC_TOPICS = (PANOPTIC_TOPIC, INSTANCES_TOPIC)


class PanopticProducts:
    """Publishers of one camera with their messages, there until `close`.

    Topics are named here as those of a node with one camera, whatever the camera's own are.
    """

    def __init__(
        self,
        node: LifecycleNode,
        label_space: LabelSpace,
        instances_as: str,
        queue_depth: int,
        ground: GroundProducts | None = None,
        camera: str = '',
    ) -> None:
        """Create the publishers.

        Args:
            node: publishes while it is active.
            label_space: names the classes.
            instances_as: 'detections', 'points' or 'auto', see the parameter.
            queue_depth: of both publishers.
            ground: knows the ground; None where nothing does.
            camera: its name, '' for the only one.

        Raises:
            UserError: detections are asked for without vision_msgs.
        """
        self._label_space = label_space
        self._ground = ground
        self._as_detections = choose_detections(instances_as, has_detections())
        self._base_frame = '' if ground is None else ground.base_frame
        self._image = OutgoingImage()
        self._cloud = InstanceCloud(self._base_frame)
        self.camera = camera
        instances_type = find_instances_type(self._as_detections)
        self._publishers = TopicPublishers(node, camera)
        with self._publishers.close_on_error():
            self._publishers.open(Image, PANOPTIC_TOPIC, product_qos(queue_depth))
            self._publishers.open(instances_type, INSTANCES_TOPIC, product_qos(queue_depth))
        if instances_as == 'auto' and not self._as_detections:
            node.get_logger().info(
                'vision_msgs is not installed: ~/instances is a sensor_msgs/PointCloud2'
            )

    def close(self) -> None:
        """Destroy the publishers."""
        self._publishers.close()

    def list_wanted(self) -> set[str]:
        """Return the topics that somebody listens to."""
        return self._publishers.list_wanted()

    def make_buffer(self, height_px: int, width_px: int) -> np.ndarray:
        """Return the (height, width) int32 pixels of the message to write the map to."""
        return self._image.pixels(height_px, width_px, '32SC1')

    def build_messages(
        self, frame: Frame, result: SegmentationResult, wanted: set[str]
    ) -> Iterator[tuple[Any, Any]]:
        """Yield publisher and message of what is wanted.

        Args:
            frame: the image.
            result: what was made of it, with its map in `make_buffer`.
            wanted: topics that somebody listens to.
        """
        if PANOPTIC_TOPIC in wanted:
            yield self._publishers[PANOPTIC_TOPIC], self._image.message(frame.header)
        if INSTANCES_TOPIC in wanted:
            yield self._publishers[INSTANCES_TOPIC], self._build_instances(frame, result)

    def _build_instances(self, frame: Frame, result: SegmentationResult) -> Any:
        panoptic, instances = result.panoptic, result.instances
        assert panoptic is not None and instances is not None  # it was asked for
        view = self._ground.find_view(frame, panoptic.shape) if self._ground else None
        ground_m = locate_instances(panoptic, instances, view)
        if self._as_detections:
            return build_detections(
                frame.header, instances, ground_m, self._base_frame, self._label_space
            )
        return self._cloud.build(frame.header, instances, ground_m)


def choose_detections(instances_as: str, is_installed: bool) -> bool:
    """Return whether ~/instances is a Detection2DArray.

    Raises:
        UserError: it has to be, and vision_msgs is not installed.
    """
    if instances_as == DETECTIONS and not is_installed:
        raise UserError(
            f'panoptic.instances_as is {DETECTIONS}, but vision_msgs (4 or later) is not '
            f'installed; install ros-$ROS_DISTRO-vision-msgs, or set {POINTS} or auto'
        )
    return instances_as != POINTS and is_installed
