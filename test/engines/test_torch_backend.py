# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch rebuilds the network from the model file alone."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_gpu import CODES, FakeCudaRuntime

from seg_perception.engines import cuda_device
from seg_perception.engines.base import CompileRequest
from seg_perception.engines.contract import BackendUnavailableError, EngineError
from seg_perception.engines.cuda_device import CudaDevice
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.engines.torch_backend import (
    TorchBackend,
    TorchCudaSession,
    TorchPrelude,
    build_network,
)
from seg_perception.errors import UserError

CAMERA_HW = (48, 80)
REQUEST = CompileRequest(CAMERA_HW, (64, 128), 'letterbox', 'bgr')
LOGITS_SHAPE = (1, 11, 8, 16)


def test_unknown_network_is_named(model):
    other = replace(model, metadata=replace(model.metadata, network={'name': 'fcn', 'rank': 1}))
    with pytest.raises(UserError, match="'fcn'.*expected name segnext"):
        TorchBackend(other)


def test_weights_of_another_variant_are_refused(model):
    network = {**model.metadata.network, 'variant': 's'}
    other = replace(model, metadata=replace(model.metadata, network=network))
    with pytest.raises(EngineError, match='are not those of its network'):
        TorchBackend(other)


def test_precision_on_a_cpu_is_float32(model):
    assert TorchBackend(model).precision == 'f32'
    with pytest.raises(EngineError, match='precision bf16 is not available with torch'):
        TorchBackend(model, 'bf16')


@pytest.fixture
def cuda(monkeypatch):
    """Put a fake GPU into this machine, which PyTorch sees too."""
    runtime = FakeCudaRuntime()
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
    monkeypatch.setattr(cuda_device, 'load_runtime', lambda: runtime)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    return runtime


def test_gpu_without_cuda_python_is_named_with_both_ways_out(model, cuda, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', None)
    with pytest.raises(BackendUnavailableError, match='pip install cuda-python; or .*DEVICES='):
        TorchBackend(model)
    engine = load_engine(EngineConfig(str(model.path), 'torch'))
    assert engine.backend_name == 'openvino'
    assert 'PyTorch runs on a GPU only with cuda-python' in engine.fallback_reason


def test_precisions_on_a_gpu_are_those_of_the_gpu_and_a_refusal_frees_it(model, cuda):
    cuda.capability = (7, 5)
    with pytest.raises(EngineError, match='bf16 is not available .* available: f16, f32'):
        TorchBackend(model, 'bf16')
    assert cuda.open_handles == 0


class FakeStream:
    """`TorchStream` on the fake GPU: PyTorch computes on the CPU, in the fake's memory."""

    def __init__(self, cuda):
        self._cuda = cuda
        self.device = CudaDevice()
        self.capture = self.device.capture

    def view(self, buffer):
        memory = self._cuda.memory[buffer.device_pointer]
        array = np.frombuffer(memory, buffer.host.dtype).reshape(buffer.host.shape)
        return torch.from_numpy(array)

    def enqueue(self, work):
        self._cuda.enqueue(work)

    def return_memory(self):
        pass


def open_session(model, stream, precision='f32'):
    """Open a session on the fake GPU."""
    contract = model.metadata.input.override(*REQUEST.network_hw, REQUEST.fit)
    prelude = TorchPrelude(torch, 'cpu', contract, REQUEST)
    network = build_network(model, precision)
    return TorchCudaSession(stream, network, prelude, model.metadata, REQUEST)


def test_each_frame_on_a_gpu_gives_its_own_logits(
    model, cuda, reference, make_image, check_logits
):
    session = open_session(model, FakeStream(cuda))
    for seed in range(3):
        image = make_image(*CAMERA_HW, seed=seed)
        check_logits(session.infer(image[:, :, ::-1]), reference(image))


def test_frame_on_a_gpu_is_one_launch_and_allocates_nothing(model, cuda, make_image):
    session = open_session(model, FakeStream(cuda))
    memory = dict(cuda.memory)
    cuda.calls.clear()
    session.infer(make_image(*CAMERA_HW))
    assert cuda.calls == ['cudaGraphLaunch', 'cudaStreamSynchronize']
    assert cuda.memory == memory


def test_half_precision_keeps_the_logits_nearly(model, cuda, reference, make_image):
    image = make_image(*CAMERA_HW)
    found = open_session(model, FakeStream(cuda), 'f16').infer(image[:, :, ::-1])
    expected = reference(image)
    assert 0 < np.abs(found - expected).max() <= 0.01 * np.abs(expected).max()


def test_session_on_a_gpu_frees_its_own_memory_and_not_that_of_the_other_camera(
    model, cuda, make_image
):
    stream = FakeStream(cuda)
    first, second = open_session(model, stream), open_session(model, stream)
    first.close()
    assert second.infer(make_image(*CAMERA_HW)).shape == LOGITS_SHAPE[1:]
    second.close()
    assert cuda.memory == {}


def test_session_without_memory_is_unavailable_and_leaves_nothing(model, cuda):
    stream = FakeStream(cuda)
    cuda.fail['cudaMalloc'] = CODES.cudaErrorMemoryAllocation
    with pytest.raises(BackendUnavailableError, match='out of memory on Fake GPU'):
        open_session(model, stream)
    assert cuda.memory == {}
