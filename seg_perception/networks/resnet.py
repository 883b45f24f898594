# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""ResNet (He et al., CVPR 2016, arXiv 1512.03385) as an encoder, dilated to output stride 8.

Keys and layers are torchvision's (v1.5: a bottleneck's 3x3 convolution has the stride), so that
its ImageNet files load. The dilated form is torchvision's `replace_stride_with_dilation=[False,
True, True]`: stages 3 and 4 keep the size of stage 2, their 3x3 convolutions are dilated by 2 and
4, and the first block of each still has the dilation of the stage before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 64
STAGE_WIDTHS = (64, 128, 256, 512)
STAGE_STRIDES = (1, 2, 1, 1)
STAGE_DILATIONS = (1, 1, 2, 4)
OUTPUT_STRIDE = 8


@dataclass(frozen=True)
class ResNetSizes:
    """Blocks of each stage, and whether they are bottlenecks, which widen their output by 4."""

    depths: tuple[int, int, int, int]
    is_bottleneck: bool

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels that each stage returns."""
        expansion = Bottleneck.expansion if self.is_bottleneck else BasicBlock.expansion
        return tuple(expansion * width for width in STAGE_WIDTHS)


def make_3x3(in_channels: int, channels: int, stride: int, dilation: int) -> nn.Conv2d:
    """Make a 3x3 convolution without bias that keeps the size but for the stride."""
    return nn.Conv2d(
        in_channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
    )


def make_shortcut(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """Make the projection of a block whose output has another shape than its input."""
    if stride == 1 and in_channels == channels:
        return None
    convolution = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class BasicBlock(nn.Module):
    """3x3 -> ReLU -> 3x3, plus the shortcut, then ReLU; the first one has the stride.

    first_dilation: of the first convolution; dilation: of the second.
    """

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        super().__init__()
        self.conv1 = make_3x3(in_channels, width, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = make_3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + shortcut)


class Bottleneck(nn.Module):
    """1x1 -> ReLU -> 3x3 -> ReLU -> 1x1, plus the shortcut, then ReLU; the 3x3 has the stride.

    first_dilation: of its 3x3 convolution; `dilation` is that of the stage's later blocks and
    not used here.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        super().__init__()
        channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = make_3x3(width, width, stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + shortcut)


class DilatedResNet(nn.Module):
    """The four-stage encoder: images to features at 1/4, 1/8, 1/8 and 1/8."""

    def __init__(self, sizes: ResNetSizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        block = Bottleneck if sizes.is_bottleneck else BasicBlock
        in_channels, before = STEM_CHANNELS, 1
        stages = []
        for width, depth, stride, dilation in zip(
            STAGE_WIDTHS, sizes.depths, STAGE_STRIDES, STAGE_DILATIONS, strict=True
        ):
            channels = block.expansion * width
            blocks: list[nn.Module] = [block(in_channels, width, stride, before, dilation)]
            blocks += [block(channels, width, 1, dilation, dilation) for _ in range(1, depth)]
            stages.append(nn.Sequential(*blocks))
            in_channels, before = channels, dilation
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        initialise_convolutions(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (N, 3, H, W) float; sizes that are no multiples of a stride round up."""
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        stages = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            stages.append(x)
        return stages


def initialise_convolutions(module: nn.Module) -> None:
    """Draw weights of convolutions before a batch norm as He et al. do (in place)."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is None:
                nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
