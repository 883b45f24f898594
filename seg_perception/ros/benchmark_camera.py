# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The camera of a benchmark, in a process of its own: plays images and times the masks.

`python -m seg_perception.ros.benchmark_camera TASK`, where TASK is a CameraTask as JSON; what came
back is printed as JSON, one line.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_samples import CameraReport
from seg_perception.evaluation.process_usage import ProcessUsage, read_usage
from seg_perception.ros.environment import (
    child_environment,
    name_profile_variable,
    prepare_this_process,
)
from seg_perception.ros.replay import LiveReplay, ReplayConfig, read_stamp_ns
from seg_perception.ros.replayed import ReplayedMask, ReplayedPanoptic

# Images that may be on their way to become a mask while a camera waits for the node: one that is
# computed, one that waits, so the node never does.
IN_FLIGHT = 2
# After this a camera that waits for a mask takes its image for lost and sends the next one.
LOST_AFTER_S = 2.0
# Two images that come at once would overtake each other before the node takes one.
STAGGER_S = 0.01
# Before anything counts, images are sent until a mask comes back: by then all are connected, and
# the node has compiled for this size of camera.
WARM_UP_PERIOD_S = 0.2
WARM_UP_TIMEOUT_S = 60.0
ERROR_TAIL_LINES = 15
MODULE = 'seg_perception.ros.benchmark_camera'


@dataclasses.dataclass(frozen=True)
class CameraTask:
    """What a camera process does.

    Attributes:
        image_topic: topic of the camera.
        node_name: full name of the node.
        images: .npy file, (N, H, W, 3) uint8 RGB; sent in turns.
        node_pid: its process, whose use of the processor is measured; 0 for none.
        frames: images to send.
        rate_hz: of the camera, for the other paces.
        pace: 'rate' sends at the rate; 'answered' sends when the node has taken the one before;
            'alone' sends at the rate until the process is ended, and expects no mask.
        with_confidence: subscribe to ~/confidence.
        with_overlay: subscribe to ~/overlay.
        with_panoptic: subscribe to ~/panoptic and time it too.

    """

    image_topic: str
    node_name: str
    images: str = ''
    node_pid: int = 0
    frames: int = 0
    rate_hz: float = 0.0
    pace: str = 'rate'
    with_confidence: bool = True
    with_overlay: bool = False
    with_panoptic: bool = False


class BenchmarkCamera:
    """Plays the images of a task to the node through `LiveReplay`."""

    def __init__(self, task: CameraTask) -> None:
        self._task = task
        self._messages = make_messages(np.load(task.images))
        self._may_send = threading.Semaphore(1)
        self._unanswered_ns: deque[int] = deque()
        self._is_connected = threading.Event()
        self._sent_s: list[float] = []
        self._usages: list[ProcessUsage] = []
        self._warm_up_images = 0
        self._last_warm_up_ns = 0
        self._panoptic_ms: list[float] = []

    def run(self) -> CameraReport:
        """Send all images, wait for the last mask.

        Raises:
            UserError: nobody listens, or no mask came back.

        """
        task = self._task
        config = ReplayConfig(
            image_topic=task.image_topic,
            node_name=task.node_name,
            with_confidence=task.with_confidence,
            with_overlay=task.with_overlay,
            with_panoptic=task.with_panoptic,
        )
        replay = LiveReplay(
            self._expose_all(), config, self._on_mask, on_panoptic=self._on_panoptic
        )
        result = replay.run()
        # masks come in order
        first = bisect.bisect_right(result.stamps_ns, self._last_warm_up_ns)
        usages = self._usages
        cpu_percent, cpu_ms_per_mask = compare_usages(usages)
        return CameraReport(
            latencies_ms=result.latencies_ms[first:],
            published=result.published - self._warm_up_images,
            received=result.received - first,
            masks_per_s=measure_rate(result.receive_times_s[first:]),
            images_per_s=measure_rate(self._sent_s),
            cpu_percent=cpu_percent,
            cpu_ms_per_mask=cpu_ms_per_mask,
            resident_mb=usages[-1].resident_mb if usages else None,
            node=result.diagnostics,
            panoptic_ms=self._panoptic_ms,
        )

    def _expose_all(self) -> Iterator[tuple[int, Image]]:
        yield from self._warm_up()
        if self._task.pace == 'answered':
            yield from self._send_when_answered()
        else:
            yield from self._send_at_rate()

    def _warm_up(self) -> Iterator[tuple[int, Image]]:
        deadline_s = time.monotonic() + WARM_UP_TIMEOUT_S
        while not self._is_connected.wait(WARM_UP_PERIOD_S if self._warm_up_images else 0.0):
            if time.monotonic() > deadline_s:
                raise UserError(
                    f'none of {self._warm_up_images} images came back as a mask within '
                    f'{WARM_UP_TIMEOUT_S:.0f} s; is the transport profile set '
                    f'({name_profile_variable()})?'
                )
            due_ns, message = self._expose(0)
            self._last_warm_up_ns = read_stamp_ns(message)
            self._unanswered_ns.append(self._last_warm_up_ns)
            self._warm_up_images += 1
            yield due_ns, message
        # the newest image is never overtaken; with its mask the node is idle
        deadline_s = time.monotonic() + LOST_AFTER_S
        while self._unanswered_ns and time.monotonic() < deadline_s:
            time.sleep(0.01)
        self._unanswered_ns.clear()
        self._usages.clear()
        self._sent_s.clear()

    def _send_at_rate(self) -> Iterator[tuple[int, Image]]:
        start_s = time.perf_counter()
        for index in range(self._task.frames):
            time.sleep(max(0.0, start_s + index / self._task.rate_hz - time.perf_counter()))
            yield self._expose(index)

    def _send_when_answered(self) -> Iterator[tuple[int, Image]]:
        self._may_send = threading.Semaphore(1)
        self._allow_later(IN_FLIGHT - 1)
        for index in range(self._task.frames):
            self._may_send.acquire(timeout=LOST_AFTER_S)
            due_ns, message = self._expose(index)
            self._unanswered_ns.append(read_stamp_ns(message))
            yield due_ns, message

    def _allow_later(self, images: int) -> None:
        if images > 0:
            threading.Timer(STAGGER_S, self._may_send.release, (images,)).start()

    def _expose(self, index: int) -> tuple[int, Image]:
        """Return when the next image is due, which is now, and the image, stamped now."""
        message = self._messages[index % len(self._messages)]
        stamp_now(message)
        self._sent_s.append(time.perf_counter())
        # LiveReplay waits by the differences to the first of these times
        return int(self._sent_s[-1] * 1e9), message

    def _on_mask(self, mask: ReplayedMask) -> None:
        usage = read_usage(self._task.node_pid) if self._task.node_pid else None
        if usage is not None:
            self._usages.append(usage)
        answered = 0
        # masks come in order: images before this one that have no mask were overtaken or lost
        while self._unanswered_ns and self._unanswered_ns[0] <= mask.stamp_ns:
            self._unanswered_ns.popleft()
            answered += 1
        if not self._is_connected.is_set():
            self._is_connected.set()
        elif answered:
            self._may_send.release()
            self._allow_later(answered - 1)

    def _on_panoptic(self, panoptic: ReplayedPanoptic) -> None:
        if panoptic.stamp_ns > self._last_warm_up_ns:
            self._panoptic_ms.append(panoptic.latency_ms)


def make_messages(images: np.ndarray) -> list[Image]:
    """Return a sensor_msgs/Image per (H, W, 3) uint8 RGB image."""
    messages = []
    for image in images:
        height_px, width_px = image.shape[:2]
        message = Image(height=height_px, width=width_px, step=3 * width_px, encoding='rgb8')
        message.header.frame_id = 'camera_optical_frame'
        message.data.frombytes(memoryview(image).cast('B'))  # type: ignore[arg-type]
        messages.append(message)
    return messages


def stamp_now(message: Image) -> None:
    """Set the stamp to the time of the system's clock."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)


def measure_rate(moments_s: Sequence[float]) -> float:
    """Return events per second from the first to the last; 0 of fewer than two."""
    if len(moments_s) < 2:
        return 0.0
    return (len(moments_s) - 1) / (moments_s[-1] - moments_s[0])


def compare_usages(usages: Sequence[ProcessUsage]) -> tuple[float | None, float | None]:
    """Return percent of one core and ms of processor time per mask; None of fewer than two."""
    if len(usages) < 2:
        return None, None
    cpu_s = usages[-1].cpu_s - usages[0].cpu_s
    wall_s = usages[-1].moment_s - usages[0].moment_s
    return 100.0 * cpu_s / wall_s, 1e3 * cpu_s / (len(usages) - 1)


def publish_alone(task: CameraTask) -> None:
    """Publish at the rate until the process is ended; says 'ready' before the first image."""
    prepare_this_process()
    # SIGTERM is to end it at once, in the middle of publish() or not
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('seg_perception_benchmark_camera')
    publisher = node.create_publisher(Image, task.image_topic, qos_profile_sensor_data)
    messages = make_messages(np.load(task.images))
    print('ready', flush=True)
    start_s = time.perf_counter()
    index = 0
    while True:
        time.sleep(max(0.0, start_s + index / task.rate_hz - time.perf_counter()))
        stamp_now(messages[index % len(messages)])
        publisher.publish(messages[index % len(messages)])
        index += 1


# In the process of the benchmark --------------------------------------------------------------


@contextmanager
def start_camera(task: Any, module: str = MODULE) -> Iterator[subprocess.Popen[str]]:
    """Start a camera process with a task, a dataclass; it is ended when the block is left."""
    command = [sys.executable, '-m', module]
    process = subprocess.Popen(
        [*command, json.dumps(dataclasses.asdict(task))],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_task(task: Any, timeout_s: float, module: str = MODULE) -> dict[str, Any]:
    """Run a camera process to its end and return what it printed.

    Raises:
        UserError: it failed or took too long.

    """
    with start_camera(task, module) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise UserError(f'the camera process did not end within {timeout_s:.0f} s') from error
    if process.returncode != 0:
        tail = '\n'.join(errors.splitlines()[-ERROR_TAIL_LINES:])
        raise UserError(
            f'the camera process ended with exit code {process.returncode}; its last lines:\n'
            f'{tail}'
        )
    return dict(json.loads(output.splitlines()[-1]))


def run_camera(task: CameraTask, timeout_s: float) -> CameraReport:
    """Run a camera process to its end.

    Raises:
        UserError: it failed or took too long, or no mask came back.

    """
    report = CameraReport(**run_task(task, timeout_s))
    if not report.latencies_ms:
        raise UserError(
            f'none of {report.published} images came back as a mask; the node says: '
            f'{report.node.get("last error", "nothing")}'
        )
    return report


def main(arguments: Sequence[str]) -> int:
    """Carry out the task given as JSON."""
    task = CameraTask(**json.loads(arguments[0]))
    if not Path(task.images).is_file():
        print(f'error: {task.images} does not exist', file=sys.stderr)
        return 2
    if task.pace == 'alone':
        publish_alone(task)
    else:
        try:
            report = BenchmarkCamera(task).run()
        except UserError as error:
            print(f'error: {error}', file=sys.stderr)
            return 2
        print(json.dumps(dataclasses.asdict(report)))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
