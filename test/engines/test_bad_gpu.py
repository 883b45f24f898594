# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a GPU: what is said, what runs instead, and the refusal without fallback.

The GPU, TensorRT's runtime and its builder are fakes; selection, cache and session are real.
"""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

import pytest
from fake_gpu import CODES, FakeCudaRuntime, FakeEngine

from seg_perception.engines import cuda_device, tensorrt_backend, tensorrt_plan
from seg_perception.engines.contract import BackendUnavailableError, EngineError
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.engines.tensorrt_build import BuiltPlan, TensorRtLibrary

CAMERA_HW = (64, 128)
TYPES = SimpleNamespace(UINT8='UINT8', FLOAT='FLOAT')


class FakeMachine:
    """A machine whose GPU works; tests take something away from it."""

    def __init__(self) -> None:
        self.cuda = FakeCudaRuntime()
        self.builds = 0
        self.loadable = True  # whether plans load
        self.loads_old_plans = True  # whether those from before the last build do
        self.build_error: Exception | None = None

    def build(self, *arguments):
        if self.build_error is not None:
            raise self.build_error
        self.builds += 1
        return BuiltPlan(f'plan {self.builds}'.encode(), (), ())

    def load(self, plan):
        is_old = plan != f'plan {self.builds}'.encode()
        if not self.loadable or (is_old and not self.loads_old_plans):
            return None
        return FakeEngine(self.cuda, CAMERA_HW, TYPES)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Put TensorRT and a GPU into this machine, and the cache into a folder of the test."""
    fake = FakeMachine()

    class Logger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=2)

    module = SimpleNamespace(
        __version__='10.7.0',
        ILogger=Logger,
        DataType=TYPES,
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=fake.load),
    )
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
    monkeypatch.setattr(cuda_device, 'load_runtime', lambda: fake.cuda)
    library = TensorRtLibrary('tensorrt', module)
    monkeypatch.setattr(tensorrt_backend, 'load_library', lambda name: library)
    monkeypatch.setattr(tensorrt_plan, 'build_apart', fake.build)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return fake


def open_engine(model_path, **options):
    """Load with TensorRT and prepare."""
    engine = load_engine(EngineConfig(str(model_path), 'tensorrt', **options))
    engine.prepare(CAMERA_HW)
    return engine


def lose_driver(machine, monkeypatch):
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: False)


def age_driver(machine, monkeypatch):
    machine.cuda.fail['cudaGetDeviceCount'] = CODES.cudaErrorInsufficientDriver


def lose_gpu(machine, monkeypatch):
    machine.cuda.fail['cudaGetDeviceCount'] = CODES.cudaErrorNoDevice


def fill_memory(machine, monkeypatch):
    machine.cuda.fail['cudaMalloc'] = CODES.cudaErrorMemoryAllocation


def refuse_plans(machine, monkeypatch):
    machine.loadable = False


def fail_build(machine, monkeypatch):
    machine.build_error = BackendUnavailableError('tensorrt did not survive building (killed)')


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lose_driver, 'no NVIDIA driver on this machine'),
        (age_driver, 'driver is too old: it knows CUDA 12.2, cuda-python here is for 13.4'),
        (lose_gpu, 'the NVIDIA driver has no GPU for this process'),
        (fill_memory, 'out of memory on Fake GPU'),
        (refuse_plans, 'tensorrt cannot load its engine on Fake GPU'),
        (fail_build, 'tensorrt did not survive building'),
    ],
)
def test_gpu_that_cannot_be_used_is_named_and_the_next_backend_runs(
    machine, monkeypatch, model_path, spoil, message
):
    spoil(machine, monkeypatch)
    engine = open_engine(model_path)
    assert engine.backend_name == 'openvino'
    assert message in engine.fallback_reason
    assert machine.cuda.memory == {}
    with pytest.raises(EngineError, match=f'backend tensorrt cannot be used: .*{message}'):
        open_engine(model_path, allow_fallback=False)


def test_precision_that_the_gpu_lacks_is_named_and_the_best_one_runs(machine, model_path):
    machine.cuda.capability = (7, 5)
    engine = open_engine(model_path, precision='bf16')
    assert (engine.backend_name, engine.precision) == ('tensorrt', 'f16')
    assert 'bf16 is not available with tensorrt on Fake GPU' in engine.fallback_reason
    with pytest.raises(EngineError, match='available: f16, f32, or use auto'):
        open_engine(model_path, precision='bf16', allow_fallback=False)


def test_engine_of_another_gpu_is_built_again_and_both_gpus_are_named(
    machine, monkeypatch, model_path, caplog
):
    open_engine(model_path)
    properties = machine.cuda.cudaGetDeviceProperties(0)[1]
    properties.name = b'Other GPU'
    monkeypatch.setattr(
        machine.cuda, 'cudaGetDeviceProperties', lambda device: (CODES.cudaSuccess, properties)
    )
    engine = open_engine(model_path)
    assert (engine.backend_name, machine.builds) == ('tensorrt', 2)
    assert 'gpu is Other GPU, the kept engine has Fake GPU' in caplog.text


def test_kept_engine_that_does_not_load_is_built_again(machine, model_path, caplog):
    open_engine(model_path)
    machine.loads_old_plans = False
    machine.builds = 5
    engine = open_engine(model_path)
    assert (engine.backend_name, machine.builds) == ('tensorrt', 6)
    assert 'does not load' in caplog.text


def test_cache_that_cannot_be_written_is_a_problem_and_no_fallback(
    machine, model_path, tmp_path, monkeypatch, caplog
):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    caplog.set_level(logging.WARNING)
    engine = open_engine(model_path, allow_fallback=False)
    assert (engine.backend_name, engine.is_fallback) == ('tensorrt', False)
    assert engine.cache_problem.startswith(f'engines cannot be kept in {tmp_path}/file')
    assert engine.cache_problem in caplog.text


def test_user_without_a_home_runs_uncached(machine, model_path, monkeypatch):
    monkeypatch.delenv('XDG_CACHE_HOME')

    def refuse(path):
        raise RuntimeError('no home')

    monkeypatch.setattr('pathlib.Path.expanduser', refuse)
    engine = open_engine(model_path)
    assert engine.backend_name == 'tensorrt'
    assert 'has no home folder' in engine.cache_problem


def test_engine_is_kept_and_found_at_the_next_start(machine, model_path, tmp_path):
    for _ in range(2):
        engine = open_engine(model_path)
        assert (engine.backend_name, engine.cache_problem) == ('tensorrt', '')
    assert machine.builds == 1
    assert len(os.listdir(tmp_path / 'seg_perception' / 'engines')) == 3  # plan, sidecar, lock
