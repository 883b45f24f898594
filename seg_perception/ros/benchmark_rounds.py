# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rounds of a benchmark: node, bare engine and reference chain, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.engines.engine import Engine
from seg_perception.evaluation.benchmarks.benchmark_samples import CameraReport, Round
from seg_perception.ros.benchmark_camera import (
    WARM_UP_TIMEOUT_S,
    CameraTask,
    run_camera,
    start_camera,
)
from seg_perception.ros.lifecycle_client import LifecycleClient

DRIVE_SEED = 4242
DRIVE_FRAMES = 4
MAX_RATE_HZ = 10.0
OVERLOAD_FACTOR = 4.0
# Of one camera process: its start and the last status; warm-up and images come on top.
CAMERA_TIMEOUT_S = 60.0
# What is subscribed: whether the confidence is, and whether the overlay is.
SUBSCRIBERS = {
    'mask': (False, False),
    'mask_confidence': (True, False),
    'mask_confidence_overlay': (True, True),
}


class DriveImages:
    """Frames of a sample drive at any size, rendered when first asked for.

    Args:
        folder: for the files that camera processes read.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[tuple[int, int], np.ndarray] = {}

    def render(self, size_hw: tuple[int, int]) -> np.ndarray:
        """Return (N, H, W, 3) uint8 RGB."""
        if size_hw not in self._images:
            from seg_perception.sample.drive import SampleDrive

            drive = SampleDrive(DRIVE_SEED, DRIVE_FRAMES, *size_hw)
            images = [drive.render(index).image for index in range(DRIVE_FRAMES)]
            self._images[size_hw] = np.stack(images)
        return self._images[size_hw]

    def save(self, size_hw: tuple[int, int]) -> Path:
        """Return a .npy file of them."""
        path = self._folder / 'images_{}x{}.npy'.format(*size_hw)
        if not path.exists():
            np.save(path, self.render(size_hw))
        return path


@dataclass(frozen=True)
class RoundRunner:
    """Runs rounds against one node and, in this process, the same engine.

    Attributes:
        client: of the node, which is active between rounds.
        engine: loaded as the node loads it.
        eager: the reference chain, `networks.eager.EagerChain`; None to leave it out.
        images: of the camera.
        task: what all camera processes have in common.
        rounds: how many.
        eager_frames: images per round for the reference chain.
        say: called with a line per round.

    """

    client: LifecycleClient
    engine: Engine
    eager: Any
    images: DriveImages
    task: CameraTask
    rounds: int
    eager_frames: int
    say: Callable[[str], None]

    def run(
        self, camera_hw: tuple[int, int], with_throughput: bool, with_overload: bool
    ) -> tuple[list[Round], float]:
        """Measure all in turns for one size of camera; return the rounds and the camera's rate.

        Raises:
            UserError: no mask came back.

        """
        self.engine.prepare(camera_hw, 'rgb')
        images = self.images.render(camera_hw)
        rate_hz = choose_rate_hz(self.engine, images)
        task = replace(self.task, images=str(self.images.save(camera_hw)), rate_hz=rate_hz)
        rounds = []
        for index in range(self.rounds):
            # activated anew, so that the node's own times are those of this round
            self.client.change_state('deactivate')
            self.client.change_state('activate')
            e2e = play(task)
            unthrottled = overload = None
            if with_throughput:
                unthrottled = play(replace(task, pace='answered'))
            if unthrottled is not None and with_overload:
                overload = play_too_fast(task, unthrottled.masks_per_s)
            self.client.change_state('deactivate')
            bare_ms = time_bare(self.engine, images, task)
            eager_ms = self._time_eager(images)
            self.client.change_state('activate')
            rounds.append(Round(e2e, bare_ms, eager_ms, unthrottled, overload))
            self.say(f'round {index + 1}: {describe_round(rounds[-1])}')
        return rounds, rate_hz

    def run_panoptic(self, camera_hw: tuple[int, int], rate_hz: float) -> list[Round]:
        """Measure node and bare engine in turns with ~/panoptic subscribed."""
        images = self.images.render(camera_hw)
        task = replace(
            self.task,
            images=str(self.images.save(camera_hw)),
            rate_hz=rate_hz,
            with_panoptic=True,
        )
        rounds = []
        for index in range(self.rounds):
            self.client.change_state('deactivate')
            self.client.change_state('activate')
            e2e = play(task)
            self.client.change_state('deactivate')
            rounds.append(Round(e2e, time_bare(self.engine, images, task)))
            self.client.change_state('activate')
            self.say(
                f'panoptic, round {index + 1}: e2e {np.median(e2e.panoptic_ms):.1f} ms, '
                f'bare {np.median(rounds[-1].bare_ms):.1f} ms'
            )
        return rounds

    def compare_subscribers(
        self, camera_hw: tuple[int, int], rate_hz: float
    ) -> dict[str, list[CameraReport]]:
        """Measure the node with fewer and more of its products subscribed, in turns."""
        task = replace(self.task, images=str(self.images.save(camera_hw)), rate_hz=rate_hz)
        reports: dict[str, list[CameraReport]] = {name: [] for name in SUBSCRIBERS}
        for index in range(self.rounds):
            for name, (with_confidence, with_overlay) in SUBSCRIBERS.items():
                subscribing = replace(
                    task, with_confidence=with_confidence, with_overlay=with_overlay
                )
                reports[name].append(play(subscribing))
            medians = [np.median(entries[-1].latencies_ms) for entries in reports.values()]
            self.say(
                f'subscribers, round {index + 1}: '
                + ', '.join(
                    f'{name} {median:.1f} ms'
                    for name, median in zip(reports, medians, strict=True)
                )
            )
        return reports

    def _time_eager(self, images: np.ndarray) -> list[float]:
        if self.eager is None:
            return []
        times_ms = []
        for index in range(self.eager_frames + 1):
            begin_s = time.perf_counter()
            self.eager.segment(images[index % len(images)])
            times_ms.append((time.perf_counter() - begin_s) * 1e3)
        return times_ms[1:]


def play(task: CameraTask) -> CameraReport:
    """Run a camera process that plays to the node."""
    rate_hz = min(task.rate_hz or MAX_RATE_HZ, MAX_RATE_HZ)
    return run_camera(task, CAMERA_TIMEOUT_S + WARM_UP_TIMEOUT_S + 3 * task.frames / rate_hz)


def play_too_fast(task: CameraTask, masks_per_s: float) -> CameraReport:
    """Play OVERLOAD_FACTOR times as many images as the node can make into masks."""
    frames, rate_hz = OVERLOAD_FACTOR * task.frames, OVERLOAD_FACTOR * masks_per_s
    return play(replace(task, frames=int(frames), rate_hz=rate_hz))


def time_bare(engine: Engine, images: np.ndarray, task: CameraTask) -> list[float]:
    """Return the times in ms of inference alone, at the camera's rate, beside its process."""
    times_ms = []
    with start_camera(replace(task, pace='alone')) as process:
        assert process.stdout is not None
        process.stdout.readline()
        start_s = time.perf_counter()
        for index in range(task.frames):
            time.sleep(max(0.0, start_s + index / task.rate_hz - time.perf_counter()))
            begin_s = time.perf_counter()
            engine.infer(images[index % len(images)], 'rgb')
            times_ms.append((time.perf_counter() - begin_s) * 1e3)
    return times_ms


def choose_rate_hz(engine: Engine, images: np.ndarray) -> float:
    """Return a camera rate at which inference fills half of the time."""
    times_s = []
    for index in range(12):
        begin_s = time.perf_counter()
        engine.infer(images[index % len(images)], 'rgb')
        times_s.append(time.perf_counter() - begin_s)
    return float(min(MAX_RATE_HZ, 0.5 / np.median(times_s[2:])))


def describe_round(entry: Round) -> str:
    """Return the medians of a round, one line."""
    parts = [
        f'e2e {np.median(entry.e2e.latencies_ms):.1f} ms',
        f'bare {np.median(entry.bare_ms):.1f} ms',
    ]
    if entry.eager_ms:
        parts.append(f'eager {np.median(entry.eager_ms):.1f} ms')
    if entry.unthrottled:
        parts.append(f'{entry.unthrottled.masks_per_s:.1f} masks/s')
    if entry.overload:
        age_ms = np.percentile(entry.overload.latencies_ms, 95)
        parts.append(f'age at overload p95 {age_ms:.0f} ms')
    return ', '.join(parts)
