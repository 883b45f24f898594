# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Crops cut in threads, ahead of the steps that need them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

STEPS_AHEAD = 4


class BatchFeeder:
    """Keeps a few steps' batches ready, in the order of the iterations.

    draw: makes the batches of an iteration; the next iteration is `step` further (workers take
    turns). threads: OpenCV and NumPy release the interpreter lock for most of the work.
    """

    def __init__(
        self, draw: Callable[[int], list[Any]], start: int, step: int = 1, threads: int = 1
    ) -> None:
        self._draw = draw
        self._step = step
        self._next = start
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix='crops')
        self._waiting: deque[Future[list[Any]]] = deque()
        for _ in range(STEPS_AHEAD + threads):
            self._order()

    def _order(self) -> None:
        self._waiting.append(self._pool.submit(self._draw, self._next))
        self._next += self._step

    def get(self) -> list[Any]:
        """Wait for the next iteration's batches; raises what drawing them raised."""
        batches = self._waiting.popleft().result()
        self._order()
        return batches

    def stop(self) -> None:
        """Drop what is ordered and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
