# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a backend is: a library that runs model files.

A new backend is one module with a class of this form and one line in `select.BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from seg_perception.engines.build_watch import BuildWatch
from seg_perception.engines.contract import EngineError

# Precisions that some backend can run; 'auto' takes the fastest that keeps the masks.
PRECISIONS = ('auto', 'f32', 'bf16', 'f16', 'int8')


@dataclass(frozen=True)
class CompileRequest:
    """One camera and one network size to compile for.

    Attributes:
        camera_hw: (height, width) of the camera images, px.
        network_hw: (height, width) of the network input, px.
        fit: 'letterbox' or 'stretch'.
        channel_order: of the camera images, 'rgb' or 'bgr'.
    """

    camera_hw: tuple[int, int]
    network_hw: tuple[int, int]
    fit: str
    channel_order: str


class Session(Protocol):
    """A model compiled for one camera size and channel order, with its buffers."""

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8; return (C, h, w) float32, valid until the next call."""

    def read(self, name: str) -> np.ndarray:
        """Return an output (c, h, w) of the last image by its name, valid until the next call."""

    def close(self) -> None:
        """Free what was compiled."""


class Backend(Protocol):
    """A library on a device, with one model loaded. Not thread-safe.

    Attributes:
        name: 'openvino', 'torch', ...
        precision: type in which it computes, 'f32', 'bf16', 'f16' or 'int8'.
        threads: CPU threads it uses; 0 where the device is no CPU.
        description: library, version and device in a few words.
    """

    name: str
    precision: str
    threads: int
    description: str

    def compile(self, request: CompileRequest) -> Session:
        """Compile for one camera; takes seconds. Raises EngineError where that fails."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class BuildingBackend(Backend, Protocol):
    """A backend that builds engines for minutes, and keeps them for the next start.

    Attributes:
        cache_problem: why the last engine could not be kept, '' where it is.
    """

    cache_problem: str

    def load_or_build(
        self, request: CompileRequest, watch: BuildWatch, may_build: bool = True
    ) -> Session:
        """Compile for one camera, from the engine that is kept where there is one.

        Sessions may run in another thread meanwhile.

        Args:
            request: the camera and the network.
            watch: told of the progress; ends a build when it is cancelled.
            may_build: False takes what is kept and builds nothing.

        Raises:
            NotBuiltError: it would have to be built, and may not be.
            BuildCancelledError: the watch was cancelled.
            EngineError: that fails.
        """


def compile_on(
    backend: Backend, request: CompileRequest, watch: BuildWatch, may_build: bool = True
) -> Session:
    """Compile for one camera; arguments and errors as `BuildingBackend.load_or_build`."""
    if isinstance(backend, BuildingBackend):
        return backend.load_or_build(request, watch, may_build)
    return backend.compile(request)


@dataclass(frozen=True)
class BackendChoice:
    """A loaded backend and why it was chosen.

    Attributes:
        backend: with the model loaded.
        choice: why this one, in a few words.
        fallback_reason: why it is not what was asked for, '' if it is.
    """

    backend: Backend
    choice: str
    fallback_reason: str = ''


def choose_precision(
    wanted: str, preference: Mapping[str, bool], backend: str, device: str
) -> str:
    """Return the precision to compute in.

    Args:
        wanted: 'auto' or a precision.
        preference: precisions the device knows, best first, and whether 'auto' may take them.
        backend: name for the message.
        device: name for the message.

    Raises:
        EngineError: the device does not have the wanted precision.
    """
    if wanted == 'auto':
        return next(name for name, is_safe in preference.items() if is_safe)
    if wanted not in preference:
        raise EngineError(
            f'precision {wanted} is not available with {backend} on {device}; '
            f'available: {", ".join(preference)}, or use auto'
        )
    return wanted


def require_image(image: np.ndarray, request: CompileRequest) -> None:
    """Raise EngineError unless the image has the compiled size and is (H, W, 3) uint8."""
    expected = (*request.camera_hw, 3)
    if image.shape != expected or image.dtype != np.uint8:
        raise EngineError(
            f'image is {image.dtype} of shape {image.shape}, expected uint8 of shape {expected} '
            '(height, width, channels)'
        )
