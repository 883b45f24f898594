# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Chooses the backend for a model file. Importing this module imports no engine library."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from importlib import import_module

from seg_perception.engines.base import PRECISIONS, Backend, BackendChoice
from seg_perception.engines.contract import (
    BackendUnavailableError,
    EngineError,
    NoDeviceError,
)
from seg_perception.engines.engine import Engine
from seg_perception.engines.model_file import ModelFile, load_model_file


@dataclass(frozen=True)
class BackendEntry:
    """Where a backend is: a class `(model, precision, threads)` of the form `base.Backend`.

    has_dla: the class takes a dla_core too.
    """

    name: str
    module: str
    class_name: str
    has_dla: bool = False

    def load(self, model: ModelFile, config: EngineConfig) -> Backend:
        """Import the backend's library and load the model.

        Raises:
            BackendUnavailableError: this machine cannot run it.
            EngineError: it runs, but not this model or precision, or not on a DLA core.
        """
        backend_class = getattr(import_module(self.module), self.class_name)
        if config.dla_core < 0:
            return backend_class(model, config.precision, config.threads)
        if not self.has_dla:
            raise EngineError(
                f'model.dla_core is {config.dla_core}, but {self.name} knows no DLA cores; use '
                'backend tensorrt on a Jetson that has them, or -1'
            )
        return backend_class(model, config.precision, config.threads, config.dla_core)


LOGGER = logging.getLogger(__name__)
# Two that do the same for different GPUs: with one in use the other is not missed.
TENSORRT = ('tensorrt', 'tensorrt_rtx')
# Fastest first: the order in which 'auto' tries them.
BACKENDS = {
    entry.name: entry
    for entry in (
        BackendEntry(
            'tensorrt', 'seg_perception.engines.tensorrt_backend', 'TensorRtBackend', has_dla=True
        ),
        BackendEntry(
            'tensorrt_rtx', 'seg_perception.engines.tensorrt_backend', 'TensorRtRtxBackend'
        ),
        BackendEntry('openvino', 'seg_perception.engines.openvino_backend', 'OpenVinoBackend'),
        BackendEntry('torch', 'seg_perception.engines.torch_backend', 'TorchBackend'),
    )
}


@dataclass(frozen=True)
class EngineConfig:
    """What to run and how.

    Attributes:
        model_path: an ONNX file of `seg_perception export`.
        backend: 'auto' for the fastest that works here, or a name of BACKENDS.
        precision: one of base.PRECISIONS.
        height_px: height of the network input, 0 for the file's.
        width_px: width of the network input, 0 for the file's.
        fit: 'letterbox', 'stretch', or '' for the file's.
        threads: CPU threads, 0 for all physical cores.
        dla_core: accelerator core of a Jetson, for TensorRT; -1 for none.
        allow_fallback: take the next backend, precision or device where the one that was asked for
            is not available, instead of raising.
        build_in_background: where an engine has to be built for minutes, run on the next
            backend that does not until it is ready; where there is none, wait.
        cameras: how many share the engine; the size of each stays compiled.
    """

    model_path: str
    backend: str = 'auto'
    precision: str = 'auto'
    height_px: int = 0
    width_px: int = 0
    fit: str = ''
    threads: int = 0
    dla_core: int = -1
    allow_fallback: bool = True
    build_in_background: bool = False
    cameras: int = 1


def load_engine(config: EngineConfig) -> Engine:
    """Load a model file on the backend of the configuration.

    Raises:
        EngineError: the file, a setting or every backend that may be used fails; one line.
    """
    if config.backend != 'auto' and config.backend not in BACKENDS:
        raise EngineError(
            f"unknown backend '{config.backend}'; use auto or one of: {', '.join(BACKENDS)}"
        )
    if config.precision not in PRECISIONS:
        raise EngineError(
            f"unknown precision '{config.precision}'; use one of: {', '.join(PRECISIONS)}"
        )
    if config.threads < 0:
        raise EngineError(f'threads is {config.threads}, expected 0 (all physical cores) or more')
    model = load_model_file(config.model_path)
    contract = model.metadata.input.override(config.height_px, config.width_px, config.fit)
    chooser = BackendChooser(config, model)
    choose_stand_in = chooser.choose_stand_in if config.build_in_background else None
    return Engine(
        chooser.choose(),
        model.metadata,
        contract,
        chooser.choose_after,
        choose_stand_in,
        config.cameras,
    )


class BackendChooser:
    """Goes through the backends that a configuration allows and remembers why not each."""

    def __init__(self, config: EngineConfig, model: ModelFile) -> None:
        """Load nothing yet."""
        self._config = config
        self._model = model
        self._left = list_candidates(config)
        self._reasons: dict[str, str] = {}
        self._absent: list[str] = []  # backends for hardware that is not here

    def choose(self) -> BackendChoice:
        """Load the first backend of those left that works.

        Raises:
            EngineError: none does, or the one that was asked for and no other may be used.
        """
        while self._left:
            entry = self._left.pop(0)
            try:
                backend, precision_reason = load_backend(entry, self._model, self._config)
            except BackendUnavailableError as error:
                self._note(entry.name, error)
                continue
            return self._describe(backend, precision_reason)
        raise EngineError('no backend can be used here: ' + '; '.join(self._list_reasons()))

    def choose_after(self, error: BackendUnavailableError) -> BackendChoice:
        """Load the next backend after the one in use, the last loaded, failed to compile."""
        self._note(self._loaded, error)
        return self.choose()

    def choose_stand_in(self) -> BackendChoice | None:
        """Load the next backend that does not build for minutes; None where there is none.

        It is not taken from those that `choose` goes through.
        """
        plain = replace(self._config, precision='auto', dla_core=-1)
        for entry in self._left:
            if entry.name in TENSORRT:
                continue
            try:
                backend = entry.load(self._model, plain)
            except EngineError as error:
                LOGGER.info('engine: %s does not stand in: %s', entry.name, error)
                continue
            return BackendChoice(
                backend, f'stands in while an engine for {self._loaded} is built'
            )
        return None

    def _note(self, name: str, error: BackendUnavailableError) -> None:
        is_asked = name == self._config.backend
        if is_asked and not self._config.allow_fallback:
            raise EngineError(
                f'backend {name} cannot be used: {error}; use backend auto or allow '
                'fallback to run on another one'
            ) from error
        if isinstance(error, NoDeviceError) and not is_asked:
            self._absent.append(name)
        self._reasons[name] = str(error)

    def _describe(self, backend: Backend, precision_reason: str) -> BackendChoice:
        self._loaded = backend.name
        ignored = [*self._absent, *(TENSORRT if backend.name in TENSORRT else ())]
        if self._config.backend in ignored:
            ignored.remove(self._config.backend)
        reasons = [
            f'{name}: {reason}' for name, reason in self._reasons.items() if name not in ignored
        ]
        if precision_reason:
            reasons.append(precision_reason)
        choice = describe_choice(self._config, backend.name, reasons)
        if not reasons and self._absent:
            # all backends of an absent device say the same of it
            choice += f' ({", ".join(self._absent)}: {self._reasons[self._absent[0]]})'
        return BackendChoice(backend, choice, '; '.join(reasons))

    def _list_reasons(self) -> list[str]:
        return [f'{name}: {reason}' for name, reason in self._reasons.items()]


def list_candidates(config: EngineConfig) -> list[BackendEntry]:
    """List the backends to try: the one that was asked for, then the others, fastest first."""
    if config.backend == 'auto':
        return list(BACKENDS.values())
    asked = BACKENDS[config.backend]
    if not config.allow_fallback:
        return [asked]
    return [asked, *(entry for entry in BACKENDS.values() if entry is not asked)]


def load_backend(
    entry: BackendEntry, model: ModelFile, config: EngineConfig
) -> tuple[Backend, str]:
    """Load one backend; where it lacks precision or DLA core and fallback is allowed, without.

    Returns the backend and why its precision or device is not what was asked for, or ''.
    """
    try:
        return entry.load(model, config), ''
    except BackendUnavailableError:
        raise
    except EngineError as error:
        plain = replace(config, precision='auto', dla_core=-1)
        if config == plain or not config.allow_fallback:
            raise
        backend = entry.load(model, plain)
        return backend, f'{error}; computing in {backend.precision}'


def describe_choice(config: EngineConfig, name: str, reasons: list[str]) -> str:
    """Say in a few words why this backend was chosen."""
    if reasons:
        return f'fallback, because {"; ".join(reasons)}'
    if config.backend == 'auto':
        return f'chosen by auto: {name} is the fastest backend here'
    return 'as configured'
