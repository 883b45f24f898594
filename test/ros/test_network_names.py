# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A network of the registry is given by its name; what is wrong with one is said in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from shallow_networks import know_shallow

from seg_perception.cli import main
from seg_perception.engines.model_file import load_model_file
from seg_perception.networks.checkpoints import save_weights
from seg_perception.networks.registry import build_network, parse_full_name
from seg_perception.perception.labels import load_label_space

NETWORKS = ('segvit_s', 'sanet_r18')
SIZE_HW = (64, 96)


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> Path:
    """Export untrained networks by name, as a user would; return the user's folder of models."""
    folder = tmp_path_factory.mktemp('data')
    with pytest.MonkeyPatch.context() as patch, know_shallow():
        patch.setenv('XDG_DATA_HOME', str(folder))
        for network in NETWORKS:
            torch.manual_seed(3)
            checkpoint = folder / f'{network}.safetensors'
            save_weights(checkpoint, build_network(*parse_full_name(network), 19))
            size = ('--height', str(SIZE_HW[0]), '--width', str(SIZE_HW[1]))
            arguments = ('--checkpoint', str(checkpoint), '--network', network, *size)
            assert main(['export', *arguments, '--name', network]) == 0
        yield folder / 'seg_perception' / 'models'


@pytest.fixture(scope='module')
def node(models, start_node):
    node = start_node({'autostart': False}, namespace='/named')
    node.wait_state('unconfigured')
    return node


@pytest.fixture(scope='module')
def client(node, start_client):
    return start_client('/named/segnext')


def fail_to_configure(node, client, **parameters) -> str:
    """Set parameters, try to configure and return the one line that the node logs."""
    for name, value in parameters.items():
        assert client.set_parameter(name.replace('__', '.'), value) == ''
    before = node.read_log()
    assert not client.change_state('configure')
    assert client.read_state(5.0) == 'unconfigured'
    (line,) = node.read_log()[len(before) :].splitlines()
    return line


def write_with_other_labels(models: Path) -> Path:
    """Write a model file of 19 classes that says it has CamVid's 11."""
    model = load_model_file(models / 'segvit_s' / 'model.onnx')
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    metadata = replace(model.metadata, label_space=load_label_space('camvid'))
    helper.set_model_props(graph, metadata.to_properties())
    path = models.parent / 'other.onnx'
    onnx.save(graph, path)
    return path


def test_what_is_wrong_is_said_when_the_node_is_configured(node, client, models):
    line = fail_to_configure(node, client, model__path='segvit_b')
    assert 'segvit_b is a network, and no model here has weights of it' in line
    assert 'seg_perception train CONFIG.yaml --network segvit_b' in line
    assert '--name segvit_b' in line
    line = fail_to_configure(node, client, model__path='sanet_r5o')
    assert 'no model named sanet_r5o' in line
    assert 'did you mean sanet_r50?' in line
    line = fail_to_configure(node, client, model__path=str(write_with_other_labels(models)))
    assert '19 channels of logits, its label space camvid has 11 classes' in line
    line = fail_to_configure(node, client, model__path='segvit_s', input__height=8)
    assert 'network input height is 8, expected a whole number of pixels from 32' in line
    assert client.set_parameter('input.height', 0) == ''


@pytest.mark.parametrize('network', NETWORKS)
def test_a_network_with_weights_segments(node, client, start_camera, network):
    assert client.set_parameter('model.path', network) == ''
    assert client.change_state('configure')
    assert client.change_state('activate')
    camera = start_camera('/named/segnext', '/named/image')
    camera.wait_matched()
    mask = camera.send(camera.make_image(60, 80))
    assert (mask.height, mask.width) == (60, 80)
    assert np.asarray(mask.data).max() < 19
    assert client.change_state('deactivate')
    assert client.change_state('cleanup')
