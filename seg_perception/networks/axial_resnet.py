# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Axial-ResNet, the encoder of Axial-DeepLab (arXiv 2003.07853, section 3.3), output stride 16.

A ResNet-50 whose 3x3 convolutions are pairs of axial attention layers: along the height, then
along the width. 'conv' stem: three 3x3 convolutions and a 3x3 maximum, to 1/4. 'axial' stem (the
paper's Full Axial-ResNet): a 1x1 convolution to the stem's width, then three axial blocks in
place of the convolutions; their span and that of the first stage are limited (65 px where nothing
else is said), since their axes are the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg_perception.networks.axial_attention import AxialAttention, ConvNorm

STEMS = ('conv', 'axial')
STAGE_STRIDES = (1, 2, 2, 1)  # after the stem at 1/4; the last one would be 2 in a ResNet
EXPANSION = 2  # channels of a block over those of its attention
FULL_AXIAL_SPAN_PX = 65


@dataclass(frozen=True)
class AxialResNetSizes:
    """Sizes of an encoder.

    Attributes:
        inner: channels of the attention in each stage; blocks have EXPANSION times as many.
        depths: blocks of each stage.
        stem: channels of the stem's three layers.
        heads: of every attention layer.
        convolutional_stages: first stages that keep the ResNet's 3x3 convolution.
    """

    inner: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    stem: tuple[int, int, int]
    heads: int = 8
    convolutional_stages: int = 0

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that each stage returns."""
        return tuple(EXPANSION * channels for channels in self.inner)


class AxialPair(nn.Module):
    """Attention along the height, then along the width."""

    def __init__(self, channels: int, heads: int, span_px: int, stride: int) -> None:
        super().__init__()
        self.height = AxialAttention(channels, channels, heads, 'height', span_px, stride)
        self.width = AxialAttention(channels, channels, heads, 'width', span_px, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in (N, C, H, W); each axis is strided after its layer."""
        return self.width(self.height(x))


class Bottleneck(nn.Module):
    """1x1 -> ReLU -> axial attention or 3x3 -> ReLU -> 1x1, plus the shortcut, then ReLU."""

    def __init__(
        self,
        in_channels: int,
        inner: int,
        stride: int,
        heads: int,
        span_px: int,
        is_axial: bool,
    ) -> None:
        super().__init__()
        channels = EXPANSION * inner
        self.reduce = ConvNorm(in_channels, inner)
        self.spatial: nn.Module = (
            AxialPair(inner, heads, span_px, stride)
            if is_axial
            else ConvNorm(inner, inner, 3, stride)
        )
        self.expand = ConvNorm(inner, channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = ConvNorm(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        inner = F.relu(self.spatial(F.relu(self.reduce(x))))
        return F.relu(self.expand(inner) + self.shortcut(x))


class ConvStem(nn.Module):
    """Three 3x3 convolutions, the first with stride 2, and a 3x3 maximum with stride 2."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels[0], 3, stride=2)
        self.conv2 = ConvNorm(channels[0], channels[1], 3)
        self.conv3 = ConvNorm(channels[1], channels[2], 3)
        self.out_channels = channels[2]

    def forward(self, image: Tensor) -> Tensor:
        """Embed (N, 3, H, W) at ceil(ceil(H / 2) / 2)."""
        x = F.relu(self.conv2(F.relu(self.conv1(image))))
        return F.max_pool2d(F.relu(self.conv3(x)), 3, stride=2, padding=1)


class AxialStem(nn.Module):
    """A 1x1 convolution and three axial blocks, the first with stride 2, and the maximum."""

    def __init__(self, channels: tuple[int, int, int], heads: int, span_px: int) -> None:
        super().__init__()
        self.embed = ConvNorm(3, channels[0])
        blocks = []
        in_channels = channels[0]
        for index, inner in enumerate(channels):
            stride = 2 if index == 0 else 1
            blocks.append(Bottleneck(in_channels, inner, stride, heads, span_px, is_axial=True))
            in_channels = EXPANSION * inner
        self.blocks = nn.ModuleList(blocks)
        self.out_channels = in_channels

    def forward(self, image: Tensor) -> Tensor:
        """Embed (N, 3, H, W) at ceil(ceil(H / 2) / 2)."""
        x = F.relu(self.embed(image))
        for block in self.blocks:
            x = block(x)
        return F.max_pool2d(x, 3, stride=2, padding=1)


class AxialResNet(nn.Module):
    """The four-stage encoder.

    Args:
        sizes: channels and depths.
        stem: 'conv' or 'axial'.
        span_px: pixels that attention sees along an axis, odd; 0 is the whole axis.
    """

    def __init__(self, sizes: AxialResNetSizes, stem: str = 'conv', span_px: int = 0) -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f'stem is {stem!r}, expected one of {", ".join(STEMS)}')
        early_span_px = span_px or (FULL_AXIAL_SPAN_PX if stem == 'axial' else 0)
        self.stem: ConvStem | AxialStem = (
            ConvStem(sizes.stem)
            if stem == 'conv'
            else AxialStem(sizes.stem, sizes.heads, early_span_px)
        )
        in_channels = self.stem.out_channels
        stages = []
        for stage, (inner, depth) in enumerate(zip(sizes.inner, sizes.depths, strict=True)):
            span = early_span_px if stage == 0 else span_px
            is_axial = stage >= sizes.convolutional_stages
            blocks = []
            for block in range(depth):
                stride = STAGE_STRIDES[stage] if block == 0 else 1
                blocks.append(Bottleneck(in_channels, inner, stride, sizes.heads, span, is_axial))
                in_channels = EXPANSION * inner
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (N, 3, H, W) float; return the stages at 1/4, 1/8, 1/16 and 1/16."""
        x = self.stem(image)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        return stages


def init_residual(encoder: AxialResNet) -> None:
    """Start every block as its shortcut: the last norm of each branch gets weight 0."""
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, Bottleneck) and isinstance(module.expand.norm, nn.BatchNorm2d):
                module.expand.norm.weight.zero_()
