# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import builtins
import os
import stat

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import (
    BASES_KEY,
    load_checkpoint,
    load_encoder_weights,
    load_network,
    load_weights,
    read_metadata,
    save_weights,
)
from seg_perception.networks.segnext import build_segnext


@pytest.fixture(scope='module')
def network(make_segnext):
    return make_segnext('t', 19)


@pytest.fixture(scope='module')
def published(network):
    """A state dict as published: no bases."""
    state = network.state_dict()
    del state[BASES_KEY]
    return state


def assert_same_state(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in second)


class Caller:
    """Pickles as a call that leaves a trace when it is made."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('wrapper', [None, 'state_dict', 'model'])
def test_torch_files_load_with_and_without_wrapper(tmp_path, published, wrapper, legacy):
    path = tmp_path / 'weights.pth'
    content = published if wrapper is None else {wrapper: published, 'meta': {'epoch': 3}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_same_state(load_checkpoint(path), published)


def test_prefix_of_parallel_training_is_taken_off(tmp_path, published):
    path = tmp_path / 'weights.pth'
    torch.save({f'module.{key}': value for key, value in published.items()}, path)
    assert_same_state(load_checkpoint(path), published)


@pytest.mark.parametrize('legacy', [False, True])
def test_metadata_classes_are_never_run(tmp_path, published, legacy):
    path = tmp_path / 'weights.pth'
    trace = tmp_path / 'trace'
    meta = {
        'call': Caller(open, str(trace), 'w'),
        'evaluate': Caller(builtins.eval, f'open({str(trace)!r}, "w")'),
        'scalar': np.float64(0.5),
        'array': np.arange(4),
        'options': argparse.Namespace(lr=1),
    }
    torch.save(
        {'state_dict': published, 'meta': meta}, path, _use_new_zipfile_serialization=not legacy
    )
    assert_same_state(load_checkpoint(path), published)
    assert not trace.exists()


def test_file_that_calls_the_system_is_refused(tmp_path, published):
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': published, 'meta': Caller(os.system, 'true')}, path)
    with pytest.raises(UserError, match='cannot be read as a checkpoint.*system'):
        load_checkpoint(path)


def test_published_files_leave_the_seeded_bases(tmp_path, published):
    torch.save(published, tmp_path / 'weights.pth')
    other = build_segnext('t', 19, seed=8)
    bases = other.decode_head.hamburger.ham.bases.clone()
    load_weights(other, tmp_path / 'weights.pth')
    assert torch.equal(other.decode_head.hamburger.ham.bases, bases)


def test_own_files_bring_their_bases(tmp_path, network):
    save_weights(tmp_path / 'own.safetensors', network)
    other = build_segnext('t', 19, seed=8)
    load_weights(other, tmp_path / 'own.safetensors')
    assert_same_state(other.state_dict(), network.state_dict())


def test_network_is_built_from_its_file(tmp_path, make_segnext):
    network = make_segnext('t', 7, rank=5)
    save_weights(tmp_path / 'own.safetensors', network)
    loaded = load_network(tmp_path / 'own.safetensors')
    assert (loaded.variant.name, loaded.num_classes, loaded.rank) == ('t', 7, 5)
    assert_same_state(loaded.state_dict(), network.state_dict())


@pytest.mark.parametrize('authors', [False, True])
@pytest.mark.parametrize('wrapper', [None, 'state_dict'])
def test_imagenet_encoder_loads_and_its_classifier_is_said_to_be_unused(
    tmp_path, network, authors, wrapper
):
    encoder = network.backbone.state_dict()
    state = {'head.weight': torch.zeros(1000, 256), 'head.bias': torch.zeros(1000), **encoder}
    if authors:
        state = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    torch.save({wrapper: state} if wrapper else state, tmp_path / 'encoder.pth')
    other = build_segnext('t', 4)
    head = {key: value.clone() for key, value in other.decode_head.state_dict().items()}
    assert load_encoder_weights(other, tmp_path / 'encoder.pth') == ('head (tensors: 2)',)
    assert_same_state(other.backbone.state_dict(), encoder)
    assert_same_state(other.decode_head.state_dict(), head)


def test_encoder_comes_out_of_a_whole_network(network, published):
    state = dict(published, **{'auxiliary_head.conv_seg.bias': torch.zeros(19)})
    other = build_segnext('t', 4)
    unused = load_encoder_weights(other, state)
    assert unused == ('auxiliary_head (tensors: 1)', 'decode_head (tensors: 13)')
    assert_same_state(other.backbone.state_dict(), network.backbone.state_dict())


@pytest.mark.parametrize(
    'keys', [('conv1.weight', 'fc.bias'), ('decode_head.conv_seg.weight',), ('head.weight',)]
)
def test_files_that_are_no_encoder_are_refused(tmp_path, network, keys):
    torch.save({key: torch.zeros(8, 3, 1, 1) for key in keys}, tmp_path / 'other.pth')
    with pytest.raises(UserError) as error:
        load_encoder_weights(network, tmp_path / 'other.pth')
    assert f'{tmp_path}/other.pth holds no MSCAN encoder' in str(error.value)
    assert f'its first keys are {", ".join(keys)}' in str(error.value)


def test_encoder_that_lost_a_key_is_refused_and_nothing_is_loaded(network):
    encoder = dict(network.backbone.state_dict())
    del encoder['block2.1.mlp.fc1.bias']
    other = build_segnext('t', 4)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(
        UserError, match=r'block2.1.mlp.fc1.bias: expected \(512,\), found nothing'
    ):
        load_encoder_weights(other, encoder)
    assert_same_state(other.state_dict(), before)


def test_wrong_variant_names_keys_shapes_and_the_right_variant(network):
    with torch.device('meta'):
        other = build_segnext('s', 19)
    before = network.state_dict()['decode_head.conv_seg.bias'].clone()
    with pytest.raises(UserError) as error:
        load_weights(network, other.state_dict())
    message = str(error.value)
    assert 'does not fit SegNeXt-T with 19 classes' in message
    key = 'backbone.patch_embed1.proj.0.weight'
    assert f'{key}: expected (16, 3, 3, 3), found (32, 3, 3, 3)' in message
    assert message.endswith('It holds SegNeXt-S with 19 classes: use variant s')
    assert torch.equal(network.state_dict()['decode_head.conv_seg.bias'], before)


def test_wrong_class_count_and_rank_say_what_to_use(network):
    with torch.device('meta'):
        other = build_segnext('t', 150, rank=64)
    with pytest.raises(UserError) as error:
        load_weights(network, other.state_dict())
    message = str(error.value)
    assert (
        'decode_head.conv_seg.weight: expected (19, 256, 1, 1), found (150, 256, 1, 1)' in message
    )
    assert f'{BASES_KEY}: expected (1, 256, 16), found (1, 256, 64)' in message
    assert message.endswith('use a label space of 150 classes and use rank 64')


def test_encoder_file_is_not_taken_for_a_network(tmp_path, network):
    save_weights(tmp_path / 'encoder.safetensors', network.backbone)
    with pytest.raises(UserError, match='the encoder alone of SegNeXt-T: load it as encoder'):
        load_weights(network, tmp_path / 'encoder.safetensors')
    with pytest.raises(UserError, match='holds the encoder alone of SegNeXt-T'):
        load_network(tmp_path / 'encoder.safetensors')


def test_wrong_encoder_variant_is_named(network):
    with torch.device('meta'):
        other = build_segnext('b', 19).backbone.state_dict()
    with pytest.raises(
        UserError, match='(?s)does not fit the encoder of SegNeXt-T.*use variant b'
    ):
        load_encoder_weights(network, other)


def test_lost_and_added_keys_are_named(network, published):
    state = dict(published, extra=torch.zeros(2))
    del state['decode_head.align.gn.weight']
    with pytest.raises(UserError) as error:
        load_weights(network, state)
    assert 'decode_head.align.gn.weight: expected (256,), found nothing' in str(error.value)
    assert 'extra: expected nothing, found (2,)' in str(error.value)


def test_other_networks_are_no_segnext(tmp_path, network):
    path = tmp_path / 'other.pth'
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(UserError, match='No SegNeXt variant has such weights'):
        load_weights(network, path)
    with pytest.raises(UserError, match='holds no SegNeXt.*conv1.weight'):
        load_network(path)


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
@pytest.mark.parametrize('share', [0.001, 0.3, 0.99])
def test_truncated_files_give_one_clear_error(tmp_path, network, published, kind, share):
    path = tmp_path / 'weights'
    if kind == 'safetensors':
        save_weights(path, network)
    else:
        torch.save(published, path, _use_new_zipfile_serialization=kind == 'zip')
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match='cannot be read as a checkpoint.*download it again'):
        load_checkpoint(path)


@pytest.mark.parametrize('content', [b'', b'<!DOCTYPE html><html>', bytes(range(1, 256, 4))])
def test_other_files_are_no_checkpoint(tmp_path, content):
    path = tmp_path / 'weights.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match='is not a checkpoint|cannot be read as a checkpoint'):
        load_checkpoint(path)


def test_missing_and_empty_files_are_named(tmp_path):
    with pytest.raises(UserError, match=f'no checkpoint file {tmp_path}/none.pth'):
        load_checkpoint(tmp_path / 'none.pth')
    torch.save({'epoch': 4}, tmp_path / 'empty.pth')
    with pytest.raises(UserError, match='holds no weights'):
        load_checkpoint(tmp_path / 'empty.pth')


def test_half_precision_file_is_near_and_half_the_size(tmp_path, network):
    full, half = tmp_path / 'full.safetensors', tmp_path / 'half.safetensors'
    save_weights(full, network)
    save_weights(half, network, 'float16')
    assert half.stat().st_size < 0.56 * full.stat().st_size
    stored = load_file(half)
    assert stored['backbone.block1.0.mlp.fc1.weight'].dtype == torch.float16
    assert stored['backbone.block1.0.norm1.running_var'].dtype == torch.float32
    assert stored[BASES_KEY].dtype == torch.float32
    loaded = build_segnext('t', 19)
    load_weights(loaded, half)
    near = loaded.state_dict()
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(near[key], tensor, rtol=1e-3, atol=1e-7)


def test_weights_outside_the_precision_are_refused(tmp_path):
    state = {'weight': torch.full((2, 2), 1e5)}
    save_weights(tmp_path / 'a.safetensors', state)
    with pytest.raises(UserError, match='weight has values that are not finite in torch.float16'):
        save_weights(tmp_path / 'b.safetensors', state, 'float16')
    with pytest.raises(UserError, match="not 'int8'"):
        save_weights(tmp_path / 'b.safetensors', state, 'int8')
    assert [file.name for file in tmp_path.iterdir()] == ['a.safetensors']


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.safetensors'
    save_weights(path, {'weight': torch.ones(2)}, metadata={'epoch': '1'})
    with pytest.raises(Exception, match='metadata|str'):
        save_weights(path, {'weight': torch.zeros(2)}, metadata={'epoch': 2})
    assert read_metadata(path) == {'epoch': '1'}
    assert [file.name for file in tmp_path.iterdir()] == ['a.safetensors']
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_metadata_needs_a_safetensors_file(tmp_path):
    torch.save({}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='cannot be read as safetensors'):
        read_metadata(tmp_path / 'a.pth')
