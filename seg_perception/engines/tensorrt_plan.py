# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From a model file to a TensorRT plan: graph for one camera, key, cache, build."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seg_perception.engines.base import CompileRequest
from seg_perception.engines.engine_cache import (
    CachedEngine,
    EngineKey,
    KeptEngine,
    find_engine_directory,
    get_engine,
)
from seg_perception.engines.half_precision import convert_precision
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import specialise
from seg_perception.engines.tensorrt_build import (
    BuildSettings,
    ProgressCallback,
    TensorRtLibrary,
    build_plan,
)
from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlanRequest:
    """What a plan is for.

    Attributes:
        camera: sizes and channel order.
        precision: 'f32', 'f16' or 'bf16'.
        compute_capabilities: such as ('sm89',).
        gpu: name of the GPU of this machine to build on; '' builds for the compute capabilities
            without it.
        dla_core: accelerator core of a Jetson, -1 for none.
    """

    camera: CompileRequest
    precision: str
    compute_capabilities: tuple[str, ...]
    gpu: str = ''
    dla_core: int = -1


class PlanMaker:
    """Makes the plans of one request; the graph is prepared once."""

    def __init__(self, library: TensorRtLibrary, model: ModelFile, request: PlanRequest) -> None:
        """Prepare the graph.

        Raises:
            EngineError: sizes, order or precision that cannot be used.
        """
        self._library = library
        self._request = request
        # models that are exported without a name are told apart by their file's
        self._model_name = model.metadata.name or model.path.stem
        camera = request.camera
        graph = specialise(
            model.graph,
            model.metadata,
            camera.camera_hw,
            camera.network_hw,
            camera.fit,
            camera.channel_order,
        )
        graph = convert_precision(graph, request.precision)
        self._graph = graph.SerializeToString(deterministic=True)
        self.key = EngineKey(
            graph_sha256=hashlib.sha256(self._graph).hexdigest(),
            library=library.name,
            library_version=library.version,
            gpu=request.gpu,
            compute_capabilities=request.compute_capabilities,
            precision=request.precision,
            dla_core=request.dla_core,
            shapes={
                'camera': format_size(camera.camera_hw),
                'network': format_size(camera.network_hw),
                'fit': camera.fit,
                'channel_order': camera.channel_order,
            },
        )

    def find(
        self, on_progress: ProgressCallback | None = None, rebuild: bool = False
    ) -> CachedEngine:
        """Return the engine from the user's cache, or build it and keep it there.

        Raises:
            BackendUnavailableError: the library cannot build here.
            EngineError: it refuses the graph.
        """
        try:
            folder = find_engine_directory()
        except UserError as error:
            LOGGER.warning('the engine is built and not kept: %s', error)
            return CachedEngine(self.build(on_progress), False, None)
        timings = folder / f'{self._library.name}-{self._library.version}.timing'
        return get_engine(
            folder,
            self._model_name,
            self.key,
            lambda: self.build(on_progress, timings),
            rebuild,
        )

    def build(
        self, on_progress: ProgressCallback | None = None, timings: Path | None = None
    ) -> KeptEngine:
        """Build the plan; timings: file of the timing cache. Errors as `find`."""
        has_timings = self._library.name == 'tensorrt'
        before = read_timings(timings) if has_timings else None
        targets = () if self._request.gpu else self._request.compute_capabilities
        settings = BuildSettings(targets, before, self._request.dla_core)
        LOGGER.info('building an engine with %s for %s', self._library.name, self.key.shapes)
        built = build_plan(self._library, self._graph, settings, on_progress)
        if timings is not None and built.timing_cache:
            keep_timings(timings, built.timing_cache)
        facts: dict[str, Any] = {
            'inputs': [asdict(tensor) for tensor in built.inputs],
            'outputs': [asdict(tensor) for tensor in built.outputs],
        }
        return KeptEngine(built.plan, facts)


def format_size(size_hw: tuple[int, int]) -> str:
    """Return (height, width) as text, such as 512x1024."""
    return f'{size_hw[0]}x{size_hw[1]}'


def read_timings(path: Path | None) -> bytes:
    """Return the timing cache; nothing where there is none yet or it cannot be read."""
    try:
        return path.read_bytes() if path is not None else b''
    except FileNotFoundError:
        return b''
    except OSError as error:
        LOGGER.warning('building without the timings of earlier builds: %s', error)
        return b''


def keep_timings(path: Path, timings: bytes) -> None:
    """Write the timing cache; without it the next build takes longer, no more."""
    try:
        replace_file(path, lambda temporary: temporary.write_bytes(timings))
    except UserError as error:
        LOGGER.warning('the next build will take as long: %s', error)
