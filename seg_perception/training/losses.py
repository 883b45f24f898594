# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy against sets of right classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from seg_perception.perception.labels import LabelMapping
from seg_perception.training.crops import IGNORE_SET

_NEVER = -1e4  # added to a logit: its exp is 0 in float32 and float16 can hold it


class SetTable:
    """Numbers the sets of target classes that the labels of several data sets stand for.

    Set ids 0 .. C-1 are the single target classes; `add` gives each distinct larger set of a
    mapping the next id. Label images then hold set ids (uint8), 255 for unlabelled, whatever
    data set they came from, so that crops of several can share a batch.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.sets: list[tuple[int, ...]] = [(i,) for i in range(num_classes)]

    def add(self, mapping: LabelMapping) -> np.ndarray:
        """Return the (256,) uint8 table source label id -> set id of a mapping.

        Ids outside the source's label space map to 255 as well: the data set refuses them
        before. Raises ValueError when the mapping's target has another number of classes, or
        there are more than 255 sets.
        """
        if mapping.target.num_classes != self.num_classes:
            raise ValueError(
                f"mapping to '{mapping.target.name}' has {mapping.target.num_classes} classes, "
                f'expected {self.num_classes}'
            )
        table = np.full(256, IGNORE_SET, np.uint8)
        for source_id, accepted in enumerate(mapping.accepts):
            if not accepted:
                continue
            key = tuple(sorted(accepted))
            if key not in self.sets:
                self.sets.append(key)
            if len(self.sets) > IGNORE_SET:
                raise ValueError(f'more than {IGNORE_SET} sets of classes: ids have 8 bits')
            table[source_id] = self.sets.index(key)
        return table

    def build_mask(self) -> Tensor:
        """Return (sets + 1, classes) float32: 0 where a class is right, else -1e4.

        The last row accepts everything; it stands for unlabelled pixels.
        """
        mask = torch.full((len(self.sets) + 1, self.num_classes), _NEVER)
        for index, accepted in enumerate(self.sets):
            mask[index, list(accepted)] = 0.0
        mask[-1] = 0.0
        return mask


class SetCrossEntropy(nn.Module):
    """-log of the summed probability of a pixel's right classes, weighted by set.

    With single-class sets and equal weights this is the ordinary cross-entropy.
    """

    mask: Tensor
    weights: Tensor

    def __init__(self, table: SetTable, weights: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        count = len(table.sets)
        values = torch.ones(count) if weights is None else torch.as_tensor(weights).float()
        if values.shape != (count,):
            raise ValueError(f'{tuple(values.shape)} set weights, expected ({count},)')
        self.register_buffer('mask', table.build_mask())
        self.register_buffer('weights', torch.cat([values, torch.zeros(1)]))

    def forward(self, logits: Tensor, sets: Tensor) -> Tensor:
        """Weighted mean loss over labelled pixels (0 when there is none).

        logits: (N, classes, H, W) float; sets: (N, H, W) integer set ids, 255 unlabelled.
        """
        loss, weight = self.compute_pixels(logits, sets)
        return (loss * weight).sum() / weight.sum().clamp(min=1.0)

    def compute_pixels(self, logits: Tensor, sets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and weight of each pixel, both (N, H, W); arguments as `forward`."""
        last = len(self.weights) - 1
        index = torch.where(sets == IGNORE_SET, last, sets.long())
        scores = logits.permute(0, 2, 3, 1)
        loss = torch.logsumexp(scores, -1) - torch.logsumexp(scores + self.mask[index], -1)
        return loss, self.weights[index]


def compute_set_weights(
    counts: Sequence[np.ndarray], sets: Sequence[tuple[int, ...]], power: float = 0.5
) -> np.ndarray:
    """Weights (sets,) that lift rare sets: frequency ** -power, mean 1 over a data set's pixels.

    counts: one (len(sets),) array of label pixels per data set; a set's weight comes from the
    last data set that has it. Clipped to 0.3 .. 6. A class that is no label of its own weighs as
    the label that accepts it, for the pixels where a refinement decides for it; 0 without either.
    """
    weights = np.zeros(len(sets))
    for count in counts:
        frequency = count / max(1, count.sum())
        found = frequency > 0
        raw = np.where(found, (frequency + 1e-4) ** -power, 0.0)
        mean = float((raw * frequency).sum()) or 1.0
        weights = np.where(found, np.clip(raw / mean, 0.3, 6.0), weights)
    for index, accepted in enumerate(sets):
        if weights[index] == 0 and len(accepted) == 1:
            weights[index] = max(
                (weights[i] for i, larger in enumerate(sets) if accepted[0] in larger), default=0.0
            )
    return weights
