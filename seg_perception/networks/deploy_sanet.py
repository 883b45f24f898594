# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SANet as it is deployed: batch norms in the convolutions, one classifier.

Every rewrite is exact in real arithmetic. The scores of the SA heads and of the FCN head are a
sum of two 1x1 convolutions; side by side they are one, which makes the logits as in the other
networks. The image-level head is left out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from seg_perception.errors import UserError
from seg_perception.networks.sanet import (
    NAME,
    VARIANTS,
    SADecodeHead,
    SANet,
    attend_stages,
    build_sanet,
)
from seg_perception.networks.squeeze_attention import MODULES

# The batch norm beside each convolution, by the names that both have in their module.
NORM_NAMES = {'conv': 'norm', 'conv1': 'bn1', 'conv2': 'bn2', 'conv3': 'bn3', '0': '1'}


class DeploySADecodeHead(nn.Module):
    """Four SA (or SE) heads and the FCN head behind one classifier; takes over their layers."""

    def __init__(self, head: SADecodeHead) -> None:
        super().__init__()
        self.heads = head.heads
        self.dense = head.dense
        self.conv_seg = join_classifiers(head.conv_seg, head.dense_seg)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Decode the four stages to logits of the last one's size."""
        features = [*attend_stages(self.heads, stages), self.dense(stages[-1])]
        return self.conv_seg(torch.cat(features, dim=1))


class DeploySANet(nn.Module):
    """The deployed network; takes over the layers of a trained one."""

    def __init__(self, network: SANet) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.decode_head = DeploySADecodeHead(network.decode_head)

    @property
    def float32_layers(self) -> tuple[nn.Module, ...]:
        """Layers that stay in float32 when the others compute in a half type."""
        return (self.decode_head.conv_seg,)

    def forward(self, image: Tensor) -> Tensor:
        """Segment (N, 3, H, W) normalised RGB.

        Returns logits (N, classes, ceil(H / 8), ceil(W / 8)).
        """
        return self.decode_head(self.backbone(image))


def describe_sanet(network: SANet) -> dict[str, Any]:
    """Return what a model file records to build the network again."""
    return {'name': NAME, 'variant': network.variant.name, 'attention': network.attention}


def build_deployed_sanet(network: Mapping[str, Any], num_classes: int) -> DeploySANet:
    """Build the deployed network that `describe_sanet` described, with empty weights.

    Raises UserError for a variant or an attention that is not known.
    """
    variant, attention = network.get('variant'), network.get('attention')
    if variant not in VARIANTS or attention not in MODULES:
        raise UserError(
            f'network {dict(network)} is not known; expected variant {", ".join(VARIANTS)} and '
            f'attention {", ".join(MODULES)}; export the model again'
        )
    with torch.device('meta'):  # draws no random weights
        trained = build_sanet(variant, num_classes, attention=attention)
    return fold_sanet(trained).to_empty(device='cpu')


def fold_sanet(network: SANet) -> DeploySANet:
    """Return the deployed form of a trained network, in evaluation mode; weights are copied."""
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        fold_batch_norms(module)
    return DeploySANet(folded).eval().requires_grad_(False)


def fold_batch_norms(module: nn.Module) -> None:
    """Fold the batch norms among a module's own layers into their convolutions, in place."""
    layers = dict(module.named_children())
    for name, layer in layers.items():
        norm_name = NORM_NAMES.get(name, '')
        norm = layers.get(norm_name)
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(layer, norm))
            setattr(module, norm_name, nn.Identity())


def join_classifiers(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Return the 1x1 convolution of both inputs side by side that is the sum of two."""
    if first.bias is None or second.bias is None:
        raise ValueError('a classifier without a bias')
    channels = first.in_channels + second.in_channels
    with torch.device(first.weight.device):
        joined = nn.Conv2d(channels, first.out_channels, 1)
    joined.weight = nn.Parameter(torch.cat([first.weight, second.weight], dim=1).detach())
    joined.bias = nn.Parameter((first.bias + second.bias).detach())
    return joined
