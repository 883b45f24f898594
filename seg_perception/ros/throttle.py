# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Log lines that a stream of bad frames cannot flood."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class ThrottledLog:
    """Passes a line of each kind at most once per period, with how many it held back.

    Args:
        write: called with each line that passes, e.g. a logger's `warning`.
        period_s: the shortest time between two lines of a kind.
        counts: add how many were held back; for events, not for a state that lasts.
        clock_s: seconds of a clock that does not jump.

    """

    def __init__(
        self,
        write: Callable[[str], object],
        period_s: float = 5.0,
        counts: bool = True,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._period_s = period_s
        self._counts = counts
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._last_s: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def log(self, kind: str, text: str) -> None:
        """Write a line, or count it when its kind was written less than a period ago."""
        now_s = self._clock_s()
        with self._lock:
            silent_s = now_s - self._last_s.get(kind, -math.inf)
            if silent_s < self._period_s:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return
            self._last_s[kind] = now_s
            held_back = self._held_back.pop(kind, 0)
        if held_back and self._counts:
            text = f'{text} ({held_back} more like this in the last {silent_s:.0f} s)'
        self._write(text)
