# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Sizes of Axial-DeepLab, and the maps that it returns."""

from __future__ import annotations

import pytest
import torch

from seg_perception.errors import UserError
from seg_perception.networks.axial_attention import AxialAttention
from seg_perception.networks.axial_deeplab import (
    VARIANTS,
    build_axial_deeplab,
    identify_axial_deeplab,
)
from seg_perception.networks.registry import NETWORKS, build_network

# Table 1 of the paper's Cityscapes results, millions of parameters
PUBLISHED_PARAMETERS = {'s': 12.1, 'm': 25.9, 'l': 44.9, 'xl': 173.0}
# of the tables of relative positions, millions
PUBLISHED_TABLES = {'s': 0.96, 'm': 1.44, 'l': 1.92, 'xl': 3.84}


@pytest.mark.parametrize('variant', PUBLISHED_PARAMETERS)
def test_parameter_counts_are_the_published_ones(variant):
    with torch.device('meta'):
        network = build_axial_deeplab(variant, 19)
    parameters = sum(weight.numel() for weight in network.parameters()) / 1e6
    assert parameters == pytest.approx(PUBLISHED_PARAMETERS[variant], rel=0.03)
    layers = [module for module in network.modules() if isinstance(module, AxialAttention)]
    tables = sum(layer.positions.numel() for layer in layers) / 1e6
    assert tables == pytest.approx(PUBLISHED_TABLES[variant], rel=0.01)
    assert len(layers) == 2 * (3 + 4 + 6 + 3)


def test_nano_fits_3_mb_in_half_precision():
    network = build_axial_deeplab('nano', 19)
    assert 2 * sum(weight.numel() for weight in network.state_dict().values()) < 3e6


@pytest.mark.parametrize('size', [(33, 47), (64, 96), (1, 5)])
@pytest.mark.parametrize('stem', ['conv', 'axial'])
def test_any_size_gives_maps_at_a_quarter_rounded_up(size, stem):
    network = build_axial_deeplab('nano', 5, stem=stem).eval()
    with torch.inference_mode():
        outputs = network(torch.zeros(2, 3, *size))
    side = tuple(-(-length // 4) for length in size)
    shapes = {name: tuple(tensor.shape) for name, tensor in outputs._asdict().items()}
    assert shapes == {'logits': (2, 5, *side), 'center': (2, 1, *side), 'offset': (2, 2, *side)}


def test_published_encoder_has_output_stride_16():
    network = build_axial_deeplab('s', 19).eval()
    with torch.inference_mode():
        stages = network.backbone(torch.zeros(1, 3, 65, 97))
    shapes = [tuple(stage.shape[1:]) for stage in stages]
    assert shapes == [(128, 17, 25), (256, 9, 13), (512, 5, 7), (1024, 5, 7)]


def test_limited_span_is_that_of_every_layer_and_full_axial_limits_the_first_stage():
    limited = build_axial_deeplab('nano', 19, span_px=65)
    layers = [module for module in limited.modules() if isinstance(module, AxialAttention)]
    assert {layer.reach_px for layer in layers} == {32}
    with torch.device('meta'):
        full = build_axial_deeplab('s', 19, stem='axial')
    spans = [m.span_px for m in full.backbone.modules() if isinstance(m, AxialAttention)]
    assert spans == [65] * 2 * (3 + 3) + [0] * 2 * (4 + 6 + 3)


@pytest.mark.parametrize('stem', ['conv', 'axial'])
@pytest.mark.parametrize('variant', VARIANTS)
def test_state_dict_tells_what_it_is(variant, stem):
    with torch.device('meta'):
        identity = identify_axial_deeplab(build_axial_deeplab(variant, 7, stem=stem).state_dict())
    assert (identity.variant, identity.num_classes, identity.stem) == (variant, 7, stem)
    assert identify_axial_deeplab({'backbone.norm1.weight': torch.zeros(1)}) is None


def test_registry_builds_it():
    assert NETWORKS['axial_deeplab'].is_panoptic
    assert NETWORKS['axial_deeplab'].variants == tuple(VARIANTS)
    assert build_network('axial_deeplab', 'nano', 3).num_classes == 3


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        (('t', 19), {}, "no variant 't'; use one of s, m, l, xl, nano"),
        (('s', 0), {}, 'at least 1 class, got num_classes=0'),
        (('s', 19), {'stem': 'patch'}, "no stem 'patch'; use one of conv, axial"),
        (('s', 19), {'span_px': 64}, 'span_px is 64, expected an odd number'),
    ],
)
def test_what_cannot_be_built(arguments, options, message):
    with pytest.raises(UserError, match=message):
        build_axial_deeplab(*arguments, **options)
