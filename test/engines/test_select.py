# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which backend runs, why, and what is said when it cannot."""

from __future__ import annotations

import sys

import pytest

from seg_perception.engines.contract import EngineError
from seg_perception.engines.select import BACKENDS, EngineConfig, load_engine


@pytest.fixture
def without(monkeypatch):
    """Return a function that makes a library look as if it were not installed."""

    def hide(library: str) -> None:
        monkeypatch.setitem(sys.modules, library, None)

    return hide


def test_auto_takes_openvino_and_says_why(model_path):
    engine = load_engine(EngineConfig(str(model_path)))
    assert engine.backend_name == 'openvino'
    assert 'chosen by auto: openvino is the fastest backend here' in engine.description
    assert not engine.is_fallback
    assert engine.metadata.name == 'random'


def test_configured_backend_is_taken(model_path):
    engine = load_engine(EngineConfig(str(model_path), 'torch', allow_fallback=False))
    assert engine.backend_name == 'torch'
    assert engine.description.endswith('as configured')


def test_auto_without_openvino_falls_back_and_says_so(model_path, without):
    without('openvino')
    engine = load_engine(EngineConfig(str(model_path)))
    assert engine.backend_name == 'torch'
    assert engine.is_fallback
    assert 'OpenVINO is not installed' in engine.fallback_reason
    assert 'pip install openvino' in engine.description


def test_missing_backend_falls_back_where_allowed(model_path, without):
    without('openvino')
    engine = load_engine(EngineConfig(str(model_path), 'openvino'))
    assert engine.backend_name == 'torch'
    assert engine.is_fallback


def test_missing_backend_is_an_error_where_not_allowed(model_path, without):
    without('openvino')
    with pytest.raises(EngineError, match='backend openvino cannot be used: .*not installed'):
        load_engine(EngineConfig(str(model_path), 'openvino', allow_fallback=False))


def test_no_backend_at_all_names_every_reason(model_path, without):
    without('openvino')
    without('torch')
    with pytest.raises(EngineError, match='openvino: .* torch: PyTorch is not installed'):
        load_engine(EngineConfig(str(model_path)))


def test_missing_precision_falls_back_where_allowed(model_path):
    engine = load_engine(EngineConfig(str(model_path), 'torch', 'bf16'))
    assert engine.precision == 'f32'
    assert engine.is_fallback
    assert 'bf16 is not available with torch' in engine.fallback_reason
    with pytest.raises(EngineError, match='available: f32, or use auto'):
        load_engine(EngineConfig(str(model_path), 'torch', 'bf16', allow_fallback=False))


def test_dla_core_of_a_backend_without_is_a_fallback_where_allowed(model_path):
    engine = load_engine(EngineConfig(str(model_path), 'openvino', dla_core=0))
    assert 'dla_core is 0, but openvino knows no DLA cores' in engine.fallback_reason
    with pytest.raises(EngineError, match='use backend tensorrt on a Jetson that has them, or -1'):
        load_engine(EngineConfig(str(model_path), 'openvino', dla_core=0, allow_fallback=False))


def test_unknown_settings_are_named(model_path):
    path = str(model_path)
    names = ', '.join(BACKENDS)
    with pytest.raises(EngineError, match=f"backend 'cuda'; use auto or one of: {names}"):
        load_engine(EngineConfig(path, 'cuda'))
    with pytest.raises(EngineError, match="precision 'f64'; use one of: auto, f32, bf16"):
        load_engine(EngineConfig(path, precision='f64'))
    with pytest.raises(EngineError, match='threads is -1'):
        load_engine(EngineConfig(path, threads=-1))
    with pytest.raises(EngineError, match='height is 16, expected .* 32 to 8192'):
        load_engine(EngineConfig(path, height_px=16))
    with pytest.raises(EngineError, match='width is -64'):
        load_engine(EngineConfig(path, width_px=-64))
    with pytest.raises(EngineError, match="fit is 'crop'"):
        load_engine(EngineConfig(path, fit='crop'))


def test_missing_file_is_named():
    with pytest.raises(EngineError, match='/nowhere/model.onnx does not exist'):
        load_engine(EngineConfig('/nowhere/model.onnx'))
