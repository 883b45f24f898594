# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A build that takes minutes, as other threads see it: how far it is, and how to end it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from seg_perception.engines.contract import EngineError

# Phase of a build under way, and the share of the build that is done, 0 to 1.
ProgressCallback = Callable[[str, float], None]


class NotBuiltError(EngineError):
    """The engine for a camera is not there, and was not to be built now."""


class BuildCancelledError(EngineError):
    """A build that was ended because nobody wants it any more."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__('the build of the engine was cancelled')


class BuildWatch:
    """Follows one build. Thread-safe.

    Attributes:
        phase: what is done now, '' before anything is.
        share: of the build that is done, 0 to 1, never less than before.
        is_cancelled: True once nobody wants it any more.
    """

    def __init__(self, on_progress: ProgressCallback | None = None) -> None:
        """Nothing is done. on_progress: told of everything, in the builder's thread."""
        self.phase = ''
        self.share = 0.0
        self.is_cancelled = False
        self._on_progress = on_progress
        # may be taken again: a signal's handler cancels, in the thread that it interrupts
        self._lock = threading.RLock()
        self._stop: Callable[[], None] | None = None

    def report(self, phase: str, share: float) -> None:
        """Say how far the build is."""
        self.phase = phase
        self.share = max(self.share, share)
        if self._on_progress is not None:
            self._on_progress(phase, self.share)

    def restart(self) -> None:
        """Begin anew, with another builder."""
        self.phase = ''
        self.share = 0.0

    def require_wanted(self) -> None:
        """Raise BuildCancelledError once the build is cancelled."""
        if self.is_cancelled:
            raise BuildCancelledError

    @contextlib.contextmanager
    def stop_with(self, stop: Callable[[], None]) -> Iterator[None]:
        """Let `cancel` call `stop` meanwhile, which ends the work in hand at once."""
        with self._lock:
            self.require_wanted()
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    def cancel(self) -> None:
        """End the build; calling it twice does no harm."""
        with self._lock:
            self.is_cancelled = True
            if self._stop is not None:
                self._stop()
