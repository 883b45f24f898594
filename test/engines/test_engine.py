# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Engines compute the network on camera images, on every backend alike."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from seg_perception.engines import engine as engine_module
from seg_perception.engines.contract import EngineError
from seg_perception.engines.select import EngineConfig, load_engine

CAMERAS = [(64, 128), (64, 100), (51, 77), (128, 256), (1, 1), (3, 200), (200, 3)]


@pytest.fixture(scope='module', params=['openvino', 'torch'])
def backend(request):
    """Return the name of a backend."""
    return request.param


@pytest.fixture(scope='module')
def engine(backend, model_path):
    """Return an engine at the file's own size."""
    # float32: 'auto' is bfloat16 on a CPU that has it
    loaded = load_engine(EngineConfig(str(model_path), backend, 'f32', allow_fallback=False))
    yield loaded
    loaded.close()


@pytest.mark.parametrize('camera_hw', CAMERAS)
def test_logits_are_those_of_pytorch_and_opencv(
    engine, reference, make_image, check_logits, camera_hw
):
    image = make_image(*camera_hw)
    check_logits(engine.infer(image, 'rgb'), reference(image))


def test_bgr_images_give_the_same_logits(engine, reference, make_image, check_logits):
    image = make_image(50, 90)
    flipped = np.ascontiguousarray(image[:, :, ::-1])
    check_logits(engine.infer(flipped, 'bgr'), reference(image))


def test_mono_images_give_the_same_logits_in_both_orders(engine, make_image, check_logits):
    image = np.repeat(make_image(50, 90)[:, :, :1], 3, axis=2)
    expected = engine.infer(image, 'rgb').copy()
    check_logits(engine.infer(image, 'bgr'), expected)


def test_camera_may_change_size_in_mid_stream(engine, reference, make_image, check_logits):
    for seed, camera_hw in enumerate([(64, 128), (40, 60), (64, 128), (90, 60), (40, 60)]):
        image = make_image(*camera_hw, seed=seed)
        check_logits(engine.infer(image, 'rgb'), reference(image))


def test_read_only_and_strided_images(engine, reference, make_image, check_logits):
    image = make_image(64, 140)
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
    check_logits(engine.infer(read_only, 'rgb'), reference(image))
    cropped = image[:, 5:133]
    check_logits(engine.infer(cropped, 'rgb'), reference(np.ascontiguousarray(cropped)))


def test_image_is_left_as_it_is(engine, make_image):
    image = make_image(64, 128)
    before = image.copy()
    engine.infer(image, 'rgb')
    assert (image == before).all()


def test_same_image_gives_the_same_logits_bit_for_bit(engine, make_image):
    image = make_image(64, 128)
    first = engine.infer(image, 'rgb').copy()
    engine.infer(make_image(64, 128, seed=1), 'rgb')
    assert (engine.infer(image, 'rgb') == first).all()


@pytest.mark.parametrize('fit', ['letterbox', 'stretch'])
@pytest.mark.parametrize('network_hw', [(96, 64), (75, 101)])
def test_size_and_fit_of_the_file_can_be_overridden(
    backend, model_path, reference, make_image, check_logits, network_hw, fit
):
    config = EngineConfig(
        str(model_path), backend, 'f32', network_hw[0], network_hw[1], fit
    )
    engine = load_engine(config)
    image = make_image(60, 80)
    check_logits(engine.infer(image, 'rgb'), reference(image, network_hw, fit))
    grid = engine.sampling_grid((60, 80))
    logits_hw = (-(-network_hw[0] // 8), -(-network_hw[1] // 8))
    assert (grid.logits_height, grid.logits_width) == logits_hw
    assert (grid.camera_height_px, grid.camera_width_px) == (60, 80)


def test_engine_can_run_on_another_thread(engine, reference, make_image, check_logits):
    image = make_image(64, 128)
    results = []
    thread = threading.Thread(target=lambda: results.append(engine.infer(image, 'rgb').copy()))
    thread.start()
    thread.join()
    check_logits(results[0], reference(image))


def test_prepare_compiles_once(engine, monkeypatch):
    calls = []
    compile_camera = engine._backend.compile

    def count(request):
        calls.append(request)
        return compile_camera(request)

    monkeypatch.setattr(engine._backend, 'compile', count)
    engine.prepare((33, 44), 'bgr')
    for _ in range(2):
        engine.infer(np.zeros((33, 44, 3), np.uint8), 'bgr')
    assert len(calls) == 1


def test_compiled_cameras_are_few(engine):
    assert engine.max_sizes == engine_module.SPARE_SESSIONS + 1
    for width_px in range(60, 60 + engine.max_sizes + 2):
        engine.prepare((40, width_px), 'rgb')
    assert len(engine._sessions) == engine.max_sizes
    assert ((40, width_px), 'rgb') in engine._sessions


def test_description_says_what_runs(engine, backend):
    engine.prepare((64, 128))
    assert engine.backend_name == backend
    assert engine.precision == 'f32'
    assert engine.threads >= 1
    assert not engine.is_fallback
    assert engine.fallback_reason == ''
    assert 'f32' in engine.description and 'input 64x128 letterbox' in engine.description
    assert '\n' not in engine.description


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((64, 128), np.uint8),
        np.zeros((64, 128, 4), np.uint8),
        np.zeros((64, 128, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(engine, image):
    with pytest.raises(EngineError, match=r'expected uint8 of shape \(height, width, 3\)'):
        engine.infer(image, 'rgb')


@pytest.mark.parametrize('shape', [(0, 128, 3), (64, 0, 3)])
def test_empty_images_are_refused(engine, shape):
    with pytest.raises(EngineError, match='at least 1'):
        engine.infer(np.zeros(shape, np.uint8), 'rgb')


def test_unknown_channel_order_is_refused(engine):
    with pytest.raises(EngineError, match="'yuv', expected one of: rgb, bgr"):
        engine.infer(np.zeros((64, 128, 3), np.uint8), 'yuv')


def test_closed_engine_says_so(backend, model_path):
    engine = load_engine(EngineConfig(str(model_path), backend))
    engine.infer(np.zeros((64, 128, 3), np.uint8), 'rgb')
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match='closed'):
        engine.infer(np.zeros((64, 128, 3), np.uint8), 'rgb')
