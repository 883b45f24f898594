# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""MSCAN, the multi-scale convolutional attention encoder of SegNeXt (arXiv 2209.08575, 3.1).

Everything stays in NCHW. Parameter names follow mmsegmentation 1.x, so that its files load as
they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DropPath(nn.Module):
    """Drops a residual branch per sample in training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero the branch of each sample with `probability`; scale the others up."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        return x * (x.new_empty(shape).bernoulli_(keep) / keep)

    def extra_repr(self) -> str:
        """Show the probability in the printed module."""
        return f'probability={self.probability:.3f}'


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of an NCHW tensor."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) over C at each pixel."""
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def depthwise(channels: int, kernel_px: tuple[int, int]) -> nn.Conv2d:
    """Make a depth-wise convolution with bias that keeps the size."""
    padding = (kernel_px[0] // 2, kernel_px[1] // 2)
    return nn.Conv2d(channels, channels, kernel_px, padding=padding, groups=channels)


class MultiScaleGate(nn.Module):
    """Multi-scale convolutional attention: strip convolutions gate their own input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = depthwise(channels, (5, 5))
        self.conv0_1 = depthwise(channels, (1, 7))
        self.conv0_2 = depthwise(channels, (7, 1))
        self.conv1_1 = depthwise(channels, (1, 11))
        self.conv1_2 = depthwise(channels, (11, 1))
        self.conv2_1 = depthwise(channels, (1, 21))
        self.conv2_2 = depthwise(channels, (21, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, C, H, W) by its own multi-scale context (equations 1 and 2)."""
        local = self.conv0(x)
        context = (
            local
            + self.conv0_2(self.conv0_1(local))
            + self.conv1_2(self.conv1_1(local))
            + self.conv2_2(self.conv2_1(local))
        )
        return self.conv3(context) * x


class SpatialAttention(nn.Module):
    """1x1 -> GELU -> gate -> 1x1 with an inner shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.spatial_gating_unit = MultiScaleGate(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over (N, C, H, W)."""
        return x + self.proj_2(self.spatial_gating_unit(F.gelu(self.proj_1(x))))


class Mlp(nn.Module):
    """1x1 -> depth-wise 3x3 -> GELU -> 1x1."""

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden_channels, 1)
        self.dwconv = depthwise(hidden_channels, (3, 3))
        self.fc2 = nn.Conv2d(hidden_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (N, C, H, W)."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class Block(nn.Module):
    """Attention and MLP, each behind a batch norm, a layer scale and drop path."""

    def __init__(self, channels: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.attn = SpatialAttention(channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = Mlp(channels, channels * mlp_ratio)
        self.drop_path = DropPath(drop_path)
        self.layer_scale_1 = nn.Parameter(torch.full((channels,), 1e-2))
        self.layer_scale_2 = nn.Parameter(torch.full((channels,), 1e-2))

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        x = x + self.drop_path(self.layer_scale_1[:, None, None] * self.attn(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x)))


class Stem(nn.Module):
    """Two stride-2 convolutions: camera pixels to 1/4."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.proj = nn.Sequential(
            nn.Conv2d(in_channels, half, 3, stride=2, padding=1),
            nn.BatchNorm2d(half),
            nn.GELU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed (N, 3, H, W) at ceil(ceil(H / 2) / 2)."""
        return self.proj(x)


class Downsample(nn.Module):
    """Overlapping patch embedding: a stride-2 convolution and a batch norm."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Halve (N, C, H, W), odd sizes rounded up."""
        return self.norm(self.proj(x))


class MSCAN(nn.Module):
    """The four-stage encoder.

    `embed_dims`, `depths` and `mlp_ratios` hold one number for each stage; `drop_path` is the
    rate of the last block, rising linearly from 0 at the first.
    """

    def __init__(
        self,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        mlp_ratios: Sequence[int],
        drop_path: float = 0.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        last = max(sum(depths) - 1, 1)
        first_block = 0
        for stage, (channels, depth, ratio) in enumerate(
            zip(embed_dims, depths, mlp_ratios, strict=True), start=1
        ):
            embed: nn.Module
            if stage == 1:
                embed = Stem(in_channels, channels)
            else:
                embed = Downsample(embed_dims[stage - 2], channels)
            rates = [drop_path * (first_block + i) / last for i in range(depth)]
            self.add_module(f'patch_embed{stage}', embed)
            blocks = nn.ModuleList(Block(channels, ratio, rate) for rate in rates)
            self.add_module(f'block{stage}', blocks)
            self.add_module(f'norm{stage}', ChannelNorm(channels))
            first_block += depth
        self.num_stages = len(embed_dims)
        self.apply(init_convolution)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode (N, 3, H, W) float; return the stages at 1/4, 1/8, 1/16 and 1/32."""
        stages = []
        for stage in range(1, self.num_stages + 1):
            x = self.get_submodule(f'patch_embed{stage}')(x)
            for block in self.get_submodule(f'block{stage}').children():
                x = block(x)
            x = self.get_submodule(f'norm{stage}')(x)
            stages.append(x)
        return stages


def init_convolution(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, 2 / fan_out) and zero its bias.

    Fan-out counts one group, as the reference does; norms keep torch's 1 and 0.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
