# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The squeeze-and-attention module of SANet, and squeeze-and-excitation in its place.

SA (arXiv 1909.03402, section 3.2): `X_out = X_attn * X_res + X_attn` with
`X_attn = Upsample(F_attn(Pool(X_in)))`. The squeeze keeps a map at 1/8, where that of SE (Hu et
al., CVPR 2018, arXiv 1709.01507) keeps one number per channel: `X_out = s * X_res`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOL_FACTOR = 8  # of pooling and of upsampling
CHANNEL_DIVISOR = 4  # a stage's channels over those of the main and the attention path
ATTENTION_CHANNELS = 4  # between the two convolutions of the attention path
EXCITATION_REDUCTION = 16  # of squeeze-and-excitation, as published
# The article of SE has no network as narrow as SANet-R18. With 4 hidden channels all of a head's
# were dead from the start in a first run: no gradient, a constant gate.
MIN_EXCITATION_CHANNELS = 16


class ConvNormReLU(nn.Module):
    """3x3 convolution, batch norm, ReLU; (N, C, H, W) to (N, channels, H, W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three."""
        return F.relu(self.norm(self.conv(x)))


def make_main_path(in_channels: int) -> nn.Sequential:
    """Make F_res, two 3x3 convolutions to 1/4 of the channels; both modules have it."""
    channels = in_channels // CHANNEL_DIVISOR
    return nn.Sequential(ConvNormReLU(in_channels, channels), ConvNormReLU(channels, channels))


class SqueezeAttention(nn.Module):
    """The SA module.

    What the article leaves open: the convolutions of both paths are 3x3 with batch norm and ReLU,
    pooling is the mean, upsampling bilinear. Cells at the right and bottom border of a size that
    is no multiple of 8 are the mean of what they hold, and the map is cut after upsampling by
    exactly 8, so that it stays where the pixels are.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.main = make_main_path(in_channels)
        self.attention = nn.Sequential(
            ConvNormReLU(in_channels, ATTENTION_CHANNELS),
            ConvNormReLU(ATTENTION_CHANNELS, in_channels // CHANNEL_DIVISOR),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend in (N, C, H, W); returns (N, C / 4, H, W)."""
        pooled = F.avg_pool2d(x, POOL_FACTOR, ceil_mode=True, count_include_pad=False)
        attention = F.interpolate(
            self.attention(pooled), scale_factor=POOL_FACTOR, mode='bilinear', align_corners=False
        )
        attention = attention[:, :, : x.shape[2], : x.shape[3]]
        return attention * self.main(x) + attention


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation behind the same main path: the article's ablation."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        channels = in_channels // CHANNEL_DIVISOR
        hidden = max(MIN_EXCITATION_CHANNELS, channels // EXCITATION_REDUCTION)
        self.main = make_main_path(in_channels)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of (N, C, H, W); returns (N, C / 4, H, W)."""
        x = self.main(x)
        squeezed = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(squeezed))))


MODULES: dict[str, type[SqueezeAttention] | type[SqueezeExcitation]] = {
    'sa': SqueezeAttention,
    'se': SqueezeExcitation,
}
