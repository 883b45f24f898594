# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The light Hamburger decode head of SegNeXt, with constant bases.

Global context comes from a non-negative matrix factorisation of the feature map (arXiv
2109.04553) by Lee and Seung's multiplicative updates (NIPS 2000). The published networks draw
new random bases at each call, so that one image gives different masks from call to call; here
the bases are one seeded constant, a buffer that files and exported graphs carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-6
TRAINING_STEPS = 6
EVALUATION_STEPS = 7
GROUPS = 32  # of every group norm of the head


def build_bases(channels: int, rank: int, seed: int) -> Tensor:
    """Draw the bases: (1, channels, rank) float32, U(0, 1), unit L2 norm over the channels.

    PCG64 fixes its stream for all releases; torch does not promise that of its generators.
    """
    uniform = np.random.Generator(np.random.PCG64(seed)).random((channels, rank))
    uniform /= np.linalg.norm(uniform, axis=0, keepdims=True)
    return torch.from_numpy(uniform.astype(np.float32)[None])


class NMF2D(nn.Module):
    """Low-rank non-negative reconstruction of a feature map: x ~ bases @ coefficients."""

    bases: Tensor

    def __init__(self, channels: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        self.rank = rank
        self.register_buffer('bases', build_bases(channels, rank, seed))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct non-negative (N, C, H, W); gradients flow through every step.

        Computed in float32 even under autocast or in a half precision network: at 1024x2048
        an intermediate reaches 3.5e4, and float16 ends at 65504.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._reconstruct(x)
        return self._reconstruct(x)

    def _reconstruct(self, x: Tensor) -> Tensor:
        steps = TRAINING_STEPS if self.training else EVALUATION_STEPS
        features = x.float().flatten(2)  # (N, C, HW)
        bases = self.bases.float().to(features.device)  # (1, C, R), (N, C, R) after an update
        coefficients = torch.softmax(bases.mT @ features, dim=1)  # (N, R, HW)
        for _ in range(steps):
            coefficients = update_coefficients(features, bases, coefficients)
            bases = update_bases(features, bases, coefficients)
        coefficients = update_coefficients(features, bases, coefficients)
        return (bases @ coefficients).unflatten(2, x.shape[2:]).to(x.dtype)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Published checkpoints hold no bases: keep the seeded ones, and stay strict otherwise.
        state_dict.setdefault(prefix + 'bases', self.bases)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def update_coefficients(features: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    """Take one multiplicative step of the coefficients (N, R, HW) with the bases held."""
    bases_t = bases.mT
    return coefficients * (bases_t @ features) / ((bases_t @ bases) @ coefficients + EPSILON)


def update_bases(features: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    """Take one multiplicative step of the bases (N, C, R) with the coefficients held."""
    coefficients_t = coefficients.mT
    gram = coefficients @ coefficients_t
    return bases * (features @ coefficients_t) / (bases @ gram + EPSILON)


class ConvGroupNorm(nn.Module):
    """1x1 convolution, optionally with a group norm (then without bias)."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=not norm)
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out', nonlinearity='relu')
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.gn = nn.GroupNorm(GROUPS, out_channels) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (N, C, H, W)."""
        x = self.conv(x)
        return x if self.gn is None else self.gn(x)


class Hamburger(nn.Module):
    """Matrix factorisation between two 1x1 convolutions, with a shortcut around all."""

    def __init__(self, channels: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        self.ham_in = ConvGroupNorm(channels, channels, norm=False)
        self.ham = NMF2D(channels, rank, seed)
        self.ham_out = ConvGroupNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add global context to (N, C, H, W)."""
        return F.relu(x + self.ham_out(self.ham(F.relu(self.ham_in(x)))))


class LightHamHead(nn.Module):
    """Decode head over the stages at 1/8, 1/16 and 1/32 (section 3.2).

    `in_channels`: channels of these three; `channels`: of the head; `dropout`: share of
    channels dropped before the classifier in training.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        rank: int,
        seed: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.squeeze = ConvGroupNorm(sum(in_channels), channels)
        self.hamburger = Hamburger(channels, rank, seed)
        self.align = ConvGroupNorm(channels, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        if self.conv_seg.bias is not None:
            nn.init.zeros_(self.conv_seg.bias)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's four stages to logits (N, classes, ceil(H / 8), ceil(W / 8))."""
        size = stages[1].shape[2:]
        levels = [stages[1]]
        for stage in stages[2:]:
            levels.append(F.interpolate(stage, size=size, mode='bilinear', align_corners=False))
        x = F.relu(self.squeeze(torch.cat(levels, dim=1)))
        x = F.relu(self.align(self.hamburger(x)))
        return self.conv_seg(self.dropout(x))
