# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The session of a TensorRT engine on a fake GPU, and what is taken where that is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import CODES, FakeCudaRuntime, FakeEngine, FakeRtxEngine, compute_fake_logits

from seg_perception.engines import cuda_device, tensorrt_backend
from seg_perception.engines.base import CompileRequest
from seg_perception.engines.contract import (
    CENTER,
    OFFSET,
    PANOPTIC_OUTPUTS,
    BackendUnavailableError,
    EngineError,
)
from seg_perception.engines.prelude import LOGITS
from seg_perception.engines.select import BACKENDS, EngineConfig, load_engine
from seg_perception.engines.tensorrt_backend import TensorRtBackend, TensorRtSession
from seg_perception.engines.tensorrt_build import TensorRtLibrary

CAMERA_HW = (64, 128)
REQUEST = CompileRequest(CAMERA_HW, CAMERA_HW, 'letterbox', 'rgb')
TYPES = SimpleNamespace(UINT8='UINT8', FLOAT='FLOAT', HALF='HALF')
LIBRARY = TensorRtLibrary('tensorrt', SimpleNamespace(DataType=TYPES))
LOG = SimpleNamespace(describe=lambda: 'what the library said')


@pytest.fixture(params=[False, True], ids=['card', 'integrated'])
def cuda(request, monkeypatch) -> FakeCudaRuntime:
    """Put a fake GPU into this machine."""
    runtime = FakeCudaRuntime(is_integrated=request.param)
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: True)
    monkeypatch.setattr(cuda_device, 'load_runtime', lambda: runtime)
    return runtime


@pytest.fixture
def engine(cuda) -> FakeEngine:
    return FakeEngine(cuda, CAMERA_HW, TYPES)


def open_session(engine: FakeEngine) -> TensorRtSession:
    return TensorRtSession(LIBRARY, engine, LOG, REQUEST)


def test_each_frame_gives_its_own_logits(engine, make_image):
    session = open_session(engine)
    for seed in range(3):
        image = make_image(*CAMERA_HW, seed=seed)
        assert (session.infer(image) == compute_fake_logits(image)).all()


def test_frames_of_any_layout_in_memory_are_read(engine, make_image):
    session = open_session(engine)
    image = make_image(CAMERA_HW[0], 2 * CAMERA_HW[1])[::-1, ::2, ::-1]
    assert (session.infer(image) == compute_fake_logits(image)).all()


def test_frame_is_one_launch_and_one_wait_and_allocates_nothing(cuda, engine, make_image):
    session = open_session(engine)
    memory = dict(cuda.memory)
    cuda.calls.clear()
    session.infer(make_image(*CAMERA_HW))
    assert cuda.calls == ['cudaGraphLaunch', 'cudaStreamSynchronize']
    assert cuda.memory == memory


def test_panoptic_outputs_are_read_by_name_from_one_launch(cuda, make_image):
    engine = FakeEngine(cuda, CAMERA_HW, TYPES, is_panoptic=True)
    session = TensorRtSession(LIBRARY, engine, LOG, REQUEST, outputs=PANOPTIC_OUTPUTS)
    for seed in range(2):
        image = make_image(*CAMERA_HW, seed=seed)
        cuda.calls.clear()
        logits = session.infer(image)
        assert cuda.calls == ['cudaGraphLaunch', 'cudaStreamSynchronize']
        assert (logits == compute_fake_logits(image)).all()
        assert (session.read(CENTER) == logits[:1] / 255).all()
        assert (session.read(OFFSET) == -logits[1:]).all()
    session.close()
    assert cuda.memory == {}


def test_engine_whose_outputs_are_not_those_of_the_model_is_refused(cuda):
    engine = FakeEngine(cuda, CAMERA_HW, TYPES, is_panoptic=True)
    engine.shapes[OFFSET] = (1, 2, -1, -1)
    with pytest.raises(EngineError, match='offset of FLOAT .*of fixed size'):
        TensorRtSession(LIBRARY, engine, LOG, REQUEST, outputs=PANOPTIC_OUTPUTS)
    assert cuda.memory == {}


def test_without_a_graph_frames_are_queued_step_by_step(cuda, engine, make_image, caplog):
    cuda.fail['cudaStreamEndCapture'] = CODES.cudaErrorStreamCaptureUnsupported
    session = open_session(engine)
    assert 'without a CUDA graph: cudaStreamEndCapture failed' in caplog.text
    cuda.calls.clear()
    image = make_image(*CAMERA_HW)
    assert (session.infer(image) == compute_fake_logits(image)).all()
    assert 'cudaGraphLaunch' not in cuda.calls


def test_close_frees_all_memory(cuda, engine):
    open_session(engine).close()
    assert cuda.memory == {}


def test_image_of_another_size_is_refused(engine):
    session = open_session(engine)
    with pytest.raises(EngineError, match='expected uint8 of shape .64, 128, 3.'):
        session.infer(np.zeros((64, 64, 3), np.uint8))


def test_out_of_memory_is_named_and_all_is_freed(cuda, engine):
    # integrated GPUs have one memory
    function = 'cudaHostAlloc' if cuda.is_integrated else 'cudaMalloc'
    cuda.fail[function] = CODES.cudaErrorMemoryAllocation
    with pytest.raises(BackendUnavailableError, match='out of memory on Fake GPU'):
        open_session(engine)
    assert cuda.memory == {}


def test_engine_without_memory_for_its_layers_is_unavailable(cuda, engine):
    engine.has_memory = False
    with pytest.raises(BackendUnavailableError, match='no memory .* what the library said'):
        open_session(engine)
    assert cuda.memory == {}


def test_engine_of_another_model_is_refused(cuda, engine):
    engine.get_tensor_dtype = lambda name: TYPES.HALF
    with pytest.raises(EngineError, match='image of HALF .*expected UINT8'):
        open_session(engine)
    engine = FakeEngine(cuda, (64, 64), TYPES)
    with pytest.raises(EngineError, match='delete it from the cache'):
        open_session(engine)
    engine = FakeEngine(cuda, CAMERA_HW, TYPES)
    engine.shapes[LOGITS] = (1, 3, -1, -1)
    with pytest.raises(EngineError, match='of fixed size'):
        open_session(engine)
    assert cuda.memory == {}


def test_frame_that_fails_on_the_gpu_is_an_error(cuda, engine, make_image):
    session = open_session(engine)
    cuda.fail['cudaStreamSynchronize'] = CODES.cudaErrorLaunchFailure
    with pytest.raises(EngineError, match='cudaErrorLaunchFailure'):
        session.infer(make_image(*CAMERA_HW))


def test_engine_that_refuses_to_run_is_an_error(engine):
    engine.works = False
    with pytest.raises(EngineError, match='failed on a frame: what the library said'):
        open_session(engine)


RTX = TensorRtLibrary('tensorrt_rtx', LIBRARY.module)


@pytest.fixture
def plan_path(tmp_path):
    return tmp_path / 'street.engine'


def test_kernels_are_compiled_once_and_kept_beside_the_engine(cuda, plan_path, make_image):
    engines = [FakeRtxEngine(cuda, CAMERA_HW, TYPES) for _ in range(2)]
    image = make_image(*CAMERA_HW)
    for engine in engines:
        session = TensorRtSession(RTX, engine, LOG, REQUEST, plan_path)
        assert (session.infer(image) == compute_fake_logits(image)).all()
        session.close()
    assert [engine.compilations for engine in engines] == [1, 0]
    assert [path.name for path in plan_path.parent.iterdir()] == ['street.engine.kernels']


def test_kernels_of_another_gpu_are_compiled_again(cuda, plan_path):
    path = plan_path.with_name('street.engine.kernels')
    path.write_bytes(b'kernels of another GPU')
    engine = FakeRtxEngine(cuda, CAMERA_HW, TYPES)
    TensorRtSession(RTX, engine, LOG, REQUEST, plan_path)
    assert engine.compilations == 1
    assert path.read_bytes() == b'kernels of this GPU'


def test_kernels_that_cannot_be_written_are_a_warning(cuda, plan_path, caplog):
    engine = FakeRtxEngine(cuda, CAMERA_HW, TYPES)
    plan_path.parent.joinpath('file').touch()
    TensorRtSession(RTX, engine, LOG, REQUEST, plan_path.parent / 'file' / 'street.engine')
    assert 'the next start compiles the kernels again: cannot write' in caplog.text


def test_engine_that_is_not_kept_keeps_no_kernels(cuda, tmp_path):
    engine = FakeRtxEngine(cuda, CAMERA_HW, TYPES)
    TensorRtSession(RTX, engine, LOG, REQUEST)
    assert engine.compilations == 1
    assert list(tmp_path.iterdir()) == []


class FakeTensorRt:
    """TensorRT's module on a Jetson with two accelerator cores, as far as a backend opens it."""

    __version__ = '10.7.0'

    class ILogger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=2)

    class Runtime:
        num_DLA_cores = 2  # noqa: N815

        def __init__(self, logger):
            self.DLA_core = -1


@pytest.fixture
def jetson(monkeypatch, cuda):
    library = TensorRtLibrary('tensorrt', FakeTensorRt)
    monkeypatch.setattr(tensorrt_backend, 'load_library', lambda name: library)


def test_dla_core_is_taken_in_float16_and_is_part_of_the_key(jetson, model):
    backend = TensorRtBackend(model, dla_core=1)
    assert backend.precision == 'f16'
    assert 'on Fake GPU and DLA core 1 (sm89)' in backend.description
    assert backend._runtime.DLA_core == 1
    key = backend.make_plan_maker(REQUEST).key
    on_gpu = TensorRtBackend(model).make_plan_maker(REQUEST).key
    assert (key.dla_core, on_gpu.dla_core) == (1, -1)
    assert key.name_place('m') == on_gpu.name_place('m') + '.dla1'


@pytest.mark.parametrize(
    ('precision', 'core', 'message'),
    [
        ('auto', 2, 'model.dla_core is 2, but TensorRT knows 2 DLA cores on Fake GPU; use -1'),
        ('f32', 0, 'precision f32 is not available'),
    ],
)
def test_dla_core_that_cannot_be_used_is_named(jetson, model, precision, core, message):
    with pytest.raises(EngineError, match=message):
        TensorRtBackend(model, precision, dla_core=core)
    config = EngineConfig(str(model.path), 'tensorrt', precision, dla_core=core)
    engine = load_engine(config)
    assert 'DLA' not in engine.description.split(',')[0]
    assert message in engine.fallback_reason


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(cuda_device, 'has_driver', lambda: False)


def test_machine_without_an_nvidia_gpu_misses_nothing(model_path, no_gpu):
    engine = load_engine(EngineConfig(str(model_path)))
    assert engine.backend_name == 'openvino'
    assert not engine.is_fallback
    assert engine.description.endswith(
        'openvino is the fastest backend here '
        '(tensorrt, tensorrt_rtx: no NVIDIA driver on this machine)'
    )


@pytest.mark.parametrize('name', ['tensorrt', 'tensorrt_rtx'])
def test_tensorrt_that_was_asked_for_and_has_no_gpu(model_path, no_gpu, name):
    engine = load_engine(EngineConfig(str(model_path), name))
    assert engine.backend_name == 'openvino'
    assert engine.fallback_reason == f'{name}: no NVIDIA driver on this machine'
    with pytest.raises(EngineError, match=f'backend {name} cannot be used: no NVIDIA driver'):
        load_engine(EngineConfig(str(model_path), name, allow_fallback=False))


def test_gpu_without_tensorrt_is_a_fallback_with_the_way_out(model_path, cuda, monkeypatch):
    for module in ('tensorrt', 'tensorrt_rtx', 'tensorrt_rtx_bindings'):
        monkeypatch.setitem(sys.modules, module, None)
    engine = load_engine(EngineConfig(str(model_path)))
    assert engine.backend_name == 'openvino'
    assert 'tensorrt: tensorrt is not installed' in engine.fallback_reason
    assert 'pip install tensorrt-rtx-cu13-libs' in engine.fallback_reason


def test_empty_module_of_stubs_is_no_tensorrt(model_path, cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorrt', SimpleNamespace())
    engine = load_engine(EngineConfig(str(model_path), 'tensorrt'))
    assert 'module tensorrt is empty' in engine.fallback_reason


class LoadingBackend:
    """A backend that loads, and finds out that it cannot run when it compiles."""

    def __init__(self, model, precision, threads):
        self.name, self.precision, self.threads = 'tensorrt', 'f16', 0
        self.description = 'TensorRT on a full GPU'

    def compile(self, request):
        raise BackendUnavailableError('out of memory')

    def close(self):
        pass


@pytest.fixture
def full_gpu(monkeypatch, no_gpu):
    entry = type(BACKENDS['tensorrt'])('tensorrt', __name__, 'LoadingBackend')
    monkeypatch.setitem(BACKENDS, 'tensorrt', entry)


def test_backend_that_fails_to_compile_is_replaced(model_path, full_gpu, make_image, caplog):
    engine = load_engine(EngineConfig(str(model_path)))
    assert (engine.backend_name, engine.is_fallback) == ('tensorrt', False)
    engine.prepare(CAMERA_HW)
    assert engine.backend_name == 'openvino'
    assert engine.precision != 'f16'
    assert engine.fallback_reason == 'tensorrt: out of memory'
    assert 'fallback, because tensorrt: out of memory' in caplog.text
    assert engine.infer(make_image(*CAMERA_HW)).shape == (11, 8, 16)


def test_backend_that_fails_to_compile_is_an_error_where_no_other_is_allowed(model_path, full_gpu):
    engine = load_engine(EngineConfig(str(model_path), 'tensorrt', allow_fallback=False))
    with pytest.raises(EngineError, match='backend tensorrt cannot be used: out of memory'):
        engine.prepare(CAMERA_HW)
