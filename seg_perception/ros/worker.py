# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Newest frame first: a thread that always works on the latest item of each camera, in turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar('Item')
# Whoever submits is an executor that goes on in Python for 0.5 ms before it waits again, in which
# a worker could not begin: it lets a worker that has nothing to do take the item first.
HAND_OVER_LIMIT_S = 0.002


@dataclass(frozen=True)
class Arrival(Generic[Item]):
    """An item and when it came, on the clock of time.monotonic_ns()."""

    item: Item
    arrived_ns: int


class LatestItemWorker(Generic[Item]):
    """Processes items in a thread of its own: of each slot the newest only, slots in turns.

    A queue in front of a network that is slower than the camera makes every mask as late as the
    queue is long. Here a newer item replaces one that still waits in its slot, so the delay stays
    below one period of the camera plus one inference at any rate. With several slots the one
    after the last served comes first, so none starves however fast the others are.

    Args:
        processes: one for each slot, called with each Arrival that is not overtaken; must not
            raise.
        name: name of the thread.

    """

    def __init__(self, processes: Sequence[Callable[[Arrival[Item]], None]], name: str) -> None:
        self._processes = tuple(processes)
        self._changed = threading.Condition()
        self._waiting: list[Arrival[Item] | None] = [None] * len(self._processes)
        self._next_slot = 0
        self._stopping = False
        self._is_idle = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item, slot: int = 0) -> bool:
        """Leave an item in a slot; return True when it overtook one that still waited there."""
        with self._changed:
            overtook = self._waiting[slot] is not None
            self._waiting[slot] = Arrival(item, time.monotonic_ns())
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_idle, HAND_OVER_LIMIT_S)
        return overtook

    def stop(self) -> list[int]:
        """End the thread after the item in hand; return the slots with one left unprocessed."""
        with self._changed:
            self._stopping = True
            left_over = [slot for slot, arrival in enumerate(self._waiting) if arrival is not None]
            self._waiting = [None] * len(self._waiting)
            self._changed.notify_all()
        self._thread.join()
        return left_over

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_idle = True
                self._changed.wait_for(lambda: self._stopping or any(self._waiting))
                self._is_idle = False
                self._changed.notify_all()
                if self._stopping:
                    return
                slot, arrival = self._take()
            self._processes[slot](arrival)

    def _take(self) -> tuple[int, Arrival[Item]]:
        """Take the item of the first slot in turn that has one; some slot has."""
        slots = len(self._waiting)
        while (arrival := self._waiting[self._next_slot]) is None:
            self._next_slot = (self._next_slot + 1) % slots
        slot = self._next_slot
        self._waiting[slot] = None
        self._next_slot = (slot + 1) % slots
        return slot, arrival
