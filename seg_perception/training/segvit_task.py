# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Teaches SegViT; see `tasks.Task`."""

from __future__ import annotations

from torch import Tensor, nn

from seg_perception.networks.atm import AtmOutputs
from seg_perception.networks.segvit import SegViT
from seg_perception.training.atm_losses import assign_classes, compute_atm_losses
from seg_perception.training.augmentation import augment_batch
from seg_perception.training.crops import CropBatch
from seg_perception.training.losses import SetCrossEntropy
from seg_perception.training.tasks import NORMALISATION, PlainTask, autocast, take_cells


class SegViTTask(PlainTask):
    """Class, focal and dice losses of every output; classes are not weighted, as in the paper."""

    def compute_loss(
        self, network: nn.Module, criterion: SetCrossEntropy, batch: CropBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the three, twice."""
        if not isinstance(network, SegViT):
            raise TypeError(f'{type(network).__name__} is no SegViT')
        images, sets = augment_batch(batch, NORMALISATION, self._device)
        with autocast(self._config, self._device):
            outputs = network.decode(images)
        outputs = AtmOutputs(*(tuple(x.float() for x in part) for part in outputs))
        labels = assign_classes(outputs, take_cells(sets), criterion.mask)
        total = compute_atm_losses(outputs, labels).total
        return total, total
