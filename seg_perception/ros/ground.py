# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From a mask to the published ground products, after the mask itself is out."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, CameraPoseError, GroundView
from seg_perception.perception.clouds import CloudMaker
from seg_perception.perception.frame import Frame
from seg_perception.perception.occupancy import Occupancy, OccupancyResult
from seg_perception.ros.camera_preparer import CameraPreparer
from seg_perception.ros.ground_diagnostics import build_ground_status
from seg_perception.ros.ground_inputs import GroundInputs, compare_poses
from seg_perception.ros.ground_publishers import (
    CLOUD_TOPICS,
    COVERAGE_TOPIC,
    OBSTACLES_TOPIC,
    POINTS_TOPIC,
    GroundPublishers,
)
from seg_perception.ros.ground_trouble import (
    CAMERA_INFO,
    CAMERA_POSE,
    CLOCK,
    DEPTH,
    EXPIRED,
    INTERNAL,
    ODOMETRY,
    GroundError,
    GroundStatistics,
)
from seg_perception.ros.log_bridge import find_logger
from seg_perception.ros.occupancy_parameters import GroundSettings
from seg_perception.ros.throttle import ThrottledLog
from seg_perception.ros.transform_tree import TransformTree

# Tables serve a pose that differs by no more: 1 m of the range at 25 m, from 1.5 m above.
NEAR_M, NEAR_RAD = 0.02, 0.0025
# Any camera compiles what every camera needs; a small one takes the least time.
_WARM_UP_MODEL = CameraModel(48, 64, (40.0, 40.0), (31.5, 23.5))
_WARM_UP_POSE = CameraPose(z_m=1.5, pitch_rad=0.3)


class GroundProducts:
    """Makes and publishes the ground products of one camera of a configured node.

    `process` runs in the worker's thread, everything else in the executor's. No bad input raises
    out of here: it is counted and named in /diagnostics.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: GroundSettings,
        image_topic: str,
        camera: str,
        transforms: TransformTree,
    ) -> None:
        """Allocate the grids, create the publishers and compile; nothing is received yet.

        Args:
            node: configured.
            settings: what to make.
            image_topic: of the camera, resolved.
            camera: its name, '' for the only one.
            transforms: of the node.
        """
        self._node = node
        self._camera = camera
        self._settings = settings
        self._logger = find_logger(node, camera)
        self._statistics = GroundStatistics(ThrottledLog(self._logger.warning).log)
        self._inputs = GroundInputs(
            node, settings, image_topic, self._statistics, transforms, camera
        )
        self._occupancy = Occupancy(
            settings.config, settings.fusion, max_age_s=settings.max_age_s
        )
        self._view: GroundView | None = None
        self._wish: tuple[CameraModel, CameraPose, bool] | None = None
        self._is_prepared = False
        self._lock = threading.Lock()
        self._last_stamp_ns: int | None = None
        self._last_s = 0.0
        self._timer: Any = None
        self._warm_up()
        grid = settings.config.grid
        rows, columns = grid.rows, grid.columns
        if settings.fusion:
            rows = columns = max(1, round(settings.fusion.size_m / grid.resolution_m))
        self._publishers = GroundPublishers(node, settings, (rows, columns), camera)
        self._preparer = CameraPreparer(settings.config)

    @property
    def base_frame(self) -> str:
        """Frame of the vehicle, on whose z = 0 the ground is."""
        return self._settings.base_frame

    def activate(self) -> None:
        """Start to receive calibration and odometry, and to watch the age of the grids."""
        self._inputs.open()
        # Steady time: also a paused simulation must not leave old grids standing.
        self._timer = self._node.create_timer(
            min(0.2, self._settings.max_age_s / 4),
            self._expire_old,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def deactivate(self) -> None:
        """Publish that nothing is known any more and stop to receive; the worker has ended."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        if self._last_stamp_ns is not None:
            self._make_unknown(1.0 + self._settings.max_age_s)
        self._inputs.close()

    def close(self) -> None:
        """Destroy the publishers; the worker has ended."""
        self._preparer.close()
        self._inputs.close()
        self._publishers.close()

    def list_wanted(self) -> set[str]:
        """Return the topics that somebody listens to."""
        return self._publishers.list_wanted()

    def find_view(self, frame: Frame, image_hw: tuple[int, int]) -> GroundView | None:
        """Return how the camera sees the ground at the frame's stamp; never raises.

        None where that is not known: it is counted, and named in /diagnostics.

        Args:
            frame: the image, for its stamp and frame.
            image_hw: (height, width) of what is made of it, px.
        """
        try:
            model, pose = self._find_camera(frame, image_hw)
            view = self._view
            if view is None or (view.model, view.pose) != (model, pose):
                view = self._view = make_view(model, pose)
        except GroundError as trouble:
            self._statistics.count_trouble(trouble.kind, str(trouble))
            return None
        self._statistics.end_trouble(CAMERA_POSE)
        return view

    def process(
        self, frame: Frame, mask: np.ndarray, confidence: np.ndarray, wanted: set[str]
    ) -> None:
        """Make and publish what is wanted of one frame; never raises.

        Args:
            frame: the image, for its stamp and frame.
            mask: (H, W) uint8 class ids.
            confidence: (H, W) uint8, probability of the class times 255.
            wanted: topics that somebody listens to.
        """
        start_s = time.monotonic()
        try:
            with self._lock:
                is_made = self._process(frame, mask, confidence, wanted)
        except GroundError as trouble:
            self._statistics.count_trouble(trouble.kind, str(trouble))
        # Whatever comes out of the compiled code or the middleware, the next mask is made as if
        # nothing had been; the trouble is in the log and in /diagnostics.
        except Exception as error:
            self._statistics.count_trouble(INTERNAL, f'{type(error).__name__}: {error}')
        else:
            if is_made:
                self._statistics.count_frame((time.monotonic() - start_s) * 1e3)
                self._statistics.end_trouble(INTERNAL)

    def build_status(self, node_name: str) -> DiagnosticStatus:
        """Return the state of the ground products for /diagnostics."""
        if not self._list_wanted_grids():
            self._statistics.end_trouble(EXPIRED)
        return build_ground_status(
            self._statistics.take_snapshot(), self._settings, self._inputs.camera_info_topic,
            node_name, self._node.count_publishers(self._inputs.camera_info_topic),
            self._camera)  # fmt: skip

    def _list_wanted_grids(self) -> set[str]:
        return self.list_wanted() - CLOUD_TOPICS

    def _process(
        self, frame: Frame, mask: np.ndarray, confidence: np.ndarray, wanted: set[str]
    ) -> bool:
        """Make and publish; False where grids were not made, or the camera is being prepared."""
        clouds = wanted & CLOUD_TOPICS
        if not self._set_camera(frame, mask.shape, bool(clouds)):
            return False
        wants_grids, has_trouble = wanted != clouds, False
        if wants_grids:
            try:
                self._publish_grids(frame, mask, confidence, wanted)
            except GroundError as trouble:
                # Clouds need no ego motion: they go on.
                self._statistics.count_trouble(trouble.kind, str(trouble))
                has_trouble = True
        if clouds:
            if OBSTACLES_TOPIC in clouds and (has_trouble or not wants_grids):
                self._occupancy.grid.project(mask, confidence)
            self._publish_clouds(frame, mask, confidence, clouds)
        return not has_trouble

    def _set_camera(self, frame: Frame, image_hw: tuple[int, int], with_clouds: bool) -> bool:
        """Take the camera at the frame's stamp; False while its tables are being made."""
        model, pose = self._find_camera(frame, image_hw)
        wish = (model, pose, with_clouds)
        if wish != self._wish:
            self._preparer.request(make_view(model, pose), with_clouds)
            self._wish = wish
        self._statistics.end_trouble(CAMERA_POSE)
        self._take_prepared()
        view_in_use = self._occupancy.grid.view
        if self._is_prepared and view_in_use is not None and view_in_use.model == model:
            moved_m, turned_rad = compare_poses(view_in_use.pose, pose)
            has_clouds = self._occupancy.clouds is not None or not with_clouds
            return moved_m <= NEAR_M and turned_rad <= NEAR_RAD and has_clouds
        return False

    def _find_camera(
        self, frame: Frame, image_hw: tuple[int, int]
    ) -> tuple[CameraModel, CameraPose]:
        model = self._inputs.find_model(image_hw)
        self._statistics.end_trouble(CAMERA_INFO)
        return model, self._inputs.find_pose(frame.frame_id, frame.stamp_ns)

    def _take_prepared(self) -> None:
        done = self._preparer.take()
        if done is None:
            return
        if done.camera is None:
            raise GroundError(INTERNAL, f'no lookup tables: {done.error}')
        self._occupancy.use_camera(done.camera, done.clouds)
        self._is_prepared = True
        model, pose = done.camera.view.model, done.camera.view.pose
        self._logger.info(
            f'ground occupancy: camera {model.height_px}x{model.width_px} (height x width), '
            f'{pose.z_m:.2f} m above the ground, {np.degrees(pose.pitch_rad):.1f} degrees down: '
            f'lookup tables made in {done.duration_s:.2f} s'
        )

    def _publish_grids(
        self, frame: Frame, mask: np.ndarray, confidence: np.ndarray, wanted: set[str]
    ) -> None:
        motion = self._inputs.find_motion(frame.stamp_ns)
        try:
            result = self._occupancy.update(mask, confidence, frame.stamp_ns, motion)
        except UserError as error:
            raise GroundError(ODOMETRY, str(error)) from error
        is_back = self._last_stamp_ns is not None and frame.stamp_ns < self._last_stamp_ns
        self._last_stamp_ns, self._last_s = frame.stamp_ns, time.monotonic()
        self._statistics.end_trouble(ODOMETRY, CLOCK, EXPIRED)
        if result.trouble:
            self._statistics.count_trouble(CLOCK if is_back else ODOMETRY, result.trouble)
        self._publishers.publish_grids(result, frame.stamp_ns, wanted)
        if COVERAGE_TOPIC in wanted and result.ahead is not None:
            self._publishers.publish_coverage(result.ahead, frame.stamp_ns)

    def _publish_clouds(
        self, frame: Frame, mask: np.ndarray, confidence: np.ndarray, wanted: set[str]
    ) -> None:
        occupancy, clouds = self._occupancy, self._occupancy.clouds
        assert clouds is not None  # asked for with the camera
        from_depth = self._settings.points_from == 'depth'
        points = None
        if from_depth:
            depth, encoding = self._inputs.find_depth(frame.stamp_ns)
            try:
                points = clouds.place_by_depth(depth, encoding)
            except UserError as error:
                raise GroundError(DEPTH, str(error)) from error
            self._statistics.end_trouble(DEPTH)
        elif POINTS_TOPIC in wanted:
            points = clouds.place_on_ground(mask)
        if POINTS_TOPIC in wanted:
            self._publishers.publish_points(points, frame.stamp_ns)
        if OBSTACLES_TOPIC in wanted:
            obstacles = (
                clouds.list_obstacles(mask, confidence)
                if from_depth
                else clouds.list_contacts(occupancy.grid, self._settings.obstacle_height_m)
            )
            self._publishers.publish_obstacles(obstacles, frame.stamp_ns)

    def _expire_old(self) -> None:
        # A frame in hand makes the grids new, and a callback must not wait for it.
        if not self._lock.acquire(blocking=False):
            return
        try:
            age_s = time.monotonic() - self._last_s
            if self._last_stamp_ns is None or age_s <= self._settings.max_age_s:
                return
            is_wanted = bool(self._list_wanted_grids())
            result = self._make_unknown(age_s)
            if is_wanted and result is not None and result.trouble:
                self._statistics.count_trouble(EXPIRED, result.trouble)
        finally:
            self._lock.release()

    def _make_unknown(self, age_s: float) -> OccupancyResult | None:
        """Publish unknown grids, stamped by the clock of the images."""
        assert self._last_stamp_ns is not None
        # Images of a recording carry times of their own: age is counted from their arrival.
        now_ns = self._last_stamp_ns + round(age_s * 1e9)
        result = self._occupancy.expire(now_ns)
        self._last_stamp_ns = None
        if result is not None:
            try:
                self._publishers.publish_unknown(result, now_ns)
            # RCLError, e.g. when shared memory is full; it would end the executor, and the node
            except RuntimeError as error:
                self._statistics.count_trouble(INTERNAL, f'{type(error).__name__}: {error}')
        return result

    def _warm_up(self) -> None:
        """Compile everything, or load it from the cache, so that no mask waits for it."""
        occupancy = self._occupancy
        occupancy.set_camera(_WARM_UP_MODEL, _WARM_UP_POSE)
        occupancy.warm_up()
        assert occupancy.grid.view is not None
        clouds = CloudMaker(self._settings.config, occupancy.grid.view)
        shape = (_WARM_UP_MODEL.height_px, _WARM_UP_MODEL.width_px)
        blank = np.zeros(shape, np.uint8)
        clouds.place_on_ground(blank)
        clouds.list_contacts(occupancy.grid)
        if self._settings.points_from == 'depth':
            clouds.place_by_depth(np.ones(shape, np.float32), '32FC1')
            clouds.place_by_depth(np.ones(shape, np.uint16), '16UC1')
            clouds.list_obstacles(blank, blank)


def make_view(model: CameraModel, pose: CameraPose) -> GroundView:
    """Return the camera above the ground; raises GroundError where it sees none."""
    try:
        return GroundView(model, pose)
    except CameraPoseError as error:
        raise GroundError(CAMERA_POSE, str(error)) from error
