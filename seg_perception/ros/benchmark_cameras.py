# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Several cameras of one node, in a process of their own: what a set costs, who gets how much.

`python -m seg_perception.ros.benchmark_cameras TASK`, where TASK is a RigTask as JSON; what came
back is printed as JSON, one line.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_figures import (
    ROUNDS_OF_TURNS,
    Figures,
    RoundFigures,
)
from seg_perception.ros.benchmark_camera import LOST_AFTER_S, make_messages, stamp_now
from seg_perception.ros.environment import prepare_this_process
from seg_perception.ros.qos import product_qos
from seg_perception.ros.replay import read_stamp_ns

MODULE = 'seg_perception.ros.benchmark_cameras'
NAMES = ('front', 'left', 'right', 'rear')
OVERLOAD_FACTOR = 4.0
WARM_UP_TIMEOUT_S = 120.0


@dataclasses.dataclass(frozen=True)
class RigTask:
    """What the process does.

    Attributes:
        namespace: of the node; the cameras are <namespace>/<name>/image.
        node_name: full name of the node.
        images: .npy file, (N, H, W, 3) uint8 RGB; sent in turns.
        sets: how often one image alone and one of each camera are timed, in turns.
        overload_masks: masks to wait for at overload, of all cameras together.

    """

    namespace: str
    node_name: str
    images: str
    sets: int
    overload_masks: int


@dataclasses.dataclass(frozen=True)
class RigReport:
    """What came back.

    Attributes:
        one_ms: from publish() of one image to the callback of its mask.
        set_ms: from publish() of the first of one image of each camera, sent at once, to the
            callback of the last mask.
        inference_ms: the node's median time of inference meanwhile.
        images_per_s: rate of each camera at overload.
        ages_ms: age of the masks at overload, by camera.

    """

    one_ms: list[float]
    set_ms: list[float]
    inference_ms: float
    images_per_s: float
    ages_ms: dict[str, list[float]]


class Rig:
    """Publishers of the cameras, and when which mask came."""

    def __init__(self, task: RigTask) -> None:
        self._task = task
        self._messages = make_messages(np.load(task.images))
        self._came = threading.Condition()
        self._masks: dict[str, list[tuple[int, float]]] = {name: [] for name in NAMES}
        self._inference_ms: dict[str, float] = {}
        self._node = rclpy.create_node('seg_perception_benchmark_cameras')
        self._publishers = {
            name: self._node.create_publisher(
                Image, f'{task.namespace}/{name}/image', qos_profile_sensor_data
            )
            for name in NAMES
        }
        for name in NAMES:
            for product, take in (
                ('mask', functools.partial(self._on_mask, name)),
                ('confidence', lambda message: None),
            ):
                topic = f'{task.node_name}/{name}/{product}'
                self._node.create_subscription(Image, topic, take, product_qos(5))
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, product_qos(5)
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def run(self) -> RigReport:
        """Measure all.

        Raises:
            UserError: no mask came back from some camera.

        """
        self._warm_up()
        one_ms, set_ms = [], []
        for index in range(self._task.sets):
            one_ms += self._time((NAMES[index % len(NAMES)],), index)
            set_ms += self._time(NAMES, index)
        if not one_ms or not set_ms:
            raise UserError('no set of images came back as masks')
        # what the node says comes with its next status
        time.sleep(1.0)
        inference_ms = float(np.median(list(self._inference_ms.values())))
        # four images for each that the node can take
        rate_hz = OVERLOAD_FACTOR * 1e3 / float(np.median(set_ms))
        ages_ms = self._overload(rate_hz)
        return RigReport(one_ms, set_ms, inference_ms, rate_hz, ages_ms)

    def close(self) -> None:
        """Leave the graph; a thread that still spins would abort the process at its end."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _warm_up(self) -> None:
        deadline_s = time.monotonic() + WARM_UP_TIMEOUT_S
        for name in NAMES:
            while not self._masks[name]:
                if time.monotonic() > deadline_s:
                    raise UserError(f'no image of the camera {name} came back as a mask')
                self._send(name, 0)
                time.sleep(0.3)
        time.sleep(LOST_AFTER_S)

    def _time(self, names: Sequence[str], index: int) -> list[float]:
        """Send one image of each at once; return ms until the last mask, nothing of a loss."""
        start_s = time.perf_counter()
        stamps_ns = {name: self._send(name, index) for name in names}

        def have_come() -> bool:
            return all(self._find(name, stamp_ns) for name, stamp_ns in stamps_ns.items())

        with self._came:
            if not self._came.wait_for(have_come, LOST_AFTER_S):
                return []
            last_s = max(self._find(name, stamp_ns) for name, stamp_ns in stamps_ns.items())
        return [(last_s - start_s) * 1e3]

    def _overload(self, rate_hz: float) -> dict[str, list[float]]:
        """Send on all topics, staggered; return the ages of the masks that came meanwhile."""
        with self._came:
            for masks in self._masks.values():
                masks.clear()
        sent_s: dict[tuple[str, int], float] = {}
        start_s = time.perf_counter()
        index = 0
        while sum(map(len, self._masks.values())) < self._task.overload_masks:
            name = NAMES[index % len(NAMES)]
            due_s = start_s + index / (rate_hz * len(NAMES))
            time.sleep(max(0.0, due_s - time.perf_counter()))
            moment_s = time.perf_counter()
            sent_s[name, self._send(name, index // len(NAMES))] = moment_s
            index += 1
        with self._came:
            return {
                name: [
                    (came_s - sent_s[name, stamp_ns]) * 1e3
                    for stamp_ns, came_s in masks
                    if (name, stamp_ns) in sent_s
                ]
                for name, masks in self._masks.items()
            }

    def _send(self, name: str, index: int) -> int:
        message = self._messages[index % len(self._messages)]
        stamp_now(message)
        stamp_ns = read_stamp_ns(message)
        self._publishers[name].publish(message)
        return stamp_ns

    def _find(self, name: str, stamp_ns: int) -> float:
        """Return when the mask of a stamp came, 0 where it did not."""
        return next((came_s for ns, came_s in self._masks[name][-8:] if ns == stamp_ns), 0.0)

    def _on_mask(self, name: str, message: Any) -> None:
        with self._came:
            self._masks[name].append((read_stamp_ns(message), time.perf_counter()))
            self._came.notify_all()

    def _on_diagnostics(self, message: Any) -> None:
        prefix = f'{self._task.node_name.lstrip("/")}: segmentation '
        for status in message.status:
            if status.name.startswith(prefix):
                values = {value.key: value.value for value in status.values}
                shown = values['inference p50 (ms)']
                if shown != 'n/a':
                    self._inference_ms[status.name] = float(shown)


def summarize_rig(report: RigReport) -> tuple[Figures, RoundFigures]:
    """Return the figures of several cameras; each fourth of the sets stands for a round."""
    ages_ms = np.concatenate([np.asarray(ages) for ages in report.ages_ms.values()])
    counts = np.array([len(ages) for ages in report.ages_ms.values()])
    shares = counts / counts.mean()
    ratio = float(np.median(report.set_ms) / np.median(report.one_ms))
    rounds = min(ROUNDS_OF_TURNS, len(report.set_ms), len(report.one_ms))
    parts = zip(
        np.array_split(report.set_ms, rounds), np.array_split(report.one_ms, rounds), strict=True
    )
    figures = {
        'cameras': len(counts),
        'cameras_one_p50_ms': float(np.median(report.one_ms)),
        'cameras_set_p50_ms': float(np.median(report.set_ms)),
        'cameras4_vs_1': ratio,
        'cameras_overload_hz': report.images_per_s,
        'cameras_overload_age_p95_ms': float(np.percentile(ages_ms, 95)),
        'cameras_overload_age_p95_vs_inference': float(
            np.percentile(ages_ms, 95) / report.inference_ms
        ),
        'cameras_share_least': float(shares.min()),
        'cameras_share_most': float(shares.max()),
    }
    by_round = [float(np.median(above) / np.median(below)) for above, below in parts]
    return figures, {'cameras4_vs_1': by_round}


def main(arguments: Sequence[str]) -> int:
    """Carry out the task given as JSON."""
    prepare_this_process()
    rclpy.init()
    rig = Rig(RigTask(**json.loads(arguments[0])))
    try:
        print(json.dumps(dataclasses.asdict(rig.run())))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    finally:
        rig.close()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
