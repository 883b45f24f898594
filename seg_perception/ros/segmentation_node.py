# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: images of one or several cameras in, semantic masks out."""

from __future__ import annotations

import functools
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.ros.camera_stream import CameraStream
from seg_perception.ros.diagnostics import EngineFacts
from seg_perception.ros.panoptic_parameters import (
    find_required_model,
    read_merge_config,
    read_track_config,
    require_instances,
)
from seg_perception.ros.parameters import (
    check_change,
    declare_parameters,
    list_specs,
    read_cameras,
)
from seg_perception.ros.products import LabelInfoPublisher
from seg_perception.ros.transform_tree import TransformTree
from seg_perception.ros.worker import LatestItemWorker

NODE_NAME = 'segnext'


class SegmentationNode(LifecycleNode):
    """Subscribes to cameras, publishes ~/mask, ~/confidence, ~/overlay and /diagnostics.

    A panoptic model adds `PanopticProducts`, and occupancy.enabled what `GroundProducts` makes of
    the masks. Without the parameter `cameras` there is one camera; with it each has topics of its
    own, see `CameraStream`.

    The callback of a camera only stores the newest message; one worker thread segments those of
    all cameras in turns. Transitions, timers and parameters run in the executor's thread.

    Raises:
        UserError: a parameter is unknown or has a bad value.

    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        self._state = 'unconfigured'
        self._configure_error = ''
        self._is_configuring = False
        self._model_path = ''
        self._pipeline: SegmentationPipeline | None = None
        self._worker: LatestItemWorker[Any] | None = None
        self._label_info = LabelInfoPublisher(self)
        names = read_cameras(self)
        transforms = TransformTree(self)
        self._streams = [CameraStream(self, name, transforms) for name in names]
        self._specs = list_specs(names)
        topics = [topic for stream in self._streams for topic in stream.list_topics()]
        declare_parameters(self, topics, names)
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
        """End what a transition waits for; for handlers of signals, in the executor's thread.

        Raises:
            KeyboardInterrupt: out of a configuration, which takes a minute where Numba compiles on
                a busy machine; a launch kills after ten seconds.

        """
        if self._pipeline is not None:
            self._pipeline.engine.interrupt()
        if self._is_configuring:
            raise KeyboardInterrupt

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and compile the network; on failure say why and stay unconfigured."""
        try:
            self._configure_interruptibly()
        except KeyboardInterrupt:
            self.get_logger().info('configuration interrupted by a signal')
            self._release()
            return TransitionCallbackReturn.FAILURE
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
        """Open the publishers, then listen to the cameras."""
        super().on_activate(state)
        self._worker = LatestItemWorker(
            [stream.process for stream in self._streams], f'{self.get_name()}_worker'
        )
        for slot, stream in enumerate(self._streams):
            stream.listen(functools.partial(self._worker.submit, slot=slot))
        self._state = 'active'
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

    def _configure_interruptibly(self) -> None:
        self._is_configuring = True
        try:
            self._configure()
        finally:
            self._is_configuring = False

    def _configure(self) -> None:
        start_s = time.perf_counter()
        fit = self._value('input.fit')
        needs_instances = self._value('panoptic.required')
        merge, tracks = read_merge_config(self._value), read_track_config(self._value)
        config = EngineConfig(
            model_path=str(find_required_model(self._value('model.path'), needs_instances)),
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
            cameras=len(self._streams),
        )
        engine = load_engine(config)
        self._pipeline = SegmentationPipeline(engine, merge, tracks)
        if needs_instances:
            require_instances(engine.metadata, config.model_path)
        formats = [stream.choose_format(engine.input.network_hw) for stream in self._streams]
        output_sizes = [
            stream.read_output_size().find(camera_format.size_px)
            for stream, camera_format in zip(self._streams, formats, strict=True)
        ]
        for camera_format, output_hw in dict.fromkeys(zip(formats, output_sizes, strict=True)):
            self._pipeline.warm_up(
                camera_format.size_px,
                camera_format.channel_order,
                output_hw,
                with_panoptic=engine.metadata.is_panoptic,
            )
        self._model_path = config.model_path
        for stream, camera_format in zip(self._streams, formats, strict=True):
            stream.open(self._pipeline, camera_format)
        self._label_info.publish(engine.metadata.label_space)
        prepared = ', '.join(map(str, dict.fromkeys(formats)))
        self.get_logger().info(
            f'configured in {time.perf_counter() - start_s:.1f} s: {engine.description}; prepared '
            f'for {prepared} images'
        )
        if engine.is_fallback:
            self.get_logger().warning(f'fallback: {engine.fallback_reason}')

    def _stop_listening(self) -> None:
        for stream in self._streams:
            stream.stop_listening()
        if self._worker is not None:
            self.interrupt()
            left_over = self._worker.stop()
            self._worker = None
            for slot, stream in enumerate(self._streams):
                stream.finish(slot in left_over)

    def _release(self) -> None:
        self._label_info.close()
        for stream in self._streams:
            stream.close()
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    # Callbacks -------------------------------------------------------------------------------

    def _on_parameters(self, parameters: list[Parameter]) -> Any:
        return check_change(parameters, self._state, self._specs)

    def _on_diagnostics_timer(self) -> None:
        engine = self._describe_engine()
        message = DiagnosticArray(
            status=[
                status
                for stream in self._streams
                for status in stream.build_statuses(self._state, engine, self._configure_error)
            ]
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)
        period_ns = int(self._value('diagnostics.period_s') * 1e9)
        if self._diagnostics_timer.timer_period_ns != period_ns:
            self._diagnostics_timer.timer_period_ns = period_ns
            self._diagnostics_timer.reset()

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

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value
