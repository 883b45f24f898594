# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The losses of attention to mask (arXiv 2210.05844, section 3.2): class, focal and dice.

The query of a class stands for that class, so nothing is matched: a class that the labels show is
to be recognised and masked by its own query, the query of another class is to say "no object".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seg_perception.networks.atm import AtmOutputs, score_classes
from seg_perception.training.crops import IGNORE_SET

FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0
NO_OBJECT_WEIGHT = 0.1
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
SCORE_FLOOR = 1e-6


class AtmLosses(NamedTuple):
    """Unweighted losses, each a scalar summed over the outputs of the network."""

    classes: Tensor
    focal: Tensor
    dice: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that is to go down."""
        return self.classes + FOCAL_WEIGHT * self.focal + DICE_WEIGHT * self.dice


def assign_classes(outputs: AtmOutputs, sets: Tensor, accepted: Tensor) -> Tensor:
    """Give every labelled pixel one class; (N, H, W) int64, -1 where unlabelled.

    A label that accepts several classes (CamVid's car: car, truck, bus, train) stands for the one
    of them that the network scores highest there.

    Args:
        outputs: of the network.
        sets: (N, H, W) integer set ids, 255 unlabelled.
        accepted: (sets + 1, classes), 0 where a class is right and far below 0 elsewhere
            (`SetTable.build_mask`).
    """
    classes = accepted.shape[1]
    ids = sets.long()
    is_labelled = ids != IGNORE_SET
    is_open = is_labelled & (ids >= classes)
    if bool(is_open.any()):
        with torch.no_grad():
            masks = resize(outputs.masks[-1].float(), sets)
            scores = torch.log(score_classes(outputs.class_logits[-1], masks) + SCORE_FLOOR)
            allowed = accepted[ids.clamp(max=len(accepted) - 1)].permute(0, 3, 1, 2)
            ids = torch.where(is_open, (scores + allowed).argmax(1), ids)
    return torch.where(is_labelled, ids, -1)


def compute_atm_losses(outputs: AtmOutputs, labels: Tensor) -> AtmLosses:
    """Losses of the output and the auxiliary outputs.

    Masks are compared at the size of the labels, those of present classes alone; unlabelled
    pixels do not count. Focal loss and dice are means over the present classes of the batch.

    Args:
        outputs: of the network, float32.
        labels: (N, H, W) int64 class ids, -1 unlabelled (`assign_classes`).
    """
    classes = outputs.masks[-1].shape[1]
    is_labelled = labels >= 0
    planes = F.one_hot(labels.clamp(min=0), classes).permute(0, 3, 1, 2).bool()
    planes = planes & is_labelled[:, None]
    is_present = planes.flatten(2).any(2)  # (N, classes)
    names = torch.arange(classes, device=labels.device).expand_as(is_present)
    wanted = torch.where(is_present, names, classes)
    weights = torch.ones(classes + 1, device=labels.device)
    weights[classes] = NO_OBJECT_WEIGHT
    truth = planes[is_present].flatten(1).float()
    counted = is_labelled[:, None].expand_as(planes)[is_present].flatten(1).float()
    losses = []
    for class_logits, masks in zip(*outputs, strict=True):
        class_loss = F.cross_entropy(class_logits.transpose(1, 2), wanted, weights)
        logits = resize(masks, labels)[is_present].flatten(1)
        focal, dice = compute_mask_losses(logits, truth, counted)
        losses.append(torch.stack([class_loss, focal, dice]))
    return AtmLosses(*torch.stack(losses).sum(0))


def resize(masks: Tensor, labels: Tensor) -> Tensor:
    """Resize (N, queries, h, w) to the size of the labels (N, H, W)."""
    return F.interpolate(masks, labels.shape[1:], mode='bilinear', align_corners=False)


def compute_mask_losses(logits: Tensor, truth: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return focal loss and dice of masks, means over the masks (0 when there is none).

    logits, truth (0 or 1), counted (0 where a pixel is left out): (masks, pixels) float32.
    """
    number = max(1, len(logits))
    probability = torch.sigmoid(logits)
    right = probability * truth + (1 - probability) * (1 - truth)
    alpha = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction='none')
    focal = alpha * (1 - right) ** FOCAL_GAMMA * entropy * counted
    focal = (focal.sum(1) / counted.sum(1).clamp(min=1.0)).sum() / number
    seen = probability * counted
    overlap = 2 * (seen * truth).sum(1) + 1
    dice = (1 - overlap / (seen.sum(1) + truth.sum(1) + 1)).sum() / number
    return focal, dice
