# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model files that can be read and those that cannot."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from seg_perception.engines.contract import EngineError
from seg_perception.engines.model_file import load_model_file


def test_weights_come_back_by_their_names_in_float32(model, network):
    weights = model.read_weights()
    state = network.state_dict()
    assert set(weights) == set(state)
    for name, value in state.items():
        assert weights[name].dtype == np.float32
        # Half precision keeps 11 bits.
        np.testing.assert_allclose(weights[name], value.numpy(), rtol=5e-4, atol=1e-7)


def test_missing_file(tmp_path):
    with pytest.raises(EngineError, match='none.onnx does not exist; export one'):
        load_model_file(tmp_path / 'none.onnx')


def test_folder_is_no_file(tmp_path):
    with pytest.raises(EngineError, match='does not exist'):
        load_model_file(tmp_path)


@pytest.mark.parametrize('content', [b'', b'no model', b'\x00' * 64, b'\x89PNG\r\n\x1a\n' * 9])
def test_other_files(tmp_path, content):
    path = tmp_path / 'other.onnx'
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r'other.onnx .* is not an ONNX file'):
        load_model_file(path)


def test_truncated_file(tmp_path, model_path):
    content = model_path.read_bytes()
    path = tmp_path / 'half.onnx'
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EngineError, match=f'{len(content) // 2} bytes.*truncated'):
        load_model_file(path)


def test_foreign_onnx_file(tmp_path):
    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', [value], [output])
    path = tmp_path / 'foreign.onnx'
    onnx.save(helper.make_model(graph), str(path))
    with pytest.raises(EngineError, match='foreign.onnx is an ONNX file without seg_perception'):
        load_model_file(path)


def test_file_with_another_output(tmp_path, model):
    changed = onnx.ModelProto()
    changed.CopyFrom(model.graph)
    changed.graph.output[0].name = 'mask'
    path = tmp_path / 'mask.onnx'
    path.write_bytes(changed.SerializeToString())
    with pytest.raises(EngineError, match=r"outputs \['mask'\], expected \['image'\] and"):
        load_model_file(path)
