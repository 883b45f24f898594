# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Teaches SANet; see `tasks.Task`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seg_perception.networks.sanet import LOGITS_STRIDE, SANet, SANetOutputs
from seg_perception.networks.squeeze_attention import POOL_FACTOR
from seg_perception.training.augmentation import augment_batch
from seg_perception.training.config import ConfigError, TrainingConfig
from seg_perception.training.crops import CropBatch
from seg_perception.training.losses import SetCrossEntropy
from seg_perception.training.sanet_losses import compute_sanet_losses
from seg_perception.training.tasks import NORMALISATION, PlainTask, autocast, take_cells

CELL_PX = LOGITS_STRIDE * POOL_FACTOR  # pixels of the crop per number of the attention path


class SANetTask(PlainTask):
    """The mask, image-level and dense losses of SANet.

    Raises ConfigError for a stage whose batches are one crop of one cell of the attention path:
    its batch norms would have one value to normalise.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        for stage in config.stages:
            is_one_cell = max(stage.crop_height_px, stage.crop_width_px) <= CELL_PX
            if stage.batch_size == 1 and is_one_cell:
                raise ConfigError(
                    f"stage '{stage.name}' has batches of one crop of {stage.crop_height_px}x"
                    f'{stage.crop_width_px} px, expected a batch_size of 2 or crops above '
                    f'{CELL_PX} px for SANet'
                )
        super().__init__(config, device)

    def compute_loss(
        self, network: nn.Module, criterion: SetCrossEntropy, batch: CropBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the three, and the mask loss."""
        if not isinstance(network, SANet):
            raise TypeError(f'{type(network).__name__} is no SANet')
        images, sets = augment_batch(batch, NORMALISATION, self._device)
        with autocast(self._config, self._device):
            outputs = network.predict(images)
        outputs = SANetOutputs(*(output.float() for output in outputs))
        losses = compute_sanet_losses(outputs, take_cells(sets), criterion)
        return losses.total, losses.mask
