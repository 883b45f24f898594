# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegViT against the published sizes, and its decoder against its definition in loops."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_network import randomise
from torch import nn

from seg_perception.errors import UserError
from seg_perception.networks.counting import count_macs, count_parameters
from seg_perception.networks.registry import NETWORKS, build_network
from seg_perception.networks.segvit import (
    SCORE_FLOOR,
    VARIANTS,
    build_segvit,
    identify_segvit,
)

# arXiv 2210.05844, tables 1 to 4: millions of parameters, GMAC of the authors' code
PUBLISHED = [
    ('b', 150, 512, 108.7, 120.46),
    ('l', 150, 640, 344.3, 636.96),
    ('l_shrunk', 150, 640, 344.6, 372.75),
    ('l', 171, 512, 343.7, 383.27),
    ('l', 59, 480, 343.5, 321.32),
]


@functools.cache
def build_without_weights(variant: str, num_classes: int, image_size_px: int | None = None):
    """Build a network that has shapes alone."""
    with torch.device('meta'):
        return build_segvit(variant, num_classes, image_size_px=image_size_px).eval()


@functools.cache
def count_paper_macs(variant: str, num_classes: int, size_px: int) -> int:
    """Count the paper's inference, with masks at full size."""
    network = build_without_weights(variant, num_classes, size_px)
    return count_macs(network, size_px, size_px, 'score_pixels')


def build_random(variant: str, num_classes: int = 5, image_size_px: int = 64):
    """Build a network whose every part counts."""
    torch.manual_seed(1)
    network = build_segvit(variant, num_classes, image_size_px=image_size_px)
    randomise(network, seed=2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith(('queries', 'pos_embed')):
                tensor.normal_()
            elif tensor.ndim == 2 and name.startswith('backbone.'):
                tensor.mul_(4)  # from 0.02, for large matrices, to one that keeps the size
            elif 'cross_attn.q.' in name:
                tensor.mul_(4)
    return network.eval()


@pytest.mark.parametrize(('variant', 'classes', 'size', 'parameters', 'gmac'), PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(variant, classes, size, parameters, gmac):
    network = build_without_weights(variant, classes, size)
    assert count_parameters(network) / 1e6 == pytest.approx(parameters, rel=0.001)
    macs = count_paper_macs(variant, classes, size)
    assert macs / 1e9 == pytest.approx(gmac, rel=0.001)


def test_shrunk_saves_40_percent():
    macs = {variant: count_paper_macs(variant, 150, 640) for variant in ('l', 'l_shrunk')}
    assert 1 - macs['l_shrunk'] / macs['l'] >= 0.40


@pytest.mark.parametrize('variant', ['s', 's_shrunk'])
def test_our_small_ones_have_up_to_6_million_parameters(variant):
    assert count_parameters(build_without_weights(variant, 150)) <= 6e6


@pytest.mark.parametrize(('size', 'fine', 'coarse'), [(512, 32, 16), (640, 40, 20)])
def test_tokens_of_query_down_and_upsampling(size, fine, coarse):
    network = build_without_weights('l_shrunk', 150, size)
    shapes = {}

    def record(name):
        def hook(module, inputs, output):
            shapes[name] = [tuple(x.shape[1:]) for x in (*inputs, output)]

        return hook

    blocks, head = network.backbone.blocks, network.decode_head
    blocks[8].attn.register_forward_hook(record('down'))
    for index in range(2):
        head.upsamplers[index].register_forward_hook(record(f'up {index}'))
    with torch.no_grad():
        levels = network.backbone(torch.zeros(1, 3, size, size, device='meta'))
        tokens, height, width = head.upsample(levels)
    assert [(level.height, level.width) for level in levels] == [(fine, fine), (coarse, coarse)]
    few, many = coarse * coarse, fine * fine
    assert (few, many) == ((256, 1024) if size == 512 else (400, 1600))
    assert shapes['down'] == [(few, 1024), (many, 1024), (few, 1024)]
    assert shapes['up 0'] == [(many, 512), (many, 512), (many, 512)]
    assert shapes['up 1'] == [(many, 512), (few, 512), (many, 512)]
    assert (tuple(tokens.shape), height, width) == ((1, many, 512), fine, fine)


def norm(layer: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    """Normalise each row."""
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
    return (x - mean) / np.sqrt(variance + layer.eps) * weight + bias


def apply(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    """Apply a linear layer to each row."""
    weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
    return x @ weight.T + bias


def attend(query, key, value, heads):
    """Attention of rows in loops over heads and queries; also the heads' mean similarity."""
    depth = query.shape[1] // heads
    output, similarity = np.zeros_like(query), np.zeros((len(query), len(key)))
    for head in range(heads):
        part = slice(head * depth, (head + 1) * depth)
        for i, row in enumerate(query[:, part]):
            scores = np.array([row @ other / depth**0.5 for other in key[:, part]])
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            output[i, part] = sum(s * v for s, v in zip(shares, value[:, part], strict=True))
            similarity[i] += scores / heads
    return output, similarity


def decode_in_loops(layer, queries, tokens):
    """One decoder layer as the paper has it: attention, attention, two layers, norms after."""
    width = queries.shape[1]
    qkv = apply(layer.self_attn.qkv, queries)
    parts = (qkv[:, :width], qkv[:, width : 2 * width], qkv[:, 2 * width :])
    attended, _ = attend(*parts, layer.self_attn.heads.count)
    queries = norm(layer.norm1, queries + apply(layer.self_attn.proj, attended))
    cross = layer.cross_attn
    projected = (apply(cross.q, queries), apply(cross.k, tokens), apply(cross.v, tokens))
    attended, similarity = attend(*projected, cross.heads.count)
    queries = norm(layer.norm2, queries + apply(cross.proj, attended))
    hidden = np.maximum(apply(layer.linear1, queries), 0)
    return norm(layer.norm3, queries + apply(layer.linear2, hidden)), similarity


def test_masks_equal_loops_over_levels_heads_and_queries():
    network = build_random('s')
    head = network.decode_head
    with torch.no_grad():
        levels = network.backbone(torch.randn(1, 3, 48, 80))
        outputs = head(levels)
    queries = head.queries.detach().double().numpy()
    total = np.zeros((5, 3, 5))
    for step, level in enumerate(reversed(levels)):
        project = head.projections[step]
        tokens = norm(project.norm, apply(project.linear, level.tokens[0].double().numpy()))
        for layer in head.decoders[step].layers:
            queries, similarity = decode_in_loops(layer, queries, tokens)
        total += similarity.reshape(5, 3, 5)
        assert total.std() > 0.3  # else the tolerance would be no test
        np.testing.assert_allclose(outputs.masks[step][0].numpy(), total, atol=1e-5)
        expected = apply(head.class_head, queries)
        np.testing.assert_allclose(outputs.class_logits[step][0].numpy(), expected, atol=1e-5)


def test_query_downsampling_equals_attention_of_the_kept_tokens():
    network = build_random('s_shrunk')
    block = network.backbone.blocks[3]
    with torch.no_grad():
        tokens = torch.randn(1, 5 * 7, 192)
        attended = block.attn(tokens.reshape(1, 5, 7, 192)[:, ::2, ::2].flatten(1, 2), tokens)
        width = 192
        query = apply(block.attn.q, tokens[0].double().numpy())
        pair = apply(block.attn.kv, tokens[0].double().numpy())
        everything, _ = attend(query, pair[:, :width], pair[:, width:], 3)
    kept = apply(block.attn.proj, everything).reshape(5, 7, width)[::2, ::2].reshape(-1, width)
    np.testing.assert_allclose(attended[0].numpy(), kept, atol=1e-5)


@pytest.mark.parametrize('size', [(16, 16), (33, 95), (64, 128)])
@pytest.mark.parametrize('variant', ['s', 's_shrunk'])
def test_scores_of_pixels_are_probabilities_times_masks(variant, size):
    network = build_random(variant)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        outputs = network.decode(image)
        scores = network.score_pixels(image)
        logits = network(image)
    assert scores.shape == (2, 5, *size)
    assert logits.shape == (2, 5, -(-size[0] // 4), -(-size[1] // 4))
    masks = outputs.masks[-1]
    full = tuple(16 * side for side in masks.shape[2:])
    assert full == tuple(-(-side // 16) * 16 for side in size)
    masks = F.interpolate(masks, full, mode='bilinear')[:, :, : size[0], : size[1]].sigmoid()
    shares = outputs.class_logits[-1].softmax(2)
    expected = torch.einsum('nqc,nqhw->nchw', shares[..., :5], masks)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)


def test_softmax_of_the_logits_is_the_share_of_the_scores():
    network = build_random('s')
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        outputs = network.decode(image)
        masks = F.interpolate(outputs.masks[-1], scale_factor=4.0, mode='bilinear').sigmoid()
        shares = outputs.class_logits[-1].softmax(2)[..., :5]
        scores = torch.einsum('nqc,nqhw->nchw', shares, masks)
        logits = network(image)
    scores += SCORE_FLOOR
    expected = scores / scores.sum(1, keepdim=True)
    torch.testing.assert_close(logits.softmax(1), expected, atol=1e-5, rtol=1e-4)


def test_position_embeddings_are_resized_to_any_grid_and_kept_at_their_own():
    network = build_random('s', image_size_px=64)
    seen = []
    network.backbone.blocks[0].register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network.backbone.patch_embed.proj.weight.zero_()
        network.backbone.patch_embed.proj.bias.zero_()
        for size in ((64, 64), (32, 128)):
            network(torch.zeros(1, 3, *size))
    table = network.backbone.pos_embed
    torch.testing.assert_close(seen[0].tokens, table.flatten(2).transpose(1, 2))
    resized = F.interpolate(table, (2, 8), mode='bicubic').flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen[1].tokens, resized)


@pytest.mark.parametrize('variant', VARIANTS)
def test_state_dict_tells_what_it_is(variant):
    identity = identify_segvit(build_without_weights(variant, 7, 480).state_dict())
    assert (identity.variant, identity.num_classes, identity.image_size_px) == (variant, 7, 480)
    assert identify_segvit({'backbone.pos_embed': torch.zeros(1, 5, 3)}) is None


@pytest.mark.parametrize('variant', ['s', 's_shrunk'])
def test_training_reaches_every_parameter(variant):
    network = build_segvit(variant, 5, image_size_px=64, drop_path=0.0).train()
    outputs = network.decode(torch.randn(2, 3, 64, 96))
    sum(x.square().mean() for pair in outputs for x in pair).backward()
    idle = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # the bias of a key adds the same to all scores of a query: softmax takes it out
    assert [name for name in idle if not name.endswith('.k.bias')] == []


def test_registry_lists_the_variants():
    assert NETWORKS['segvit'].variants == tuple(VARIANTS)
    assert build_network('segvit', 's', 3, image_size_px=32).num_classes == 3


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        (('t', 19), {}, "no variant 't'; use one of s, b, l, s_shrunk, l_shrunk"),
        (('s', 0), {}, 'at least 1 class, got num_classes=0'),
        (('s', 19), {'image_size_px': 500}, 'image_size_px is 500, expected a multiple of 16'),
    ],
)
def test_what_cannot_be_built(arguments, options, message):
    with pytest.raises(UserError, match=message):
        build_segvit(*arguments, **options)


def test_image_smaller_than_a_patch_is_refused():
    with pytest.raises(UserError, match='15x64 px, smaller than a patch of SegViT: give it 16x16'):
        build_random('s')(torch.zeros(1, 3, 15, 64))
