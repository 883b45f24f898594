# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model files hold what was trained, and nothing is left behind when they do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from seg_perception.engines.contract import EngineError, InputContract, ModelMetadata
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.networks.deploy import describe_network, fold_segnext
from seg_perception.networks.export import draw_noise, export_network, write_model
from seg_perception.perception.labels import load_label_space


@pytest.fixture(scope='module')
def metadata() -> ModelMetadata:
    """Return metadata for an input of 64x96 and 19 classes."""
    return ModelMetadata(
        load_label_space('cityscapes'), InputContract(64, 96), name='x', source_sha256='0' * 64
    )


@pytest.fixture(scope='module')
def exported(make_segnext, metadata) -> onnx.ModelProto:
    """Return a model file in memory."""
    return export_network(fold_segnext(make_segnext()), metadata)


def test_input_and_output(exported):
    graph = exported.graph
    image, logits = graph.input[0], graph.output[0]
    assert (len(graph.input), image.name) == (1, 'image')
    assert image.type.tensor_type.elem_type == TensorProto.UINT8
    sides = [side.dim_param or side.dim_value for side in image.type.tensor_type.shape.dim]
    assert sides == ['height', 'width', 3]
    assert (len(graph.output), logits.name) == (1, 'logits')
    assert [side.dim_value for side in logits.type.tensor_type.shape.dim][:2] == [1, 19]
    assert {item.version for item in exported.opset_import} == {20}


def test_gelu_is_one_operation_and_nothing_is_random(exported):
    kinds = [node.op_type for node in exported.graph.node]
    assert kinds.count('Gelu') == 27  # 13 blocks with two each, and the stem
    assert 'Erf' not in kinds
    assert 'BatchNormalization' not in kinds
    assert not [kind for kind in kinds if kind.startswith('Random')]


def test_weights_are_stored_as_half_precision_and_bases_in_full(exported):
    types = {tensor.name: tensor.data_type for tensor in exported.graph.initializer}
    assert types['decode_head.bases'] == TensorProto.FLOAT
    assert types['backbone.blocks.0.0.fc1.weight'] == TensorProto.FLOAT16
    assert types['backbone.blocks.0.0.fc1.bias'] == TensorProto.FLOAT
    # 4.2 million weights of 2 bytes, and what has to stay in float32.
    assert exported.ByteSize() < 9e6


def test_initialisers_have_the_names_of_the_state_dict(make_segnext, exported):
    names = {t.name for t in exported.graph.initializer if not t.name.startswith('prelude/')}
    assert names == set(fold_segnext(make_segnext()).state_dict())


def test_equal_weights_keep_their_own_names(make_segnext, metadata):
    network = make_segnext()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.ndim == 1:
                tensor.fill_(0.5)
    deployed = fold_segnext(network)
    graph = export_network(deployed, metadata).graph
    names = {t.name for t in graph.initializer if not t.name.startswith('prelude/')}
    assert names == set(deployed.state_dict())


def test_file_is_written_whole_and_agrees_with_pytorch(make_segnext, metadata, tmp_path):
    network = make_segnext()
    report = write_model(network, metadata, tmp_path / 'deep' / 'model.onnx')
    assert report.path == tmp_path / 'deep' / 'model.onnx'
    assert report.size_bytes == report.path.stat().st_size
    assert [path.name for path in report.path.parent.iterdir()] == ['model.onnx']
    stored = load_model_file(report.path).metadata
    assert stored.network == describe_network(network)
    assert stored.label_space == metadata.label_space
    assert stored.input == metadata.input
    assert stored.source_sha256 == metadata.source_sha256
    image = draw_noise((64, 96))
    mean, std = np.array(stored.input.mean_rgb), np.array(stored.input.std_rgb)
    pixels = torch.from_numpy(((image - mean) / std).astype(np.float32).transpose(2, 0, 1))[None]
    with torch.inference_mode():
        expected = network(pixels)[0].numpy()
    engine = load_engine(EngineConfig(str(report.path), precision='f32'))
    difference = float(np.abs(engine.infer(image, 'rgb') - expected).max())
    assert difference == pytest.approx(report.max_difference, rel=0.01)
    assert difference <= 0.05 * float(np.abs(expected).max())  # weights rounded to 11 bits
    assert report.graph_difference <= 1e-4 * report.logits_range
    assert report.mask_agreement > 0.97


def test_broken_weights_leave_no_file(make_segnext, metadata, tmp_path):
    network = make_segnext()
    with torch.no_grad():
        network.decode_head.conv_seg.weight.fill_(float('nan'))
    with pytest.raises(EngineError, match='differs from PyTorch by nan'):
        write_model(network, metadata, tmp_path / 'model.onnx')
    assert list(tmp_path.iterdir()) == []
