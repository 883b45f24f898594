# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: camera images in, semantic masks out."""

from __future__ import annotations

import functools
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.resources import find_model
from seg_perception.ros.diagnostics import EngineFacts, NodeFacts, build_diagnostics
from seg_perception.ros.environment import has_transport_profile
from seg_perception.ros.events import publisher_events, subscription_events
from seg_perception.ros.messages import build_label_info, has_label_info
from seg_perception.ros.parameters import check_change, declare_parameters
from seg_perception.ros.processing import FrameProcessor, ProductPublishers
from seg_perception.ros.qos import (
    COMPRESSED,
    RAW,
    camera_qos,
    latched_qos,
    name_image_topic,
    name_policy,
    product_qos,
)
from seg_perception.ros.silence import COMPRESSED_TYPE, RAW_TYPE, explain_silence
from seg_perception.ros.statistics import FrameStatistics
from seg_perception.ros.throttle import ThrottledLog
from seg_perception.ros.worker import LatestItemWorker

NODE_NAME = 'segnext'
PRODUCT_TOPICS = ('~/mask', '~/confidence', '~/overlay')
# How long the executor sleeps at most, and so how late SIGINT may be noticed. Five wake-ups per
# second cost nothing that can be measured.
SPIN_TIMEOUT_S = 0.2


class SegmentationNode(LifecycleNode):
    """Subscribes to a camera, publishes ~/mask, ~/confidence, ~/overlay and /diagnostics.

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
        self._engine_facts = EngineFacts()
        self._statistics = FrameStatistics()
        self._pipeline: SegmentationPipeline | None = None
        self._processor: FrameProcessor | None = None
        self._worker: LatestItemWorker[Any] | None = None
        self._subscription: Any = None
        self._publishers_by_topic: dict[str, Any] = {}
        self._label_info_publisher: Any = None
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
            allow_fallback=self._value('model.allow_fallback'),
        )
        engine = load_engine(config)
        self._pipeline = SegmentationPipeline(engine)
        size_px, channel_order = self._choose_camera(engine)
        self._pipeline.warm_up(size_px, channel_order)
        self._engine_facts = EngineFacts(
            model=config.model_path,
            backend=engine.backend_name,
            precision=engine.precision,
            description=engine.description,
            fallback_reason=engine.fallback_reason if engine.is_fallback else '',
            label_space=engine.metadata.label_space.name,
        )
        self._statistics.reset()
        self._processor = FrameProcessor(
            self._pipeline,
            self._create_publishers(),
            self._statistics,
            self._value,
            lambda: self.get_clock().now().nanoseconds,
            self.get_logger(),
            self._value('image_transport'),
        )
        self._processor.set_prepared_camera(size_px, channel_order)
        self._publish_label_info()
        self.get_logger().info(
            f'configured in {time.perf_counter() - start_s:.1f} s: {engine.description}; prepared '
            f'for {size_px[0]}x{size_px[1]} (height x width) {channel_order} images'
        )
        if engine.is_fallback:
            self.get_logger().warning(f'fallback: {engine.fallback_reason}')

    def _choose_camera(self, engine: Any) -> tuple[tuple[int, int], str]:
        """Return the (height, width) and channel order to compile for before the first image."""
        size_px = (
            self._value('camera.height') or engine.input.height_px,
            self._value('camera.width') or engine.input.width_px,
        )
        # JPEG and PNG are decoded to BGR
        is_compressed = self._value('image_transport') == COMPRESSED
        return size_px, 'bgr' if is_compressed else self._value('camera.channel_order')

    def _create_publishers(self) -> ProductPublishers:
        for topic in PRODUCT_TOPICS:
            self._publishers_by_topic[topic] = self.create_lifecycle_publisher(
                Image,
                topic,
                product_qos(self._value('output.queue_depth')),
                event_callbacks=publisher_events(
                    functools.partial(self._on_incompatible_subscriber, topic)
                ),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        return ProductPublishers(*(self._publishers_by_topic[topic] for topic in PRODUCT_TOPICS))

    def _publish_label_info(self) -> None:
        if not has_label_info():
            self.get_logger().info(
                'vision_msgs is not installed: ~/label_info is not published; class names are '
                'those of the label space in /diagnostics'
            )
            return
        message = build_label_info(
            self._pipeline.engine.metadata.label_space,  # type: ignore[union-attr]
            self.get_clock().now().to_msg(),
        )
        # No lifecycle publisher: names are latched while inactive too, for consumers that start
        # in any order.
        self._label_info_publisher = self.create_publisher(
            type(message), '~/label_info', latched_qos()
        )
        self._label_info_publisher.publish(message)

    def _stop_listening(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            if self._worker.stop():
                self._statistics.count_dropped()
            self._worker = None
        self._incompatible_qos = ''

    def _release(self) -> None:
        for publisher in self._publishers_by_topic.values():
            self.destroy_lifecycle_publisher(publisher)
        self._publishers_by_topic.clear()
        if self._label_info_publisher is not None:
            self.destroy_publisher(self._label_info_publisher)
            self._label_info_publisher = None
        self._processor = None
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
        self._engine_facts = EngineFacts()

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

    def _on_incompatible_subscriber(self, topic: str, event: Any) -> None:
        self.get_logger().warning(
            f'a subscriber on {self.resolve_topic_name(topic)} asks for QoS that is not offered '
            f'({name_policy(event)}): it receives nothing; products are reliable and volatile'
        )

    def _on_diagnostics_timer(self) -> None:
        snapshot = self._statistics.take_snapshot()
        facts = self._take_facts()
        if self._state == 'active':
            self._warn_when_silent(min(snapshot.last_received_age_s, snapshot.active_for_s), facts)
        processor = self._processor
        self._diagnostics_publisher.publish(
            build_diagnostics(
                snapshot,
                facts,
                self.get_fully_qualified_name(),
                processor.frame_id if processor else '',
                self.get_clock().now().to_msg(),
            )
        )
        period_ns = int(self._value('diagnostics.period_s') * 1e9)
        if self._diagnostics_timer.timer_period_ns != period_ns:
            self._diagnostics_timer.timer_period_ns = period_ns
            self._diagnostics_timer.reset()

    def _take_facts(self) -> NodeFacts:
        topic = self._find_image_topic()
        return NodeFacts(
            state=self._state,
            engine=self._engine_facts,
            image_topic=topic,
            publisher_count=self.count_publishers(topic),
            stale_timeout_s=self._value('diagnostics.stale_timeout_s'),
            incompatible_qos=self._incompatible_qos,
            configure_error=self._configure_error,
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
        return [self.resolve_topic_name(topic) for topic in PRODUCT_TOPICS] + [
            self._find_image_topic(transport) for transport in (RAW, COMPRESSED)
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Returns 0 after a clean end, 2 when the parameters or the command line are wrong.
    """
    stop_requested = False

    def request_stop(signal_number: int, frame: Any) -> None:
        nonlocal stop_requested
        stop_requested = True

    # Our own handlers: those of rclpy shut the context down at once, and neither the frame in
    # hand nor the transition to finalized could be published any more.
    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    try:
        rclpy.init(
            args=None if arguments is None else list(arguments),
            signal_handler_options=SignalHandlerOptions.NO,
        )
    # RCLError: a parameter file that is no YAML, or unknown --ros-args
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    executor = SingleThreadedExecutor()
    node = None
    try:
        node = SegmentationNode()
        executor.add_node(node)
        if node.get_parameter('autostart').value:
            node.start()
        while not stop_requested:
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # The worker joins first, then the executor, then the context: in any other order rclpy
        # aborts the process.
        if node is not None:
            node.shut_down()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        # Python gives signals back to the system before the libraries unload; a second one (both
        # launch and the terminal may send it) must not turn a clean end into a failure.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


if __name__ == '__main__':
    sys.exit(main())
