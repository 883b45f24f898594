# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import BASES_KEY
from seg_perception.networks.registry import NETWORKS, build_network
from seg_perception.networks.segnext import VARIANTS, build_segnext, identify_segnext

# arXiv 2209.08575, table 2, at 19 classes; in millions, from the authors' code
MILLION_PARAMETERS = {'t': 4.230, 's': 13.899, 'b': 27.569, 'l': 48.792}


@pytest.mark.parametrize('variant', VARIANTS)
def test_parameter_count_is_the_published_one(variant):
    with torch.device('meta'):
        network = build_segnext(variant, 19)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 3) == MILLION_PARAMETERS[variant]


@pytest.mark.parametrize('size', [(1, 1), (33, 95), (32, 64)])
def test_logits_are_at_an_eighth_rounded_up(make_segnext, size):
    network = make_segnext('t', num_classes=3)
    with torch.inference_mode():
        logits = network(torch.randn(1, 3, *size))
    assert logits.shape == (1, 3, -(-size[0] // 8), -(-size[1] // 8))
    assert logits.isfinite().all()


def test_same_image_gives_the_same_logits_at_every_call(make_segnext):
    network = make_segnext()
    image = torch.randn(1, 3, 40, 48)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image))


def test_images_of_a_batch_do_not_mix_in_evaluation(make_segnext):
    network = make_segnext()
    images = torch.randn(2, 3, 40, 48)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(images[:1]), network(images[1:])])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


def test_training_reaches_every_parameter():
    torch.manual_seed(0)
    network = build_segnext('t', 5, drop_path=0.0).train()
    network(torch.randn(2, 3, 40, 48)).square().mean().backward()
    idle = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_bases_are_no_parameter_but_in_the_state_dict():
    network = build_segnext('t', 5)
    assert BASES_KEY in network.state_dict()
    assert BASES_KEY not in dict(network.named_parameters())


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_variant_is_told_from_the_shapes(variant, prefix):
    with torch.device('meta'):
        state = build_segnext(variant, 7, rank=5).state_dict()
    state = {key.replace('backbone.', prefix): tensor for key, tensor in state.items()}
    identity = identify_segnext(state)
    assert (identity.variant, identity.num_classes, identity.rank) == (variant, 7, 5)


def test_rank_without_bases_follows_from_the_key_style():
    with torch.device('meta'):
        state = build_segnext('b', 19).state_dict()
    del state[BASES_KEY]
    assert identify_segnext(state).rank == 16
    authors = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    assert identify_segnext(authors).rank == 64


def test_unknown_weights_are_no_segnext():
    assert identify_segnext({'conv1.weight': torch.zeros(3)}) is None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('x', 19), "no variant 'x'; use one of t, s, b, l"),
        (('t', 0), 'num_classes=0'),
        (('t', 19, 0), 'rank=0'),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        build_segnext(*arguments)


def test_registry_builds_what_it_lists():
    assert NETWORKS['segnext'].variants == tuple(VARIANTS)
    with torch.device('meta'):
        assert build_network('segnext', 't', 4, rank=3).rank == 3
    with pytest.raises(UserError, match="no network 'unet'; use one of segnext"):
        build_network('unet', 't', 4)


def test_registry_does_not_import_torch():
    code = 'import sys, seg_perception.networks.registry; assert "torch" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)
