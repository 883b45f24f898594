# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Builds engines with TensorRT or TensorRT-RTX, whose interfaces are one.

Networks are strongly typed: TensorRT computes in the types of the graph, which
`half_precision.convert_precision` has set. TensorRT-RTX also builds without a GPU, for the
compute capabilities that it is told.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from seg_perception.engines.contract import BackendUnavailableError, EngineError

# Modules that hold each library, the first that is there is taken.
MODULES = {
    'tensorrt': ('tensorrt',),
    'tensorrt_rtx': ('tensorrt_rtx', 'tensorrt_rtx_bindings'),
}
INSTALL = {
    'tensorrt': 'pip install tensorrt, or use that of JetPack',
    'tensorrt_rtx': 'pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings',
}
# Innermost phase of a build under way; steps done of the outermost one, and all of them.
ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TensorRtLibrary:
    """An imported library. name: of MODULES; module: with TensorRT's Python interface."""

    name: str
    module: Any

    @property
    def version(self) -> str:
        """Version of the library."""
        return str(self.module.__version__)


@dataclass(frozen=True)
class BuildSettings:
    """How to build, beside the graph.

    Attributes:
        targets: such as ('sm86', 'sm89'); none: the GPU of this machine.
        timing_cache: timings of layers from earlier builds, or nothing; None uses and returns
            none, for TensorRT-RTX, which does not time layers.
        dla_core: accelerator core of a Jetson for the layers that it knows, the others stay on
            the GPU; -1: all on the GPU.
    """

    targets: tuple[str, ...] = ()
    timing_cache: bytes | None = None
    dla_core: int = -1


@dataclass(frozen=True)
class TensorFacts:
    """An input or output of an engine; dtype as TensorRT calls it, in lower case."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine, what it takes and gives, and timings for the next build."""

    plan: bytes
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    timing_cache: bytes = b''


def load_library(name: str) -> TensorRtLibrary:
    """Import a library of MODULES.

    Raises:
        BackendUnavailableError: it is not installed, or does not load.
    """
    reasons = []
    for module_name in MODULES[name]:
        try:
            module = import_module(module_name)
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append(str(error))
            continue
        if hasattr(module, 'Builder'):
            return TensorRtLibrary(name, module)
        reasons.append(f'module {module_name} is empty: stubs, or a broken installation')
    raise BackendUnavailableError(
        f'{name} is not installed ({"; ".join(reasons)}); {INSTALL[name]}'
    )


def list_targets(library: TensorRtLibrary) -> list[str]:
    """Return the compute capabilities that can be built for without such a GPU."""
    known = getattr(library.module, 'ComputeCapability', None)
    if known is None or not hasattr(library.module.IBuilderConfig, 'set_compute_capability'):
        return []
    names = (name.lower() for name in known.__members__ if re.fullmatch(r'SM\d+', name))
    return sorted(names, key=lambda name: int(name[2:]))


def require_targets(library: TensorRtLibrary, targets: tuple[str, ...]) -> None:
    """Raise EngineError unless the library builds for all targets ahead of time."""
    known = list_targets(library)
    unknown = [target for target in targets if target not in known]
    if targets and not known:
        raise EngineError(
            f'{library.name} {library.version} builds for the GPU of this machine alone; leave '
            '--target out, or use --library tensorrt_rtx'
        )
    if unknown:
        raise EngineError(
            f'{library.name} {library.version} does not build for {", ".join(unknown)}; '
            f'it knows {", ".join(known)}'
        )


class LogKeeper:
    """Keeps what the library says: errors for the message, nothing on the screen."""

    def __init__(self, library: TensorRtLibrary) -> None:
        """Make the library's logger, an object of a class that derives from its own."""
        base = library.module.ILogger
        self.errors: list[str] = []
        errors = self.errors

        class Logger(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if severity in (base.Severity.ERROR, base.Severity.INTERNAL_ERROR):
                    errors.append(msg)

        self.logger = Logger()

    def describe(self) -> str:
        """Return the errors in one line, the first ones, which are the causes."""
        text = '; '.join(' '.join(message.split()) for message in self.errors[:2])
        return text[:500] or 'the library gave no reason'


def build_plan(
    library: TensorRtLibrary,
    graph: bytes,
    settings: BuildSettings,
    on_progress: ProgressCallback | None = None,
) -> BuiltPlan:
    """Build an engine from an ONNX graph with fixed shapes.

    The build runs in a thread of its own, so that an interrupt ends it at the next step.

    Args:
        library: the library to build with.
        graph: serialised ONNX, its types as they are to be computed.
        settings: how.
        on_progress: called in that thread.

    Raises:
        BackendUnavailableError: the library cannot build here (no GPU and no targets, memory).
        EngineError: an unknown target, or the library refuses the graph.
    """
    require_targets(library, settings.targets)
    builder = EngineBuilder(library, on_progress)
    results: list[BuiltPlan | Exception] = []

    def work() -> None:
        try:
            results.append(builder.build(graph, settings))
        except Exception as error:  # raised again in the caller's thread
            results.append(error)

    thread = threading.Thread(target=work, name='engine build')
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
    finally:
        builder.is_cancelled = True
        thread.join()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


class EngineBuilder:
    """One build. is_cancelled: set it to end the build at its next step."""

    def __init__(self, library: TensorRtLibrary, on_progress: ProgressCallback | None) -> None:
        """Keep the library; nothing is built yet."""
        self._library = library
        self._module = library.module
        self._on_progress = on_progress
        self._log = LogKeeper(library)
        self.is_cancelled = False

    def build(self, graph: bytes, settings: BuildSettings) -> BuiltPlan:
        """Parse and build; arguments and errors as `build_plan`."""
        try:
            builder = self._module.Builder(self._log.logger)
        except (RuntimeError, TypeError) as error:  # TypeError: pybind11 got no object
            raise BackendUnavailableError(
                f'{self._library.name} cannot start its builder: {self._log.describe()}'
            ) from error
        network = self._parse(builder, graph)
        inputs = tuple(
            describe_tensor(network.get_input(i)) for i in range(network.num_inputs)
        )
        outputs = tuple(
            describe_tensor(network.get_output(i)) for i in range(network.num_outputs)
        )
        config = self._configure(builder, settings)
        if settings.timing_cache is not None:
            timings = config.create_timing_cache(settings.timing_cache)
            config.set_timing_cache(timings, False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BackendUnavailableError(
                f'{self._library.name} {self._library.version} built no engine: '
                f'{self._log.describe()}'
            )
        timings_after = b''
        if settings.timing_cache is not None:
            timings_after = bytes(config.get_timing_cache().serialize())
        return BuiltPlan(bytes(plan), inputs, outputs, timings_after)

    def _parse(self, builder: Any, graph: bytes) -> Any:
        # without the flag the network is weakly typed in TensorRT 10, and typed in any case after
        flag = getattr(self._module.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        parser = self._module.OnnxParser(network, self._log.logger)
        # bytes that are no ONNX at all can be an empty graph to it
        if not parser.parse(graph) or network.num_outputs == 0:
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise EngineError(
                f'{self._library.name} {self._library.version} cannot read the graph: '
                f'{"; ".join(errors[:2]) or self._log.describe()}'
            )
        return network

    def _configure(self, builder: Any, settings: BuildSettings) -> Any:
        config = builder.create_builder_config()
        # float32 in the graph is meant: TF32 keeps 10 of its 23 bits
        config.clear_flag(self._module.BuilderFlag.TF32)
        config.progress_monitor = self._make_monitor()
        if settings.targets:
            config.num_compute_capabilities = len(settings.targets)
            for index, target in enumerate(settings.targets):
                capability = getattr(self._module.ComputeCapability, target.upper())
                config.set_compute_capability(capability, index)
        if settings.dla_core >= 0:
            config.default_device_type = self._module.DeviceType.DLA
            config.DLA_core = settings.dla_core
            config.set_flag(self._module.BuilderFlag.GPU_FALLBACK)
        return config

    def _make_monitor(self) -> Any:
        base = self._module.IProgressMonitor
        builder = self
        report = self._on_progress or (lambda phase, done, total: None)
        phases: dict[str, int] = {}  # those under way and their steps, the outermost first
        done = 0

        class Monitor(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
                phases[phase_name] = num_steps
                report(phase_name, done, next(iter(phases.values())))

            def step_complete(self, phase_name: str, step: int) -> bool:
                nonlocal done
                if phase_name == next(iter(phases), ''):
                    done = step + 1
                report(phase_name, done, next(iter(phases.values()), 0))
                return not builder.is_cancelled

            def phase_finish(self, phase_name: str) -> None:
                phases.pop(phase_name, None)

        self._monitor = Monitor()  # the configuration does not keep it alive
        return self._monitor


def describe_tensor(tensor: Any) -> TensorFacts:
    """Return the facts of a network's input or output."""
    return TensorFacts(tensor.name, tensor.dtype.name.lower(), tuple(tensor.shape))
