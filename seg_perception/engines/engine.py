# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The engine: one model on one backend, for cameras of any size."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from seg_perception.engines.background_build import BackgroundBuild, CameraKey
from seg_perception.engines.base import (
    BackendChoice,
    BuildingBackend,
    CompileRequest,
    Session,
    compile_on,
)
from seg_perception.engines.build_watch import BuildWatch, NotBuiltError
from seg_perception.engines.contract import (
    CENTER,
    OFFSET,
    PANOPTIC_OUTPUTS,
    BackendUnavailableError,
    EngineError,
    InputContract,
    ModelMetadata,
    require_channel_order,
)
from seg_perception.engines.outputs import PanopticArrays
from seg_perception.perception.geometry import (
    Placement,
    SamplingGrid,
    compute_logits_size,
    place_image,
    sampling_grid,
)

LOGGER = logging.getLogger(__name__)
# Compiled sizes that are kept besides one for each camera: cameras do not compile again at each
# frame, and one that changes size all the time does not fill the memory (150 MB each at 512x1024).
SPARE_SESSIONS = 3


class Engine:
    """Turns camera bytes into logits; `select.load_engine` makes it.

    Where a backend has to build for minutes, another one stands in: images go to it until what
    was built takes its place, between two images.

    Not thread-safe: one engine belongs to one worker. The properties and `interrupt` may be used
    from other threads.

    Attributes:
        metadata: the model file's.
        input: the input contract in use, the file's with the sizes that were asked for.
        max_sizes: camera sizes, in a channel order, that stay compiled.
    """

    def __init__(
        self,
        choice: BackendChoice,
        metadata: ModelMetadata,
        contract: InputContract,
        choose_next: Callable[[BackendUnavailableError], BackendChoice] | None = None,
        choose_stand_in: Callable[[], BackendChoice | None] | None = None,
        cameras: int = 1,
    ) -> None:
        """Keep the backend; nothing is compiled before `prepare` or the first image.

        Args:
            choice: the backend with the model loaded.
            metadata: the model's.
            contract: the input contract to use.
            choose_next: loads the next backend where this one turns out not to run here only
                when it compiles; raises EngineError where there is none.
            choose_stand_in: loads what runs while this one builds, None where nothing can.
                Without it images wait for a build.
            cameras: how many take turns, each of a size that may be its own.
        """
        self.metadata = metadata
        self.input = contract
        self._choose_next = choose_next
        self._choose_stand_in = choose_stand_in
        self.max_sizes = cameras + SPARE_SESSIONS
        self._sessions: OrderedDict[CameraKey, Session] = OrderedDict()
        self._is_closed = False
        self._waited_for: BuildWatch | None = None
        self._build: BackgroundBuild | None = None
        self._build_error = ''
        self._stand_in: Engine | None = None
        self._is_standing_in = False  # for the last image, or what was prepared last
        self._take(choice)

    def _take(self, choice: BackendChoice) -> None:
        self._backend = choice.backend
        self._choice = choice

    @property
    def _running(self) -> Engine:
        stand_in = self._stand_in
        return stand_in if stand_in is not None and self._is_standing_in else self

    @property
    def backend_name(self) -> str:
        """Name of the backend that runs now, such as 'openvino', 'torch' or 'tensorrt'."""
        return self._running._backend.name

    @property
    def precision(self) -> str:
        """Type in which it computes."""
        return self._running._backend.precision

    @property
    def threads(self) -> int:
        """CPU threads in use; 0 on a GPU, and before a backend that chooses itself has."""
        return self._running._backend.threads

    @property
    def fallback_reason(self) -> str:
        """Why this is not what was asked for, or slower than it could be; '' if it is not."""
        reasons = [self._choice.fallback_reason, self._build_error]
        return '; '.join(reason for reason in reasons if reason)

    @property
    def is_fallback(self) -> bool:
        """Whether there is such a reason."""
        return bool(self.fallback_reason)

    @property
    def build_status(self) -> str:
        """What is being built in the background and how far it is, '' where nothing is."""
        build = self._build
        return '' if build is None else build.describe()

    @property
    def keeps_engines(self) -> bool:
        """Whether the backend that runs builds engines and keeps them for the next start."""
        return isinstance(self._running._backend, BuildingBackend)

    @property
    def cache_problem(self) -> str:
        """Why the engine that runs could not be kept for the next start, '' where it is."""
        backend = self._running._backend
        return backend.cache_problem if isinstance(backend, BuildingBackend) else ''

    @property
    def description(self) -> str:
        """Backend, device, precision, input size and the reason of the choice, one line."""
        running = self._running
        plural = '' if self.threads == 1 else 's'
        threads = f', {self.threads} thread{plural}' if self.threads else ''
        return (
            f'{running._backend.description}, {self.precision}{threads}, input '
            f'{self.input.height_px}x{self.input.width_px} {self.input.fit}; '
            f'{running._choice.choice}'
        )

    def prepare(self, camera_hw: tuple[int, int], channel_order: str = 'rgb') -> None:
        """Compile for (height, width) camera images, so that no frame waits for it.

        Raises:
            EngineError: a size or channel order that cannot be used, or the backend failed.
        """
        key = ((int(camera_hw[0]), int(camera_hw[1])), channel_order)
        if self._session_for(key) is None:
            self._require_stand_in().prepare(*key)

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
        return self._run(image, channel_order)[0]

    def infer_panoptic(self, image: np.ndarray, channel_order: str = 'rgb') -> PanopticArrays:
        """Compute all outputs of a panoptic model; arguments and errors as `infer`.

        Raises:
            EngineError: the model returns logits alone.
        """
        if not self.metadata.is_panoptic:
            raise EngineError(
                f"model '{self.metadata.name}' returns {', '.join(self.metadata.outputs)} alone, "
                f'instances need {", ".join(PANOPTIC_OUTPUTS)}; use a panoptic model, exported '
                'from axial_deeplab'
            )
        logits, session = self._run(image, channel_order)
        return PanopticArrays(logits, session.read(CENTER)[0], session.read(OFFSET))

    def _run(self, image: np.ndarray, channel_order: str) -> tuple[np.ndarray, Session]:
        """Return the logits, and the session that has the other outputs."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise EngineError(
                f'image is {image.dtype} of shape {image.shape}, expected uint8 of shape '
                '(height, width, 3)'
            )
        session = self._session_for((image.shape[:2], channel_order))
        if session is None:
            return self._require_stand_in()._run(image, channel_order)
        return session.infer(image), session

    def sampling_grid(self, camera_hw: tuple[int, int]) -> SamplingGrid:
        """Return where each pixel of a (height, width) camera image reads the logits."""
        stride = self.metadata.stride
        logits_hw = compute_logits_size(self.input.network_hw, stride)
        return sampling_grid(self._place(camera_hw), logits_hw, stride)

    def interrupt(self) -> None:
        """End a build that `prepare` or `infer` waits for; they raise BuildCancelledError.

        For other threads, and handlers of signals.
        """
        watch = self._waited_for
        if watch is not None:
            watch.cancel()

    def cancel_build(self) -> None:
        """End a build in the background; the next image that needs it begins it anew."""
        build = self._build
        if build is None or build.is_finished:
            return
        build.cancel()
        if build.session is None:  # else it was faster
            self._build = None
            self._take_choice_of(build)

    def close(self) -> None:
        """Free everything that was compiled; calling it twice does no harm."""
        build, self._build = self._build, None
        if build is not None:
            build.cancel()
            if build.session is not None:
                build.session.close()
            self._take_choice_of(build)
        self._close_stand_in()
        self._close_sessions()
        if not self._is_closed:
            self._backend.close()
        self._is_closed = True

    def _place(self, camera_hw: tuple[int, int]) -> Placement:
        try:
            return place_image(camera_hw, self.input.network_hw, self.input.fit)
        except ValueError as error:
            raise EngineError(f'{error}; a camera image has at least one pixel') from error

    def _session_for(self, key: CameraKey) -> Session | None:
        """Return the session of a camera, compiled if need be; None: the stand-in has it."""
        self._adopt()
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        else:
            session = self._open_session(key)
        self._is_standing_in = session is None
        return session

    def _open_session(self, key: CameraKey) -> Session | None:
        camera_hw, channel_order = key
        if self._is_closed:
            raise EngineError('the engine is closed; load it again')
        require_channel_order(channel_order)
        self._place(camera_hw)
        if self._build is not None or self._build_error:
            return None
        request = CompileRequest(camera_hw, self.input.network_hw, self.input.fit, channel_order)
        try:
            session = self._compile(request, may_build=self._choose_stand_in is None)
        except NotBuiltError:
            if self._find_stand_in(key):
                choose_next = self._choose_next or raise_again
                self._build = BackgroundBuild(key, self._backend, request, choose_next)
                return None
            session = self._compile(request, may_build=True)
        self._keep(key, session)
        return session

    def _keep(self, key: CameraKey, session: Session) -> None:
        self._sessions[key] = session
        while len(self._sessions) > self.max_sizes:
            self._sessions.popitem(last=False)[1].close()

    def _compile(self, request: CompileRequest, may_build: bool) -> Session:
        self._waited_for = BuildWatch()
        try:
            while True:
                try:
                    return compile_on(self._backend, request, self._waited_for, may_build)
                except BackendUnavailableError as error:
                    if self._choose_next is None:
                        raise
                    choice = self._choose_next(error)
                LOGGER.warning('engine: %s', choice.choice)
                self._replace_backend(choice)
        finally:
            self._waited_for = None

    def _replace_backend(self, choice: BackendChoice) -> None:
        self._close_sessions()
        self._backend.close()
        self._take(choice)

    def _take_choice_of(self, build: BackgroundBuild) -> None:
        if build.choice is not None:
            self._replace_backend(build.choice)

    def _adopt(self) -> None:
        """Take what was built in the background, if that is ready."""
        build = self._build
        if build is None or not build.is_finished:
            return
        self._build = None
        self._take_choice_of(build)
        if build.session is None:
            self._build_error = str(build.error)
            LOGGER.error('engine: %s; %s goes on', build.error, self.backend_name)
            return
        self._keep(build.key, build.session)
        before = self.backend_name
        self._close_stand_in()
        if before == self.backend_name:
            return  # nothing was built, and that is said
        (height_px, width_px), channel_order = build.key
        LOGGER.info(
            'engine: switched from %s to %s for %dx%d %s images, ready after %.1f s: %s',
            *(before, self.backend_name, height_px, width_px, channel_order, build.duration_s),
            self.description,
        )

    def _find_stand_in(self, key: CameraKey) -> bool:
        """Load what runs during a build, if there is something that does."""
        if self._stand_in is None and self._choose_stand_in is not None:
            choice = self._choose_stand_in()
            if choice is not None:
                cameras = self.max_sizes - SPARE_SESSIONS
                self._stand_in = Engine(choice, self.metadata, self.input, cameras=cameras)
        if self._stand_in is None:
            LOGGER.warning('engine: nothing runs while %s builds', self.backend_name)
            return False
        try:
            self._stand_in.prepare(*key)
        except EngineError as error:
            LOGGER.warning('engine: nothing runs while %s builds: %s', self._backend.name, error)
            self._close_stand_in()
            return False
        return True

    def _require_stand_in(self) -> Engine:
        assert self._stand_in is not None  # without one `_open_session` builds and waits
        return self._stand_in

    def _close_stand_in(self) -> None:
        stand_in, self._stand_in = self._stand_in, None
        self._is_standing_in = False
        if stand_in is not None:
            stand_in.close()

    def _close_sessions(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()


def raise_again(error: BackendUnavailableError) -> BackendChoice:
    """Choose no other backend."""
    raise error
