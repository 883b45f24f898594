# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SANet (Zhong et al., CVPR 2020, arXiv 1909.03402): dilated ResNet, four SA heads, FCN head.

The article does not say how the outputs are merged, and there is no code of its authors. Here:

- a 1x1 convolution scores the classes on the concatenated outputs of the four SA heads, at 1/8
  (the first stage's, at 1/4, is resized): the sum of one classifier per head;
- the FCN head (3x3 to 1/4 of the channels, batch norm, ReLU, 1x1) scores them on the last stage;
- the logits are the sum of both scores. The mask loss acts on it, the dense loss on the FCN
  head's scores alone, and the image-level head (global mean, fully connected) on the
  concatenation; it is not needed to segment and not exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg_perception.errors import UserError
from seg_perception.networks.resnet import DilatedResNet, ResNetSizes, initialise_convolutions
from seg_perception.networks.squeeze_attention import CHANNEL_DIVISOR, MODULES, ConvNormReLU

NAME = 'sanet'
LOGITS_STRIDE = 8


@dataclass(frozen=True)
class SANetVariant:
    """A SANet by the sizes of its encoder."""

    name: str
    encoder: ResNetSizes


# 'r18' is ours, not the article's: a small stand-in.
VARIANTS = {
    variant.name: variant
    for variant in (
        SANetVariant('r18', ResNetSizes((2, 2, 2, 2), is_bottleneck=False)),
        SANetVariant('r50', ResNetSizes((3, 4, 6, 3), is_bottleneck=True)),
        SANetVariant('r101', ResNetSizes((3, 4, 23, 3), is_bottleneck=True)),
    )
}


class SANetOutputs(NamedTuple):
    """What training needs.

    Attributes:
        logits: (N, classes, ceil(H / 8), ceil(W / 8)), SA heads and FCN head together.
        dense: the same shape, of the FCN head alone.
        categories: (N, classes) logits of what the image shows anywhere.
    """

    logits: Tensor
    dense: Tensor
    categories: Tensor


def attend_stages(heads: nn.ModuleList, stages: list[Tensor]) -> list[Tensor]:
    """Run each stage's SA head; returns their outputs, all of the last stage's size."""
    outputs = [head(stage) for head, stage in zip(heads, stages, strict=True)]
    size = outputs[-1].shape[2:]
    outputs[0] = F.interpolate(outputs[0], size=size, mode='bilinear', align_corners=False)
    return outputs


class SADecodeHead(nn.Module):
    """Four SA (or SE) heads, the FCN head and the image-level head.

    Args:
        stage_channels: of the encoder's stages.
        num_classes: classes to score.
        attention: 'sa', or 'se' for the ablation.
        dropout: probability of whole channels before the two pixel classifiers.
    """

    def __init__(
        self, stage_channels: tuple[int, ...], num_classes: int, attention: str, dropout: float
    ) -> None:
        super().__init__()
        total = sum(stage_channels) // CHANNEL_DIVISOR
        dense_channels = stage_channels[-1] // CHANNEL_DIVISOR
        self.heads = nn.ModuleList(MODULES[attention](channels) for channels in stage_channels)
        self.dense = ConvNormReLU(stage_channels[-1], dense_channels)
        initialise_convolutions(self)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(total, num_classes, 1)
        self.dense_seg = nn.Conv2d(dense_channels, num_classes, 1)
        self.categories = nn.Linear(total, num_classes)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Decode the four stages to logits of the last one's size."""
        features = torch.cat(attend_stages(self.heads, stages), dim=1)
        dense = self.dense_seg(self.dropout(self.dense(stages[-1])))
        return self.conv_seg(self.dropout(features)) + dense

    def predict(self, stages: list[Tensor]) -> SANetOutputs:
        """Decode the four stages to all three outputs."""
        features = torch.cat(attend_stages(self.heads, stages), dim=1)
        dense = self.dense_seg(self.dropout(self.dense(stages[-1])))
        logits = self.conv_seg(self.dropout(features)) + dense
        return SANetOutputs(logits, dense, self.categories(features.mean((2, 3))))


class SANet(nn.Module):
    """Normalised RGB images to class logits at 1/8 of their size."""

    def __init__(
        self, variant: SANetVariant, num_classes: int, attention: str, dropout: float
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.attention = attention
        self.backbone = DilatedResNet(variant.encoder)
        self.decode_head = SADecodeHead(
            variant.encoder.stage_channels, num_classes, attention, dropout
        )

    def forward(self, image: Tensor) -> Tensor:
        """Segment (N, 3, H, W) float RGB, normalised by segnext.MEAN_RGB and STD_RGB.

        Returns logits (N, num_classes, ceil(H / 8), ceil(W / 8)).
        """
        return self.decode_head(self.backbone(image))

    def predict(self, image: Tensor) -> SANetOutputs:
        """Return the logits with those of the FCN head and of the image-level head."""
        return self.decode_head.predict(self.backbone(image))


def build_sanet(
    variant: str, num_classes: int, *, attention: str = 'sa', dropout: float = 0.1
) -> SANet:
    """Build SANet on ResNet 'r50', 'r101' or 'r18' (ours) with random weights.

    attention: 'sa', or 'se' for squeeze-and-excitation in its place. Raises UserError for an
    unknown variant or attention, or a class count under 1.
    """
    for kind, value, known in (('variant', variant, VARIANTS), ('attention', attention, MODULES)):
        if value not in known:
            raise UserError(f'SANet has no {kind} {value!r}; use one of {", ".join(known)}')
    if num_classes < 1:
        raise UserError(f'SANet needs at least 1 class, got num_classes={num_classes}')
    return SANet(VARIANTS[variant], num_classes, attention, dropout)


class SANetIdentity(NamedTuple):
    """What a state dict is."""

    variant: str
    num_classes: int
    attention: str

    @property
    def text(self) -> str:
        """Return for example 'SANet-R50 with 19 classes'."""
        ablation = ' (SE ablation)' if self.attention == 'se' else ''
        return f'SANet-{self.variant.upper()}{ablation} with {self.num_classes} classes'


def identify_sanet(state: Mapping[str, Tensor]) -> SANetIdentity | None:
    """Tell variant, classes and attention from a state dict; None for another network."""
    classifier = state.get('decode_head.dense_seg.weight')
    if classifier is None:
        return None
    attention = 'se' if 'decode_head.heads.0.expand.weight' in state else 'sa'
    is_bottleneck = 'backbone.layer1.0.conv3.weight' in state
    depths = [
        sum(f'backbone.layer{stage}.{block}.conv1.weight' in state for block in range(64))
        for stage in (1, 2, 3, 4)
    ]
    for variant in VARIANTS.values():
        sizes = variant.encoder
        if (list(sizes.depths), sizes.is_bottleneck) == (depths, is_bottleneck):
            return SANetIdentity(variant.name, classifier.shape[0], attention)
    return None
