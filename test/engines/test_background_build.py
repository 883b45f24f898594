# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A backend that builds for long: another one stands in, and hands over between two images.

The GPU's backend is a double that builds until it is told to finish, and then computes in
PyTorch; the stand-in is OpenVINO, real.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from seg_perception.engines import select
from seg_perception.engines.build_watch import BuildCancelledError, NotBuiltError
from seg_perception.engines.contract import BackendUnavailableError, EngineError
from seg_perception.engines.select import BACKENDS, EngineConfig, load_engine
from seg_perception.engines.torch_backend import TorchBackend

CAMERA = ((64, 128), 'rgb')
OTHER_CAMERA = ((40, 60), 'rgb')


class SlowBackend(TorchBackend):
    """Builds until `finish` is set; what is in `kept` is there already."""

    finish = threading.Event()
    kept: set[tuple[int, int]] = set()
    builds: list[tuple[int, int]] = []
    failure: Exception | None = None

    def __init__(self, model: Any, precision: str = 'auto', threads: int = 0) -> None:
        super().__init__(model, 'f32')
        self.name = 'tensorrt'
        self.cache_problem = 'engines cannot be kept in this test'
        self.is_open = True

    def load_or_build(self, request, watch, may_build=True):
        if request.camera_hw not in self.kept:
            if not may_build:
                raise NotBuiltError('not yet')
            self.builds.append(request.camera_hw)
            watch.report('timing', 0.42)
            while not self.finish.wait(0.01):
                watch.require_wanted()
            if self.failure is not None:
                raise self.failure
        return self.compile(request)

    def close(self):
        self.is_open = False
        super().close()


@pytest.fixture
def gpu(monkeypatch):
    """Put the double in the place of TensorRT; what it is told is forgotten after a test."""
    entry = select.BackendEntry('tensorrt', __name__, 'SlowBackend')
    monkeypatch.setitem(BACKENDS, 'tensorrt', entry)
    for name, value in (
        ('finish', threading.Event()),
        ('kept', set()),
        ('builds', []),
        ('failure', None),
    ):
        monkeypatch.setattr(SlowBackend, name, value)
    yield SlowBackend
    SlowBackend.finish.set()


@pytest.fixture
def open_engine(model_path):
    """Return a function that loads an engine, to be closed after the test."""
    engines = []

    def load(**options):
        settings = {'backend': 'tensorrt', 'build_in_background': True, **options}
        engines.append(load_engine(EngineConfig(str(model_path), **settings)))
        return engines[-1]

    yield load
    for engine in engines:
        engine.close()


def wait_until_ready(engine):
    """Wait until what is built could be taken."""
    deadline_s = time.monotonic() + 20
    while 'ready' not in engine.build_status and time.monotonic() < deadline_s:
        time.sleep(0.01)


def test_other_backend_answers_until_the_engine_is_built(
    gpu, open_engine, reference, make_image, check_logits, caplog
):
    caplog.set_level('INFO')
    engine = open_engine()
    engine.prepare(*CAMERA)
    for seed in range(2):
        image = make_image(*CAMERA[0], seed=seed)
        found = engine.infer(image, 'rgb')
        assert np.abs(found - reference(image)).max() <= 0.05 * np.abs(found).max()  # bfloat16
        assert engine.backend_name == 'openvino'
    assert engine.build_status == 'building an engine for tensorrt (42%)'
    assert engine.description.endswith('stands in while an engine for tensorrt is built')
    assert not engine.is_fallback
    gpu.finish.set()
    wait_until_ready(engine)
    image = make_image(*CAMERA[0], seed=3)
    check_logits(engine.infer(image, 'rgb'), reference(image))
    assert (engine.backend_name, engine.precision, engine.build_status) == ('tensorrt', 'f32', '')
    assert 'switched from openvino to tensorrt for 64x128 rgb images' in caplog.text
    assert gpu.builds == [CAMERA[0]]


def test_kept_engine_is_loaded_and_nothing_stands_in(gpu, open_engine):
    gpu.kept = {CAMERA[0]}
    engine = open_engine()
    engine.prepare(*CAMERA)
    assert (engine.backend_name, gpu.builds) == ('tensorrt', [])


def test_camera_of_a_new_size_is_built_for_while_the_first_goes_on(gpu, open_engine, make_image):
    gpu.kept = {CAMERA[0]}
    engine = open_engine()
    names = []
    for camera in (CAMERA, OTHER_CAMERA, CAMERA, OTHER_CAMERA):
        engine.infer(make_image(*camera[0]), camera[1])
        names.append(engine.backend_name)
    assert names == ['tensorrt', 'openvino', 'tensorrt', 'openvino']
    gpu.finish.set()
    wait_until_ready(engine)
    engine.infer(make_image(*OTHER_CAMERA[0]), 'rgb')
    assert (engine.backend_name, gpu.builds) == ('tensorrt', [OTHER_CAMERA[0]])


@pytest.mark.parametrize(
    'failure', [kind('no memory') for kind in (BackendUnavailableError, EngineError, OSError)]
)
def test_build_that_fails_leaves_the_next_backend_and_the_reason(
    gpu, open_engine, make_image, failure, caplog
):
    engine = open_engine()
    engine.prepare(*CAMERA)
    gpu.failure = failure
    gpu.finish.set()
    wait_until_ready(engine)
    for _ in range(2):
        assert engine.infer(make_image(*CAMERA[0]), 'rgb').shape == (11, 8, 16)
        assert engine.backend_name == 'openvino'
    assert engine.fallback_reason.startswith('tensorrt: ')
    assert 'no memory' in engine.fallback_reason
    assert engine.build_status == ''
    assert len(gpu.builds) == 1


def test_where_no_backend_is_left_the_one_that_stood_in_goes_on(gpu, open_engine, make_image):
    engine = open_engine()
    engine.prepare(*CAMERA)
    gpu.failure = BackendUnavailableError('no memory')
    engine._build._choose_next = raise_nothing_left
    gpu.finish.set()
    wait_until_ready(engine)
    for _ in range(2):
        engine.infer(make_image(*CAMERA[0]), 'rgb')
        assert engine.backend_name == 'openvino'
    assert 'no backend can be used here: no memory' in engine.fallback_reason
    assert len(gpu.builds) == 1


def raise_nothing_left(error):
    raise EngineError(f'no backend can be used here: {error}')


def test_cancelled_build_begins_again_with_the_next_image(gpu, open_engine, make_image):
    engine = open_engine()
    engine.prepare(*CAMERA)
    engine.cancel_build()
    assert engine.build_status == ''
    engine.infer(make_image(*CAMERA[0]), 'rgb')
    assert 'building an engine for tensorrt' in engine.build_status
    assert gpu.builds == 2 * [CAMERA[0]]


def test_build_that_was_faster_than_its_end_is_kept(gpu, open_engine, make_image):
    engine = open_engine()
    engine.prepare(*CAMERA)
    gpu.finish.set()
    wait_until_ready(engine)
    engine.cancel_build()
    engine.infer(make_image(*CAMERA[0]), 'rgb')
    assert engine.backend_name == 'tensorrt'


def test_closed_engine_ends_its_build(gpu, open_engine):
    engine = open_engine()
    engine.prepare(*CAMERA)
    engine.close()
    assert engine.build_status == ''
    assert not [t for t in threading.enumerate() if t.name == 'engine build']


@pytest.mark.parametrize(
    'options', [{'allow_fallback': False}, {'build_in_background': False}, {}], ids=str
)
def test_images_wait_for_a_build_where_nothing_may_or_can_stand_in(
    gpu, open_engine, make_image, monkeypatch, options
):
    if not options:
        for name in ('openvino', 'torch'):
            monkeypatch.setitem(
                BACKENDS, name, select.BackendEntry(name, __name__, 'MissingBackend')
            )
    threading.Timer(0.3, gpu.finish.set).start()
    engine = open_engine(**options)
    engine.infer(make_image(*CAMERA[0]), 'rgb')
    assert gpu.finish.is_set()
    assert engine.backend_name == 'tensorrt'


class MissingBackend:
    """A backend that is not installed."""

    def __init__(self, model: Any, precision: str, threads: int) -> None:
        raise BackendUnavailableError('not installed')


def test_build_that_is_waited_for_can_be_interrupted(gpu, open_engine):
    engine = open_engine(build_in_background=False)
    threading.Timer(0.3, engine.interrupt).start()
    with pytest.raises(BuildCancelledError, match='was cancelled'):
        engine.prepare(*CAMERA)


def test_problem_of_the_cache_is_that_of_the_backend_that_runs(gpu, open_engine, make_image):
    engine = open_engine()
    engine.prepare(*CAMERA)
    assert engine.cache_problem == ''
    gpu.finish.set()
    wait_until_ready(engine)
    engine.infer(make_image(*CAMERA[0]), 'rgb')
    assert engine.cache_problem == 'engines cannot be kept in this test'
