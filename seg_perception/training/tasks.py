# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a run teaches its network: a task makes the loss of a batch of crops."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks import sanet, segvit
from seg_perception.networks.axial_deeplab import OUTPUT_STRIDE
from seg_perception.networks.panoptic_decoder import PanopticOutputs
from seg_perception.networks.registry import NETWORKS
from seg_perception.networks.segnext import MEAN_RGB, STD_RGB
from seg_perception.training.augmentation import Normalisation, augment_batch, warp_instances
from seg_perception.training.config import NetworkConfig, TrainingConfig
from seg_perception.training.crops import CropBatch
from seg_perception.training.losses import SetCrossEntropy
from seg_perception.training.panoptic_losses import compute_panoptic_loss
from seg_perception.training.panoptic_targets import make_targets

NORMALISATION = Normalisation(MEAN_RGB, STD_RGB)
LABEL_STRIDE = 4  # logits at 1/8 are compared with labels at 1/4: finer costs time, adds little
AUXILIARY_STRIDE = 8  # of the encoder's last stage against those labels (1/32 of the image)


class Task(Protocol):
    """Makes losses.

    Attributes:
        auxiliary: layers that learn beside the network and are not kept with it.
        needs_instances: whether batches have to carry instances.
    """

    auxiliary: nn.Module
    needs_instances: bool

    def compute_loss(
        self, network: nn.Module, criterion: SetCrossEntropy, batch: CropBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the loss to go down and the one to show, both scalars on the device."""


class SemanticTask:
    """Cross-entropy of the logits, and of a classifier on the encoder's last stage."""

    needs_instances = False

    def __init__(self, config: TrainingConfig, network: nn.Module, device: torch.device) -> None:
        self._config = config
        self._device = device
        channels = network.variant.embed_dims[-1]  # type: ignore[union-attr,index]
        self.auxiliary: nn.Module = nn.Conv2d(channels, network.num_classes, 1)  # type: ignore[arg-type]
        self.auxiliary.to(device)

    def compute_loss(
        self, network: nn.Module, criterion: SetCrossEntropy, batch: CropBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of both, and that of the logits alone."""
        images, sets = augment_batch(batch, NORMALISATION, self._device)
        sets = take_cells(sets)
        with autocast(self._config, self._device):
            stages = network.backbone(images)  # type: ignore[operator,union-attr]
            logits = network.decode_head(stages)  # type: ignore[operator,union-attr]
            coarse = self.auxiliary(stages[-1])
        logits, coarse = logits.float(), coarse.float()
        logits = F.interpolate(logits, sets.shape[1:], mode='bilinear', align_corners=False)
        half = AUXILIARY_STRIDE // 2
        coarse_sets = sets[:, half::AUXILIARY_STRIDE, half::AUXILIARY_STRIDE]
        coarse = coarse[:, :, : coarse_sets.shape[1], : coarse_sets.shape[2]]
        main, auxiliary = criterion(logits, sets), criterion(coarse, coarse_sets)
        return main + self._config.optimizer.auxiliary_weight * auxiliary, main


class PlainTask:
    """What tasks of networks without auxiliary layers have in common; see `Task`."""

    needs_instances = False

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self.auxiliary: nn.Module = nn.Identity()


class PanopticTask(PlainTask):
    """The three losses of Axial-DeepLab."""

    needs_instances = True

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        for stage in config.stages:
            if stage.crop_height_px % OUTPUT_STRIDE or stage.crop_width_px % OUTPUT_STRIDE:
                raise UserError(
                    f"stage '{stage.name}' has crops of {stage.crop_height_px}x"
                    f'{stage.crop_width_px} px, expected multiples of {OUTPUT_STRIDE} for a '
                    'panoptic network'
                )
        super().__init__(config, device)

    def compute_loss(
        self, network: nn.Module, criterion: SetCrossEntropy, batch: CropBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the three, twice."""
        settings = self._config.panoptic
        images, sets = augment_batch(batch, NORMALISATION, self._device)
        instances = warp_instances(batch, self._device)
        targets = make_targets(
            instances,
            OUTPUT_STRIDE,
            settings.center_sigma_px,
            settings.small_area_px,
            settings.ignored_area_px,
        )
        with autocast(self._config, self._device):
            outputs = network(images)
        outputs = PanopticOutputs(*(output.float() for output in outputs))
        losses = compute_panoptic_loss(
            outputs, sets, targets, criterion, settings, batch.noise_seed
        )
        total = torch.stack(losses).sum()
        return total, total


def make_task(config: TrainingConfig, network: nn.Module, device: torch.device) -> Task:
    """Return the task of a configuration's network."""
    if NETWORKS[config.network.name].is_panoptic:
        return PanopticTask(config, device)
    if config.network.name == sanet.NAME:
        from seg_perception.training.sanet_task import SANetTask  # which imports this module

        return SANetTask(config, device)
    if config.network.name == segvit.NAME:
        from seg_perception.training.segvit_task import SegViTTask

        return SegViTTask(config, device)
    return SemanticTask(config, network, device)


def list_network_options(settings: NetworkConfig) -> dict[str, Any]:
    """Return the options of a network's builder that a configuration sets."""
    if settings.name in NETWORKS and NETWORKS[settings.name].is_panoptic:
        return {'stem': settings.stem, 'span_px': settings.span_px or None}
    if settings.name == sanet.NAME:
        return {'attention': settings.attention, 'dropout': settings.dropout}
    return {'drop_path': settings.drop_path, 'dropout': settings.dropout}


def take_cells(sets: Tensor) -> Tensor:
    """Take the set ids (N, H, W) at the middles of cells of LABEL_STRIDE."""
    half = LABEL_STRIDE // 2
    return sets[:, half::LABEL_STRIDE, half::LABEL_STRIDE].contiguous()


def autocast(config: TrainingConfig, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes: bfloat16 where the run says so."""
    reduced = config.run.precision == 'bfloat16'
    return torch.autocast(device.type, torch.bfloat16, enabled=reduced)
