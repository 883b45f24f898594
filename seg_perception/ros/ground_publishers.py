# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The publishers of the ground products, and who wants which of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2

from seg_perception.perception.ahead import Ahead
from seg_perception.perception.occupancy import OccupancyResult
from seg_perception.ros.ground_messages import (
    OutgoingCoverage,
    OutgoingGrid,
    make_obstacle_cloud,
    make_point_cloud,
)
from seg_perception.ros.occupancy_parameters import GroundSettings, name_class_topic
from seg_perception.ros.qos import latched_qos, product_qos
from seg_perception.ros.topic_publishers import TopicPublishers

COSTMAP_TOPIC = '~/costmap'
POINTS_TOPIC = '~/points'
OBSTACLES_TOPIC = '~/obstacle_points'
COVERAGE_TOPIC = '~/class_coverage'
CLOUD_TOPICS = {POINTS_TOPIC, OBSTACLES_TOPIC}
GROUND_TOPICS = (COSTMAP_TOPIC, POINTS_TOPIC, OBSTACLES_TOPIC, COVERAGE_TOPIC)


class GroundPublishers:
    """Lifecycle publishers of one camera with their messages, there until `close`.

    Topics are named here as those of a node with one camera, whatever the camera's own are.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: GroundSettings,
        shape: tuple[int, int],
        camera: str = '',
    ) -> None:
        """Create the publishers.

        Args:
            node: publishes while it is active.
            settings: classes, frames and QoS.
            shape: (rows, columns) of the grids.
            camera: its name, '' for the only one.
        """
        self._classes = settings.config.grid_classes
        latched = latched_qos() if settings.latched else product_qos(1)
        volatile = product_qos(1)
        resolution_m = settings.config.grid.resolution_m
        self._class_topics = [name_class_topic(name) for name in self._classes]
        self._publishers = TopicPublishers(node, camera)
        with self._publishers.close_on_error():
            self._publishers.open(OccupancyGrid, COSTMAP_TOPIC, latched)
            self._publishers.open(PointCloud2, POINTS_TOPIC, volatile)
            self._publishers.open(PointCloud2, OBSTACLES_TOPIC, volatile)
            self._publishers.open(DiagnosticArray, COVERAGE_TOPIC, volatile)
            for topic in self._class_topics:
                self._publishers.open(OccupancyGrid, topic, latched, has_overrides=False)
        self._grids = {
            topic: OutgoingGrid(*shape, resolution_m, settings.grid_frame)
            for topic in (COSTMAP_TOPIC, *self._class_topics)
        }
        self._points = make_point_cloud(settings.base_frame)
        self._obstacles = make_obstacle_cloud(settings.base_frame)
        self._coverage = OutgoingCoverage(settings.config.class_names, settings.base_frame)
        self._shown: set[str] = set()

    def close(self) -> None:
        """Destroy the publishers."""
        self._publishers.close()

    def list_wanted(self) -> set[str]:
        """Return the topics that somebody listens to."""
        return self._publishers.list_wanted()

    def publish_grids(
        self, result: OccupancyResult, stamp_ns: int, topics: Iterable[str]
    ) -> None:
        """Publish costmap and class grids, those in `topics`."""
        wanted = set(topics)
        planes = [(COSTMAP_TOPIC, result.cost)]
        planes += zip(self._class_topics, result.planes, strict=True)
        for topic, cells in planes:
            if topic in wanted:
                message = self._grids[topic].fill(cells, result.origin_m, stamp_ns)
                self._publishers[topic].publish(message)
                self._shown.add(topic)

    def publish_unknown(self, result: OccupancyResult, stamp_ns: int) -> None:
        """Publish grids that are all unknown in place of those that were published last."""
        self.publish_grids(result, stamp_ns, tuple(self._shown))
        self._shown.clear()

    def publish_coverage(self, ahead: Ahead, stamp_ns: int) -> None:
        """Publish shares and distances."""
        self._publishers[COVERAGE_TOPIC].publish(self._coverage.fill(ahead, stamp_ns))

    def publish_points(self, points: Any, stamp_ns: int) -> None:
        """Publish an organised cloud, (H, W, 3) float32."""
        message = self._points.fill(points, points.shape[:2], False, stamp_ns)
        self._publishers[POINTS_TOPIC].publish(message)

    def publish_obstacles(self, obstacles: Any, stamp_ns: int) -> None:
        """Publish obstacle points, (N,) of OBSTACLE_TYPE."""
        message = self._obstacles.fill(obstacles, (1, len(obstacles)), True, stamp_ns)
        self._publishers[OBSTACLES_TOPIC].publish(message)
