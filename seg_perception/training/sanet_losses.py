# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The three losses of SANet (arXiv 1909.03402, section 3.4): mask, image-level and dense."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seg_perception.networks.sanet import SANetOutputs
from seg_perception.training.crops import IGNORE_SET
from seg_perception.training.losses import SetCrossEntropy

CATEGORY_WEIGHT = 0.2  # the article's alpha
DENSE_WEIGHT = 0.8  # its beta


class SANetLosses(NamedTuple):
    """Scalars: cross-entropy of the logits, of the image's classes, and of the FCN head."""

    mask: Tensor
    categories: Tensor
    dense: Tensor

    @property
    def total(self) -> Tensor:
        """What is to go down."""
        return self.mask + CATEGORY_WEIGHT * self.categories + DENSE_WEIGHT * self.dense


def compute_sanet_losses(
    outputs: SANetOutputs, sets: Tensor, criterion: SetCrossEntropy
) -> SANetLosses:
    """Compute the three; both pixel losses are those of `criterion`.

    sets: (N, H, W) set ids, 255 unlabelled; logits are resized to them bilinearly.
    """
    mask, dense = (
        criterion(F.interpolate(scores, sets.shape[1:], mode='bilinear'), sets)
        for scores in (outputs.logits, outputs.dense)
    )
    present, is_known = find_categories(sets, criterion.mask)
    weight = is_known.to(outputs.categories.dtype)
    losses = F.binary_cross_entropy_with_logits(
        outputs.categories, present.to(weight.dtype), weight=weight, reduction='sum'
    )
    return SANetLosses(mask, losses / weight.sum().clamp(min=1.0), dense)


def find_categories(sets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Tell which classes each image shows, and of which classes its labels tell.

    A label that accepts several classes shows one of them, not which: those without a label of
    their own in the image are not known. Nothing is of an image without labels.

    Args:
        sets: (N, H, W) integer set ids, 255 unlabelled.
        mask: of SetTable.build_mask.

    Returns:
        Two arrays (N, classes) bool: present, known.
    """
    accepted = (mask == 0).float()
    unlabelled = len(mask) - 1
    index = torch.where(sets == IGNORE_SET, unlabelled, sets.long()).flatten(1)
    shown = torch.zeros(len(sets), len(mask), device=mask.device).scatter_(1, index, 1.0)
    shown = shown[:, :unlabelled]
    accepted = accepted[:unlabelled]
    is_single = accepted.sum(1) == 1
    present = shown[:, is_single] @ accepted[is_single] > 0
    possible = shown[:, ~is_single] @ accepted[~is_single] > 0
    has_labels = shown.sum(1, keepdim=True) > 0
    return present, (present | ~possible) & has_labels
