# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Builds engines with TensorRT or TensorRT-RTX, whose interfaces are one.

Networks are strongly typed: TensorRT computes in the types of the graph, which
`half_precision.convert_precision` has set. TensorRT-RTX also builds without a GPU, for the
compute capabilities that it is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from seg_perception.engines.build_watch import ProgressCallback
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
    """Build an engine from an ONNX graph with fixed shapes, in this process.

    Args:
        library: the library to build with.
        graph: serialised ONNX, its types as they are to be computed.
        settings: how.
        on_progress: told of each step.

    Raises:
        BackendUnavailableError: the library cannot build here (no GPU and no targets, memory).
        EngineError: an unknown target, or the library refuses the graph.
    """
    require_targets(library, settings.targets)
    return EngineBuilder(library, on_progress).build(graph, settings)


class EngineBuilder:
    """One build."""

    def __init__(self, library: TensorRtLibrary, on_progress: ProgressCallback | None) -> None:
        """Keep the library; nothing is built yet."""
        self._library = library
        self._module = library.module
        self._on_progress = on_progress
        self._log = LogKeeper(library)

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
        report = self._on_progress or (lambda phase, share: None)
        phases = PhaseStack()

        class Monitor(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
                phases.start(phase_name, num_steps)
                report(phase_name, phases.share)

            def step_complete(self, phase_name: str, step: int) -> bool:
                phases.complete_step(phase_name, step)
                report(phase_name, phases.share)
                return True

            def phase_finish(self, phase_name: str) -> None:
                phases.finish(phase_name)

        self._monitor = Monitor()  # the configuration does not keep it alive
        return self._monitor


class PhaseStack:
    """The phases of a build under way, each one a step of the one around it.

    Nearly all time goes by in one of the six steps of the outermost phase, so that those inside
    count in parts of it.
    """

    def __init__(self) -> None:
        """Nothing is under way."""
        self._steps: dict[str, tuple[int, int]] = {}  # done and all, the outermost first

    def start(self, phase: str, steps: int) -> None:
        """Begin a phase."""
        self._steps[phase] = (0, max(steps, 1))

    def complete_step(self, phase: str, step: int) -> None:
        """Note that a step, counted from 0, is done."""
        if phase in self._steps:
            total = self._steps[phase][1]
            self._steps[phase] = (min(step + 1, total), total)

    def finish(self, phase: str) -> None:
        """End a phase and what is left inside of it."""
        names = list(self._steps)
        for name in names[names.index(phase) if phase in names else len(names) :]:
            del self._steps[name]

    @property
    def share(self) -> float:
        """Share of the build that is done, 0 to 1."""
        share, step = 0.0, 1.0
        for done, total in self._steps.values():
            share += step * done / total
            step /= total
        return min(share, 1.0)


def describe_tensor(tensor: Any) -> TensorFacts:
    """Return the facts of a network's input or output."""
    return TensorFacts(tensor.name, tensor.dtype.name.lower(), tuple(tensor.shape))
