# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A GPU that is not there: CUDA's runtime interface and a loaded engine, in this process's memory.

Names of methods and parameters are those of cuda-python and TensorRT; test_tensorrt.py compares
them with the real ones. "Device" memory is memory apart from the host's, so that a copy that is
missing or goes the wrong way shows.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from seg_perception.engines.contract import CENTER, OFFSET
from seg_perception.engines.prelude import IMAGE, LOGITS

CODES = enum.Enum(
    'cudaError_t',
    [
        *('cudaSuccess', 'cudaErrorMemoryAllocation', 'cudaErrorInsufficientDriver'),
        *('cudaErrorNoDevice', 'cudaErrorLaunchFailure', 'cudaErrorStreamCaptureUnsupported'),
    ],
)
STREAM = 77
STRIDE_PX = 8


class FakeCudaRuntime:
    """`cuda.bindings.runtime` with one GPU; `fail` makes a function return an error."""

    cudaError_t = CODES  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaHostAllocDefault = 0  # noqa: N815
    cudaHostAllocMapped = 2  # noqa: N815
    cudaMemcpyKind = enum.Enum(  # noqa: N815
        'cudaMemcpyKind', ['cudaMemcpyHostToDevice', 'cudaMemcpyDeviceToHost']
    )
    cudaStreamCaptureMode = enum.Enum(  # noqa: N815
        'cudaStreamCaptureMode', ['cudaStreamCaptureModeThreadLocal']
    )

    def __init__(self, capability: tuple[int, int] = (8, 9), is_integrated: bool = False) -> None:
        self.capability = capability
        self.is_integrated = is_integrated
        self.fail: dict[str, CODES] = {}
        self.memory: dict[int, ctypes.Array] = {}
        self.open_handles = 0
        self.calls: list[str] = []
        self._recording: list[Callable[[], None]] | None = None

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do work, or record it while a graph is captured."""
        if self._recording is None:
            work()
        else:
            self._recording.append(work)

    def _answer(self, name: str, *results: object) -> tuple:
        self.calls.append(name)
        error = self.fail.get(name, CODES.cudaSuccess)
        return (error, *(results if error is CODES.cudaSuccess else [None] * len(results)))

    def _allocate(self, name: str, size: int) -> tuple:
        block = (ctypes.c_uint8 * size)()
        answer = self._answer(name, ctypes.addressof(block))
        if answer[1] is not None:
            self.memory[answer[1]] = block
        return answer

    def cudaGetDeviceCount(self):  # noqa: N802
        return self._answer('cudaGetDeviceCount', 1)

    def cudaDriverGetVersion(self):  # noqa: N802
        return self._answer('cudaDriverGetVersion', 12020)

    def cudaRuntimeGetVersion(self):  # noqa: N802
        return self._answer('cudaRuntimeGetVersion', 13040)

    def cudaGetErrorString(self, error):  # noqa: N802
        return (CODES.cudaSuccess, str(error).encode())

    def cudaGetDeviceProperties(self, device):  # noqa: N802
        major, minor = self.capability
        properties = SimpleNamespace(
            name=b'Fake GPU\0\0', major=major, minor=minor, integrated=int(self.is_integrated)
        )
        return self._answer('cudaGetDeviceProperties', properties)

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        self.open_handles += 1
        return self._answer('cudaStreamCreateWithFlags', STREAM)

    def cudaStreamDestroy(self, stream):  # noqa: N802
        self.open_handles -= 1
        return self._answer('cudaStreamDestroy')

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        return self._allocate('cudaHostAlloc', size)

    def cudaMalloc(self, size):  # noqa: N802
        return self._allocate('cudaMalloc', size)

    def cudaHostGetDevicePointer(self, pHost, flags):  # noqa: N802, N803
        return self._answer('cudaHostGetDevicePointer', pHost)

    def cudaFree(self, devPtr):  # noqa: N802, N803
        del self.memory[devPtr]
        return self._answer('cudaFree')

    def cudaFreeHost(self, ptr):  # noqa: N802
        del self.memory[ptr]
        return self._answer('cudaFreeHost')

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):  # noqa: N802
        assert stream == STREAM
        assert ctypes.sizeof(self.memory[dst]) == ctypes.sizeof(self.memory[src]) == count
        self.enqueue(lambda: ctypes.memmove(dst, src, count))
        return self._answer('cudaMemcpyAsync')

    def cudaStreamBeginCapture(self, stream, mode):  # noqa: N802
        self._recording = []
        return self._answer('cudaStreamBeginCapture')

    def cudaStreamEndCapture(self, stream):  # noqa: N802
        graph, self._recording = self._recording, None
        self.open_handles += 1
        return self._answer('cudaStreamEndCapture', graph)

    def cudaGraphInstantiate(self, graph, flags):  # noqa: N802
        self.open_handles += 1
        return self._answer('cudaGraphInstantiate', graph)

    def cudaGraphDestroy(self, graph):  # noqa: N802
        self.open_handles -= 1
        return self._answer('cudaGraphDestroy')

    def cudaGraphExecDestroy(self, graphExec):  # noqa: N802, N803
        self.open_handles -= 1
        return self._answer('cudaGraphExecDestroy')

    def cudaGraphLaunch(self, graphExec, stream):  # noqa: N802, N803
        for work in graphExec:
            work()
        return self._answer('cudaGraphLaunch')

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        return self._answer('cudaStreamSynchronize')


class FakeContext:
    """`IExecutionContext` of `FakeEngine`."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert stream_handle == STREAM
        self._engine.cuda.enqueue(self._compute)
        return self._engine.works

    def _view(self, name: str, dtype: type) -> np.ndarray:
        memory = self._engine.cuda.memory[self._addresses[name]]
        return np.frombuffer(memory, dtype).reshape(self._engine.get_tensor_shape(name))

    def _compute(self) -> None:
        logits = compute_fake_logits(self._view(IMAGE, np.uint8))
        self._view(LOGITS, np.float32)[...] = logits
        if CENTER in self._engine.shapes:
            self._view(CENTER, np.float32)[...] = logits[:1] / 255
            self._view(OFFSET, np.float32)[...] = -logits[1:]


class FakeEngine:
    """`ICudaEngine` that computes `compute_fake_logits`, and centres and offsets from these."""

    def __init__(
        self,
        cuda: FakeCudaRuntime,
        camera_hw: tuple[int, int],
        types: object,
        is_panoptic: bool = False,
    ) -> None:
        self.cuda = cuda
        self.works = True
        self.has_memory = True
        self._types = types
        height, width = camera_hw
        self.shapes = {
            IMAGE: (height, width, 3),
            LOGITS: (1, 3, height // STRIDE_PX, width // STRIDE_PX),
        }
        if is_panoptic:
            self.shapes[CENTER] = (1, 1, height // STRIDE_PX, width // STRIDE_PX)
            self.shapes[OFFSET] = (1, 2, height // STRIDE_PX, width // STRIDE_PX)

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def get_tensor_dtype(self, name):
        return self._types.UINT8 if name == IMAGE else self._types.FLOAT

    def create_execution_context(self, runtime_config=None):
        return FakeContext(self) if self.has_memory else None


class FakeRuntimeCache:
    """`IRuntimeCache` of TensorRT-RTX for a GPU whose kernels are the given bytes."""

    def __init__(self, kernels: bytes = b'kernels of this GPU') -> None:
        self.kernels = kernels
        self.content = b''

    def deserialize(self, blob):
        if blob != self.kernels:
            return False
        self.content = blob
        return True

    def serialize(self):
        return self.content


class FakeRuntimeConfig:
    """`IRuntimeConfig` of TensorRT-RTX."""

    def __init__(self) -> None:
        self.cache = None

    def create_runtime_cache(self):
        return FakeRuntimeCache()

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class FakeRtxEngine(FakeEngine):
    """`ICudaEngine` of TensorRT-RTX, which compiles kernels that its cache does not have."""

    compilations = 0

    def create_runtime_config(self):
        return FakeRuntimeConfig()

    def create_execution_context(self, runtime_config=None):
        cache = runtime_config.cache if runtime_config else FakeRuntimeCache()
        if cache.content == b'':
            self.compilations += 1
            cache.content = cache.kernels
        return super().create_execution_context(runtime_config)


def compute_fake_logits(image: np.ndarray) -> np.ndarray:
    """Return every eighth pixel: (H, W, 3) uint8 to (3, H / 8, W / 8) float32."""
    return image[::STRIDE_PX, ::STRIDE_PX].transpose(2, 0, 1).astype(np.float32)
