# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The dual decoder and the three heads of Panoptic-DeepLab (arXiv 1911.10194), without ASPP.

Each branch projects the encoder's last stage, and twice enlarges what it has to the next finer
stage, joins that stage's projection and fuses with a 5x5 depth-wise separable convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg_perception.networks.axial_attention import ConvNorm


@dataclass(frozen=True)
class DecoderSizes:
    """Channels of both branches.

    Attributes:
        semantic: of the semantic branch and its head.
        instance: of the instance branch.
        semantic_low: projections of the stages at 1/8 and 1/4 for the semantic branch.
        instance_low: the same for the instance branch.
        instance_head: of the heads of centres and offsets.
    """

    semantic: int = 256
    instance: int = 128
    semantic_low: tuple[int, int] = (64, 32)
    instance_low: tuple[int, int] = (32, 16)
    instance_head: int = 32


class PanopticOutputs(NamedTuple):
    """What the network returns; all float32 at 1/4 of the input, odd sizes rounded up.

    Attributes:
        logits: (N, classes, h, w).
        center: (N, 1, h, w), 1 at the centre of an instance, falling to 0 around it.
        offset: (N, 2, h, w), from each pixel to the centre of its instance, y and x, in pixels of
            the network's input.
    """

    logits: Tensor
    center: Tensor
    offset: Tensor


class SeparableConv(nn.Module):
    """5x5 depth-wise and 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(in_channels, in_channels, 5, groups=in_channels)
        self.pointwise = ConvNorm(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W)."""
        return F.relu(self.pointwise(F.relu(self.depthwise(x))))


class DecoderBranch(nn.Module):
    """Stages at 1/4, 1/8 and 1/16 to features at 1/4."""

    def __init__(
        self, stage_channels: Sequence[int], channels: int, low_channels: tuple[int, int]
    ) -> None:
        super().__init__()
        self.project = ConvNorm(stage_channels[3], channels)
        self.low_8 = ConvNorm(stage_channels[1], low_channels[0])
        self.fuse_8 = SeparableConv(channels + low_channels[0], channels)
        self.low_4 = ConvNorm(stage_channels[0], low_channels[1])
        self.fuse_4 = SeparableConv(channels + low_channels[1], channels)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's stages."""
        x = F.relu(self.project(stages[3]))
        x = self.fuse_8(join_enlarged(x, F.relu(self.low_8(stages[1]))))
        return self.fuse_4(join_enlarged(x, F.relu(self.low_4(stages[0]))))


def join_enlarged(coarse: Tensor, fine: Tensor) -> Tensor:
    """Enlarge (N, C, h, w) to the size of a finer map and put both together along C."""
    size = fine.shape[2:]
    enlarged = F.interpolate(coarse, size=size, mode='bilinear', align_corners=False)
    return torch.cat([enlarged, fine], 1)


class Head(nn.Module):
    """A separable convolution, then 1x1 to the outputs."""

    def __init__(self, in_channels: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = SeparableConv(in_channels, channels)
        self.predict = nn.Conv2d(channels, outputs, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        assert self.predict.bias is not None
        nn.init.zeros_(self.predict.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Predict (N, outputs, H, W)."""
        return self.predict(self.conv(x))


class PanopticDecoder(nn.Module):
    """Both branches and the three heads."""

    def __init__(
        self, stage_channels: Sequence[int], sizes: DecoderSizes, num_classes: int
    ) -> None:
        super().__init__()
        self.semantic = DecoderBranch(stage_channels, sizes.semantic, sizes.semantic_low)
        self.instance = DecoderBranch(stage_channels, sizes.instance, sizes.instance_low)
        self.semantic_head = Head(sizes.semantic, sizes.semantic, num_classes)
        self.center_head = Head(sizes.instance, sizes.instance_head, 1)
        self.offset_head = Head(sizes.instance, sizes.instance_head, 2)

    def forward(self, stages: Sequence[Tensor]) -> PanopticOutputs:
        """Decode the encoder's stages."""
        logits = self.semantic_head(self.semantic(stages))
        instance = self.instance(stages)
        return PanopticOutputs(logits, self.center_head(instance), self.offset_head(instance))
