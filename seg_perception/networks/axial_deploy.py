# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Axial-DeepLab as it is deployed: batch norms folded, which is exact in real arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from seg_perception.errors import UserError
from seg_perception.networks.axial_attention import (
    MAX_SCORES,
    AxialAttention,
    ConvNorm,
    FoldedAxialAttention,
)
from seg_perception.networks.axial_deeplab import (
    NAME,
    OUTPUT_STRIDE,
    VARIANTS,
    AxialDeepLab,
    build_axial_deeplab,
)
from seg_perception.networks.axial_resnet import STEMS
from seg_perception.networks.panoptic_decoder import Head, PanopticOutputs


class DeployAxialDeepLab(nn.Module):
    """The deployed network; takes over the layers of a folded one."""

    logits_stride = OUTPUT_STRIDE

    def __init__(self, network: AxialDeepLab) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.decode_head = network.decode_head

    @property
    def float32_layers(self) -> tuple[nn.Module, ...]:
        """Layers that stay in float32 when the others compute in a half type.

        The attention's products with the position tables, and what is read from the network.
        """
        kept: list[nn.Module] = []
        for module in self.modules():
            if isinstance(module, FoldedAxialAttention):
                kept.append(module.qkv)
            elif isinstance(module, Head):
                kept.append(module.predict)
        return tuple(kept)

    def limit_memory(self, network_hw: tuple[int, int]) -> None:
        """Let layers take few enough heads at a time that their scores fit MAX_SCORES.

        Written into a graph; network_hw: (height, width) of its input, px. One head at a time is
        the least. Other inputs are computed alike, in more memory or in more steps than needed.
        """
        for name, module in self.named_modules():
            if isinstance(module, FoldedAxialAttention):
                stride = find_input_stride(name)
                sides = [-(-side // stride) for side in network_hw]
                length = sides[0] if module.axis == 'height' else sides[1]
                module.head_groups = choose_head_groups(module.heads, sides[0] * sides[1] * length)

    def forward(self, image: Tensor) -> PanopticOutputs:
        """Segment (N, 3, H, W) normalised RGB; outputs at 1/4, odd sizes rounded up."""
        return self.decode_head(self.backbone(image))


def find_input_stride(name: str) -> int:
    """Return px of the network's input per cell of the input of a block's layer, by its name."""
    place = name.removeprefix('backbone.').split('.')
    if place[0] == 'stem':
        return 1 if place[2] == '0' else 2
    return (4, 4, 8, 16)[int(place[1])]  # at a stage's first block, which has the largest map


def choose_head_groups(heads: int, scores_per_head: int) -> int:
    """Return into how many equal groups to divide the heads: the fewest that fit MAX_SCORES."""
    for groups in range(1, heads):
        if heads % groups == 0 and heads // groups * scores_per_head <= MAX_SCORES:
            return groups
    return heads


def describe_axial_deeplab(network: AxialDeepLab) -> dict[str, Any]:
    """Return what a model file records to build the network again."""
    return {
        'name': NAME,
        'variant': network.variant.name,
        'stem': network.stem,
        'span_px': network.span_px,
    }


def build_deployed_axial_deeplab(
    network: Mapping[str, Any], num_classes: int
) -> DeployAxialDeepLab:
    """Build the deployed network that `describe_axial_deeplab` described, with empty weights.

    Raises UserError for a variant, stem or span that is not known.
    """
    variant, stem, span_px = (network.get(key) for key in ('variant', 'stem', 'span_px'))
    if variant not in VARIANTS or stem not in STEMS or not isinstance(span_px, int):
        raise UserError(
            f'network {dict(network)} is not known; expected variant {", ".join(VARIANTS)}, stem '
            f'{", ".join(STEMS)} and a span_px; export the model again'
        )
    with torch.device('meta'):  # draws no random weights
        trained = build_axial_deeplab(variant, num_classes, stem=stem, span_px=span_px)
        return fold_axial_deeplab(trained).to_empty(device='cpu')


def fold_axial_deeplab(network: AxialDeepLab) -> DeployAxialDeepLab:
    """Return the deployed form of a trained network, in evaluation mode; weights are copied."""
    folded = copy.deepcopy(network).eval()
    fold_children(folded)
    return DeployAxialDeepLab(folded).eval().requires_grad_(False)


def fold_children(module: nn.Module) -> None:
    """Fold the batch norms of everything below a module, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, AxialAttention):
            setattr(module, name, FoldedAxialAttention(child))
        elif isinstance(child, ConvNorm):
            assert isinstance(child.norm, nn.BatchNorm2d)
            child.conv = fuse_conv_bn_eval(child.conv, child.norm)
            child.norm = nn.Identity()
        else:
            fold_children(child)
