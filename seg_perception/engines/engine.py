# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The engine: one model on one backend, for cameras of any size."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from seg_perception.engines.base import BackendChoice, CompileRequest, Session
from seg_perception.engines.contract import (
    BackendUnavailableError,
    EngineError,
    InputContract,
    ModelMetadata,
    require_channel_order,
)
from seg_perception.perception.geometry import (
    Placement,
    SamplingGrid,
    compute_logits_size,
    place_image,
    sampling_grid,
)

LOGGER = logging.getLogger(__name__)
# Compiled cameras that are kept: a rig of a few cameras does not compile again at each frame,
# and a camera that changes size all the time does not fill the memory (150 MB each at 512x1024).
MAX_SESSIONS = 4


class Engine:
    """Turns camera bytes into logits; `select.load_engine` makes it.

    Not thread-safe: one engine belongs to one worker.

    Attributes:
        metadata: the model file's.
        input: the input contract in use, the file's with the sizes that were asked for.
        backend_name: 'openvino', 'torch', 'tensorrt' or 'tensorrt_rtx'.
        precision: type in which it computes.
        threads: CPU threads it uses, 0 on a GPU.
        description: what was chosen and why, one line.
        is_fallback: True when this is not what was asked for, or slower than it could be.
        fallback_reason: why, '' where it is no fallback.
    """

    def __init__(
        self,
        choice: BackendChoice,
        metadata: ModelMetadata,
        contract: InputContract,
        choose_next: Callable[[BackendUnavailableError], BackendChoice] | None = None,
    ) -> None:
        """Keep the backend; nothing is compiled before `prepare` or the first image.

        Args:
            choice: the backend with the model loaded.
            metadata: the model's.
            contract: the input contract to use.
            choose_next: loads the next backend where this one turns out not to run here only
                when it compiles; raises EngineError where there is none.
        """
        self.metadata = metadata
        self.input = contract
        self._choose_next = choose_next
        self._sessions: OrderedDict[tuple[tuple[int, int], str], Session] = OrderedDict()
        self._is_closed = False
        self._take(choice)

    def _take(self, choice: BackendChoice) -> None:
        self._backend = choice.backend
        self._choice = choice.choice
        self.backend_name = choice.backend.name
        self.precision = choice.backend.precision
        self.fallback_reason = choice.fallback_reason
        self.is_fallback = bool(choice.fallback_reason)

    @property
    def threads(self) -> int:
        """CPU threads in use; 0 on a GPU, and before a backend that chooses itself has."""
        return self._backend.threads

    @property
    def description(self) -> str:
        """Backend, device, precision, input size and the reason of the choice, one line."""
        plural = '' if self.threads == 1 else 's'
        threads = f', {self.threads} thread{plural}' if self.threads else ''
        return (
            f'{self._backend.description}, {self.precision}{threads}, input '
            f'{self.input.height_px}x{self.input.width_px} {self.input.fit}; {self._choice}'
        )

    def prepare(self, camera_hw: tuple[int, int], channel_order: str = 'rgb') -> None:
        """Compile for (height, width) camera images, so that no frame waits for it.

        Raises:
            EngineError: a size or channel order that cannot be used, or the backend failed.
        """
        self._session_for((int(camera_hw[0]), int(camera_hw[1])), channel_order)

    def infer(self, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
        """Compute the logits of one image; compiles first where the size is new.

        Args:
            image: (H, W, 3) uint8.
            channel_order: 'rgb' or 'bgr'.

        Returns:
            (C, h, w) float32 at the network's stride, valid until the next call.

        Raises:
            EngineError: not such an image, or the backend failed.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise EngineError(
                f'image is {image.dtype} of shape {image.shape}, expected uint8 of shape '
                '(height, width, 3)'
            )
        return self._session_for(image.shape[:2], channel_order).infer(image)

    def sampling_grid(self, camera_hw: tuple[int, int]) -> SamplingGrid:
        """Return where each pixel of a (height, width) camera image reads the logits."""
        stride = self.metadata.stride
        logits_hw = compute_logits_size(self.input.network_hw, stride)
        return sampling_grid(self._place(camera_hw), logits_hw, stride)

    def close(self) -> None:
        """Free everything that was compiled; calling it twice does no harm."""
        self._close_sessions()
        if not self._is_closed:
            self._backend.close()
        self._is_closed = True

    def _place(self, camera_hw: tuple[int, int]) -> Placement:
        try:
            return place_image(camera_hw, self.input.network_hw, self.input.fit)
        except ValueError as error:
            raise EngineError(f'{error}; a camera image has at least one pixel') from error

    def _session_for(self, camera_hw: tuple[int, int], channel_order: str) -> Session:
        key = (camera_hw, channel_order)
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
            return session
        if self._is_closed:
            raise EngineError('the engine is closed; load it again')
        require_channel_order(channel_order)
        self._place(camera_hw)
        request = CompileRequest(camera_hw, self.input.network_hw, self.input.fit, channel_order)
        session = self._compile(request)
        self._sessions[key] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)[1].close()
        return session

    def _compile(self, request: CompileRequest) -> Session:
        while True:
            try:
                return self._backend.compile(request)
            except BackendUnavailableError as error:
                if self._choose_next is None:
                    raise
                choice = self._choose_next(error)
            LOGGER.warning('engine: %s', choice.choice)
            self._close_sessions()
            self._backend.close()
            self._take(choice)

    def _close_sessions(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()
