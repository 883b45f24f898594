# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Memory, copies and graphs of the GPU, on a fake CUDA runtime; errors in one line."""

from __future__ import annotations

import numpy as np
import pytest
from fake_gpu import CODES, FakeCudaRuntime

from seg_perception.engines import cuda_device
from seg_perception.engines.contract import BackendUnavailableError, EngineError, NoDeviceError
from seg_perception.engines.cuda_device import CudaDevice, RoundTrip


@pytest.fixture
def plug_in(monkeypatch):
    """Return a function that puts a fake GPU into this machine."""

    def use(cuda: FakeCudaRuntime) -> FakeCudaRuntime:
        monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
        monkeypatch.setattr(cuda_device, 'load_runtime', lambda: cuda)
        return cuda

    return use


def test_device_says_what_it_is(plug_in):
    plug_in(FakeCudaRuntime((12, 0)))
    device = CudaDevice()
    assert (device.name, device.compute_capability) == ('Fake GPU', 'sm120')


@pytest.mark.parametrize('is_integrated', [False, True])
def test_bytes_go_to_the_device_and_back(plug_in, is_integrated):
    cuda = plug_in(FakeCudaRuntime(is_integrated=is_integrated))
    device = CudaDevice()
    buffer = device.allocate((2, 3), np.float32)
    buffer.host[...] = [[1, 2, 3], [4, 5, 6]]
    device.upload(buffer)
    on_device = np.frombuffer(cuda.memory[buffer.device_pointer], np.float32)
    assert on_device.tolist() == [1, 2, 3, 4, 5, 6]
    on_device[:] = 7
    device.download(buffer)
    device.synchronise()
    assert buffer.host.tolist() == [[7, 7, 7], [7, 7, 7]]
    # a Jetson's processor and GPU share their memory
    assert cuda.calls.count('cudaMemcpyAsync') == (0 if is_integrated else 2)


@pytest.mark.parametrize('is_integrated', [False, True])
def test_everything_is_freed(plug_in, is_integrated):
    cuda = plug_in(FakeCudaRuntime(is_integrated=is_integrated))
    device = CudaDevice()
    buffer = device.allocate((4,), np.uint8)
    device.capture(lambda: device.upload(buffer))
    device.free()
    device.free()
    assert (cuda.memory, cuda.open_handles) == ({}, 0)


def test_captured_work_runs_again_at_each_launch(plug_in):
    plug_in(FakeCudaRuntime())
    device = CudaDevice()
    buffer = device.allocate((1,), np.uint8)

    def round_trip() -> None:
        device.upload(buffer)
        device.download(buffer)

    launch = device.capture(round_trip)
    for value in (3, 4):
        buffer.host[0] = value
        launch()
        assert buffer.host[0] == value


def test_round_trip_copies_computes_and_copies_back_in_one_launch(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    image, result = device.allocate((3,), np.uint8), device.allocate((3,), np.float32)
    there, back = (cuda.memory[buffer.device_pointer] for buffer in (image, result))

    def double() -> None:
        np.frombuffer(back, np.float32)[:] = 2.0 * np.frombuffer(there, np.uint8)

    frames = RoundTrip(device, image, (result,), lambda: cuda.enqueue(double))
    for values in ([1, 2, 3], [4, 5, 6]):
        cuda.calls.clear()
        (found,) = frames.run(np.array(values, np.uint8))
        assert found.tolist() == [2.0 * v for v in values]
        assert cuda.calls == ['cudaGraphLaunch', 'cudaStreamSynchronize']


def test_round_trip_takes_the_capture_of_the_library_that_computes(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    image, result = device.allocate((1,), np.uint8), device.allocate((1,), np.uint8)
    captured = []
    RoundTrip(device, image, (result,), lambda: None, lambda work: captured.append(work) or work)
    assert len(captured) == 1
    assert 'cudaStreamBeginCapture' not in cuda.calls


def test_one_buffer_is_freed_and_the_others_stay(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    first, second = device.allocate((1,), np.uint8), device.allocate((1,), np.uint8)
    device.free_buffer(first)
    assert set(cuda.memory) == {second.device_pointer, second.host.ctypes.data}
    device.free()
    assert cuda.memory == {}


def test_work_that_cannot_be_captured_leaves_the_stream_usable(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    buffer = device.allocate((1,), np.uint8)
    cuda.fail['cudaMemcpyAsync'] = CODES.cudaErrorStreamCaptureUnsupported
    with pytest.raises(EngineError, match='cudaMemcpyAsync failed'):
        device.capture(lambda: device.upload(buffer))
    cuda.fail.clear()
    device.upload(buffer)
    assert cuda.calls[-2:] == ['cudaStreamEndCapture', 'cudaMemcpyAsync']


def test_no_driver_is_no_fault(monkeypatch):
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: False)
    with pytest.raises(NoDeviceError, match='no NVIDIA driver'):
        CudaDevice()


def test_driver_without_a_gpu_is_no_fault(plug_in):
    plug_in(FakeCudaRuntime()).fail['cudaGetDeviceCount'] = CODES.cudaErrorNoDevice
    with pytest.raises(NoDeviceError, match='no GPU for this process'):
        CudaDevice()


def test_old_driver_is_named_with_both_versions(plug_in):
    plug_in(FakeCudaRuntime()).fail['cudaGetDeviceCount'] = CODES.cudaErrorInsufficientDriver
    with pytest.raises(BackendUnavailableError, match='too old: it knows CUDA 12.2, .* 13.4'):
        CudaDevice()


def test_missing_cuda_python_is_named(monkeypatch):
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
    monkeypatch.setitem(__import__('sys').modules, 'cuda.bindings.runtime', None)
    with pytest.raises(BackendUnavailableError, match='pip install cuda-python'):
        CudaDevice()


def test_out_of_memory_is_named_and_leaves_nothing_behind(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    cuda.fail['cudaMalloc'] = CODES.cudaErrorMemoryAllocation
    with pytest.raises(BackendUnavailableError, match='out of memory on Fake GPU .*smaller'):
        device.allocate((8,), np.uint8)
    assert cuda.memory == {}


def test_failed_kernel_is_an_error_and_everything_is_still_freed(plug_in):
    cuda = plug_in(FakeCudaRuntime())
    device = CudaDevice()
    device.allocate((8,), np.uint8)
    cuda.fail['cudaStreamSynchronize'] = CODES.cudaErrorLaunchFailure
    with pytest.raises(EngineError, match='cudaErrorLaunchFailure'):
        device.synchronise()
    cuda.fail['cudaFree'] = CODES.cudaErrorLaunchFailure
    device.free()
    assert cuda.open_handles == 0
