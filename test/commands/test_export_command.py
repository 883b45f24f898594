# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From a published checkpoint to a model that the node finds by name."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from seg_perception.cli import main
from seg_perception.model_zoo.cards import load_card
from seg_perception.model_zoo.exported import UNKNOWN_LICENCE, find_origin, make_card
from seg_perception.model_zoo.verify import compute_sha256
from seg_perception.networks.checkpoints import BASES_KEY, save_weights
from seg_perception.networks.registry import build_network
from seg_perception.networks.segnext import build_segnext
from seg_perception.resources import DEFAULT_MODEL_NAME, find_model, find_model_folder


@pytest.fixture(autouse=True)
def user_directory(tmp_path, monkeypatch) -> Path:
    """Return the user's folder, empty."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    return tmp_path / 'data' / 'seg_perception'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> Path:
    """Return a file as the authors' training leaves it: SegNeXt-T, 150 classes."""
    torch.manual_seed(0)
    state = build_segnext('t', 150).state_dict()
    del state[BASES_KEY]
    state = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    state['auxiliary_head.conv_seg.bias'] = torch.zeros(150)
    path = tmp_path_factory.mktemp('published') / 'published.pth'
    content = {'meta': {'iter': 160000}, 'state_dict': state, 'optimizer': {'state': {}}}
    torch.save(content, path)
    return path


def export(checkpoint: Path, *options: str) -> int:
    return main(['export', '--checkpoint', str(checkpoint), *options])


def test_fetched_checkpoint_becomes_a_model_by_the_printed_command(
    make_server, checkpoint, tmp_path, user_directory, capsys
):
    server = make_server(checkpoint.read_bytes())
    entry = {'name': 'net', 'kind': 'network', 'summary': 'A network.', 'variant': 't'}
    entry |= {'rank': 16, 'label_space': 'ade20k', 'classes': 150}
    entry |= {'height_px': 64, 'width_px': 128, 'url': server.url, 'file': 'net.pth'}
    terms = {'word': 'non-commercial', 'notes': 'for research alone'}
    catalogue = tmp_path / 'catalogue.yaml'
    catalogue.write_text(
        yaml.safe_dump(
            {'terms': {'research': terms}, 'checkpoints': [entry | {'terms': 'research'}]}
        )
    )
    assert main(['models', 'fetch', 'net', '--catalogue', str(catalogue)]) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert main(shlex.split(command)[1:]) == 0
    assert 'model:=net' in capsys.readouterr().out
    folder = user_directory / 'models' / 'net'
    assert find_model('net') == folder / 'model.onnx'
    assert main(['models', 'verify', 'net']) == 0
    assert 'net: ok\nnet (checkpoint): ok\n' in capsys.readouterr().out
    card = load_card(folder)
    assert (card.licence.word, card.licence.notes) == ('non-commercial', 'for research alone')
    assert card.summary.startswith('A network; exported from net.pth, sha256 ')
    assert (card.label_space, card.classes, card.network.rank) == ('ade20k', 150, 16)
    assert (card.input.height_px, card.input.width_px) == (64, 128)


@pytest.mark.parametrize(
    ('options', 'advice'),
    [
        (['--variant', 's', '--labels', 'ade20k'], 'use --variant t'),
        ([], 'use --labels ade20k'),
        (['--variant', 'l'], 'use --variant t and --labels ade20k'),
    ],
)
def test_wrong_options_are_answered_with_the_right_ones(checkpoint, capsys, options, advice):
    assert export(checkpoint, *options) == 2
    message = f'error: {checkpoint} holds SegNeXt-T with 150 classes: {advice}\n'
    assert capsys.readouterr().err == message


def test_rank_of_stored_bases_and_unknown_class_counts_are_answered(tmp_path, capsys):
    path = tmp_path / 'own.safetensors'
    save_weights(path, build_segnext('t', 7, rank=5))
    assert export(path, '--rank', '64') == 2
    advice = 'use --labels a YAML file of 7 classes and --rank 5\n'
    assert capsys.readouterr().err.endswith(advice)


def test_encoder_is_no_network(tmp_path, capsys):
    path = tmp_path / 'encoder.pth'
    torch.save(build_segnext('t', 7).backbone.state_dict(), path)
    assert export(path) == 2
    assert 'holds the encoder alone of SegNeXt-T: ' in capsys.readouterr().err


def test_another_network_is_said_so_in_a_line(tmp_path, capsys):
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, tmp_path / 'resnet.pth')
    assert export(tmp_path / 'resnet.pth') == 2
    error = capsys.readouterr().err
    assert 'resnet.pth holds none of segnext, ' in error and 'first keys are conv1.weight' in error
    assert error.count('\n') == 1


@pytest.fixture(scope='module')
def segvit_checkpoint(tmp_path_factory) -> Path:
    """Return SegViT-S with 19 classes, as training leaves it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('trained') / 'best.safetensors'
    save_weights(path, build_network('segvit', 's', 19, image_size_px=64))
    return path


def test_segvit_becomes_a_model_for_the_node(segvit_checkpoint, user_directory, capsys):
    options = ['--network', 'segvit_s', '--height', '64', '--width', '96', '--name', 'vit']
    assert export(segvit_checkpoint, *options) == 0
    printed = capsys.readouterr().out
    assert 'SegViT-S with 19 classes (cityscapes), input 64x96' in printed
    assert 'model:=vit' in printed
    card = load_card(user_directory / 'models' / 'vit')
    assert (card.network.name, card.network.variant, card.network.rank) == ('segvit', 's', 0)
    assert main(['models', 'show', 'vit']) == 0
    assert 'segvit s, 5.' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--network', 'segvit_t'], "no network 'segvit_t'; use one of segnext_t, "),
        (['--network', 'segvit_t'], 'did you mean segvit_s?'),
        (['--network', 'segvit_b'], 'holds SegViT-S with 19 classes: use --network segvit_s'),
        (['--network', 'segnext_s'], 'holds SegViT-S with 19 classes: use --network segvit_s'),
        (['--variant', 'l'], 'holds SegViT-S with 19 classes: use --variant s'),
        (['--labels', 'camvid'], 'holds SegViT-S with 19 classes: use --labels cityscapes'),
        (['--rank', '16'], 'use no --rank'),
    ],
)
def test_wrong_names_and_classes_are_answered_in_a_line(
    segvit_checkpoint, capsys, options, message
):
    assert export(segvit_checkpoint, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (DEFAULT_MODEL_NAME, f'a model named {DEFAULT_MODEL_NAME} comes with the package'),
        ('../x', "--name is '../x', expected letters"),
        ('x.onnx', "--name is 'x.onnx', expected letters, digits, _ . and -, without .onnx"),
    ],
)
def test_names_that_cannot_be_found_are_refused(checkpoint, user_directory, capsys, name, message):
    assert export(checkpoint, '--labels', 'ade20k', '--name', name) == 2
    assert message in capsys.readouterr().err
    assert not user_directory.exists()


def test_card_of_weights_beside_a_card_keeps_its_licence_and_data(tmp_path):
    shipped = find_model_folder(DEFAULT_MODEL_NAME)
    weights = shipped / 'weights.safetensors'
    model = tmp_path / 'mine' / 'model.onnx'
    model.parent.mkdir()
    shutil.copy(shipped / 'model.onnx', model)
    known = load_card(shipped)
    origin = find_origin(weights, compute_sha256(weights))
    assert (origin.licence, origin.data, origin.recipe) == (
        known.licence,
        known.data,
        known.recipe,
    )
    assert find_origin(weights, '0' * 64).licence == UNKNOWN_LICENCE
    card = make_card(model, weights, known.network.parameters)
    assert (card.name, card.network, card.input) == ('mine', known.network, known.input)
    assert (card.scores, card.main_score, card.calibration) == ({}, '', None)
