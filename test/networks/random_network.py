# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Random weights whose every part counts."""

from __future__ import annotations

import torch
from torch import nn


def randomise(network: nn.Module, seed: int) -> None:
    """Draw norms, scales and biases far from 1 and 0, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf == 'running_mean' or leaf == 'bias':
                draw(tensor, -0.3, 0.3)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                draw(tensor, 0.5, 1.5)
            elif leaf.startswith('layer_scale'):
                # up to 0.4 the blocks amplify float32 rounding to 2e-4 of the logits
                draw(tensor, 0.05, 0.15)
            elif name.endswith('conv_seg.weight'):
                draw(tensor, -0.3, 0.3)
