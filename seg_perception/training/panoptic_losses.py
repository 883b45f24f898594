# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Losses of Axial-DeepLab (arXiv 2003.07853, section 4; arXiv 1911.10194, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seg_perception.networks.panoptic_decoder import PanopticOutputs
from seg_perception.training.config import PanopticConfig
from seg_perception.training.losses import SetCrossEntropy
from seg_perception.training.panoptic_targets import PanopticTargets


def compute_hard_pixel_loss(
    criterion: SetCrossEntropy,
    logits: Tensor,
    sets: Tensor,
    is_small: Tensor,
    settings: PanopticConfig,
) -> Tensor:
    """Mean of the highest pixel losses of each image (top-k, "hard pixel mining").

    logits: (N, C, H, W); sets: (N, H, W) set ids; is_small: (N, H, W) bool, pixels that weigh
    settings.small_weight. A pixel's loss is the cross-entropy times its weights; settings
    .hard_share of the pixels of each image are kept, the unlabelled ones, of loss 0, counted.
    """
    loss, weight = criterion.compute_pixels(logits, sets)
    loss = loss * weight * torch.where(is_small, settings.small_weight, 1.0)
    flat = loss.flatten(1)
    kept = max(1, int(settings.hard_share * flat.shape[1]))
    return flat.topk(kept, dim=1, sorted=False).values.mean()


def compute_center_loss(center: Tensor, targets: PanopticTargets) -> Tensor:
    """Mean squared error of the heatmap (N, 1, h, w) where instances are known."""
    error = F.mse_loss(center, targets.center, reduction='none')[:, 0]
    return (error * targets.is_known).sum() / targets.is_known.sum().clamp(min=1)


def compute_offset_loss(offset: Tensor, targets: PanopticTargets) -> Tensor:
    """Mean over the cells of instances of |y| + |x| of the error, px; 0 without an instance."""
    error = (offset - targets.offset).abs().sum(1)
    return (error * targets.is_thing).sum() / targets.is_thing.sum().clamp(min=1)


def compute_panoptic_loss(
    outputs: PanopticOutputs,
    sets: Tensor,
    targets: PanopticTargets,
    criterion: SetCrossEntropy,
    settings: PanopticConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses with their weights: semantic, centres, offsets.

    outputs: float32, of the size of sets (N, h, w) and of the targets.
    """
    return (
        compute_hard_pixel_loss(criterion, outputs.logits, sets, targets.is_small, settings),
        settings.center_weight * compute_center_loss(outputs.center, targets),
        settings.offset_weight * compute_offset_loss(outputs.offset, targets),
    )
