# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The GPU of this process: memory, one stream, copies and captured graphs, by cuda-python.

Used by TensorRT and by PyTorch alike: memory, copies and the stream are those of `CudaDevice`,
the way of a frame is `RoundTrip`; a backend adds its computation. The device is CUDA's first one;
CUDA_VISIBLE_DEVICES chooses another.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.engines.contract import (
    BackendUnavailableError,
    EngineError,
    NoDeviceError,
)

LOGGER = logging.getLogger(__name__)
DEVICE = 0
# What NVIDIA's drivers make: for cards, for Jetson, for WSL.
DRIVER_FILES = ('/dev/nvidiactl', '/dev/nvhost-ctrl-gpu', '/dev/nvgpu', '/dev/dxg')
FIRST_WITH_BFLOAT16 = 80  # sm80
# Captures exclude each other: PyTorch waits for the whole device before one, which is an error
# while a stream of it is captured.
CAPTURE_LOCK = threading.Lock()
Work = Callable[[], None]


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

    def list_precisions(self) -> dict[str, bool]:
        """Return what layers can compute in here, best first, as `base.choose_precision` takes."""
        known = {'f16': True, 'bf16': False, 'f32': False}
        if int(self.compute_capability[2:]) < FIRST_WITH_BFLOAT16:
            del known['bf16']
        return known

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

    def capture(self, enqueue: Work) -> Work:
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

    def free_buffer(self, buffer: Buffer) -> None:
        """Free one buffer; nothing queued may use it any more."""
        self._buffers.remove(buffer)
        if not buffer.is_shared:
            self._release('cudaFree', buffer.device_pointer)
        self._release('cudaFreeHost', buffer.host.ctypes.data)

    def free(self) -> None:
        """Free graphs, buffers and the stream; the arrays of buffers must not be used after it."""
        while self._graphs:
            self._release('cudaGraphExecDestroy', self._graphs.pop())
        while self._buffers:
            self.free_buffer(self._buffers[-1])
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


class RoundTrip:
    """The way of one frame: image up, computation, results down, in one captured graph.

    A frame costs the host one copy of its bytes and one launch, and allocates nothing.
    """

    def __init__(
        self,
        device: CudaDevice,
        image: Buffer,
        results: Sequence[Buffer],
        compute: Work,
        capture: Callable[[Work], Work] | None = None,
    ) -> None:
        """Run once, since kernels are loaded then, and capture.

        Args:
            device: whose stream does all of it.
            image: copied to the device before `compute`.
            results: copied to the host after it.
            compute: queues the computation on the device's stream; allocates no memory of its
                own from the second call on, or as `capture` provides for.
            capture: used in place of `CudaDevice.capture` by a library that has to know of it.

        Raises:
            EngineError: the computation fails.
        """
        self._device = device
        self._image = image
        self._results = tuple(results)
        self._compute = compute
        self._enqueue()
        device.synchronise()
        try:
            with CAPTURE_LOCK:
                self._launch = (capture or device.capture)(self._enqueue)
        except EngineError as error:
            LOGGER.warning('frames are queued step by step, without a CUDA graph: %s', error)
            self._launch = self._enqueue

    def run(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Compute one image of the buffer's shape; return the results, valid until the next."""
        np.copyto(self._image.host, image)
        self._launch()
        self._device.synchronise()
        return tuple(result.host for result in self._results)

    def _enqueue(self) -> None:
        self._device.upload(self._image)
        self._compute()
        for result in self._results:
            self._device.download(result)


def format_version(version: int) -> str:
    """Return CUDA's version number 13040 as 13.4; none for 0."""
    return f'{version // 1000}.{version % 1000 // 10}' if version else 'none'
