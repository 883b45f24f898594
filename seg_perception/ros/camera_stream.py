# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What belongs to one camera of the node: its topics, its frames, its figures and its warnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.pipeline import SegmentationPipeline
from seg_perception.ros.camera_parameters import CameraParameters
from seg_perception.ros.diagnostics import EngineFacts, NodeFacts, build_status
from seg_perception.ros.environment import has_transport_profile
from seg_perception.ros.events import subscription_events
from seg_perception.ros.ground import GroundProducts
from seg_perception.ros.ground_inputs import find_camera_info_topic
from seg_perception.ros.ground_publishers import GROUND_TOPICS
from seg_perception.ros.log_bridge import find_logger
from seg_perception.ros.occupancy_parameters import GroundSettings, read_ground_settings
from seg_perception.ros.output_size import OutputSize, read_output_size
from seg_perception.ros.panoptic_products import PANOPTIC_TOPICS, PanopticProducts
from seg_perception.ros.processing import FrameProcessor
from seg_perception.ros.products import INFO_TOPIC, PRODUCT_TOPICS, ProductPublishers
from seg_perception.ros.qos import (
    COMPRESSED,
    RAW,
    camera_qos,
    name_image_topic,
    name_input,
    name_policy,
    name_product,
)
from seg_perception.ros.silence import COMPRESSED_TYPE, RAW_TYPE, explain_silence
from seg_perception.ros.statistics import FrameStatistics, Snapshot
from seg_perception.ros.throttle import ThrottledLog
from seg_perception.ros.transform_tree import TransformTree, has_tf
from seg_perception.ros.worker import Arrival


@dataclass(frozen=True)
class CameraFormat:
    """Images that the network is compiled for: (height, width) in px, and 'rgb' or 'bgr'."""

    size_px: tuple[int, int]
    channel_order: str

    def __str__(self) -> str:
        return '{}x{} (height x width) {}'.format(*self.size_px, self.channel_order)


class CameraStream:
    """One camera: `open` its publishers, `listen`, `stop_listening`, `close`.

    `process` runs in the worker's thread, everything else in the executor's.

    Attributes:
        name: '' for the only camera of a node.
    """

    def __init__(self, node: LifecycleNode, name: str, transforms: TransformTree) -> None:
        """Create nothing in the graph yet; the parameters need not be declared."""
        self.name = name
        self._node = node
        self._transforms = transforms
        self._logger = find_logger(node, name)
        self._value = CameraParameters(node, name).get
        self._statistics = FrameStatistics()
        self._products = ProductPublishers(node, name)
        self._ground: GroundProducts | None = None
        self._panoptic: PanopticProducts | None = None
        self._processor: FrameProcessor | None = None
        self._subscription: Any = None
        self._info_subscription: Any = None
        self._incompatible_qos = ''
        self._silence = ThrottledLog(self._logger.warning, period_s=10.0, counts=False)

    # Names -----------------------------------------------------------------------------------

    def find_image_topic(self, image_transport: str = '') -> str:
        """Return the camera topic after remapping, of the transport in use or a given one."""
        transport = image_transport or self._value('image_transport')
        topic = self._node.resolve_topic_name(name_input('image', self.name))
        return str(self._node.resolve_topic_name(name_image_topic(topic, transport)))

    def list_products(self) -> list[str]:
        """Return the resolved names of the published images."""
        return [
            self._node.resolve_topic_name(name_product(topic, self.name))
            for topic in PRODUCT_TOPICS
        ]

    def list_topics(self) -> list[str]:
        """Return the topics whose quality of service parameters can override."""
        others = [
            self._node.resolve_topic_name(name_product(topic, self.name))
            for topic in (*PANOPTIC_TOPICS, *GROUND_TOPICS)
        ]
        images = [self.find_image_topic(transport) for transport in (RAW, COMPRESSED)]
        info = self._node.resolve_topic_name(name_product(INFO_TOPIC, self.name))
        return [*self.list_products(), info, *others, *images]

    # Lifecycle -------------------------------------------------------------------------------

    def choose_format(self, network_hw: tuple[int, int]) -> CameraFormat:
        """Return the images to compile for before the first one comes."""
        size_px = (
            self._value('camera.height') or network_hw[0],
            self._value('camera.width') or network_hw[1],
        )
        # JPEG and PNG are decoded to BGR
        if self._value('image_transport') == COMPRESSED:
            return CameraFormat(size_px, 'bgr')
        return CameraFormat(size_px, self._value('camera.channel_order'))

    def read_output_size(self) -> OutputSize:
        """Return the size of the masks; raises UserError for values that do not go together."""
        return read_output_size(self._value)

    def _read_ground(self, class_names: tuple[str, ...]) -> GroundSettings | None:
        """Return the settings of the ground products, None where they are switched off.

        Raises:
            UserError: values that do not go together.
        """
        if not self._value('occupancy.enabled'):
            return None
        return read_ground_settings(self._value, class_names, has_tf())

    def open(self, pipeline: SegmentationPipeline, prepared: CameraFormat) -> None:
        """Create the publishers; they publish while the node is active.

        Args:
            pipeline: shared with other cameras, whose frames are processed in the same thread.
            prepared: images that it was warmed up for.

        Raises:
            UserError: parameters that do not go together.
        """
        self._statistics.reset()
        self._products.open(self._value('output.queue_depth'))
        metadata = pipeline.engine.metadata
        settings = self._read_ground(metadata.label_space.class_names)
        if settings is not None:
            self._ground = GroundProducts(
                self._node, settings, self.find_image_topic(), self.name, self._transforms
            )
        if metadata.is_panoptic:
            self._panoptic = PanopticProducts(
                self._node,
                metadata.label_space,
                self._value('panoptic.instances_as'),
                self._value('output.queue_depth'),
                self._ground,
                self.name,
            )
        self._processor = FrameProcessor(
            pipeline,
            self._products,
            self._statistics,
            self._value,
            lambda: self._node.get_clock().now().nanoseconds,
            self._logger,
            self._value('image_transport'),
            self._ground,
            self.read_output_size(),
            self._panoptic,
        )
        self._processor.set_prepared_camera(prepared.size_px, prepared.channel_order)

    def listen(self, submit: Callable[[Any], bool]) -> None:
        """Subscribe; `submit` takes each message and says whether it overtook another."""
        if self._ground is not None:
            self._ground.activate()
        self._statistics.mark_activated()

        def take(message: Any) -> None:
            self._statistics.count_received()
            if submit(message):
                self._statistics.count_dropped()

        topic = self.find_image_topic()
        self._subscription = self._node.create_subscription(
            CompressedImage if self._value('image_transport') == COMPRESSED else Image,
            topic,
            take,
            camera_qos(),
            event_callbacks=subscription_events(self._on_incompatible_camera),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        if self._value('output.camera_info'):
            assert self._processor is not None  # lifecycle: opened before
            self._info_subscription = self._node.create_subscription(
                CameraInfo,
                find_camera_info_topic(self._node, topic, self.name),
                self._processor.take_camera_info,
                camera_qos(),
            )
        self._logger.info(f'active: listening on {topic}')

    def process(self, arrival: Arrival[Any]) -> None:
        """Segment one camera message and publish the products; never raises."""
        assert self._processor is not None  # lifecycle: the worker runs while it is active
        self._processor.process(arrival)

    def stop_listening(self) -> None:
        """Unsubscribe; calling it twice does no harm."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._info_subscription is not None:
            self._node.destroy_subscription(self._info_subscription)
            self._info_subscription = None
        self._incompatible_qos = ''

    def finish(self, has_left_over: bool) -> None:
        """Take notice that the worker has ended, and whether a frame was left unprocessed."""
        if has_left_over:
            self._statistics.count_dropped()
        if self._ground is not None:
            self._ground.deactivate()

    def close(self) -> None:
        """Destroy the publishers; calling it twice does no harm."""
        self._products.close()
        if self._panoptic is not None:
            self._panoptic.close()
            self._panoptic = None
        if self._ground is not None:
            self._ground.close()
            self._ground = None
        self._processor = None

    # Diagnostics -----------------------------------------------------------------------------

    def build_statuses(
        self, state: str, engine: EngineFacts, configure_error: str
    ) -> list[DiagnosticStatus]:
        """Return what is to be said of this camera on /diagnostics; warns of silence in the log.

        Args:
            state: lifecycle state of the node.
            engine: what runs the network.
            configure_error: why the node could not be configured, '' if it could.
        """
        snapshot = self._statistics.take_snapshot()
        topic = self.find_image_topic()
        facts = NodeFacts(
            state=state,
            engine=engine,
            image_topic=topic,
            publisher_count=self._node.count_publishers(topic),
            stale_timeout_s=self._value('diagnostics.stale_timeout_s'),
            incompatible_qos=self._incompatible_qos,
            configure_error=configure_error,
        )
        node_name = self._node.get_fully_qualified_name()
        frame_id = self._processor.frame_id if self._processor else ''
        statuses = [build_status(snapshot, facts, node_name, frame_id, self.name)]
        if state == 'active':
            self._warn_when_silent(snapshot, facts)
            if self._ground is not None:
                statuses.append(self._ground.build_status(node_name))
        return statuses

    def _warn_when_silent(self, snapshot: Snapshot, facts: NodeFacts) -> None:
        silent_s = min(snapshot.last_received_age_s, snapshot.active_for_s)
        if silent_s <= facts.stale_timeout_s or self._incompatible_qos:
            return
        is_compressed = self._value('image_transport') == COMPRESSED
        publishers = self._node.get_publishers_info_by_topic(facts.image_topic)
        topics = dict(self._node.get_topic_names_and_types())
        # what the node makes of other cameras is no camera either
        under_node = f'{self._node.get_fully_qualified_name()}/'
        own_topics = [*self.list_products(), *(t for t in topics if t.startswith(under_node))]
        reason = explain_silence(
            facts.image_topic,
            COMPRESSED_TYPE if is_compressed else RAW_TYPE,
            [publisher.topic_type for publisher in publishers],
            topics,
            has_transport_profile() or 'fastrtps' not in rclpy.get_rmw_implementation_identifier(),
            own_topics,
            self.name,
        )
        self._silence.log(
            'silent', f'no camera image on {facts.image_topic} for {silent_s:.1f} s: {reason}'
        )

    def _on_incompatible_camera(self, event: Any) -> None:
        self._incompatible_qos = (
            f'a publisher on {self.find_image_topic()} offers incompatible QoS '
            f'({name_policy(event)}): none of its images arrive; correct the qos_overrides of '
            'this node or the QoS of the camera'
        )
        self._logger.warning(self._incompatible_qos)
