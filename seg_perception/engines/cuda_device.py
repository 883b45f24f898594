# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The GPU of this process: memory, one stream, copies and captured graphs, by cuda-python.

All CUDA calls of the package outside PyTorch are here. The device is CUDA's first one;
CUDA_VISIBLE_DEVICES chooses another.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.engines.contract import (
    BackendUnavailableError,
    EngineError,
    NoDeviceError,
)

DEVICE = 0
# What NVIDIA's drivers make: for cards, for Jetson, for WSL.
DRIVER_FILES = ('/dev/nvidiactl', '/dev/nvhost-ctrl-gpu', '/dev/nvgpu', '/dev/dxg')


def has_driver() -> bool:
    """Tell whether an NVIDIA driver is loaded; imports nothing."""
    return any(Path(name).exists() for name in DRIVER_FILES)


def load_runtime() -> Any:
    """Import cuda-python's runtime interface; raises BackendUnavailableError without it."""
    try:
        return import_module('cuda.bindings.runtime')
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailableError(
            f'cuda-python is not installed ({error}); pip install cuda-python'
        ) from error


class Buffer:
    """Memory that host and device see.

    Attributes:
        host: array in pinned memory; the device's after `CudaDevice.download`.
        device_pointer: address of the device's memory.
        is_shared: True where both are the same memory (Jetson) and nothing is copied.
    """

    def __init__(self, host: np.ndarray, device_pointer: int, is_shared: bool) -> None:
        """Keep both addresses; `CudaDevice.allocate` makes buffers."""
        self.host = host
        self.device_pointer = device_pointer
        self.is_shared = is_shared


class CudaDevice:
    """A GPU with one stream. Not thread-safe.

    Attributes:
        name: of the GPU.
        compute_capability: such as 'sm89'.
        stream: handle of the stream on which all is done in order.
    """

    def __init__(self) -> None:
        """Open the GPU.

        Raises:
            NoDeviceError: no driver, or it has no GPU.
            BackendUnavailableError: no cuda-python, or a driver too old for it.
        """
        if not has_driver():
            raise NoDeviceError('no NVIDIA driver on this machine')
        self._runtime = load_runtime()
        self._require_device()
        properties = self._call('cudaGetDeviceProperties', DEVICE)
        self.name = properties.name.split(b'\0')[0].decode()
        self.compute_capability = f'sm{properties.major}{properties.minor}'
        self._is_integrated = bool(properties.integrated)
        self._buffers: list[Buffer] = []
        self._graphs: list[Any] = []
        self._stream = self._call(
            'cudaStreamCreateWithFlags', self._runtime.cudaStreamNonBlocking
        )
        self.stream = int(self._stream)

    def _require_device(self) -> None:
        error, count = self._runtime.cudaGetDeviceCount()
        codes = self._runtime.cudaError_t
        if error == codes.cudaErrorInsufficientDriver:
            driver = self._call('cudaDriverGetVersion')
            needed = self._call('cudaRuntimeGetVersion')
            raise BackendUnavailableError(
                f'the NVIDIA driver is too old: it knows CUDA {format_version(driver)}, '
                f'cuda-python here is for {format_version(needed)}; update the driver, or install '
                'the cuda-python of its version'
            )
        if error == codes.cudaErrorNoDevice or (error == codes.cudaSuccess and count == 0):
            raise NoDeviceError('the NVIDIA driver has no GPU for this process')
        if error != codes.cudaSuccess:
            raise BackendUnavailableError(f'CUDA does not start: {self._describe(error)}')

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        """Allocate a buffer on both sides, set to zero on the host.

        Raises:
            BackendUnavailableError: out of memory.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        flag = 'cudaHostAllocMapped' if self._is_integrated else 'cudaHostAllocDefault'
        pointer = int(self._call('cudaHostAlloc', size, getattr(self._runtime, flag)))
        memory = memoryview((ctypes.c_uint8 * size).from_address(pointer))
        host = np.frombuffer(memory, dtype).reshape(shape)
        host[...] = 0
        try:
            if self._is_integrated:
                device = int(self._call('cudaHostGetDevicePointer', pointer, 0))
            else:
                device = int(self._call('cudaMalloc', size))
        except EngineError:
            self._release('cudaFreeHost', pointer)
            raise
        buffer = Buffer(host, device, self._is_integrated)
        self._buffers.append(buffer)
        return buffer

    def upload(self, buffer: Buffer) -> None:
        """Queue the copy from host to device."""
        if not buffer.is_shared:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._copy(buffer.device_pointer, buffer.host.ctypes.data, buffer, kind)

    def download(self, buffer: Buffer) -> None:
        """Queue the copy from device to host."""
        if not buffer.is_shared:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._copy(buffer.host.ctypes.data, buffer.device_pointer, buffer, kind)

    def _copy(self, target: int, source: int, buffer: Buffer, kind: Any) -> None:
        self._call('cudaMemcpyAsync', target, source, buffer.host.nbytes, kind, self._stream)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Capture what `enqueue` queues; return a function that queues all of it in one call.

        Raises:
            EngineError: something in it cannot be captured; the stream is usable again.
        """
        modes = self._runtime.cudaStreamCaptureMode
        # thread-local: other threads may allocate meanwhile
        mode = modes.cudaStreamCaptureModeThreadLocal
        self._call('cudaStreamBeginCapture', self._stream, mode)
        try:
            enqueue()
        except EngineError:
            # the first error is the one to tell; ending a broken capture is one more
            with contextlib.suppress(EngineError):
                self._call('cudaStreamEndCapture', self._stream)
            raise
        graph = self._call('cudaStreamEndCapture', self._stream)
        try:
            executable = self._call('cudaGraphInstantiate', graph, 0)
        finally:
            self._call('cudaGraphDestroy', graph)
        self._graphs.append(executable)
        return lambda: self._call('cudaGraphLaunch', executable, self._stream)

    def synchronise(self) -> None:
        """Wait for all that is queued; raises EngineError where something of it failed."""
        self._call('cudaStreamSynchronize', self._stream)

    def free(self) -> None:
        """Free graphs, buffers and the stream; the arrays of buffers must not be used after it."""
        while self._graphs:
            self._release('cudaGraphExecDestroy', self._graphs.pop())
        while self._buffers:
            buffer = self._buffers.pop()
            if not buffer.is_shared:
                self._release('cudaFree', buffer.device_pointer)
            self._release('cudaFreeHost', buffer.host.ctypes.data)
        if self._stream is not None:
            self._release('cudaStreamDestroy', self._stream)
            self._stream = None

    def _release(self, function: str, handle: Any) -> None:
        # after a failed kernel the device refuses every call; that failure has been raised
        with contextlib.suppress(EngineError):
            self._call(function, handle)

    def _call(self, function: str, *arguments: Any) -> Any:
        error, *results = getattr(self._runtime, function)(*arguments)
        codes = self._runtime.cudaError_t
        if error == codes.cudaErrorMemoryAllocation:
            raise BackendUnavailableError(
                f'out of memory on {getattr(self, "name", "the GPU")} ({function}); use a smaller '
                'network input, or close other programs that use the GPU'
            )
        if error != codes.cudaSuccess:
            raise EngineError(f'{function} failed: {self._describe(error)}')
        return results[0] if results else None

    def _describe(self, error: Any) -> str:
        _, text = self._runtime.cudaGetErrorString(error)
        return text.decode() if isinstance(text, bytes) else str(text)


def format_version(version: int) -> str:
    """Return CUDA's version number 13040 as 13.4; none for 0."""
    return f'{version // 1000}.{version % 1000 // 10}' if version else 'none'
