# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A panoptic model file computes what PyTorch does, on every backend, at odd sizes too."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from seg_perception.engines.contract import (
    PANOPTIC_OUTPUTS,
    EngineError,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.networks.axial_attention import FoldedAxialAttention
from seg_perception.networks.axial_deeplab import AxialDeepLab, build_axial_deeplab
from seg_perception.networks.deployment import build_deployed, describe_network, fold_network
from seg_perception.networks.export import compute_outputs, draw_noise, write_model
from seg_perception.perception.geometry import compute_logits_size
from seg_perception.perception.labels import load_label_space

ODD_HW = (65, 97)


def randomise(network: nn.Module) -> nn.Module:
    """Draw norms and biases far from 1 and 0, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf in ('running_mean', 'bias'):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.6 - 0.3)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif name.endswith('predict.weight'):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
    return network.eval()


@pytest.fixture(scope='module')
def network() -> AxialDeepLab:
    """Return a nano network, random in all its tensors."""
    torch.manual_seed(1)
    return randomise(build_axial_deeplab('nano', 19, span_px=5))


@pytest.fixture(scope='module')
def model_path(network, tmp_path_factory):
    """Return a model file of an odd input size."""
    path = tmp_path_factory.mktemp('axial') / 'model.onnx'
    metadata = ModelMetadata(load_label_space('cityscapes'), InputContract(*ODD_HW), name='street')
    report = write_model(network, metadata, path)
    assert report.graph_difference <= 1e-4 * report.logits_range
    return path


@pytest.mark.parametrize('stem', ['conv', 'axial'])
def test_folded_network_is_the_same_function(stem):
    torch.manual_seed(3)
    network = randomise(build_axial_deeplab('nano', 5, stem=stem)).double()
    image = torch.randn(1, 3, 33, 50, dtype=torch.float64)
    with torch.inference_mode():
        for found, expected in zip(fold_network(network)(image), network(image), strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_description_builds_the_network_again(network):
    deployed = build_deployed(describe_network(network), 19)
    deployed.load_state_dict(fold_network(network).state_dict())
    assert all(layer.reach_px == 2 for layer in deployed.modules()
               if isinstance(layer, FoldedAxialAttention))  # fmt: skip
    with pytest.raises(UserError, match='expected variant s, m, l, xl, nano, stem conv, axial'):
        build_deployed({'name': 'axial_deeplab', 'variant': 't'}, 19)


def test_file_names_its_outputs_and_holds_all_weights(model_path, network):
    model = load_model_file(model_path)
    assert model.metadata.outputs == PANOPTIC_OUTPUTS and model.metadata.is_panoptic
    assert model.metadata.stride == 4
    assert [item.name for item in model.graph.graph.output] == list(PANOPTIC_OUTPUTS)
    assert set(model.read_weights()) == set(fold_network(network).state_dict())
    assert model_path.stat().st_size < 3e6
    kinds = {node.op_type for node in model.graph.graph.node}
    assert not kinds & {'BatchNormalization', 'NonZero', 'Loop', 'If', 'Einsum'}


@pytest.mark.parametrize('backend', ['openvino', 'torch'])
@pytest.mark.parametrize('network_hw', [ODD_HW, (97, 130)])
def test_backend_equals_pytorch(model_path, network, backend, network_hw):
    engine = load_engine(
        EngineConfig(
            str(model_path), backend=backend, precision='f32', allow_fallback=False,
            height_px=network_hw[0], width_px=network_hw[1],
        )
    )  # fmt: skip
    image = draw_noise(network_hw)
    outputs = engine.infer_panoptic(image, 'rgb')
    found = [outputs.logits, outputs.center[None], outputs.offset]
    model = load_model_file(model_path)
    rounded = build_deployed(model.metadata.network, 19)
    rounded.load_state_dict({k: torch.from_numpy(v) for k, v in model.read_weights().items()})
    expected = compute_outputs(rounded, image, engine.input)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert ours.shape[1:] == compute_logits_size(network_hw, 4)
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.array_equal(engine.infer(image, 'rgb'), outputs.logits)
    engine.close()


def test_semantic_user_of_the_file_sees_logits(model_path):
    engine = load_engine(EngineConfig(str(model_path), precision='f32'))
    logits = engine.infer(np.zeros((48, 64, 3), np.uint8), 'bgr')
    assert logits.shape == (19, 17, 25)
    grid = engine.sampling_grid((48, 64))
    assert (grid.logits_height, grid.logits_width) == (17, 25)
    engine.close()


def test_few_heads_at_a_time_are_the_same_function(network):
    contract = InputContract(64, 96)
    deployed = fold_network(network)
    image = draw_noise((64, 96))
    expected = compute_outputs(deployed, image, contract)
    for layer in deployed.modules():
        if isinstance(layer, FoldedAxialAttention):
            layer.head_groups = 4
    for found, theirs in zip(compute_outputs(deployed, image, contract), expected, strict=True):
        assert np.allclose(found, theirs, atol=1e-4 * np.abs(theirs).max())


def test_large_inputs_are_exported_with_few_heads_at_a_time():
    with torch.device('meta'):
        deployed = fold_network(build_axial_deeplab('s', 19))
    layers = [m for m in deployed.modules() if isinstance(m, FoldedAxialAttention)]
    deployed.limit_memory((256, 512))
    assert {layer.head_groups for layer in layers} == {1}
    deployed.limit_memory((1024, 2048))
    groups = [layer.head_groups for layer in layers]
    # the first stage's rows need 67 million scores a head, its columns half of that
    assert groups[:2] == [8, 8] and groups[-1] == 1


def test_file_whose_outputs_are_not_those_it_names(model_path, tmp_path):
    model = onnx.load(str(model_path))
    del model.graph.output[2]
    path = tmp_path / 'cut.onnx'
    onnx.save(model, str(path))
    with pytest.raises(EngineError, match=r"outputs \['logits', 'center'\], expected"):
        load_model_file(path)
