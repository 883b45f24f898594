# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""TensorRT and TensorRT-RTX: the engines of NVIDIA GPUs, one code for both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.engines.base import (
    CompileRequest,
    Session,
    choose_precision,
    require_image,
)
from seg_perception.engines.build_watch import BuildWatch, NotBuiltError
from seg_perception.engines.contract import (
    LOGITS,
    SEMANTIC_OUTPUTS,
    BackendUnavailableError,
    EngineError,
)
from seg_perception.engines.cuda_device import Buffer, CudaDevice, RoundTrip
from seg_perception.engines.kernel_cache import KernelCache
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import IMAGE
from seg_perception.engines.tensorrt_build import (
    LogKeeper,
    TensorRtLibrary,
    list_targets,
    load_library,
)
from seg_perception.engines.tensorrt_plan import PlanMaker, PlanRequest

LOGGER = logging.getLogger(__name__)
# Best first; bfloat16 and float32 on request only: on these GPUs float16 is as fast as bfloat16
# and keeps three more bits.


class TensorRtBackend:
    """A model in TensorRT; see `base.BuildingBackend`."""

    name = 'tensorrt'

    def __init__(
        self, model: ModelFile, precision: str = 'auto', threads: int = 0, dla_core: int = -1
    ) -> None:
        """Open the GPU and the library.

        Args:
            model: the model file.
            precision: 'auto' (f16), 'f16', 'bf16' or 'f32'.
            threads: of no use here.
            dla_core: accelerator core of a Jetson for the layers that it knows, in f16; -1 for
                none. TensorRT alone has them.

        Raises:
            NoDeviceError: no driver, or no GPU.
            BackendUnavailableError: the library is missing or does not start on this GPU.
            EngineError: the precision or the accelerator core is not available.
        """
        device = CudaDevice()
        try:
            self._library = load_library(self.name)
            capability = device.compute_capability
            if self.name == 'tensorrt_rtx':
                require_gpu(self._library, device.name, capability)
            known = device.list_precisions() if dla_core < 0 else {'f16': True}
            self.precision = choose_precision(precision, known, self.name, device.name)
            self._log = LogKeeper(self._library)
            self._runtime = self._library.module.Runtime(self._log.logger)
            if dla_core >= 0:
                require_dla_core(self._runtime.num_DLA_cores, dla_core, device.name)
                self._runtime.DLA_core = dla_core
        except (RuntimeError, TypeError) as error:  # TypeError: pybind11 got no object
            raise BackendUnavailableError(f'{self.name} does not start: {error}') from error
        finally:
            device.free()
        self._model = model
        self._gpu = device.name
        self._capability = capability
        self._dla_core = dla_core
        self.threads = 0
        self.cache_problem = ''
        title = 'TensorRT-RTX' if self.name == 'tensorrt_rtx' else 'TensorRT'
        place = f' and DLA core {dla_core}' if dla_core >= 0 else ''
        self.description = (
            f'{title} {self._library.version} on {device.name}{place} ({capability})'
        )

    def compile(self, request: CompileRequest) -> Session:
        """Take the engine for one camera from the cache, or build it; errors as there."""
        return self.load_or_build(request, BuildWatch())

    def load_or_build(
        self, request: CompileRequest, watch: BuildWatch, may_build: bool = True
    ) -> Session:
        """Take the engine for one camera from the cache, or build it (seconds to minutes).

        Raises:
            BackendUnavailableError: it cannot be built or loaded here, or memory is out.
            EngineError: the graph or a size cannot be used.
            NotBuiltError: it is not there, and may not be built now.
            BuildCancelledError: the watch was cancelled.
        """
        maker = self.make_plan_maker(request)
        found = maker.find()
        engine = None if found is None else self._load(found.engine.plan)
        if engine is None:
            if not may_build:
                raise NotBuiltError(f'{self.name} has no engine for {request} yet')
            if found is not None:
                LOGGER.warning(
                    'building the engine again: %s does not load (%s)',
                    found.path,
                    self._log.describe(),
                )
            found = maker.get(watch, is_broken=found is not None)
            engine = self._load(found.engine.plan)
            self.cache_problem = found.problem
        if engine is None:
            raise BackendUnavailableError(
                f'{self.name} cannot load its engine on {self._gpu}: {self._log.describe()}'
            )
        path = None if found is None else found.path
        outputs = self._model.metadata.outputs
        return TensorRtSession(self._library, engine, self._log, request, path, outputs)

    def make_plan_maker(self, request: CompileRequest) -> PlanMaker:
        """Return what builds the engine for one camera on this GPU; raises EngineError."""
        # an RTX engine is of a compute capability, TensorRT's of the very GPU it was timed on
        gpu = '' if self.name == 'tensorrt_rtx' else self._gpu
        plan_request = PlanRequest(
            request, self.precision, (self._capability,), gpu, self._dla_core
        )
        return PlanMaker(self._library, self._model, plan_request)

    def _load(self, plan: bytes) -> Any:
        self._log.errors.clear()
        return self._runtime.deserialize_cuda_engine(plan)

    def close(self) -> None:
        """Drop the runtime; sessions that are still open keep working."""
        self._runtime = None


def require_gpu(library: TensorRtLibrary, gpu: str, capability: str) -> None:
    """Raise BackendUnavailableError where TensorRT-RTX does not know the GPU's kind."""
    known = list_targets(library)
    if capability not in known:
        raise BackendUnavailableError(
            f'{library.name} {library.version} does not run on {gpu} ({capability}); it knows '
            f'{", ".join(known)}; install tensorrt for this GPU'
        )


def require_dla_core(known: int, wanted: int, gpu: str) -> None:
    """Raise EngineError unless TensorRT knows that many accelerator cores."""
    if wanted >= known:
        raise EngineError(
            f'model.dla_core is {wanted}, but TensorRT knows {known} DLA cores on {gpu}; use -1 '
            'for the GPU alone'
        )


class TensorRtRtxBackend(TensorRtBackend):
    """A model in TensorRT-RTX, for GeForce and RTX GPUs."""

    name = 'tensorrt_rtx'


class TensorRtSession:
    """One engine with its buffers and its captured graph; see `base.Session`."""

    def __init__(
        self,
        library: TensorRtLibrary,
        engine: Any,
        log: LogKeeper,
        request: CompileRequest,
        plan_path: Path | None = None,
        outputs: Sequence[str] = SEMANTIC_OUTPUTS,
    ) -> None:
        """Allocate, run once (kernels are loaded or compiled then) and capture.

        Args:
            library: that of the engine.
            engine: loaded.
            log: of the runtime that loaded it.
            request: what it was built for.
            plan_path: where its plan is kept, if it is.
            outputs: of the model, the logits first.

        Raises:
            BackendUnavailableError: out of memory.
            EngineError: the engine is not of this model, or fails.
        """
        self._name = library.name
        self._log = log
        self._request = request
        self._engine = engine
        self._frames: Any = None
        self._names = tuple(outputs)
        self._outputs: dict[str, np.ndarray] = {}
        self._context: Any = None
        self._device = CudaDevice()
        self._kernels = KernelCache(engine, plan_path)
        try:
            self._context = self._kernels.create_context()
            if self._context is None:
                raise BackendUnavailableError(
                    f'{self._name} has no memory for its engine on {self._device.name}: '
                    f'{log.describe()}'
                )
            types = library.module.DataType
            camera = (*request.camera_hw, 3)
            image = self._bind(IMAGE, types.UINT8, np.uint8, camera)
            results = [self._bind(name, types.FLOAT, np.float32) for name in self._names]
            self._frames = RoundTrip(self._device, image, results, self._compute)
            self._kernels.keep()
        except BaseException:
            self.close()
            raise

    def _bind(
        self, name: str, kind: Any, dtype: type[np.generic], shape: tuple[int, ...] | None = None
    ) -> Buffer:
        found = tuple(self._engine.get_tensor_shape(name))
        found_kind = self._engine.get_tensor_dtype(name)
        if found_kind != kind or (shape is not None and found != shape) or min(found) < 1:
            raise EngineError(
                f'the engine has {name} of {found_kind} {found}, expected {kind} '
                f'{shape or "of fixed size"}; delete it from the cache'
            )
        buffer = self._device.allocate(found, dtype)
        if not self._context.set_tensor_address(name, buffer.device_pointer):
            raise EngineError(f'{self._name} refuses the memory of {name}: {self._log.describe()}')
        return buffer

    def _compute(self) -> None:
        if not self._context.execute_async_v3(self._device.stream):
            raise EngineError(f'{self._name} failed on a frame: {self._log.describe()}')

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8; return (C, h, w) float32, valid until the next call."""
        require_image(image, self._request)
        results = self._frames.run(image)
        self._outputs = {
            name: result[0] for name, result in zip(self._names, results, strict=True)
        }
        return self.read(LOGITS)

    def read(self, name: str) -> np.ndarray:
        """Return an output (c, h, w) of the last image by its name."""
        return self._outputs[name]

    def close(self) -> None:
        """Free context, engine and memory, in this order."""
        self._frames = None
        self._context = None
        self._kernels.close()
        self._engine = None
        self._device.free()
