# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The torch backend on a real GPU, against the CPU; skipped where there is none.

What it runs of `CudaDevice` and `RoundTrip` (memory, copies, the stream, captured graphs) is what
TensorRT's sessions run.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from seg_perception.engines.cuda_device import CudaDevice, RoundTrip
from seg_perception.engines.select import EngineConfig, load_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA GPU here')
CAMERAS = [((64, 128), 'rgb'), ((50, 90), 'bgr'), ((128, 200), 'rgb')]
LEAK_LIMIT_BYTES = 8 << 20


@pytest.fixture(params=['f32', 'f16', 'bf16'])
def precision(request):
    if request.param == 'bf16' and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip('this GPU has no bfloat16')
    return request.param


def open_engine(model_path, precision='f32'):
    """Load the torch backend alone."""
    return load_engine(EngineConfig(str(model_path), 'torch', precision, allow_fallback=False))


@pytest.mark.parametrize(('camera_hw', 'order'), CAMERAS)
def test_logits_are_those_of_the_cpu(
    model_path, reference, make_image, precision, camera_hw, order, caplog
):
    engine = open_engine(model_path, precision)
    assert engine.threads == 0
    step = 1 if order == 'rgb' else -1
    limit = {'f32': 1e-3, 'f16': 1e-2, 'bf16': 5e-2}[precision]
    for seed in range(3):  # a graph that is replayed takes each image as it comes
        image = make_image(*camera_hw, seed=seed)
        found = engine.infer(image[:, :, ::step], order)
        expected = reference(image)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= limit * np.abs(expected).max()
    assert 'without a CUDA graph' not in caplog.text
    engine.close()


def test_two_cameras_in_turn_each_get_their_own_logits(model_path, make_image):
    engine = open_engine(model_path, 'f16')
    images = [(make_image(*camera_hw), order) for camera_hw, order in CAMERAS[:2]]
    alone = [engine.infer(*image).copy() for image in images]
    for _ in range(3):
        for image, expected in zip(images, alone, strict=True):
            assert (engine.infer(*image) == expected).all()
    engine.close()


def test_two_engines_in_two_threads_do_not_disturb_each_other(model_path, make_image):
    results: dict[int, list[np.ndarray]] = {0: [], 1: []}
    images = [make_image(64, 128, seed=seed) for seed in range(2)]

    def run(index: int) -> None:
        engine = open_engine(model_path)
        results[index] = [engine.infer(images[index]).copy() for _ in range(50)]
        engine.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, found in results.items():
        engine = open_engine(model_path)
        expected = engine.infer(images[index])
        limit = 1e-3 * np.abs(expected).max()
        assert len(found) == 50
        assert all(np.abs(logits - expected).max() <= limit for logits in found)
        engine.close()


def test_closed_engines_leave_no_memory_behind(model_path, make_image):
    free_bytes = []
    for _ in range(4):
        engine = open_engine(model_path, 'f16')
        engine.infer(make_image(512, 1024))
        engine.close()
        free_bytes.append(torch.cuda.mem_get_info()[0])
    # the first one loads libraries, and kernels that stay
    assert free_bytes[-1] >= free_bytes[0] - LEAK_LIMIT_BYTES


def test_captured_copies_of_the_device_alone_run_at_each_launch():
    device = CudaDevice()
    image, result = (device.allocate((1 << 20,), np.uint8) for _ in range(2))

    def copy_on_device() -> None:
        kind = device._runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        pointers = (result.device_pointer, image.device_pointer)
        device._call('cudaMemcpyAsync', *pointers, 1 << 20, kind, device.stream)

    frames = RoundTrip(device, image, (result,), copy_on_device)
    for value in range(3):
        pixels = np.full(1 << 20, value, np.uint8)
        assert (frames.run(pixels)[0] == pixels).all()
    device.free()
