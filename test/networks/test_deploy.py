# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The deployed network is the trained one."""

from __future__ import annotations

import pytest
import torch

from seg_perception.errors import UserError
from seg_perception.networks.deploy import build_deployed, describe_network, fold_segnext


def compare(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference as a share of the largest logit."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ('variant', 'layer_scale'), [('t', 1.0), ('s', 1.0), ('b', 0.1), ('l', 0.1)]
)
def test_folding_keeps_the_logits(make_segnext, variant, layer_scale):
    network = make_segnext(variant, num_classes=7)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if '.layer_scale' in name:  # 27 blocks at full scale overflow
                tensor.mul_(layer_scale)
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(image)
        found = fold_segnext(network)(image)
    assert compare(found, expected) <= 1e-4


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (97, 61), (40, 136)])
def test_folding_keeps_the_logits_at_odd_sizes_and_in_batches(make_segnext, size):
    network = make_segnext()
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(image)
        found = fold_segnext(network)(image)
    assert found.shape == (2, 19, -(-size[0] // 8), -(-size[1] // 8))
    assert compare(found, expected) <= 1e-4


def test_folded_network_has_no_batch_norm_and_fewer_operations(make_segnext):
    deployed = fold_segnext(make_segnext())
    assert not [m for m in deployed.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not [m for m in deployed.modules() if isinstance(m, torch.nn.Dropout2d)]
    assert not deployed.training
    assert not any(p.requires_grad for p in deployed.parameters())


def test_folding_copies(make_segnext):
    network = make_segnext()
    deployed = fold_segnext(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for tensor in deployed.state_dict().values():
            tensor.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_bases_are_part_of_the_state_dict(make_segnext):
    network = make_segnext(rank=24)
    state = fold_segnext(network).state_dict()
    expected = network.state_dict()['decode_head.hamburger.ham.bases'].mT
    assert torch.equal(state['decode_head.bases'], expected)


def test_factorisation_computes_in_float32_in_a_half_precision_network(make_segnext):
    deployed = fold_segnext(make_segnext())
    head = deployed.decode_head.bfloat16()
    tokens = torch.rand(1, 64, 256).bfloat16()
    bases, coefficients = head.factorise(tokens)
    assert bases.dtype == coefficients.dtype == torch.float32


def test_description_builds_the_same_network(make_segnext):
    network = make_segnext('s', rank=8)
    description = describe_network(network)
    assert description == {'name': 'segnext', 'variant': 's', 'rank': 8}
    deployed = build_deployed(description, 19)
    deployed.load_state_dict(fold_segnext(network).state_dict())


@pytest.mark.parametrize(
    'description',
    [{}, {'name': 'segvit', 'variant': 't', 'rank': 16}, {'name': 'segnext', 'variant': 'x'}],
)
def test_unknown_networks_are_refused(description):
    with pytest.raises(UserError, match='is not known; expected name segnext, variant t, s, b, l'):
        build_deployed(description, 19)
