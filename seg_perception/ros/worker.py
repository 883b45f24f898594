# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Newest frame first: a thread that always works on the latest item it was given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar('Item')


@dataclass(frozen=True)
class Arrival(Generic[Item]):
    """An item and when it came, on the clock of time.monotonic_ns()."""

    item: Item
    arrived_ns: int


class LatestItemWorker(Generic[Item]):
    """Calls `process` in a thread of its own, with the newest item only.

    A queue in front of a network that is slower than the camera makes every mask as late as the
    queue is long. Here a newer item replaces one that still waits, so the delay stays below one
    frame plus one inference at any rate.

    Args:
        process: called with each Arrival that is not overtaken; must not raise.
        name: name of the thread.

    """

    def __init__(self, process: Callable[[Arrival[Item]], None], name: str) -> None:
        self._process = process
        self._changed = threading.Condition()
        self._waiting: Arrival[Item] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Leave an item for the thread; return True when it overtook one that still waited."""
        with self._changed:
            overtook = self._waiting is not None
            self._waiting = Arrival(item, time.monotonic_ns())
            self._changed.notify()
        return overtook

    def stop(self) -> bool:
        """End the thread after the item in hand; return True when one was left unprocessed."""
        with self._changed:
            self._stopping = True
            left_over = self._waiting is not None
            self._waiting = None
            self._changed.notify()
        self._thread.join()
        return left_over

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                arrival, self._waiting = self._waiting, None
            if arrival is not None:
                self._process(arrival)
