# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: camera images in, semantic masks out."""

from __future__ import annotations

import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.resources import find_model
from seg_perception.ros.diagnostics import EngineFacts, NodeFacts, build_diagnostics
from seg_perception.ros.environment import has_transport_profile
from seg_perception.ros.events import subscription_events
from seg_perception.ros.ground import GroundProducts
from seg_perception.ros.ground_inputs import has_tf
from seg_perception.ros.ground_publishers import GROUND_TOPICS
from seg_perception.ros.occupancy_parameters import read_ground_settings
from seg_perception.ros.parameters import check_change, declare_parameters
from seg_perception.ros.processing import FrameProcessor
from seg_perception.ros.products import PRODUCT_TOPICS, ProductPublishers
from seg_perception.ros.qos import (
    COMPRESSED,
    RAW,
    camera_qos,
    name_image_topic,
    name_policy,
)
from seg_perception.ros.silence import COMPRESSED_TYPE, RAW_TYPE, explain_silence
from seg_perception.ros.statistics import FrameStatistics
from seg_perception.ros.throttle import ThrottledLog
from seg_perception.ros.worker import LatestItemWorker

NODE_NAME = 'segnext'


class SegmentationNode(LifecycleNode):
    """Subscribes to a camera, publishes ~/mask, ~/confidence, ~/overlay and /diagnostics.

    With occupancy.enabled also what `GroundProducts` makes of the masks.

    The callback of the camera only stores the newest message; a worker thread segments it.
    Transitions, timers and parameters run in the executor's thread.

    Raises:
        UserError: a parameter is unknown or has a bad value.

    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        self._state = 'unconfigured'
        self._configure_error = ''
        self._incompatible_qos = ''
        self._model_path = ''
        self._statistics = FrameStatistics()
        self._pipeline: SegmentationPipeline | None = None
        self._processor: FrameProcessor | None = None
        self._worker: LatestItemWorker[Any] | None = None
        self._subscription: Any = None
        self._ground: GroundProducts | None = None
        self._products = ProductPublishers(self)
        self._silence = ThrottledLog(self.get_logger().warning, period_s=10.0, counts=False)
        declare_parameters(self, self._list_topics())
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady time: a paused simulation is something to report, not a reason to fall silent.
        self._diagnostics_timer = self.create_timer(
            self._value('diagnostics.period_s'),
            self._on_diagnostics_timer,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    # Lifecycle -------------------------------------------------------------------------------

    def start(self) -> None:
        """Configure and activate, as a lifecycle manager would."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def build(self) -> bool:
        """Configure, and say whether what was asked for is ready; for `build_only`."""
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return False
        pipeline = self._pipeline
        assert pipeline is not None  # lifecycle: it is configured
        engine = pipeline.engine
        if engine.is_fallback or engine.cache_problem:
            reason = engine.fallback_reason or engine.cache_problem
            self.get_logger().error(f'build_only: the engine is not ready: {reason}')
            return False
        kept = 'is kept' if engine.keeps_engines else 'builds no engine ahead of time'
        self.get_logger().info(f'build_only: {engine.backend_name} {kept}; nothing more to do')
        return True

    def interrupt(self) -> None:
        """End the build of an engine that a transition waits for; for handlers of signals."""
        if self._pipeline is not None:
            self._pipeline.engine.interrupt()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and compile the network; on failure say why and stay unconfigured."""
        try:
            self._configure()
        # Engine libraries raise anything, and rclpy would swallow it without a word.
        except Exception as error:
            kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
            self._configure_error = f'{kind}{error}'
            self.get_logger().error(
                f'cannot configure: {self._configure_error} (correct it with "ros2 param set", '
                f'then "ros2 lifecycle set {self.get_fully_qualified_name()} configure")'
            )
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._configure_error = ''
        self._state = 'inactive'
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the publishers, then listen to the camera."""
        super().on_activate(state)
        processor = self._processor
        assert processor is not None  # lifecycle: only a configured node is activated
        if self._ground is not None:
            self._ground.activate()
        self._worker = LatestItemWorker(processor.process, f'{self.get_name()}_worker')
        self._statistics.mark_activated()
        topic = self._find_image_topic()
        self._subscription = self.create_subscription(
            CompressedImage if self._value('image_transport') == COMPRESSED else Image,
            topic,
            self._on_image,
            camera_qos(),
            event_callbacks=subscription_events(self._on_incompatible_camera),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._state = 'active'
        self.get_logger().info(f'active: listening on {topic}')
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, finish the frame in hand, close the publishers."""
        self._stop_listening()
        if self._pipeline is not None:
            self._pipeline.engine.cancel_build()
        self._state = 'inactive'
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and the publishers."""
        super().on_cleanup(state)
        self._release()
        self._state = 'unconfigured'
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        self._stop_listening()
        super().on_shutdown(state)
        self._release()
        self._state = 'finalized'
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that the node can be configured again."""
        self._stop_listening()
        self._release()
        self._state = 'unconfigured'
        return TransitionCallbackReturn.SUCCESS

    def shut_down(self) -> None:
        """Bring the node to its end from whatever state it is in."""
        if self._state != 'finalized':
            self.trigger_shutdown()

    def _configure(self) -> None:
        start_s = time.perf_counter()
        fit = self._value('input.fit')
        config = EngineConfig(
            model_path=str(find_model(self._value('model.path'))),
            backend=self._value('model.backend'),
            precision=self._value('model.precision'),
            height_px=self._value('input.height'),
            width_px=self._value('input.width'),
            fit='' if fit == 'model' else fit,
            threads=self._value('model.threads'),
            dla_core=self._value('model.dla_core'),
            allow_fallback=self._value('model.allow_fallback'),
            build_in_background=(
                self._value('model.build_in_background') and not self._value('build_only')
            ),
        )
        engine = load_engine(config)
        self._pipeline = SegmentationPipeline(engine)
        size_px, channel_order = self._choose_camera(engine)
        self._pipeline.warm_up(size_px, channel_order)
        self._model_path = config.model_path
        self._statistics.reset()
        self._products.open(self._value('output.queue_depth'))
        self._open_ground(engine.metadata.label_space.class_names)
        self._processor = FrameProcessor(
            self._pipeline,
            self._products,
            self._statistics,
            self._value,
            lambda: self.get_clock().now().nanoseconds,
            self.get_logger(),
            self._value('image_transport'),
            self._ground,
        )
        self._processor.set_prepared_camera(size_px, channel_order)
        self._products.publish_label_info(engine.metadata.label_space)
        self.get_logger().info(
            f'configured in {time.perf_counter() - start_s:.1f} s: {engine.description}; prepared '
            f'for {size_px[0]}x{size_px[1]} (height x width) {channel_order} images'
        )
        if engine.is_fallback:
            self.get_logger().warning(f'fallback: {engine.fallback_reason}')

    def _open_ground(self, class_names: tuple[str, ...]) -> None:
        if not self._value('occupancy.enabled'):
            return
        settings = read_ground_settings(self._value, class_names, has_tf())
        self._ground = GroundProducts(self, settings, self._find_image_topic())

    def _choose_camera(self, engine: Any) -> tuple[tuple[int, int], str]:
        """Return the (height, width) and channel order to compile for before the first image."""
        size_px = (
            self._value('camera.height') or engine.input.height_px,
            self._value('camera.width') or engine.input.width_px,
        )
        # JPEG and PNG are decoded to BGR
        is_compressed = self._value('image_transport') == COMPRESSED
        return size_px, 'bgr' if is_compressed else self._value('camera.channel_order')

    def _stop_listening(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            self.interrupt()
            if self._worker.stop():
                self._statistics.count_dropped()
            self._worker = None
        if self._ground is not None:
            self._ground.deactivate()
        self._incompatible_qos = ''

    def _release(self) -> None:
        self._products.close()
        if self._ground is not None:
            self._ground.close()
            self._ground = None
        self._processor = None
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    # Callbacks -------------------------------------------------------------------------------

    def _on_image(self, message: Any) -> None:
        self._statistics.count_received()
        if self._worker is not None and self._worker.submit(message):
            self._statistics.count_dropped()

    def _on_parameters(self, parameters: list[Parameter]) -> Any:
        return check_change(parameters, self._state)

    def _on_incompatible_camera(self, event: Any) -> None:
        self._incompatible_qos = (
            f'a publisher on {self._find_image_topic()} offers incompatible QoS '
            f'({name_policy(event)}): none of its images arrive; correct the qos_overrides of '
            'this node or the QoS of the camera'
        )
        self.get_logger().warning(self._incompatible_qos)

    def _on_diagnostics_timer(self) -> None:
        snapshot = self._statistics.take_snapshot()
        facts = self._take_facts()
        if self._state == 'active':
            self._warn_when_silent(min(snapshot.last_received_age_s, snapshot.active_for_s), facts)
        processor = self._processor
        message = build_diagnostics(
            snapshot,
            facts,
            self.get_fully_qualified_name(),
            processor.frame_id if processor else '',
            self.get_clock().now().to_msg(),
        )
        if self._ground is not None and self._state == 'active':
            status = self._ground.build_status(self.get_fully_qualified_name())
            message.status = [*message.status, status]
        self._diagnostics_publisher.publish(message)
        period_ns = int(self._value('diagnostics.period_s') * 1e9)
        if self._diagnostics_timer.timer_period_ns != period_ns:
            self._diagnostics_timer.timer_period_ns = period_ns
            self._diagnostics_timer.reset()

    def _take_facts(self) -> NodeFacts:
        topic = self._find_image_topic()
        return NodeFacts(
            state=self._state,
            engine=self._describe_engine(),
            image_topic=topic,
            publisher_count=self.count_publishers(topic),
            stale_timeout_s=self._value('diagnostics.stale_timeout_s'),
            incompatible_qos=self._incompatible_qos,
            configure_error=self._configure_error,
        )

    def _describe_engine(self) -> EngineFacts:
        """Return what runs the network now: a camera of a new size may have replaced it."""
        pipeline = self._pipeline
        if pipeline is None:
            return EngineFacts()
        engine = pipeline.engine
        return EngineFacts(
            model=self._model_path,
            backend=engine.backend_name,
            precision=engine.precision,
            description=engine.description,
            fallback_reason=engine.fallback_reason,
            build_status=engine.build_status,
            cache_problem=engine.cache_problem,
            label_space=engine.metadata.label_space.name,
        )

    def _warn_when_silent(self, silent_s: float, facts: NodeFacts) -> None:
        if silent_s <= facts.stale_timeout_s or self._incompatible_qos:
            return
        is_compressed = self._value('image_transport') == COMPRESSED
        publishers = self.get_publishers_info_by_topic(facts.image_topic)
        reason = explain_silence(
            facts.image_topic,
            COMPRESSED_TYPE if is_compressed else RAW_TYPE,
            [publisher.topic_type for publisher in publishers],
            dict(self.get_topic_names_and_types()),
            has_transport_profile() or 'fastrtps' not in rclpy.get_rmw_implementation_identifier(),
            [self.resolve_topic_name(topic) for topic in PRODUCT_TOPICS],
        )
        self._silence.log(
            'silent', f'no camera image on {facts.image_topic} for {silent_s:.1f} s: {reason}'
        )

    # Names and values ------------------------------------------------------------------------

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _find_image_topic(self, image_transport: str = '') -> str:
        """Return the camera topic after remapping, of the transport in use or a given one."""
        transport = image_transport or self._value('image_transport')
        return self.resolve_topic_name(
            name_image_topic(self.resolve_topic_name('image'), transport)
        )

    def _list_topics(self) -> list[str]:
        """Return the topics whose quality of service parameters can override."""
        return [self.resolve_topic_name(topic) for topic in (*PRODUCT_TOPICS, *GROUND_TOPICS)] + [
            self._find_image_topic(transport) for transport in (RAW, COMPRESSED)
        ]
