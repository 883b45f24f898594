# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model's weights file without matrices gives, with the model file, the trained network."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import load_checkpoint, load_network
from seg_perception.networks.deploy import fold_segnext
from seg_perception.networks.segnext import build_segnext
from seg_perception.networks.unfold import MATRICES_KEY, drop_matrices, unfold_segnext
from seg_perception.resources import find_model


@pytest.fixture(scope='module')
def network():
    """Return a network whose norms and layer scales are none of their first values."""
    torch.manual_seed(3)
    network = build_segnext('t', 7, 16).eval()
    for name, value in network.state_dict().items():
        if name.endswith(('running_var', 'norm1.weight', 'norm2.weight')):
            value.uniform_(0.5, 2.0)
        elif name.endswith('running_mean') or 'layer_scale' in name:
            value.uniform_(-0.3, 0.3)
    return network


def test_unfolding_is_the_inverse_of_folding(network):
    weights = network.state_dict()
    folded = fold_segnext(network).state_dict()
    rest = drop_matrices(weights)
    found = rest | unfold_segnext(folded, rest, network.variant)
    for name, value in weights.items():
        if 'num_batches' not in name:
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_a_channel_that_was_scaled_by_zero_is_zero(network):
    rest = drop_matrices(network.state_dict())
    rest['backbone.block1.0.layer_scale_1'] = torch.zeros(32)
    found = unfold_segnext(fold_segnext(network).state_dict(), rest, network.variant)
    assert not found['backbone.block1.0.attn.proj_2.weight'].any()
    assert all(torch.isfinite(value).all() for value in found.values())


def test_the_shipped_weights_are_those_of_the_shipped_model():
    path = find_model('segnext_t_street').with_name('weights.safetensors')
    network = load_network(path).eval()
    folded = fold_segnext(network).state_dict()
    for name, value in load_model_file(path.with_name('model.onnx')).read_weights().items():
        expected = torch.from_numpy(value)
        # Biases take up the rounding of the weights to 11 bits.
        atol = 2e-3 * float(expected.abs().max())
        torch.testing.assert_close(folded[name], expected, rtol=1e-3, atol=atol, msg=name)


@pytest.mark.parametrize('change', ['missing', 'other'])
def test_files_that_do_not_belong_together_are_named(network, tmp_path, change):
    shipped = find_model('segnext_t_street')
    if change == 'other':
        shutil.copy(shipped, tmp_path / 'model.onnx')
    rest = {
        name: value for name, value in drop_matrices(network.state_dict()).items()
        if 'norm1' not in name
    }  # fmt: skip
    save_file(rest, tmp_path / 'weights.safetensors', {MATRICES_KEY: 'model.onnx'})
    expected = 'model.onnx' if change == 'missing' else 'keep the two files of a model together'
    with pytest.raises(UserError, match=expected):
        load_checkpoint(tmp_path / 'weights.safetensors')


def test_a_file_with_all_weights_is_read_as_it_is(network, tmp_path):
    save_file(network.state_dict(), tmp_path / 'all.safetensors')
    assert load_checkpoint(tmp_path / 'all.safetensors').keys() == load_file(
        tmp_path / 'all.safetensors'
    ).keys()
