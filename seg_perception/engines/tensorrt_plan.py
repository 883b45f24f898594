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
from seg_perception.engines.build_process import build_apart
from seg_perception.engines.build_watch import BuildWatch
from seg_perception.engines.engine_cache import (
    CachedEngine,
    EngineCache,
    EngineKey,
    KeptEngine,
    find_engine_directory,
)
from seg_perception.engines.half_precision import convert_precision
from seg_perception.engines.int8_file import PRECISION, load_int8_file
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import specialise
from seg_perception.engines.tensorrt_build import BuildSettings, TensorRtLibrary
from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlanRequest:
    """What a plan is for.

    Attributes:
        camera: sizes and channel order.
        precision: 'f32', 'f16', 'bf16' or 'int8'.
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
        if request.precision == PRECISION:
            model = load_int8_file(model)
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

    def find(self) -> CachedEngine | None:
        """Return the engine from the user's cache if it is there and of the key."""
        try:
            return self._open_cache().find()
        except UserError:
            return None

    def get(self, watch: BuildWatch, is_broken: bool = False) -> CachedEngine:
        """Return the engine from the user's cache, or build it and keep it there.

        Args:
            watch: follows the build.
            is_broken: build also where a kept engine looks right: it did not load.

        Raises:
            BackendUnavailableError: the library cannot build here.
            EngineError: it refuses the graph.
            BuildCancelledError: the watch was cancelled.
        """
        try:
            cache = self._open_cache()
        except UserError as error:
            problem = f'the engine is built and not kept: {error}'
            LOGGER.warning('%s', problem)
            return CachedEngine(self.build(watch), False, None, problem)
        timings = cache.path.with_name(f'{self._library.name}-{self._library.version}.timing')
        return cache.get(lambda: self.build(watch, timings), watch, is_broken)

    def open_cache(self, folder: Path) -> EngineCache:
        """Return the engine's place in a folder of engines."""
        return EngineCache(folder, self._model_name, self.key)

    def _open_cache(self) -> EngineCache:
        return self.open_cache(find_engine_directory())

    def build(self, watch: BuildWatch, timings: Path | None = None) -> KeptEngine:
        """Build the plan; timings: file of the timing cache. Errors as `get`."""
        has_timings = self._library.name == 'tensorrt'
        before = read_timings(timings) if has_timings else None
        targets = () if self._request.gpu else self._request.compute_capabilities
        settings = BuildSettings(targets, before, self._request.dla_core)
        LOGGER.info('building an engine with %s for %s', self._library.name, self.key.shapes)
        built = build_apart(self._library.name, self._graph, settings, watch)
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
