# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""AugReg's vision transformers, by timm's names and shapes, in SegViT's encoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import load_encoder_weights
from seg_perception.networks.segnext import MEAN_RGB, STD_RGB, build_segnext
from seg_perception.networks.segvit import build_segvit
from seg_perception.networks.vit import resize_positions


def make_published(width: int, depth: int, side: int, classes: int = 10) -> dict:
    """Make the state dict of a ViT of patches of 16 px as timm names it."""
    torch.manual_seed(0)
    shapes = {
        'cls_token': (1, 1, width),
        'pos_embed': (1, 1 + side * side, width),
        'patch_embed.proj.weight': (width, 3, 16, 16),
        'patch_embed.proj.bias': (width,),
        'norm.weight': (width,),
        'norm.bias': (width,),
        'head.weight': (classes, width),
        'head.bias': (classes,),
    }
    layers = {'attn.qkv': 3, 'attn.proj': 1, 'mlp.fc1': 4}
    for index in range(depth):
        block = f'blocks.{index}.'
        for name in ('norm1', 'norm2'):
            shapes |= {f'{block}{name}.weight': (width,), f'{block}{name}.bias': (width,)}
        for name, factor in layers.items():
            shapes[f'{block}{name}.weight'] = (factor * width, width)
            shapes[f'{block}{name}.bias'] = (factor * width,)
        shapes[f'{block}mlp.fc2.weight'] = (width, 4 * width)
        shapes[f'{block}mlp.fc2.bias'] = (width,)
    return {name: torch.randn(shape) * 0.05 for name, shape in shapes.items()}


def compute_plainly(state: dict, pixels: torch.Tensor, depth: int, heads: int) -> torch.Tensor:
    """Run a published ViT on bytes of whole patches, without class token, as PyTorch users do."""
    image = pixels / 127.5 - 1
    weights = (state['patch_embed.proj.weight'], state['patch_embed.proj.bias'])
    x = F.conv2d(image, *weights, stride=16).flatten(2).transpose(1, 2) + state['pos_embed'][:, 1:]
    width = x.shape[2]
    for index in range(depth):
        part = {
            key.removeprefix(f'blocks.{index}.'): value
            for key, value in state.items()
            if key.startswith(f'blocks.{index}.')
        }

        def linear(name, y, part=part):
            return F.linear(y, part[f'{name}.weight'], part[f'{name}.bias'])

        def norm(name, y, part=part):
            return F.layer_norm(y, (width,), part[f'{name}.weight'], part[f'{name}.bias'], 1e-6)

        qkv = linear('attn.qkv', norm('norm1', x)).reshape(len(x), -1, 3, heads, width // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        shares = (q @ k.transpose(-2, -1) / (width // heads) ** 0.5).softmax(-1)
        x = x + linear('attn.proj', (shares @ v).transpose(1, 2).reshape(x.shape))
        x = x + linear('mlp.fc2', F.gelu(linear('mlp.fc1', norm('norm2', x))))
    return x


def test_published_encoder_gives_the_same_tokens_for_camera_bytes():
    state = make_published(192, 12, side=4)
    network = build_segvit('s', 3, image_size_px=64).eval()
    unused = load_encoder_weights(network, state)
    # ours has nine blocks of ViT-Ti's twelve
    assert unused == (
        'blocks (tensors: 36)',
        'cls_token (tensors: 1)',
        'head (tensors: 2)',
        'norm (tensors: 2)',
    )
    pixels = torch.randint(0, 256, (1, 3, 64, 64)).float()
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN_RGB, STD_RGB))
    with torch.no_grad():
        tokens = network.backbone((pixels - mean) / std)[-1].tokens
        expected = compute_plainly(state, pixels, depth=9, heads=3)
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)


def test_positions_are_resized_and_the_class_token_left_out():
    state = make_published(192, 9, side=14)
    network = build_segvit('s', 3)
    load_encoder_weights(network, state)
    grid = state['pos_embed'][:, 1:].transpose(1, 2).reshape(1, 192, 14, 14)
    assert network.backbone.pos_embed.shape == (1, 192, 32, 32)
    torch.testing.assert_close(network.backbone.pos_embed, resize_positions(grid, 32, 32))


def test_block_that_shrinks_takes_its_queries_from_the_joint_weights():
    state = make_published(192, 9, side=4)
    network = build_segvit('s_shrunk', 3, image_size_px=64)
    load_encoder_weights(network, state)
    attention, joint = network.backbone.blocks[3].attn, state['blocks.3.attn.qkv.weight']
    assert torch.equal(torch.cat([attention.q.weight, attention.kv.weight]), joint)


def test_encoder_of_our_own_network_is_taken_as_it_is():
    source = build_segvit('s', 7, image_size_px=64)
    network = build_segvit('s', 3, image_size_px=64)
    unused = load_encoder_weights(network, source.state_dict())
    assert [part.split(' ')[0] for part in unused] == ['decode_head']
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[key], value)


def test_other_encoders_are_refused_in_one_message():
    network = build_segvit('s', 3, image_size_px=64)
    with pytest.raises(UserError, match='does not fit the encoder of SegViT:\n'):
        load_encoder_weights(network, make_published(384, 9, side=4))
    with pytest.raises(
        UserError, match='It holds SegNeXt-T with 5 classes. Use a file of the same'
    ):
        load_encoder_weights(network, build_segnext('t', 5).state_dict())
