# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception train` of a network by name: what is wrong is said at once, in one message."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from seg_perception.cli import main
from seg_perception.networks.checkpoints import save_weights
from seg_perception.networks.registry import build_network
from seg_perception.training.config import NetworkConfig
from seg_perception.training.state import load_start_weights


@pytest.fixture(scope='module')
def segvit_weights(tmp_path_factory) -> Path:
    """Return weights of SegViT-s with 19 classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'segvit.safetensors'
    save_weights(path, build_network('segvit', 's', 19))
    return path


def train(path: Path, network: str, changes: dict, capsys) -> str:
    """Run the command with changes of the configuration's parts; return what it says."""
    content = yaml.safe_load(path.read_text())
    for part, values in changes.items():
        content.setdefault(part, {}).update(values)
    path.write_text(yaml.safe_dump(content))
    assert main(['train', str(path), '--network', network]) == 2
    return capsys.readouterr().err


def test_typing_error_suggests_the_nearest_network(tiny_run, capsys):
    error = train(tiny_run, 'sanet_50', {}, capsys)
    assert error.startswith("error: no network 'sanet_50'; use one of segnext_t")
    assert error.endswith('; did you mean sanet_r50?\n')


@pytest.mark.parametrize(
    ('network', 'key'),
    [
        ('segvit_s_shrunk', 'initial_weights'),
        ('sanet_r18', 'initial_weights'),
        ('sanet_r18', 'encoder_weights'),
    ],
)
def test_weights_of_another_network_are_named(tiny_run, segvit_weights, capsys, network, key):
    error = train(tiny_run, network, {'network': {key: str(segvit_weights)}}, capsys)
    assert error.startswith(f'error: {segvit_weights} does not fit')
    assert error.endswith(
        'It holds SegViT-S with 19 classes. Use a file of the same network and variant\n'
    )
    assert not (tiny_run.parent / 'out').exists()


def test_input_smaller_than_a_patch_is_refused_before_the_first_step(tiny_run, capsys):
    error = train(tiny_run, 'segvit_s', {'run': {'validation_height_px': 8}}, capsys)
    assert error.startswith(f'error: configuration {tiny_run}: ')
    assert 'validation_height_px is 8, expected 32 or more' in error


def test_weights_of_other_classes_are_a_start_without_what_is_one_per_class(segvit_weights):
    network = build_network('segvit', 's', 11)
    settings = NetworkConfig('segvit', 's', 'camvid', initial_weights=str(segvit_weights))
    unused = load_start_weights(network, settings)
    assert 'decode_head.queries of 19 classes' in unused
    assert len(unused) == 3
    kept = load_file(segvit_weights)['backbone.blocks.8.norm1.weight']
    assert torch.equal(network.state_dict()['backbone.blocks.8.norm1.weight'], kept)
