# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Losses of Axial-DeepLab (arXiv 2003.07853, section 4; arXiv 1911.10194, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seg_perception.networks.axial_deeplab import OUTPUT_STRIDE
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


def pick_pixels(
    logits: Tensor, sets: Tensor, is_small: Tensor, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Take what the semantic loss compares: every second pixel of each row and column.

    Logits are enlarged to the crop as decoding enlarges them to the camera, so edges between
    cells are learnt too; which of the four pixels is taken follows from the seed, so that none is
    left out and nothing is shifted.

    logits: (N, C, h, w) at 1 / OUTPUT_STRIDE; sets: (N, H, W) set ids of the crop; is_small:
    (N, h, w) bool. Returns them at (H / 2, W / 2).
    """
    row, column = seed & 1, seed >> 1 & 1
    fine = F.interpolate(logits, sets.shape[1:], mode='bilinear', align_corners=False)
    small = F.interpolate(is_small[:, None].float(), scale_factor=OUTPUT_STRIDE // 2)[:, 0] > 0
    return (
        fine[:, :, row::2, column::2].contiguous(),
        sets[:, row::2, column::2].contiguous(),
        small,
    )


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
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses with their weights: semantic, centres, offsets.

    outputs: float32, of the size of the targets; sets: (N, H, W) set ids of the crop; seed: see
    `pick_pixels`.
    """
    logits, sets, is_small = pick_pixels(outputs.logits, sets, targets.is_small, seed)
    return (
        compute_hard_pixel_loss(criterion, logits, sets, is_small, settings),
        settings.center_weight * compute_center_loss(outputs.center, targets),
        settings.offset_weight * compute_offset_loss(outputs.offset, targets),
    )
