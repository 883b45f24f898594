# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parts without a node run real engines, and say why there is no GPU."""

import numpy as np
import pytest

from seg_perception.evaluation.benchmarks import benchmark_offline
from seg_perception.evaluation.benchmarks.benchmark_offline import (
    find_cuda_backend,
    measure_cuda,
    measure_decode,
    time_in_turns,
)


@pytest.fixture
def images():
    """Return two noisy images."""
    return list(np.random.default_rng(0).integers(0, 256, (2, 96, 192, 3), np.uint8))


def test_calls_take_turns_and_the_warm_up_is_left_out():
    calls: list[str] = []
    times_ms = time_in_turns({name: lambda name=name: calls.append(name) for name in 'ab'}, 3)
    assert ''.join(calls) == 'abababab'
    assert [len(values) for values in times_ms.values()] == [3, 3]


def test_decode_is_timed_against_pytorch(tiny_model, images):
    figures, by_round = measure_decode(str(tiny_model), images, with_pytorch=True)
    assert figures['decode_vs_torch'] == pytest.approx(figures['torch_ms'] / figures['decode_ms'])
    assert figures['decode_ms'] > 0
    assert figures['decode_confidence_ms'] > 0
    assert len(by_round['decode_ms']) == len(by_round['torch_ms']) == 4


def test_decode_needs_no_pytorch(tiny_model, images):
    figures, _ = measure_decode(str(tiny_model), images, with_pytorch=False)
    assert set(figures) == {'decode_ms', 'decode_confidence_ms'}


def test_figures_of_the_gpu_are_those_of_its_times(tiny_model, images, monkeypatch):
    # the same code with the same backend on the CPU, where there is no GPU
    sizes = {'CUDA_SIZES_HW': ((32, 64), (64, 128)), 'CUDA_TURNS': 4, 'CUDA_WARM_UP': 1}
    for name, value in sizes.items():
        monkeypatch.setattr(benchmark_offline, name, value)
    figures, by_round = measure_cuda(str(tiny_model), 'torch', 'auto', images)
    for name in ('32x64', '64x128'):
        assert figures[f'cuda_fps_{name}'] == pytest.approx(1e3 / figures[f'cuda_{name}_ms'])
        assert len(by_round[f'cuda_fps_{name}']) == 4
    assert figures['cuda_engine'].startswith('PyTorch')


def test_without_a_gpu_every_backend_says_why(tiny_model, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    backend, reason = find_cuda_backend(str(tiny_model), 'auto', 'auto')
    assert backend == ''
    assert 'tensorrt' in reason
    assert 'torch: computes on the CPU here' in reason
    asked = find_cuda_backend(str(tiny_model), 'openvino', 'auto')
    assert asked == ('', 'openvino is no GPU backend')
