# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegNeXt as it is deployed: the same function of the image, in fewer and cheaper operations.

Every rewrite is exact in real arithmetic and checked against the trained network in tests:

- batch norms go into the convolution before them, or into the 1x1 after them;
- layer scales go into the 1x1 before them; with the batch norm they turn the attention's inner
  shortcut, x + scale * (attention + norm(x)), into one factor per channel;
- the head squeezes each stage at its own resolution: a 1x1 convolution commutes with bilinear
  resampling, so 3/4 and 15/16 of that work on the two coarse stages disappears;
- the Hamburger's output convolution acts on the bases (channels, rank) instead of on their
  product with the coefficients (channels, pixels), and the group norm behind it takes its
  statistics from the rank x rank covariance of the coefficients;
- the layer norms stay in NCHW;
- the head works on (pixels, channels) matrices, so that nothing is reordered between the
  matrix products of the factorisation and its 1x1 convolutions, which are products too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg_perception.errors import UserError
from seg_perception.networks.hamburger import EPSILON, EVALUATION_STEPS, GROUPS
from seg_perception.networks.mscan import depthwise
from seg_perception.networks.segnext import VARIANTS, SegNeXt, SegNeXtVariant

NORM_EPSILON = 1e-5  # of every norm of the network
Weights = dict[str, Tensor]


class DeployBlock(nn.Module):
    """A block of MSCAN without norms and scales."""

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.shortcut_scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.conv0 = depthwise(channels, (5, 5))
        self.conv0_1 = depthwise(channels, (1, 7))
        self.conv0_2 = depthwise(channels, (7, 1))
        self.conv1_1 = depthwise(channels, (1, 11))
        self.conv1_2 = depthwise(channels, (11, 1))
        self.conv2_1 = depthwise(channels, (1, 21))
        self.conv2_2 = depthwise(channels, (21, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.proj_2 = nn.Conv2d(channels, channels, 1)
        self.fc1 = nn.Conv2d(channels, hidden_channels, 1)
        self.dwconv = depthwise(hidden_channels, (3, 3))
        self.fc2 = nn.Conv2d(hidden_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        gated = F.gelu(self.proj_1(x))
        local = self.conv0(gated)
        context = (
            local
            + self.conv0_2(self.conv0_1(local))
            + self.conv1_2(self.conv1_1(local))
            + self.conv2_2(self.conv2_1(local))
        )
        x = x * self.shortcut_scale + self.proj_2(self.conv3(context) * gated)
        return x + self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class PlaneNorm(nn.Module):
    """Layer norm over the channels, written out on (N, C, H, W).

    As one LayerNormalization it needs C last: two transpositions and reorders per stage, which
    OpenVINO carries out (2 % of its time at 512x1024).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over C at each pixel."""
        x = x - x.mean(1, keepdim=True)
        deviation = torch.sqrt((x * x).mean(1, keepdim=True) + NORM_EPSILON)
        return x / deviation * self.weight[:, None, None] + self.bias[:, None, None]


class DeployEncoder(nn.Module):
    """MSCAN with folded norms: (N, 3, H, W) to its last three stages."""

    def __init__(self, variant: SegNeXtVariant) -> None:
        super().__init__()
        dims = variant.embed_dims
        self.stem_1 = nn.Conv2d(3, dims[0] // 2, 3, stride=2, padding=1)
        self.stem_2 = nn.Conv2d(dims[0] // 2, dims[0], 3, stride=2, padding=1)
        self.downsample = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in zip(dims[:-1], dims[1:], strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList(DeployBlock(channels, channels * ratio) for _ in range(depth))
            for channels, depth, ratio in zip(
                dims, variant.depths, variant.mlp_ratios, strict=True
            )
        )
        self.norms = nn.ModuleList(PlaneNorm(channels) for channels in dims)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode; return the stages at 1/8, 1/16 and 1/32."""
        x = self.stem_2(F.gelu(self.stem_1(image)))
        stages = []
        for stage, (blocks, norm) in enumerate(zip(self.blocks, self.norms, strict=True)):
            if stage > 0:
                x = self.downsample[stage - 1](x)
            for block in blocks.children():
                x = block(x)
            x = norm(x)
            stages.append(x)
        return stages[1:]


class TokenGroupNorm(nn.Module):
    """Group norm of (N, pixels, C) over the pixels and the channels of each group."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.group_shape = (-1, GROUPS, channels // GROUPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise."""
        mean = tokens.mean(1, keepdim=True)
        variance = (tokens - mean).square().mean(1, keepdim=True)
        scale, shift = self.affine(mean, variance)
        return tokens * scale + shift

    def affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Turn each channel's mean and variance (N, 1, C) into its scale and shift (N, 1, C)."""
        mean = mean.reshape(self.group_shape)
        variance = variance.reshape(self.group_shape)
        group_mean = mean.mean(2, keepdim=True)
        spread = (mean - group_mean).square()
        group_variance = (variance + spread).mean(2, keepdim=True)
        scale = self.weight.reshape(self.group_shape) * torch.rsqrt(group_variance + NORM_EPSILON)
        shift = self.bias.reshape(self.group_shape) - group_mean * scale
        channels = len(self.weight)
        return scale.reshape(-1, 1, channels), shift.reshape(-1, 1, channels)


class DeployHead(nn.Module):
    """Light Hamburger head on (pixels, channels) matrices.

    The factorisation (`factorise`) is the one part that has to stay in float32 when the rest
    runs in half precision: an intermediate reaches 3.5e4 of float16's 65504.
    """

    bases: Tensor

    def __init__(self, variant: SegNeXtVariant, num_classes: int, rank: int) -> None:
        super().__init__()
        channels = variant.head_channels
        self.squeeze = nn.ModuleList(
            nn.Conv2d(stage_channels, channels, 1, bias=False)
            for stage_channels in variant.embed_dims[1:]
        )
        self.squeeze_norm = TokenGroupNorm(channels)
        self.ham_in = nn.Linear(channels, channels)
        self.register_buffer('bases', torch.empty(1, rank, channels))
        self.ham_out = nn.Linear(channels, channels, bias=False)
        self.ham_out_norm = TokenGroupNorm(channels)
        self.align = nn.Linear(channels, channels, bias=False)
        self.align_norm = TokenGroupNorm(channels)
        self.conv_seg = nn.Linear(channels, num_classes)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Decode three stages to logits (N, classes, h, w) of the finest one's size."""
        finest = stages[0]
        size = finest.shape[2:]
        x = self.squeeze[0](finest)
        for squeeze, stage in zip(list(self.squeeze)[1:], stages[1:], strict=True):
            level = squeeze(stage)
            x = x + F.interpolate(level, size=size, mode='bilinear', align_corners=False)
        channels = self.align.in_features
        tokens = x.permute(0, 2, 3, 1).reshape(len(x), -1, channels)
        tokens = F.relu(self.squeeze_norm(tokens))
        bases, coefficients = self.factorise(F.relu(self.ham_in(tokens)))
        tokens = F.relu(tokens + self.expand(bases, coefficients).to(tokens.dtype))
        tokens = F.relu(self.align_norm(self.align(tokens)))
        logits = self.conv_seg(tokens).transpose(1, 2)
        return logits.reshape(len(x), self.conv_seg.out_features, *size)

    def factorise(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Factor non-negative (N, pixels, C) into bases (N, R, C), coefficients (N, R, pixels).

        In float32 whatever the dtype of the rest.
        """
        features = tokens.float()
        bases = self.bases.float()
        coefficients = torch.softmax(bases @ features.transpose(1, 2), dim=1)
        for _ in range(EVALUATION_STEPS):
            coefficients = update_coefficients(features, bases, coefficients)
            gram = coefficients @ coefficients.transpose(1, 2)
            bases = bases * (coefficients @ features) / (gram @ bases + EPSILON)
        return bases, update_coefficients(features, bases, coefficients)

    def expand(self, bases: Tensor, coefficients: Tensor) -> Tensor:
        """Apply ham_out and its group norm to the product of the factors: (N, pixels, C)."""
        projected = self.ham_out(bases)
        mean = coefficients.mean(2, keepdim=True)
        centred = coefficients - mean
        covariance = centred @ centred.transpose(1, 2) / coefficients.shape[2]
        channel_mean = mean.transpose(1, 2) @ projected
        channel_variance = (projected * (covariance @ projected)).sum(1, keepdim=True)
        scale, shift = self.ham_out_norm.affine(channel_mean, channel_variance)
        return coefficients.transpose(1, 2) @ (projected * scale) + shift


def update_coefficients(features: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    """Take one step of the coefficients (N, R, pixels); features (N, pixels, C)."""
    gram = bases @ bases.transpose(1, 2)
    numerator = bases @ features.transpose(1, 2)
    return coefficients * numerator / (gram @ coefficients + EPSILON)


class DeploySegNeXt(nn.Module):
    """The deployed network; `fold_segnext` fills it from a trained one."""

    def __init__(self, variant: SegNeXtVariant, num_classes: int, rank: int) -> None:
        super().__init__()
        self.backbone = DeployEncoder(variant)
        self.decode_head = DeployHead(variant, num_classes, rank)

    @property
    def float32_layers(self) -> tuple[nn.Module, ...]:
        """Layers that stay in float32 when the others compute in a half type."""
        return (self.decode_head.ham_out, self.decode_head.conv_seg)

    def forward(self, image: Tensor) -> Tensor:
        """Segment (N, 3, H, W) normalised RGB.

        Returns logits (N, classes, ceil(H / 8), ceil(W / 8)).
        """
        return self.decode_head(self.backbone(image))


def describe_network(network: SegNeXt) -> dict[str, Any]:
    """Return what a model file records to build the network again: name, variant, rank."""
    return {'name': 'segnext', 'variant': network.variant.name, 'rank': network.rank}


def build_deployed(network: Mapping[str, Any], num_classes: int) -> DeploySegNeXt:
    """Build the deployed network that `describe_network` described, with empty weights.

    Raises UserError for a network or variant that is not known.
    """
    name, variant, rank = (network.get(key) for key in ('name', 'variant', 'rank'))
    if name != 'segnext' or variant not in VARIANTS or not isinstance(rank, int):
        raise UserError(
            f'network {dict(network)} is not known; expected name segnext, variant '
            f'{", ".join(VARIANTS)} and a rank; export the model again'
        )
    deployed = DeploySegNeXt(VARIANTS[variant], num_classes, rank).eval()
    return deployed.requires_grad_(False)


def fold_segnext(network: SegNeXt) -> DeploySegNeXt:
    """Return the deployed form of a trained network, in evaluation mode; weights are copied."""
    deployed = build_deployed(describe_network(network), network.num_classes)
    weights = {name: value.detach().float() for name, value in network.state_dict().items()}
    folded = {**fold_encoder(weights, network.variant), **fold_head(weights, network.variant)}
    deployed.load_state_dict(folded)
    return deployed


def fold_encoder(weights: Weights, variant: SegNeXtVariant) -> Weights:
    """Return the weights of DeployEncoder from those of a SegNeXt."""
    folded: Weights = {}
    embeds = [
        ('stem_1', 'patch_embed1.proj.0', 'patch_embed1.proj.1'),
        ('stem_2', 'patch_embed1.proj.3', 'patch_embed1.proj.4'),
    ]
    for stage in (2, 3, 4):
        embed = f'patch_embed{stage}'
        embeds.append((f'downsample.{stage - 2}', f'{embed}.proj', f'{embed}.norm'))
    for target, convolution, norm in embeds:
        scale, shift = compute_affine(weights, f'backbone.{norm}')
        weight, bias = read_convolution(weights, f'backbone.{convolution}')
        folded[f'backbone.{target}.weight'] = weight * scale[:, None, None, None]
        folded[f'backbone.{target}.bias'] = bias * scale + shift
    for stage, depth in enumerate(variant.depths, start=1):
        for block in range(depth):
            source, target = (
                f'backbone.block{stage}.{block}.',
                f'backbone.blocks.{stage - 1}.{block}.',
            )
            block_weights = take_prefix(weights, source)
            folded.update({target + n: v for n, v in fold_block(block_weights).items()})
        for name in ('weight', 'bias'):
            folded[f'backbone.norms.{stage - 1}.{name}'] = weights[f'backbone.norm{stage}.{name}']
    return folded


def fold_block(weights: Weights) -> Weights:
    """Return the weights of DeployBlock from those of a Block."""
    gate = 'attn.spatial_gating_unit.'
    folded = take_prefix(weights, gate)
    scale, shift = compute_affine(weights, 'norm1')
    layer_scale = weights['layer_scale_1']
    set_convolution(folded, 'proj_1', *fold_affine_before(weights, 'attn.proj_1', scale, shift))
    # x + ls * (proj_2(..) + norm(x)) = (1 + ls * scale) * x + ls * (proj_2(..) + shift)
    folded['shortcut_scale'] = (1 + layer_scale * scale)[:, None, None]
    weight, bias = read_convolution(weights, 'attn.proj_2')
    factor = layer_scale[:, None, None, None]
    set_convolution(folded, 'proj_2', weight * factor, (bias + shift) * layer_scale)
    scale, shift = compute_affine(weights, 'norm2')
    layer_scale = weights['layer_scale_2']
    set_convolution(folded, 'fc1', *fold_affine_before(weights, 'mlp.fc1', scale, shift))
    set_convolution(folded, 'dwconv', *read_convolution(weights, 'mlp.dwconv'))
    weight, bias = read_convolution(weights, 'mlp.fc2')
    factor = layer_scale[:, None, None, None]
    set_convolution(folded, 'fc2', weight * factor, bias * layer_scale)
    return folded


def fold_head(weights: Weights, variant: SegNeXtVariant) -> Weights:
    """Return the weights of DeployHead from those of a SegNeXt."""
    head, hamburger = 'decode_head.', 'decode_head.hamburger.'
    levels = weights[head + 'squeeze.conv.weight'].split(variant.embed_dims[1:], dim=1)
    folded = {f'{head}squeeze.{index}.weight': level for index, level in enumerate(levels)}
    folded[head + 'bases'] = weights[hamburger + 'ham.bases'].mT
    for target, source in (
        ('ham_in', hamburger + 'ham_in.conv'),
        ('ham_out', hamburger + 'ham_out.conv'),
        ('align', head + 'align.conv'),
        ('conv_seg', head + 'conv_seg'),
    ):
        folded[f'{head}{target}.weight'] = weights[f'{source}.weight'].flatten(1)
        if f'{source}.bias' in weights:
            folded[f'{head}{target}.bias'] = weights[f'{source}.bias']
    for target, source in (
        ('squeeze_norm', head + 'squeeze.gn'),
        ('ham_out_norm', hamburger + 'ham_out.gn'),
        ('align_norm', head + 'align.gn'),
    ):
        for name in ('weight', 'bias'):
            folded[f'{head}{target}.{name}'] = weights[f'{source}.{name}']
    return folded


def take_prefix(weights: Weights, prefix: str) -> Weights:
    """Return the weights below a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def read_convolution(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias."""
    return weights[f'{name}.weight'], weights[f'{name}.bias']


def set_convolution(weights: Weights, name: str, weight: Tensor, bias: Tensor) -> None:
    """Put weight and bias in place."""
    weights[f'{name}.weight'] = weight
    weights[f'{name}.bias'] = bias


def compute_affine(weights: Weights, norm: str) -> tuple[Tensor, Tensor]:
    """Return the scale and shift per channel (C,) that a batch norm is in evaluation."""
    deviation = torch.sqrt(weights[f'{norm}.running_var'] + NORM_EPSILON)
    scale = weights[f'{norm}.weight'] / deviation
    return scale, weights[f'{norm}.bias'] - weights[f'{norm}.running_mean'] * scale


def fold_affine_before(
    weights: Weights, convolution: str, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Fold an affine input into a 1x1 convolution; a wider one would pad 0, not the shift."""
    weight, bias = read_convolution(weights, convolution)
    return weight * scale[None, :, None, None], bias + weight.flatten(1) @ shift
