# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the node counts and times; no ROS in here."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter

import numpy as np

RATE_WINDOW_S = 5.0
TIMING_SAMPLES = 200


@dataclass(frozen=True)
class FrameTimes:
    """Times of one published frame, by stage.

    Attributes:
        queue_ms: from the arrival of the message in the node to the worker taking it.
        read_ms: from the message to an image.
        inference_ms: from the image to logits.
        decode_ms: from the logits to the mask, and to the confidence where it is wanted.
        publish_ms: the call that publishes the mask.
        total_ms: from the arrival of the message to the end of publishing mask and confidence.
        stamp_age_ms: from the header's stamp to the published mask, on the node's clock.
        panoptic_ms: merge and tracks of instances; 0 where nobody wants them.

    """

    queue_ms: float
    read_ms: float
    inference_ms: float
    decode_ms: float
    publish_ms: float
    total_ms: float
    stamp_age_ms: float
    panoptic_ms: float = 0.0


@dataclass(frozen=True)
class Counts:
    """Numbers since the node was configured.

    received = used + dropped + bad + failed, plus at most two frames in hand.
    """

    received: int = 0
    used: int = 0
    dropped: int = 0
    bad: int = 0
    failed: int = 0
    stamps_not_increasing: int = 0
    publish_failures: int = 0


@dataclass(frozen=True)
class Percentiles:
    """Median, 95th and 99th percentile; NaN when nothing was measured."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Snapshot:
    """The state of the counters at one moment; ages are seconds ago, inf for never."""

    counts: Counts
    rate_in_hz: float
    rate_out_hz: float
    queue_ms: Percentiles
    read_ms: Percentiles
    inference_ms: Percentiles
    decode_ms: Percentiles
    publish_ms: Percentiles
    total_ms: Percentiles
    stamp_age_ms: Percentiles
    panoptic_ms: Percentiles
    last_received_age_s: float
    last_used_age_s: float
    last_bad_age_s: float
    last_failed_age_s: float
    last_publish_failure_age_s: float
    last_stamp_problem_age_s: float
    active_for_s: float
    last_error: str


@dataclass
class _Moments:
    received: float = -np.inf
    used: float = -np.inf
    bad: float = -np.inf
    failed: float = -np.inf
    publish_failure: float = -np.inf
    stamp_problem: float = -np.inf
    activated: float = np.inf


@dataclass
class _Windows:
    received_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    used_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    times: deque[FrameTimes] = field(default_factory=lambda: deque(maxlen=TIMING_SAMPLES))


class FrameStatistics:
    """Counts frames from the callback, the worker and the diagnostics timer (thread-safe).

    Args:
        clock_s: seconds of a clock that does not jump.

    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start all counters again."""
        with self._lock:
            self._counts = Counts()
            self._moments = _Moments()
            self._windows = _Windows()
            self._last_error = ''

    def mark_activated(self) -> None:
        """Start the clock of 'no image since'; rates and times do not reach back over a pause."""
        with self._lock:
            self._moments.activated = self._clock_s()
            self._windows = _Windows()

    def count_received(self) -> None:
        """Count a camera message that arrived."""
        with self._lock:
            self._moments.received = self._clock_s()
            self._windows.received_s.append(self._moments.received)
            self._add(received=1)

    def count_dropped(self) -> None:
        """Count a frame that a newer one overtook."""
        with self._lock:
            self._add(dropped=1)

    def count_used(self, times: FrameTimes) -> None:
        """Count a frame whose mask was published."""
        with self._lock:
            self._moments.used = self._clock_s()
            self._windows.used_s.append(self._moments.used)
            self._windows.times.append(times)
            self._add(used=1)

    def count_bad(self, error: str) -> None:
        """Count a message that holds no usable image."""
        with self._lock:
            self._moments.bad = self._clock_s()
            self._last_error = error
            self._add(bad=1)

    def count_failed(self, error: str) -> None:
        """Count a good image that could not be segmented."""
        with self._lock:
            self._moments.failed = self._clock_s()
            self._last_error = error
            self._add(failed=1)

    def count_publish_failure(self, error: str) -> None:
        """Count a message that the middleware did not take."""
        with self._lock:
            self._moments.publish_failure = self._clock_s()
            self._last_error = error
            self._add(publish_failures=1)

    def count_stamp_problem(self) -> None:
        """Count a frame whose stamp is zero or not later than the one before."""
        with self._lock:
            self._moments.stamp_problem = self._clock_s()
            self._add(stamps_not_increasing=1)

    def note_error(self, error: str) -> None:
        """Keep an error text that belongs to no frame."""
        with self._lock:
            self._last_error = error

    def take_snapshot(self) -> Snapshot:
        """Return all figures of this moment."""
        with self._lock:
            now_s = self._clock_s()
            times = list(self._windows.times)
            received_s = list(self._windows.received_s)
            used_s = list(self._windows.used_s)
            moments = replace(self._moments)
            counts, last_error = self._counts, self._last_error
        # Outside the lock: the worker and the camera's callback do not wait for the arithmetic.
        return Snapshot(
            counts=counts,
            rate_in_hz=measure_rate_hz(received_s, now_s),
            rate_out_hz=measure_rate_hz(used_s, now_s),
            **summarize_times(times),
            last_received_age_s=now_s - moments.received,
            last_used_age_s=now_s - moments.used,
            last_bad_age_s=now_s - moments.bad,
            last_failed_age_s=now_s - moments.failed,
            last_publish_failure_age_s=now_s - moments.publish_failure,
            last_stamp_problem_age_s=now_s - moments.stamp_problem,
            active_for_s=max(0.0, now_s - moments.activated),
            last_error=last_error,
        )

    def _add(self, **increments: int) -> None:
        counts = self._counts
        self._counts = replace(
            counts, **{name: getattr(counts, name) + by for name, by in increments.items()}
        )


def measure_rate_hz(moments_s: Sequence[float], now_s: float) -> float:
    """Return events per second over the last RATE_WINDOW_S; moments_s is ascending.

    From the first event of the window to the last, so that it is right after two events; falls
    when the next one is overdue.
    """
    recent = [moment for moment in moments_s if now_s - moment <= RATE_WINDOW_S]
    if len(recent) < 2:
        return 0.0
    mean_gap_s = (recent[-1] - recent[0]) / (len(recent) - 1)
    overdue_s = max(0.0, now_s - recent[-1] - mean_gap_s)
    return (len(recent) - 1) / max(recent[-1] - recent[0] + overdue_s, 1e-6)


def summarize_times(times: Sequence[FrameTimes]) -> dict[str, Percentiles]:
    """Return the percentiles of each time by its name; NaN of none."""
    names = [entry.name for entry in fields(FrameTimes)]
    if not times:
        return dict.fromkeys(names, Percentiles(math.nan, math.nan, math.nan))
    take_all = attrgetter(*names)
    columns = np.percentile([take_all(entry) for entry in times], (50, 95, 99), axis=0).T
    return {
        name: Percentiles(*map(float, column)) for name, column in zip(names, columns, strict=True)
    }
