# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Builds an engine for one camera in a thread, while another one runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from seg_perception.engines.base import (
    Backend,
    BackendChoice,
    BuildingBackend,
    CompileRequest,
    Session,
    compile_on,
)
from seg_perception.engines.build_watch import BuildCancelledError, BuildWatch
from seg_perception.engines.contract import BackendUnavailableError, EngineError

LOGGER = logging.getLogger(__name__)
CameraKey = tuple[tuple[int, int], str]


class BackgroundBuild:
    """One build, and the next backend's where one turns out not to run here.

    Attributes, of which the last three are to be read when `is_finished`:
        key: (height, width) of the camera, px, and channel order.
        duration_s: from the start to the end.
        session: what was compiled, None where nothing was.
        choice: the backend that took the place of the first one, None where it did not fail.
        error: why there is no session, None where there is one.
    """

    def __init__(
        self,
        key: CameraKey,
        backend: Backend,
        request: CompileRequest,
        choose_next: Callable[[BackendUnavailableError], BackendChoice],
    ) -> None:
        """Start.

        Args:
            key: of the request.
            backend: builds for the request.
            request: the camera and the network.
            choose_next: loads the next backend where one fails; raises EngineError where there
                is none. Called in the thread.
        """
        self.key = key
        self.session: Session | None = None
        self.choice: BackendChoice | None = None
        self.error: EngineError | None = None
        self._backend = backend
        self._request = request
        self._choose_next = choose_next
        self._watch = BuildWatch()
        self._start_s = time.monotonic()
        self.duration_s = 0.0
        self._thread = threading.Thread(target=self._work, name='engine build', daemon=True)
        self._thread.start()

    @property
    def is_finished(self) -> bool:
        """Whether there is something to take."""
        return not self._thread.is_alive()

    def describe(self) -> str:
        """Say what is built and how far it is."""
        name = self._backend.name
        if self.is_finished:
            return f'{name} is ready for the next image'
        if not isinstance(self._backend, BuildingBackend):
            return f'loading {name}'
        detail = self._watch.phase if self._watch.share == 0 else f'{self._watch.share:.0%}'
        return f'building an engine for {name} ({detail or "starting"})'

    def cancel(self) -> None:
        """End the build and wait until it has ended."""
        self._watch.cancel()
        self._thread.join()

    def _work(self) -> None:
        try:
            self.session = self._compile()
        except EngineError as error:
            self.error = error
        self.duration_s = time.monotonic() - self._start_s

    def _compile(self) -> Session:
        while True:
            try:
                return compile_on(self._backend, self._request, self._watch)
            except BuildCancelledError:
                raise
            except EngineError as error:
                failure = BackendUnavailableError(str(error))
            # a library may raise anything, and there is a next one
            except Exception as error:
                failure = BackendUnavailableError(f'{type(error).__name__}: {error}')
            choice = self._choose_next(failure)
            LOGGER.warning('engine: %s', choice.choice)
            if self.choice is not None:
                self.choice.backend.close()
            self.choice = choice
            self._backend = choice.backend
            self._watch.restart()
