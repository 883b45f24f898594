# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The deployed network in half precision, on the CPU, whose rounding is that of a GPU."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from onnx import TensorProto

from seg_perception.engines.contract import EngineError, InputContract, ModelMetadata
from seg_perception.engines.half_precision import convert_precision
from seg_perception.networks.checkpoints import load_network
from seg_perception.networks.deploy import describe_network, fold_segnext
from seg_perception.networks.export import export_network
from seg_perception.networks.half_precision import convert_layers
from seg_perception.perception.labels import load_label_space
from seg_perception.resources import find_model


@pytest.fixture(scope='module')
def trained():
    """Return the shipped network."""
    return load_network(find_model('segnext_t_street').with_name('weights.safetensors')).eval()


@pytest.fixture(scope='module')
def deployed(trained):
    return fold_segnext(trained)


@pytest.fixture(scope='module')
def half(deployed):
    network = copy.deepcopy(deployed)
    convert_layers(network, torch.float16)
    return network


def test_half_weights_are_those_of_the_half_graph(trained, deployed, half):
    metadata = ModelMetadata(
        load_label_space('cityscapes'), InputContract(64, 128), network=describe_network(trained)
    )
    graph = convert_precision(export_network(deployed, metadata), 'f16').graph
    in_graph = set()
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            name = re.sub(r'(/float32)?/f16$', '', tensor.name)
            # products of the head have their matrix transposed, under the name of that node
            in_graph.add(re.sub(r'^/(.*)/(.*)/Transpose_output_0$', r'\1.\2.weight', name))
    in_torch = {n for n, value in half.state_dict().items() if value.dtype == torch.float16}
    assert in_torch == in_graph


@pytest.mark.parametrize(('dtype', 'share'), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_logits_of_half_precision_are_those_of_float32_nearly(deployed, dtype, share):
    network = copy.deepcopy(deployed)
    convert_layers(network, dtype)
    image = torch.randn(1, 3, 96, 192, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected, found = deployed(image), network(image)
    assert found.dtype == torch.float32
    difference = float((found - expected).abs().max())
    assert 0 < difference <= share * float(expected.abs().max())


def test_weight_beyond_the_range_is_refused(deployed):
    network = copy.deepcopy(deployed)
    network.backbone.stem_1.weight.data[0] = 7e4
    with pytest.raises(EngineError, match='backbone.stem_1 .* a weight of 7e.04, more than'):
        convert_layers(network, torch.float16)
