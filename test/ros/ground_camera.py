# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A camera with calibration, odometry and depth, and a consumer of the ground products."""

from __future__ import annotations

from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid, Odometry
from node_camera import Camera
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from seg_perception.ros.qos import latched_qos

IMAGE_HW = (96, 160)
FOCAL_PX = 100.0
GRID_TYPE, CLOUD_TYPE, COVERAGE_TYPE = OccupancyGrid, PointCloud2, DiagnosticArray


class GroundCamera(Camera):
    """Publishes images of IMAGE_HW with all that the ground products need."""

    def __init__(self, node_name: str, image_topic: str, name: str = '') -> None:
        super().__init__(node_name, image_topic, name=name)
        create = self._node.create_publisher
        self.info = create(
            CameraInfo, f'{image_topic.rpartition("/")[0]}/camera_info', qos_profile_sensor_data
        )
        namespace = node_name.rpartition('/')[0]
        self.odometry = create(Odometry, f'{namespace}/odom', 10)
        self.depth = create(Image, f'{namespace}/depth', 10)
        self.ground_status: Any = None
        self.ground_status_count = 0

    def subscribe_ground(self, product: str, message_type: Any, latched: bool = False) -> Any:
        """Collect a ground product in received[product]."""
        messages = self.received.setdefault(product, [])
        qos = latched_qos() if latched else QoSProfile(depth=50)
        topic = f'{self.products_name}/{product}'
        subscription = self._node.create_subscription(message_type, topic, messages.append, qos)
        self.spin_until(lambda: self._node.count_publishers(topic), topic)
        self.spin_for(0.3)
        return subscription

    def find_stamp(self, product: str, header: Any) -> Any:
        """Return the received product with the stamp of an image."""
        return next((m for m in self.received[product] if m.header.stamp == header.stamp), None)

    def send_info(self, focal_px: float = FOCAL_PX) -> None:
        """Publish the calibration and let it arrive."""
        height_px, width_px = IMAGE_HW
        info = CameraInfo(height=height_px, width=width_px, distortion_model='plumb_bob')
        info.d = [0.0] * 5
        info.k = [focal_px, 0.0, 79.5, 0.0, focal_px, 47.5, 0.0, 0.0, 1.0]
        self.spin_until(self.info.get_subscription_count, 'the node to want camera_info')
        self.info.publish(info)
        self.spin_for(0.2)

    def make_odometry(self, stamp: Any, x_m: float, **changes: Any) -> Odometry:
        """Return odometry of a vehicle that has moved along x."""
        message = Odometry(child_frame_id=changes.get('child_frame_id', 'base_link'))
        message.header.frame_id = changes.get('frame_id', 'odom')
        message.header.stamp = stamp
        message.pose.pose.position.x = x_m
        message.pose.pose.orientation.w = changes.get('w', 1.0)
        return message

    def send_both(self, image: Any, product: str) -> tuple[Any, Any]:
        """Publish an image and return its mask and one of its ground products.

        Of the first images there may be no product: lookup tables are made beside the masks.
        """
        for _ in range(20):
            mask = self.send(image)
            self.spin_for(0.1)
            found = self.find_stamp(product, image.header)
            if found is not None:
                return mask, found
            self.received['mask'].remove(mask)
        raise AssertionError(f'no {product} of an image that was sent 20 times')

    def send_twice(self, image: Any) -> None:
        """Publish an image, and again when lookup tables are sure to be there."""
        for _ in range(2):
            self.received['mask'].clear()
            self.send(image)
            self.spin_for(0.6)

    def read_ground(self) -> dict[str, str]:
        """Return the values of the ground status, composed after this call."""
        count = self.ground_status_count
        self.spin_until(lambda: self.ground_status_count >= count + 2, 'ground status')
        return {value.key: value.value for value in self.ground_status.values} | {
            'message': self.ground_status.message,
            'level': self.ground_status.level,
        }

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        for status in message.status:
            node_name = self.node_name.lstrip('/')
            if status.name == f'{node_name}: ground occupancy {self.name}'.rstrip():
                self.ground_status = status
                self.ground_status_count += 1


def view_cells(grid: OccupancyGrid) -> np.ndarray:
    """Return (rows, columns) int8."""
    return np.asarray(grid.data, np.int8).reshape(grid.info.height, grid.info.width)


def view_points(cloud: PointCloud2) -> np.ndarray:
    """Return (H, W, 3) float32 of an organised cloud."""
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 3)
