# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The engine is compared with the model file run as it is; a difference is not passed over."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seg_perception.doctor import engine
from seg_perception.doctor.engine import Reference, check_engine, describe_kept_engine
from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN
from seg_perception.engines.cuda_device import has_driver


@pytest.fixture(autouse=True)
def two_frames(monkeypatch):
    monkeypatch.setattr(engine, 'FRAMES', 2)


def find(findings, name):
    return next(finding for finding in findings if finding.name == name)


def test_the_shipped_model_has_the_classes_of_its_float32_graph():
    findings = list(check_engine('', 'auto'))
    assert find(findings, 'backend auto').level == OK
    agreement = find(findings, 'against reference')
    assert agreement.level == OK, agreement
    assert float(agreement.text.split()[0]) >= 99.5
    assert find(findings, 'time of inference').level == OK


def test_onnx_runtime_and_openvino_are_the_same_reference(tiny_model):
    pytest.importorskip('onnxruntime')
    image = np.random.default_rng(0).integers(0, 256, (*engine.CAMERA_HW, 3), np.uint8)
    first = engine.open_openvino(tiny_model).infer(image)
    second = engine.open_onnx_runtime(tiny_model).infer(image)
    assert first.shape == second.shape == (19, 8, 16)
    assert np.abs(first - second).max() < 1e-3 * np.abs(first).max()


def test_an_engine_with_other_classes_fails(tiny_model, monkeypatch):
    honest = engine.open_openvino(tiny_model)
    wrong = Reference('the truth', lambda image: -honest.infer(image))
    monkeypatch.setattr(engine, 'open_reference', lambda path: wrong)
    agreement = find(list(check_engine(str(tiny_model), 'auto')), 'against reference')
    assert agreement.level == FAIL and 'model.precision to f32' in agreement.cure


def test_without_a_library_for_the_reference_it_is_skipped(tiny_model, monkeypatch):
    monkeypatch.setattr(engine, 'open_reference', lambda path: None)
    findings = list(check_engine(str(tiny_model), 'auto'))
    assert find(findings, 'against reference').level == SKIPPED


@pytest.mark.skipif(has_driver(), reason='TensorRT may run here')
def test_a_backend_that_is_not_here_is_a_warning_and_says_what_runs_instead(tiny_model):
    findings = list(check_engine(str(tiny_model), 'tensorrt'))
    backend = find(findings, 'backend tensorrt')
    assert backend.level == WARN
    assert 'fallback, because tensorrt:' in backend.text and 'OpenVINO' in backend.text


def test_an_unknown_backend_fails_with_the_known_ones(tiny_model):
    (finding,) = check_engine(str(tiny_model), 'tensorflow')
    assert finding.level == FAIL and 'openvino' in finding.text


def test_without_a_model_there_is_nothing_to_run():
    (finding,) = check_engine('no_such_model', 'auto')
    assert finding.level == SKIPPED


@pytest.mark.parametrize(
    ('build_status', 'keeps_engines', 'level', 'expected'),
    [
        ('building: 12 %', True, WARN, 'runs on openvino until then'),
        ('', True, OK, 'it is there'),
        ('', False, SKIPPED, 'compiles at each start'),
    ],
)
def test_an_engine_that_has_to_be_built_first_is_a_warning(
    build_status, keeps_engines, level, expected
):
    running = SimpleNamespace(
        build_status=build_status, keeps_engines=keeps_engines, backend_name='openvino'
    )
    finding = describe_kept_engine(running, Path('street.onnx'))
    assert finding.level == level and expected in finding.text
    assert ('build-engine street.onnx --camera 512x1024' in finding.cure) == (level == WARN)
