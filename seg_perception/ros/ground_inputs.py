# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the ground products need besides the image: calibration, pose, ego motion, depth."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, Imu

from seg_perception.perception.camera_model import (
    CameraModel,
    CameraModelError,
    make_camera_model,
)
from seg_perception.perception.camera_pose import (
    CameraPose,
    CameraPoseError,
    make_transform_matrix,
)
from seg_perception.ros.ego_motion import (
    ClockBackError,
    MotionBuffer,
    MotionError,
    Pose,
    compute_tilt,
    compute_yaw,
)
from seg_perception.ros.ground_trouble import (
    CAMERA_INFO,
    CAMERA_POSE,
    CLOCK,
    DEPTH,
    ODOMETRY,
    GroundError,
    GroundStatistics,
)
from seg_perception.ros.occupancy_parameters import GroundSettings
from seg_perception.ros.qos import COMPRESSED_SUFFIX, camera_qos, name_input
from seg_perception.ros.transform_tree import TransformError, TransformTree

DEPTH_KEPT = 5
# Half the period of a 20 Hz depth camera: a farther one is of another image.
DEPTH_OFFSET_NS = 25_000_000
# A camera that moves by less is taken to stand still: the lookup tables are not made again.
STILL_M, STILL_RAD = 0.002, 0.0005
# Tilt counts in steps: a rolling vehicle must not ask for other tables at each image.
TILT_STEP_RAD = math.radians(0.1)
# A camera on a vehicle does not move by more from one image to the next.
JUMP_M, JUMP_RAD = 0.1, 0.05
_DEPTH_TYPES = {'16UC1': np.uint16, '32FC1': np.float32}


def name_camera_info_topic(image_topic: str) -> str:
    """Return the sibling camera_info of an image topic, as image_transport derives it."""
    raw = image_topic.removesuffix(COMPRESSED_SUFFIX)
    return f'{raw.rpartition("/")[0]}/camera_info'


def find_camera_info_topic(node: Any, image_topic: str, camera: str = '') -> str:
    """Return the sibling of the image topic, unless camera_info is remapped.

    A named camera's is <camera>/camera_info before remapping.
    """
    name = name_input('camera_info', camera)
    remapped = node.resolve_topic_name(name)
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return str(remapped)
    return str(node.resolve_topic_name(name_camera_info_topic(image_topic)))


def read_stamp_ns(header: Any) -> int:
    """Return the stamp of a header in ns."""
    return int(header.stamp.sec * 10**9 + header.stamp.nanosec)


class GroundInputs:
    """Subscriptions of a node, there from `open` to `close`; callbacks only store.

    The finders may be called from another thread than the callbacks.
    """

    def __init__(
        self,
        node: Any,
        settings: GroundSettings,
        image_topic: str,
        statistics: GroundStatistics,
        transforms: TransformTree,
        camera: str,
    ) -> None:
        self._node = node
        self._settings = settings
        self._transforms = transforms
        self._statistics = statistics
        self._lock = threading.Lock()
        self._camera_info: Any = None
        self._model: CameraModel | None = None
        self._model_key: tuple = ()
        self._pose: CameraPose | None = None
        self._depths: deque[Any] = deque(maxlen=DEPTH_KEPT)
        self._motion = MotionBuffer(settings.odometry_max_gap_s)
        self._tilt = MotionBuffer(settings.odometry_max_gap_s, 'IMU')
        self._subscriptions: list[Any] = []
        self._needs_tf = settings.pose is None or (
            settings.fusion is not None and settings.ego_motion == 'tf'
        )
        self._depth_topic = str(node.resolve_topic_name(name_input('depth', camera)))
        self.image_topic = image_topic
        self.camera_info_topic = find_camera_info_topic(node, image_topic, camera)
        is_rectified = image_topic.removesuffix(COMPRESSED_SUFFIX).rpartition('/')[2]
        self._rectified = settings.rectified == 'yes' or (
            settings.rectified == 'auto' and is_rectified.startswith('image_rect')
        )

    def open(self) -> None:
        """Subscribe to what the settings need."""
        settings = self._settings
        subscribe = self._node.create_subscription
        self._subscriptions.append(
            subscribe(CameraInfo, self.camera_info_topic, self._on_camera_info, camera_qos())
        )
        if settings.fusion and settings.ego_motion == 'odometry':
            qos = QoSProfile(depth=50, reliability=qos_profile_sensor_data.reliability)
            self._subscriptions.append(subscribe(Odometry, 'odom', self._on_odometry, qos))
        if settings.tilt_from == 'imu':
            self._subscriptions.append(
                subscribe(Imu, 'imu', self._on_imu, qos_profile_sensor_data)
            )
        if settings.points_from == 'depth':
            self._subscriptions.append(
                subscribe(Image, self._depth_topic, self._on_depth, qos_profile_sensor_data)
            )
        if self._needs_tf:
            self._transforms.open(self)

    def close(self) -> None:
        """Unsubscribe and forget what came; calling it twice does no harm."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._transforms.close(self)
        self._motion.clear()
        self._tilt.clear()
        with self._lock:
            self._camera_info, self._model, self._pose = None, None, None
            self._depths.clear()

    # What an image needs ---------------------------------------------------------------------

    def find_model(self, image_hw: tuple[int, int]) -> CameraModel:
        """Return the camera model for images of (height, width).

        Raises:
            GroundError: no camera_info came, or the last one cannot be used.
        """
        with self._lock:
            info = self._camera_info
        if info is None:
            count = self._node.count_publishers(self.camera_info_topic)
            raise GroundError(
                CAMERA_INFO,
                f'no camera_info on {self.camera_info_topic} yet ({count} publishers); grids and '
                'positions need the calibration: remap camera_info where it has another name',
            )
        key = (image_hw, describe_camera_info(info))
        if self._model is None or key != self._model_key:
            try:
                model = build_model(info, image_hw, self._rectified)
            except CameraModelError as error:
                raise GroundError(CAMERA_INFO, f'{self.camera_info_topic}: {error}') from error
            self._model, self._model_key = model, key
        return self._model

    def find_pose(self, frame_id: str, stamp_ns: int) -> CameraPose:
        """Return the pose of the camera on the vehicle, or above the level ground with an IMU.

        Raises:
            GroundError: tf or the IMU do not know it at the stamp, or it is no number.
        """
        pose = self._settings.pose or self._find_mounting(frame_id, stamp_ns)
        if self._settings.tilt_from != 'imu':
            return pose
        try:
            roll_rad, pitch_rad, _ = self._tilt.find(stamp_ns)
        except MotionError as error:
            topic = self._node.resolve_topic_name('imu')
            raise GroundError(CAMERA_POSE, f'{error} (topic {topic})') from error
        steps = round(pitch_rad / TILT_STEP_RAD), round(roll_rad / TILT_STEP_RAD)
        return pose.level(steps[0] * TILT_STEP_RAD, steps[1] * TILT_STEP_RAD)

    def _find_mounting(self, frame_id: str, stamp_ns: int) -> CameraPose:
        matrix = self._look_up(self._settings.base_frame, frame_id, stamp_ns, CAMERA_POSE)
        try:
            pose = CameraPose.from_matrix(matrix)
        except CameraPoseError as error:
            raise GroundError(CAMERA_POSE, str(error)) from error
        last = self._pose
        if last is not None:
            moved_m, turned_rad = compare_poses(last, pose)
            if moved_m < STILL_M and turned_rad < STILL_RAD:
                return last
            if moved_m > JUMP_M or turned_rad > JUMP_RAD:
                self._statistics.count_trouble(
                    CAMERA_POSE,
                    f'tf of the camera jumped by {moved_m:.2f} m and '
                    f'{math.degrees(turned_rad):.1f} degrees; its new pose is used',
                )
        self._pose = pose
        return pose

    def find_motion(self, stamp_ns: int) -> Pose | None:
        """Return (x, y, yaw) of the vehicle in odom; None where frames are not fused.

        Raises:
            GroundError: it is not known at the stamp.
        """
        settings = self._settings
        if settings.fusion is None:
            return None
        if settings.ego_motion == 'tf':
            matrix = self._look_up(settings.odom_frame, settings.base_frame, stamp_ns, ODOMETRY)
            return matrix[0, 3], matrix[1, 3], math.atan2(matrix[1, 0], matrix[0, 0])
        try:
            return self._motion.find(stamp_ns)
        except MotionError as error:
            topic = self._node.resolve_topic_name('odom')
            raise GroundError(ODOMETRY, f'{error} (topic {topic})') from error

    def find_depth(self, stamp_ns: int) -> tuple[np.ndarray, str]:
        """Return the depth image of a stamp, (H, W) uint16 or float32, and its encoding.

        Raises:
            GroundError: there is none near the stamp, or it cannot be read.
        """
        with self._lock:
            messages = list(self._depths)
        topic = self._depth_topic
        if not messages:
            raise GroundError(DEPTH, f'no depth image on {topic} yet')
        message = min(messages, key=lambda entry: abs(read_stamp_ns(entry.header) - stamp_ns))
        offset_ns = abs(read_stamp_ns(message.header) - stamp_ns)
        if offset_ns > DEPTH_OFFSET_NS:
            raise GroundError(
                DEPTH,
                f'the nearest depth image on {topic} is {offset_ns * 1e-6:.0f} ms off the image, '
                f'expected at most {DEPTH_OFFSET_NS * 1e-6:.0f} ms',
            )
        return read_depth(message), message.encoding

    def _look_up(
        self, target_frame: str, source_frame: str, stamp_ns: int, kind: str
    ) -> np.ndarray:
        try:
            found = self._transforms.look_up(target_frame, source_frame, stamp_ns)
        except TransformError as error:
            raise GroundError(
                kind, f'tf has no {target_frame} from {source_frame} at the image: {error}'
            ) from error
        matrix = make_transform_matrix(found.transform)
        if not np.isfinite(matrix).all():
            raise GroundError(
                kind, f'tf of {target_frame} from {source_frame} holds no numbers or no rotation'
            )
        return matrix

    # Callbacks -------------------------------------------------------------------------------

    def _on_camera_info(self, message: Any) -> None:
        with self._lock:
            self._camera_info = message

    def _on_depth(self, message: Any) -> None:
        with self._lock:
            self._depths.append(message)

    def _on_imu(self, message: Any) -> None:
        turn = message.orientation
        tilt = compute_tilt(turn.x, turn.y, turn.z, turn.w)
        # REP-145: a first covariance of -1 says that there is no orientation.
        if message.orientation_covariance[0] == -1.0:
            tilt = math.nan, math.nan
        try:
            self._tilt.add(read_stamp_ns(message.header), (*tilt, 0.0))
        except ClockBackError as error:
            self._statistics.count_trouble(CLOCK, str(error))
        except MotionError as error:
            self._statistics.count_trouble(CAMERA_POSE, str(error))

    def _on_odometry(self, message: Any) -> None:
        base_frame = self._settings.base_frame
        if message.child_frame_id not in ('', base_frame):
            self._statistics.count_trouble(
                ODOMETRY,
                f"odometry is that of '{message.child_frame_id}', expected base_frame "
                f"'{base_frame}'",
            )
            return
        if message.header.frame_id not in ('', self._settings.odom_frame):
            self._statistics.count_trouble(
                ODOMETRY,
                f"odometry is in '{message.header.frame_id}', expected odom_frame "
                f"'{self._settings.odom_frame}'",
            )
            return
        position, turn = message.pose.pose.position, message.pose.pose.orientation
        pose = (position.x, position.y, compute_yaw(turn.x, turn.y, turn.z, turn.w))
        try:
            self._motion.add(read_stamp_ns(message.header), pose)
        except ClockBackError as error:
            self._statistics.count_trouble(CLOCK, str(error))
        except MotionError as error:
            self._statistics.count_trouble(ODOMETRY, str(error))


def describe_camera_info(info: Any) -> tuple:
    """Return everything in a CameraInfo that the model depends on, to compare by."""
    roi = info.roi
    return (
        info.height, info.width, info.distortion_model, bytes(np.asarray(info.d, float)),
        bytes(np.asarray(info.k, float)), bytes(np.asarray(info.r, float)),
        bytes(np.asarray(info.p, float)), roi.x_offset, roi.y_offset, roi.height, roi.width,
    )  # fmt: skip


def build_model(info: Any, image_hw: tuple[int, int], rectified: bool) -> CameraModel:
    """Return the model of a CameraInfo; binning is a scaled image, a region of interest a cut.

    Raises:
        CameraModelError: the calibration cannot be used.
    """
    k, p, roi = list(info.k), list(info.p), info.roi
    info_hw = (info.height, info.width)
    if roi.height and roi.width:
        info_hw = (roi.height, roi.width)
        for values, center_x, center_y in ((k, 2, 5), (p, 2, 6)):
            values[center_x] -= roi.x_offset
            values[center_y] -= roi.y_offset
    return make_camera_model(
        image_hw, info_hw, info.distortion_model, list(info.d), k, list(info.r), p, rectified
    )


def read_depth(message: Any) -> np.ndarray:
    """Return the (H, W) pixels of a depth image, without a copy where rows have no padding.

    Raises:
        GroundError: unknown encoding, missing data, or bytes in another order.
    """
    if message.encoding not in _DEPTH_TYPES:
        raise GroundError(
            DEPTH,
            f"depth image has encoding '{message.encoding}', expected 16UC1 (mm) or 32FC1 (m)",
        )
    dtype = np.dtype(_DEPTH_TYPES[message.encoding])
    dtype = dtype.newbyteorder('>' if message.is_bigendian else '<')
    width_bytes = message.width * dtype.itemsize
    if message.step < width_bytes or len(message.data) < message.step * message.height:
        raise GroundError(
            DEPTH,
            f'depth image has {len(message.data)} bytes and step {message.step}, expected '
            f'{message.height} rows of {width_bytes} bytes',
        )
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height)
    pixels = rows.reshape(message.height, message.step)[:, :width_bytes]
    depth = np.ascontiguousarray(pixels).view(dtype)
    return depth if dtype.isnative else depth.astype(dtype.newbyteorder('='))


def compare_poses(first: CameraPose, second: CameraPose) -> tuple[float, float]:
    """Return by how much two poses differ: metres, radians."""
    one, other = first.to_matrix(), second.to_matrix()
    moved_m = float(np.linalg.norm(one[:3, 3] - other[:3, 3]))
    # |R - S| is sqrt(8) sin(angle / 2); exact for small angles, as the trace is not.
    sine = float(np.linalg.norm(one[:3, :3] - other[:3, :3])) / math.sqrt(8.0)
    return moved_m, 2.0 * math.asin(min(1.0, sine))
