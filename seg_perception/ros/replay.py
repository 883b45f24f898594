# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Plays camera messages to a running node over DDS and times the masks that come back."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import read_header_stamp_ns
from seg_perception.ros.environment import prepare_this_process
from seg_perception.ros.qos import COMPRESSED, name_image_topic, product_qos
from seg_perception.ros.replayed import (
    ReplayedGrid,
    ReplayedMask,
    ReplayedPanoptic,
    ReplayResult,
)

# A mask that took longer than this counts as lost.
DRAIN_TIMEOUT_S = 5.0
SETTLE_S = 0.3
# Longer than a mask takes: the image that is shown before a replay is not overtaken by itself.
LEAD_IN_PERIOD_S = 0.5


@dataclass(frozen=True)
class ReplayConfig:
    """Where and how fast to play.

    Attributes:
        image_topic: topic of the node's camera, without '/compressed'.
        image_transport: 'raw' or 'compressed'; what the messages are.
        node_name: full name of the node under test.
        rate_factor: 1.0 plays at the recording's own rate, 2.0 twice as fast.
        with_confidence: subscribe to ~/confidence too and hand it out with the mask.
        with_overlay: subscribe to ~/overlay too, so that the node draws it; not handed out.
        with_panoptic: subscribe to ~/panoptic too, so that the node makes it, and hand it out.
        camera_info: calibration in CDR bytes, published before each image on the sibling topic
            camera_info; empty for none.
        with_clock: publish /clock, the time of the messages, before each image.
        grids: names under the node of OccupancyGrids to subscribe to and hand out.
        lead_in_s: longest time for which the first image is shown before the replay, until the
            first grid comes: the node has its tables of the ground then.
        match_timeout_s: how long to wait for the node's subscription.

    """

    image_topic: str = '/image'
    image_transport: str = 'raw'
    node_name: str = '/segnext'
    rate_factor: float = 1.0
    with_confidence: bool = True
    with_overlay: bool = False
    with_panoptic: bool = False
    camera_info: bytes = b''
    with_clock: bool = False
    grids: tuple[str, ...] = ()
    lead_in_s: float = 0.0
    match_timeout_s: float = 30.0


class LiveReplay:
    """Plays messages once and collects the masks.

    The camera is published as cameras do, best effort; `on_mask` runs in a thread of its own, so
    that slow scoring does not make the times wrong. On a small machine it still takes processor
    time from the node: keep it light and score afterwards.

    Args:
        messages: (time in ns, message) in order; a message is the CDR bytes of a recording or a
            message object of rclpy. Only differences of the times count.
        config: topics and speed.
        on_mask: called with each mask, in the order of arrival.
        on_grid: called with each grid, in the same thread.
        on_panoptic: called with each panoptic map, in the same thread.

    """

    def __init__(
        self,
        messages: Iterable[tuple[int, Any]],
        config: ReplayConfig,
        on_mask: Callable[[ReplayedMask], None] | None = None,
        on_grid: Callable[[ReplayedGrid], None] | None = None,
        on_panoptic: Callable[[ReplayedPanoptic], None] | None = None,
    ) -> None:
        self._messages = messages
        self._config = config
        self._takers: dict[type, Callable[[Any], None] | None] = {
            ReplayedMask: on_mask,
            ReplayedGrid: on_grid,
            ReplayedPanoptic: on_panoptic,
        }
        self._info_publisher: Any = None
        self._clock_publisher: Any = None
        self._lock = threading.Lock()
        self._sent_s: dict[int, float] = {}
        self._sent_for_panoptic_s: dict[int, float] = {}
        self._waiting: dict[int, tuple[np.ndarray, float]] = {}
        self._early_confidence: dict[int, np.ndarray] = {}
        self._finished: queue.Queue[Any] = queue.Queue()
        self._result = ReplayResult()
        self._has_grid = threading.Event()
        self._start_s = 0.0
        self._diagnostics_count = 0
        self._consumer_error: BaseException | None = None

    def run(self) -> ReplayResult:
        """Play all messages, wait for the last mask and return the figures.

        Raises:
            UserError: no node listens on the image topic.

        """
        prepare_this_process()
        context = Context()
        rclpy.init(context=context)
        node = rclpy.create_node('seg_perception_replay', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        publisher = self._connect(node)
        spinner = threading.Thread(target=spin, args=(executor,), name='replay_executor')
        consumer = threading.Thread(target=self._consume, name='replay_consumer')
        spinner.start()
        consumer.start()
        try:
            self._wait_until_matched(node, publisher)
            messages = iter(self._messages)
            first = next(messages, None)
            if first is not None:
                self._lead_in(publisher, first[1])
                messages = chain([first], messages)
            last_stamp_ns = self._play(publisher, messages)
            self._drain(last_stamp_ns)
        finally:
            # executor, then its thread, then the context: any other order aborts the process
            executor.shutdown()
            spinner.join()
            self._hand_out_unpaired()
            self._finished.put(None)
            consumer.join()
            node.destroy_node()
            rclpy.try_shutdown(context=context)
        if self._consumer_error is not None:
            raise self._consumer_error
        return self._result

    def _connect(self, node: Any) -> Any:
        config = self._config
        is_compressed = config.image_transport == COMPRESSED
        publisher = node.create_publisher(
            CompressedImage if is_compressed else Image,
            name_image_topic(config.image_topic, config.image_transport),
            qos_profile_sensor_data,
        )
        node.create_subscription(
            Image, f'{config.node_name}/mask', self._on_mask_message, product_qos(10)
        )
        if config.with_confidence:
            node.create_subscription(
                Image, f'{config.node_name}/confidence', self._on_confidence, product_qos(10)
            )
        if config.with_overlay:
            node.create_subscription(
                Image, f'{config.node_name}/overlay', lambda message: None, product_qos(10)
            )
        if config.with_panoptic:
            node.create_subscription(
                Image, f'{config.node_name}/panoptic', self._on_panoptic_message, product_qos(10)
            )
        for name in config.grids:
            node.create_subscription(
                OccupancyGrid,
                f'{config.node_name}/{name}',
                functools.partial(self._on_grid_message, name),
                product_qos(10),
            )
        if config.camera_info:
            self._info_publisher = node.create_publisher(
                CameraInfo,
                f'{config.image_topic.rpartition("/")[0]}/camera_info',
                qos_profile_sensor_data,
            )
        if config.with_clock:
            self._clock_publisher = node.create_publisher(Clock, '/clock', product_qos(1))
        node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=10)
        )
        return publisher

    def _wait_until_matched(self, node: Any, publisher: Any) -> None:
        deadline_s = time.monotonic() + self._config.match_timeout_s
        products = ['mask', 'confidence'] if self._config.with_confidence else ['mask']
        products += ['panoptic'] * self._config.with_panoptic
        products += self._config.grids
        while True:
            missing = [
                name
                for name in products
                if not node.count_publishers(f'{self._config.node_name}/{name}')
            ]
            if publisher.get_subscription_count() > 0 and not missing:
                # the node's publishers learn of our subscriptions a little later
                time.sleep(SETTLE_S)
                return
            if time.monotonic() > deadline_s:
                raise UserError(
                    f'no segmentation node {self._config.node_name} listens on '
                    f'{publisher.topic_name} after {self._config.match_timeout_s:.0f} s'
                    + (f' (nobody publishes {", ".join(missing)})' if missing else '')
                    + '; is it active, with its image remapped to this topic?'
                )
            time.sleep(0.02)

    def _lead_in(self, publisher: Any, message: Any) -> None:
        """Show an image until the node has published a grid; nothing of this is timed."""
        deadline_s = time.monotonic() + self._config.lead_in_s
        while time.monotonic() < deadline_s and not self._has_grid.is_set():
            self._publish(publisher, message)
            self._result.shown_before += 1
            self._has_grid.wait(LEAD_IN_PERIOD_S)
        if self._result.shown_before:
            # so that no late mask of these is taken for one of the replay
            time.sleep(LEAD_IN_PERIOD_S)

    def _publish(self, publisher: Any, message: Any) -> None:
        """Publish calibration and image."""
        if self._info_publisher is not None:
            self._info_publisher.publish(self._config.camera_info)
        # rclpy publishes bytes as they are, and only bytes
        is_view = isinstance(message, (bytearray, memoryview))
        publisher.publish(bytes(message) if is_view else message)

    def _play(self, publisher: Any, messages: Iterable[tuple[int, Any]]) -> int:
        """Publish all messages when they are due; return the stamp of the last one."""
        first_ns: int | None = None
        stamp_ns = 0
        self._start_s = time.perf_counter()
        for time_ns, message in messages:
            if first_ns is None:
                first_ns = time_ns
                self._start_s = time.perf_counter()
            due_s = self._start_s + (time_ns - first_ns) * 1e-9 / self._config.rate_factor
            delay_s = due_s - time.perf_counter()
            if delay_s > 0:
                time.sleep(delay_s)
            stamp_ns = read_stamp_ns(message)
            with self._lock:
                self._sent_s[stamp_ns] = time.perf_counter()
                if self._config.with_panoptic:
                    self._sent_for_panoptic_s[stamp_ns] = self._sent_s[stamp_ns]
                self._result.published += 1
            if self._clock_publisher is not None:
                clock = Clock()
                clock.clock.sec, clock.clock.nanosec = divmod(time_ns, 10**9)
                self._clock_publisher.publish(clock)
            self._publish(publisher, message)
        return stamp_ns

    def _drain(self, last_stamp_ns: int) -> None:
        """Wait for the mask of the last image, then for one more status of the node."""
        deadline_s = time.monotonic() + DRAIN_TIMEOUT_S
        while time.monotonic() < deadline_s:
            with self._lock:
                is_done = last_stamp_ns not in self._sent_s and last_stamp_ns not in self._waiting
            if is_done:
                break
            time.sleep(0.01)
        count = self._diagnostics_count
        deadline_s = time.monotonic() + 3.0
        # the second one from now was surely composed after the last mask
        while self._diagnostics_count < count + 2 and time.monotonic() < deadline_s:
            time.sleep(0.02)

    def _on_mask_message(self, message: Image) -> None:
        received_s = time.perf_counter()
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        with self._lock:
            sent_s = self._sent_s.pop(stamp_ns, None)
            if sent_s is None:
                return  # of somebody else's image, or of a stamp that was sent twice
            latency_ms = (received_s - sent_s) * 1e3
            self._result.received += 1
            self._result.latencies_ms.append(latency_ms)
            self._result.stamps_ns.append(stamp_ns)
            self._result.receive_times_s.append(received_s - self._start_s)
            self._result.duration_s = received_s - self._start_s
            mask = view_mono8(message)
            confidence = self._early_confidence.pop(stamp_ns, None)
            if self._config.with_confidence and confidence is None:
                self._waiting[stamp_ns] = (mask, latency_ms)
                return
        self._finished.put(ReplayedMask(stamp_ns, mask, confidence, latency_ms))

    def _on_confidence(self, message: Image) -> None:
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        with self._lock:
            waiting = self._waiting.pop(stamp_ns, None)
            if waiting is None:
                if stamp_ns in self._sent_s:
                    self._early_confidence[stamp_ns] = view_mono8(message)
                return
        self._finished.put(ReplayedMask(stamp_ns, waiting[0], view_mono8(message), waiting[1]))

    def _on_grid_message(self, name: str, message: OccupancyGrid) -> None:
        self._has_grid.set()
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        cells = np.frombuffer(message.data, np.int8)
        cells = cells.reshape(message.info.height, message.info.width)
        self._finished.put(ReplayedGrid(name, stamp_ns, cells))

    def _on_panoptic_message(self, message: Image) -> None:
        received_s = time.perf_counter()
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        with self._lock:
            sent_s = self._sent_for_panoptic_s.pop(stamp_ns, None)
        if sent_s is None:
            return  # of somebody else's image, or of a stamp that was sent twice
        ids = np.frombuffer(message.data, np.int32).reshape(message.height, message.width)
        self._finished.put(ReplayedPanoptic(stamp_ns, ids, (received_s - sent_s) * 1e3))

    def _hand_out_unpaired(self) -> None:
        """Give out masks whose confidence never came."""
        for stamp_ns, (mask, latency_ms) in self._waiting.items():
            self._finished.put(ReplayedMask(stamp_ns, mask, None, latency_ms))
        self._waiting.clear()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        name = f'{self._config.node_name.lstrip("/")}: segmentation'
        for status in message.status:
            if status.name == name:
                self._result.diagnostics = {value.key: value.value for value in status.values}
                self._result.diagnostics_level = int.from_bytes(status.level, 'little')
                self._result.diagnostics_message = status.message
                self._diagnostics_count += 1

    def _consume(self) -> None:
        while (replayed := self._finished.get()) is not None:
            take = self._takers[type(replayed)]
            if take is None or self._consumer_error is not None:
                continue
            try:
                take(replayed)
            # raised again by run(), in the caller's thread
            except BaseException as error:
                self._consumer_error = error


def spin(executor: Any) -> None:
    """Spin until the executor is shut down."""
    try:
        executor.spin()
    except ExternalShutdownException:
        return


def read_stamp_ns(message: Any) -> int:
    """Return the header's stamp of a message object, or of CDR bytes that begin with a Header.

    Raises:
        ValueError: fewer than 12 bytes.

    """
    if isinstance(message, (bytes, bytearray, memoryview)):
        return read_header_stamp_ns(message)
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def view_mono8(message: Image) -> np.ndarray:
    """Return a mono8 message's pixels as (H, W) uint8, without a copy."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : message.width]
