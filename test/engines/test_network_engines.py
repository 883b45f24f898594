# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegViT and SANet, one block per stage, in every engine that this machine can make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from shallow_networks import know_shallow
from tensorrt_process import NEEDS_TENSORRT_RTX, start_build

from seg_perception.cli import main
from seg_perception.engines.contract import InputContract, ModelMetadata
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.networks.deployment import build_deployed, describe_network, fold_network
from seg_perception.networks.export import compute_outputs, draw_noise, export_network
from seg_perception.networks.registry import build_network, parse_full_name
from seg_perception.perception.labels import load_label_space

SIZE_HW = (64, 96)
STRIDES = {'segvit_s': 4, 'sanet_r18': 8}
AGREEMENT = 0.95  # of the classes in bfloat16 with those in float32, random weights


@pytest.fixture(scope='module', autouse=True)
def shallow() -> Iterator[None]:
    with know_shallow():
        yield


@pytest.fixture(scope='module', params=STRIDES)
def path(request, tmp_path_factory) -> Path:
    """Return the model file of a network with random weights."""
    torch.manual_seed(7)
    network = build_network(*parse_full_name(request.param), 19).eval()
    with torch.no_grad():
        for key, tensor in network.named_parameters():
            if key.endswith(('queries', 'pos_embed')):
                tensor.normal_()
    metadata = ModelMetadata(
        load_label_space('cityscapes'),
        InputContract(*SIZE_HW),
        name=request.param,
        network=describe_network(network),
        stride=STRIDES[request.param],
    )
    path = tmp_path_factory.mktemp('models') / f'{request.param}.onnx'
    path.write_bytes(export_network(fold_network(network), metadata).SerializeToString())
    return path


@pytest.fixture(scope='module')
def expected(path) -> np.ndarray:
    """Return PyTorch's logits with the file's weights for `draw_noise`."""
    model = load_model_file(path)
    network = build_deployed(model.metadata.network, 19)
    weights = model.read_weights()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return compute_outputs(network, draw_noise(SIZE_HW), model.metadata.input)[0]


@pytest.mark.parametrize(
    ('backend', 'precision'), [('openvino', 'f32'), ('torch', 'f32'), ('torch', 'bf16')]
)
def test_engine_computes_what_the_network_does(path, expected, backend, precision):
    engine = load_engine(EngineConfig(str(path), backend=backend, precision=precision))
    try:
        found = engine.infer(draw_noise(SIZE_HW), 'rgb').copy()
    finally:
        engine.close()
    assert engine.backend_name == backend
    assert found.shape == expected.shape
    if precision == 'f32':
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    assert (found.argmax(0) == expected.argmax(0)).mean() >= AGREEMENT


@NEEDS_TENSORRT_RTX
def test_tensorrt_rtx_builds_it_in_half_precision(path, expected, tmp_path):
    process = start_build(tmp_path, str(path), '--target', 'sm89', '--json', 'built.json')
    _, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    built = json.loads((tmp_path / 'built.json').read_text())
    shape = [1, *expected.shape]
    assert built['precision'] == 'f16'
    assert built['inputs'] == [{'name': 'image', 'dtype': 'uint8', 'shape': [*SIZE_HW, 3]}]
    assert built['outputs'] == [{'name': 'logits', 'dtype': 'float', 'shape': shape}]


def test_calibrate_refuses_logits_that_no_layer_makes(path, tmp_path, capsys):
    arguments = ['--layout', 'frames', '--root', str(tmp_path), '--split', 'val']
    arguments += ['--model', str(path), '--out', str(tmp_path / 'calibrated.onnx')]
    assert main(['calibrate', *arguments]) == 2
    error = capsys.readouterr().err
    if path.stem == 'segvit_s':
        assert 'gives logarithms of scores in place of logits' in error
    else:
        assert error.startswith('error: no folder')  # nothing is said against the model
    assert not list(tmp_path.iterdir())
