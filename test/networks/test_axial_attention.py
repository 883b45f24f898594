# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Axial attention is dense two-dimensional attention restricted to an axis."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seg_perception.networks import axial_attention
from seg_perception.networks.axial_attention import (
    TABLE_SPAN_PX,
    AxialAttention,
    FoldedAxialAttention,
    choose_block,
)
from seg_perception.networks.axial_resnet import Bottleneck


def randomise_norms(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw norms far from 1 and 0, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf in ('running_mean', 'bias'):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


def apply_norm(norm: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Normalise the first axis as the batch norm does in evaluation."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, variance = norm.running_mean.reshape(shape), norm.running_var.reshape(shape)
    scaled = (x - mean) / torch.sqrt(variance + norm.eps)
    return scaled * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def attend_densely(layer: AxialAttention, image: torch.Tensor) -> torch.Tensor:
    """Attend from every pixel to every pixel of (C, H, W), with tables over (dy, dx).

    The axis is a mask: pairs off the axis, or beyond the span, get no weight.
    """
    _, height, width = image.shape
    channels, heads = layer.channels, layer.heads
    weight = layer.qkv.conv.weight.flatten(1)
    qkv = apply_norm(layer.qkv.norm, torch.einsum('oc,chw->ohw', weight, image))
    half = channels // 2
    queries = qkv[:half].reshape(heads, -1, height, width)
    keys = qkv[half:channels].reshape(heads, -1, height, width)
    values = qkv[channels:].reshape(heads, -1, height, width)
    # tables of (depth, dy, dx) over all offsets, from the layer's along the axis
    dy = torch.arange(height)[None, :] - torch.arange(height)[:, None]
    dx = torch.arange(width)[None, :] - torch.arange(width)[:, None]
    along, across = (dy, dx) if layer.axis == 'height' else (dx, dy)
    middle = TABLE_SPAN_PX - 1
    table = layer.positions[:, (along + middle).clamp(0, 2 * middle)]
    if layer.axis == 'height':
        table = table[:, :, :, None, None].expand(-1, -1, -1, width, width)  # d, i, j, u, v
        is_on_axis = across[None, None] == 0
        is_near = along.abs()[:, :, None, None] <= layer.reach_px
    else:
        table = table[:, None, None].expand(-1, height, height, -1, -1)
        is_on_axis = across[:, :, None, None] == 0
        is_near = along.abs()[None, None] <= layer.reach_px
    depth = channels // heads
    r_q, r_k, r_v = table[: depth // 2], table[depth // 2 : depth], table[depth:]
    terms = torch.cat(
        [
            torch.einsum('ndiu,ndjv->nijuv', queries, keys),
            torch.einsum('ndiu,dijuv->nijuv', queries, r_q),
            torch.einsum('ndjv,dijuv->nijuv', keys, r_k),
        ]
    )
    scores = apply_norm(layer.score_norm, terms).reshape(3, heads, *terms.shape[1:]).sum(0)
    allowed = (is_on_axis & is_near).expand_as(scores)
    scores = scores.masked_fill(~allowed, -torch.inf)
    flat = scores.permute(0, 1, 3, 2, 4).reshape(heads, height, width, height * width)
    weights = flat.softmax(-1).reshape(heads, height, width, height, width)
    weights = weights.permute(0, 1, 3, 2, 4)
    content = torch.einsum('nijuv,ndjv->ndiu', weights, values).reshape(channels, height, width)
    position = torch.einsum('nijuv,dijuv->ndiu', weights, r_v).reshape(channels, height, width)
    both = apply_norm(layer.value_norm, torch.cat([content, position]))
    return both[:channels] + both[channels:]


def make_layer(axis: str, span_px: int = 0, stride: int = 1) -> AxialAttention:
    torch.manual_seed(1)
    layer = AxialAttention(6, 16, 4, axis, span_px, stride)
    randomise_norms(layer)
    return layer.double().eval()


@pytest.mark.parametrize('axis', ['height', 'width'])
@pytest.mark.parametrize('span_px', [0, 5])
def test_layer_equals_the_dense_formulation(axis, span_px):
    layer = make_layer(axis, span_px)
    images = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        found = layer(images)
        expected = torch.stack([attend_densely(layer, image) for image in images])
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)
    assert expected.std() > 0.1


def test_layer_equals_the_dense_formulation_in_float32():
    layer = make_layer('width')
    images = torch.randn(1, 6, 5, 8)
    with torch.no_grad():
        expected = attend_densely(layer, images[0].double())
        assert (layer.float()(images)[0] - expected).abs().max() < 1e-5


@pytest.mark.parametrize('stride', [1, 2])
def test_block_equals_the_dense_formulation(stride):
    torch.manual_seed(2)
    block = Bottleneck(10, 16, stride, heads=4, span_px=0, is_axial=True)
    randomise_norms(block)
    block.double().eval()
    image = torch.randn(1, 10, 7, 6, dtype=torch.float64)

    def convolve(layer: nn.Module, x: torch.Tensor, step: int = 1) -> torch.Tensor:
        mixed = torch.einsum('oc,chw->ohw', layer.conv.weight.flatten(1), x[:, ::step, ::step])
        return apply_norm(layer.norm, mixed)

    with torch.no_grad():
        x = F.relu(convolve(block.reduce, image[0]))
        x = attend_densely(block.spatial.height, x)[:, ::stride]
        x = F.relu(attend_densely(block.spatial.width, x)[:, :, ::stride])
        expected = convolve(block.expand, x) + convolve(block.shortcut, image[0], stride)
        assert torch.allclose(block(image)[0], F.relu(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize('axis', ['height', 'width'])
def test_folded_layer_is_the_same_function(axis):
    layer = make_layer(axis, stride=2)
    folded = FoldedAxialAttention(layer)
    image = torch.randn(1, 6, 8, 7, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(folded(image), layer(image), rtol=0, atol=1e-12)
        folded.head_groups = 4
        assert torch.allclose(folded(image), layer(image), rtol=0, atol=1e-12)


@pytest.mark.parametrize('span_px', [0, 9])
def test_blocks_of_queries_change_nothing(span_px, monkeypatch):
    layer = make_layer('width', span_px)
    image = torch.randn(1, 6, 4, 45, dtype=torch.float64)
    with torch.no_grad():
        whole = layer(image)
        monkeypatch.setattr(axial_attention, 'MAX_SCORES', 16 * 45 * 10)
        assert choose_block(16, 45, layer.reach_px) < 45
        assert torch.allclose(layer(image), whole, rtol=0, atol=1e-12)


def test_axis_longer_than_the_tables_attends_within_their_reach():
    layer = AxialAttention(2, 8, 2, 'width').double().eval()
    image = torch.randn(1, 2, 1, 300, dtype=torch.float64)
    changed = image.clone()
    changed[..., -1] += 10.0
    with torch.no_grad():
        difference = (layer(changed) - layer(image)).abs().amax((0, 1, 2))
    seen = 299 - (TABLE_SPAN_PX - 1)
    assert (difference[:seen] == 0).all() and (difference[seen:] > 0).all()


def test_blocks_keep_the_scores_of_a_large_image_within_the_budget():
    rows = 256 * 8  # rows of the first stage at 1024x2048, times heads
    step = choose_block(rows, 512, TABLE_SPAN_PX - 1)
    assert rows * step * 512 <= axial_attention.MAX_SCORES
    step = choose_block(rows, 512, 32)  # span 65
    assert rows * step * (step + 64) <= 2 * axial_attention.MAX_SCORES


@pytest.mark.parametrize('axis', ['height', 'width'])
def test_gradients(axis):
    torch.manual_seed(3)
    layer = AxialAttention(3, 8, 2, axis, span_px=5).double().train()
    image = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    names = ('qkv.conv.weight', 'positions', 'score_norm.weight', 'value_norm.bias')
    parameters = [layer.get_parameter(name) for name in names]

    def compute(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(compute, (image, *parameters), fast_mode=True)


def test_training_normalises_with_the_statistics_of_the_batch():
    layer = AxialAttention(4, 8, 2, 'height').double().train()
    image = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    for norm in (layer.qkv.norm, layer.score_norm, layer.value_norm):
        norm.momentum = 1.0
    in_training = layer(image)
    for norm, count in ((layer.qkv.norm, 60), (layer.score_norm, 360), (layer.value_norm, 60)):
        norm.running_var *= (count - 1) / count  # the running ones are unbiased
    assert torch.allclose(layer.eval()(image), in_training, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((4, 8, 2, 'depth'), "axis is 'depth', expected one of height, width"),
        ((4, 10, 2, 'width'), '10 channels cannot be shared by 2 heads'),
        ((4, 8, 2, 'width', 4), 'span_px is 4, expected an odd number'),
    ],
)
def test_sizes_that_cannot_be_used(arguments, message):
    with pytest.raises(ValueError, match=message):
        AxialAttention(*arguments)
