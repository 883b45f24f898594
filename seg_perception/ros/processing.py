# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From one camera message to its published products, in the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2

from seg_perception.perception.frame import Frame, FrameError, FrameReader, StampMonitor
from seg_perception.perception.overlay import draw_outlines, draw_overlay
from seg_perception.pipeline import SegmentationPipeline, SegmentationResult, Segmented
from seg_perception.ros.cv_bridge_images import convert_by_cv_bridge
from seg_perception.ros.environment import name_profile_variable
from seg_perception.ros.ground import GroundProducts
from seg_perception.ros.messages import OutgoingImage
from seg_perception.ros.output_size import OutputSize, scale_camera_info
from seg_perception.ros.panoptic_products import PanopticProducts
from seg_perception.ros.products import ProductPublishers
from seg_perception.ros.qos import COMPRESSED
from seg_perception.ros.statistics import FrameStatistics, FrameTimes
from seg_perception.ros.throttle import ThrottledLog
from seg_perception.ros.worker import Arrival


@dataclass(frozen=True)
class Moments:
    """When a frame came, was taken by the worker, and was read; time.monotonic_ns()."""

    arrived_ns: int
    taken_ns: int
    read_ns: int


@dataclass(frozen=True)
class Wanted:
    """What somebody listens to; outlines belong to the overlay."""

    confidence: bool
    overlay: bool
    outlines: bool
    panoptic: set[str]
    ground: set[str]

    @property
    def needs_confidence(self) -> bool:
        """Whether the confidence is computed: the ground weighs pixels by it."""
        return self.confidence or bool(self.ground)

    @property
    def needs_instances(self) -> bool:
        """Whether instances are merged."""
        return self.outlines or bool(self.panoptic)


class FrameProcessor:
    """Runs read, network, decode and publish for the frames of one camera.

    Nothing that a frame holds raises out of here: a bad frame is counted and logged (once per
    kind in five seconds), and the next one is processed as if nothing had been.

    Args:
        pipeline: the configured network and decoder.
        publishers: already open; they publish while the node is active.
        statistics: counts what happens.
        get_parameter: value by name of the parameters that can change while running.
        now_ns: the node's clock.
        logger: the node's logger.
        image_transport: 'raw' or 'compressed', which fixes the type of the messages.
        ground: makes grids and clouds of the masks; None where they are switched off.
        output_size: of the masks; None for that of the images.
        panoptic: publishes instances; None where the model has none.

    """

    def __init__(
        self,
        pipeline: SegmentationPipeline,
        publishers: ProductPublishers,
        statistics: FrameStatistics,
        get_parameter: Callable[[str], Any],
        now_ns: Callable[[], int],
        logger: Any,
        image_transport: str,
        ground: GroundProducts | None = None,
        output_size: OutputSize | None = None,
        panoptic: PanopticProducts | None = None,
    ) -> None:
        reader = FrameReader(convert_by_cv_bridge)
        self._read = reader.read_compressed if image_transport == COMPRESSED else reader.read_image
        self._pipeline = pipeline
        self._publishers = publishers
        self._statistics = statistics
        self._get_parameter = get_parameter
        self._now_ns = now_ns
        self._logger = logger
        self._ground = ground
        self._output_size = output_size or OutputSize()
        self._panoptic = panoptic
        self._camera_info: Any = None
        self._warn = ThrottledLog(logger.warning)
        self._error = ThrottledLog(logger.error)
        self._stamps = StampMonitor()
        self._mask = OutgoingImage()
        self._confidence = OutgoingImage()
        self._overlay = OutgoingImage()
        self._camera: tuple[int, int, str] | None = None
        self.frame_id = ''

    def set_prepared_camera(self, size_px: tuple[int, int], channel_order: str) -> None:
        """Say for which (height, width) and channel order the pipeline was warmed up."""
        self._camera = (*size_px, channel_order)

    def take_camera_info(self, message: Any) -> None:
        """Keep the calibration of the camera, in any thread."""
        self._camera_info = message

    def process(self, arrival: Arrival[Any]) -> None:
        """Segment one camera message and publish the products; never raises."""
        taken_ns = time.monotonic_ns()
        try:
            frame = self._read(arrival.item)
        except FrameError as error:
            self._statistics.count_bad(str(error))
            self._warn.log(error.kind, f'bad camera image skipped: {error}')
            return
        # A broken frame must not end the thread: whatever the backend or the middleware raises is
        # counted as failed, shown in the log and in /diagnostics, and the next frame is tried.
        except Exception as error:
            self._count_failure('camera image cannot be read', error)
            return
        try:
            self._segment(frame, Moments(arrival.arrived_ns, taken_ns, time.monotonic_ns()))
        except Exception as error:
            self._count_failure('camera image cannot be segmented', error)

    def _count_failure(self, what: str, error: Exception) -> None:
        text = f'{type(error).__name__}: {error}'
        self._statistics.count_failed(text)
        self._error.log(type(error).__name__, f'{what}: {text}')

    def _segment(self, frame: Frame, moments: Moments) -> None:
        self.frame_id = frame.frame_id
        self._check_stamp(frame)
        self._prepare_for(frame)
        output_hw = self._output_size.find(frame.image.shape[:2])
        wanted = self._list_wanted()
        segmented = self._pipeline.segment(
            frame,
            self._mask.pixels(*output_hw),
            self._confidence.pixels(*output_hw) if wanted.needs_confidence else None,
            wanted.needs_instances,
        )
        # Whoever wants the mask alone does not wait for the instances.
        start_ns = time.monotonic_ns()
        published = self._publish(self._publishers.mask, self._mask.message(frame.header))
        publish_ns = time.monotonic_ns() - start_ns
        stamp_age_ns = self._now_ns() - frame.stamp_ns
        if wanted.confidence:
            self._publish(self._publishers.confidence, self._confidence.message(frame.header))
        self._publish_camera_info(frame, output_hw)
        total_ns = time.monotonic_ns() - moments.arrived_ns
        result = segmented.result
        if self._panoptic and wanted.needs_instances:
            result = self._publish_instances(self._panoptic, frame, segmented, wanted.panoptic)
        if published:
            times_ms = result.timings_ms
            self._statistics.count_used(
                FrameTimes(
                    queue_ms=(moments.taken_ns - moments.arrived_ns) * 1e-6,
                    read_ms=(moments.read_ns - moments.taken_ns) * 1e-6,
                    inference_ms=times_ms['inference'],
                    decode_ms=times_ms['decode'],
                    publish_ms=publish_ns * 1e-6,
                    total_ms=total_ns * 1e-6,
                    stamp_age_ms=stamp_age_ns * 1e-6,
                    panoptic_ms=times_ms.get('panoptic', 0.0) + times_ms.get('tracks', 0.0),
                )
            )
        if self._ground and wanted.ground and result.confidence is not None:
            self._ground.process(frame, result.mask, result.confidence, wanted.ground)
        # Last, and not in the times: a picture for people must not make the mask late.
        if wanted.overlay:
            self._publish_overlay(frame, result, wanted.outlines)

    def _list_wanted(self) -> Wanted:
        overlay = self._is_wanted('output.overlay', self._publishers.overlay)
        return Wanted(
            confidence=self._is_wanted('output.confidence', self._publishers.confidence),
            overlay=overlay,
            outlines=overlay and bool(self._panoptic and self._get_parameter('panoptic.outlines')),
            panoptic=self._panoptic.list_wanted() if self._panoptic else set(),
            ground=self._ground.list_wanted() if self._ground else set(),
        )

    def _publish_instances(
        self,
        products: PanopticProducts,
        frame: Frame,
        segmented: Segmented,
        topics: set[str],
    ) -> SegmentationResult:
        height_px, width_px = segmented.result.mask.shape
        try:
            result = self._pipeline.add_instances(
                frame, segmented, products.make_buffer(height_px, width_px), products.camera
            )
            for publisher, message in products.build_messages(frame, result, topics):
                self._publish(publisher, message)
        # The mask is out: the frame is used, and ground and overlay do without instances.
        except Exception as error:
            text = f'instances cannot be made: {type(error).__name__}: {error}'
            self._statistics.count_publish_failure(text)
            self._error.log(f'instances {type(error).__name__}', text)
            return segmented.result
        return result

    def _check_stamp(self, frame: Frame) -> None:
        problem = self._stamps.check(frame.stamp_ns)
        if problem is not None:
            self._statistics.count_stamp_problem()
            self._warn.log('zero stamp' if frame.stamp_ns == 0 else 'stamp', str(problem))

    def _prepare_for(self, frame: Frame) -> None:
        """Compile for a new camera size here, so that it is said and not taken for a hang."""
        camera = (*frame.image.shape[:2], frame.channel_order)
        if camera == self._camera:
            return
        start_s = time.perf_counter()
        self._pipeline.engine.prepare(camera[:2], frame.channel_order)
        before = '{}x{} {}'.format(*self._camera) if self._camera else 'nothing'
        self._logger.info(
            f'camera images are {camera[0]}x{camera[1]} (height x width) {camera[2]}, prepared '
            f'was {before}: prepared in {time.perf_counter() - start_s:.2f} s'
        )
        self._camera = camera

    def _is_wanted(self, parameter: str, publisher: Any) -> bool:
        return bool(self._get_parameter(parameter)) and publisher.get_subscription_count() > 0

    def _publish_camera_info(self, frame: Frame, output_hw: tuple[int, int]) -> None:
        info, publisher = self._camera_info, self._publishers.camera_info
        if info is not None and publisher.get_subscription_count() > 0:
            scaled = scale_camera_info(info, output_hw, frame.header, frame.image.shape[:2])
            self._publish(publisher, scaled)

    def _publish_overlay(
        self, frame: Frame, result: SegmentationResult, with_outlines: bool
    ) -> None:
        mask = result.mask
        height_px, width_px = mask.shape
        image = frame.image
        if image.shape[:2] != mask.shape:
            image = cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA)
        encoding = 'rgb8' if frame.channel_order == 'rgb' else 'bgr8'
        overlay = draw_overlay(
            image,
            frame.channel_order,
            mask,
            self._pipeline.engine.metadata.label_space,
            alpha=self._get_parameter('output.overlay_alpha'),
            out=self._overlay.pixels(height_px, width_px, encoding),
        )
        if with_outlines and result.panoptic is not None:
            draw_outlines(overlay, result.panoptic)
        self._publish(self._publishers.overlay, self._overlay.message(frame.header))

    def _publish(self, publisher: Any, message: Any) -> bool:
        try:
            publisher.publish(message)
        # rclpy raises RCLError, a RuntimeError, e.g. when shared memory is full
        except RuntimeError as error:
            self._statistics.count_publish_failure(f'{publisher.topic_name}: {error}')
            self._error.log(
                f'publish {publisher.topic_name}',
                f'cannot publish {publisher.topic_name}: {error}; large images need the transport '
                f'profile config/fastdds.xml ({name_profile_variable()})',
            )
            return False
        return True
