# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What went wrong with the ground products: counted by kind, logged now and then, and shown."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import UserError

# Kinds of trouble, as they are counted in /diagnostics.
CAMERA_INFO = 'camera_info'
CAMERA_POSE = 'camera pose'
ODOMETRY = 'odometry'
CLOCK = 'clock'
DEPTH = 'depth'
EXPIRED = 'expired'
INTERNAL = 'internal'
KINDS = (CAMERA_INFO, CAMERA_POSE, ODOMETRY, CLOCK, DEPTH, EXPIRED, INTERNAL)

TIMING_SAMPLES = 200


class GroundError(UserError):
    """An input of the ground products that cannot be used.

    Attributes:
        kind: one of KINDS.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class GroundSnapshot:
    """Counters at one moment.

    Attributes:
        frames: images of which ground products were made.
        troubles: count by kind.
        last_age_s: seconds since the last trouble, inf for never.
        last_text: what it was.
        current: troubles by kind that no good frame has ended yet.
        ground_p50_ms: median time of a frame's ground products, NaN for none.
    """

    frames: int
    troubles: dict[str, int]
    last_age_s: float
    last_text: str
    current: dict[str, str]
    ground_p50_ms: float


class GroundStatistics:
    """Counts what the worker, the callbacks and the timer report (thread-safe).

    Args:
        warn: called with kind and text of each trouble, e.g. a throttled log.
        clock_s: seconds of a clock that does not jump.
    """

    def __init__(
        self, warn: Callable[[str, str], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._warn = warn
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._troubles: Counter[str] = Counter()
        self._current: dict[str, str] = {}
        self._last_s = -math.inf
        self._last_text = ''
        self._frames = 0
        self._times_ms: deque[float] = deque(maxlen=TIMING_SAMPLES)

    def count_trouble(self, kind: str, text: str) -> None:
        """Count a trouble and keep it as the current one of its kind."""
        with self._lock:
            self._troubles[kind] += 1
            self._current[kind] = text
            self._last_s, self._last_text = self._clock_s(), text
        self._warn(kind, f'ground occupancy: {text}')

    def end_trouble(self, *kinds: str) -> None:
        """Say that what was wrong is right again."""
        with self._lock:
            for kind in kinds:
                self._current.pop(kind, None)

    def count_frame(self, duration_ms: float) -> None:
        """Count an image of which everything asked for was made."""
        with self._lock:
            self._frames += 1
            self._times_ms.append(duration_ms)

    def take_snapshot(self) -> GroundSnapshot:
        """Return all figures of this moment."""
        with self._lock:
            times_ms = list(self._times_ms)
            return GroundSnapshot(
                self._frames,
                {kind: self._troubles[kind] for kind in KINDS},
                self._clock_s() - self._last_s,
                self._last_text,
                dict(self._current),
                float(np.median(times_ms)) if times_ms else math.nan,
            )
