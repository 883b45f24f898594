# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parts of a run that learn: network, auxiliary classifier, average, loss, optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.networks.checkpoints import load_weights
from seg_perception.networks.registry import build_network
from seg_perception.networks.segnext import MEAN_RGB, STD_RGB
from seg_perception.perception.labels import load_label_space
from seg_perception.training.config import ConfigError, TrainingConfig
from seg_perception.training.datasets import (
    CropSampler,
    LabelledFolder,
    Normalisation,
)
from seg_perception.training.ema import WeightAverage
from seg_perception.training.fast_layers import use_fast_layers
from seg_perception.training.losses import SetCrossEntropy, SetTable, compute_set_weights
from seg_perception.training.schedule import compute_learning_rate

NORMALISATION = Normalisation(MEAN_RGB, STD_RGB)
LABEL_STRIDE = 4  # logits at 1/8 are compared with labels at 1/4: finer costs time, adds little
AUXILIARY_STRIDE = 8  # of the encoder's last stage against those labels (1/32 of the image)


def open_folders(config: TrainingConfig, part: str) -> list[LabelledFolder]:
    """Open the 'train' or 'validation' split of every data set that has one."""
    folders = []
    for dataset in config.datasets:
        split = dataset.train_split if part == 'train' else dataset.validation_split
        if split:
            folders.append(LabelledFolder(dataset, split, config.network.label_space))
    if part == 'train' and not folders:
        raise ConfigError('no data set has a train_split: nothing to learn from')
    return folders


def build_training_network(config: TrainingConfig) -> nn.Module:
    """Build the network of a configuration, channels last, in training mode."""
    settings = config.network
    classes = load_label_space(settings.label_space).num_classes
    network = build_network(
        settings.name,
        settings.variant,
        classes,
        drop_path=settings.drop_path,
        dropout=settings.dropout,
    )
    if settings.layer_scale > 0:
        for name, parameter in network.named_parameters():
            if 'layer_scale' in name:
                nn.init.constant_(parameter, settings.layer_scale)
    if settings.initial_weights:
        load_weights(network, settings.initial_weights)
    use_fast_layers(network)
    return network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]


class Learner:
    """One process's view of the run: the weights (shared or not) and its own optimiser."""

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.run.seed)
        self.config = config
        self.network = build_training_network(config)
        channels = self.network.variant.embed_dims[-1]  # type: ignore[union-attr,index]
        self.auxiliary = nn.Conv2d(channels, self.network.num_classes, 1)  # type: ignore[arg-type]
        self.average = WeightAverage(self.network, config.optimizer.ema_decay)
        self.table = SetTable(self.network.num_classes)  # type: ignore[arg-type]
        self.sampler = CropSampler(
            open_folders(config, 'train'), self.table, NORMALISATION, config.run.seed
        )
        self.optimizer = self._build_optimizer()
        self.criterion: SetCrossEntropy | None = None

    def share_memory(self) -> None:
        """Move weights and average to shared memory, before worker processes are started."""
        self.network.share_memory()
        self.auxiliary.share_memory()
        self.average.share_memory()

    def prepare_loss(self) -> SetCrossEntropy:
        """Count the labels and weigh rare classes up (once)."""
        if self.criterion is None:
            counts = self.sampler.count_sets(len(self.table.sets))
            power = self.config.optimizer.class_weight_power
            weights = compute_set_weights(counts, len(self.table.sets), power)
            self.criterion = SetCrossEntropy(self.table, torch.from_numpy(weights))
        return self.criterion

    def _parameters(self) -> list[Tensor]:
        return [*self.network.parameters(), *self.auxiliary.parameters()]

    def _build_optimizer(self) -> torch.optim.Optimizer:
        decayed = [p for p in self._parameters() if p.ndim >= 2]
        plain = [p for p in self._parameters() if p.ndim < 2]
        settings = self.config.optimizer
        return torch.optim.AdamW(
            [
                {'params': decayed, 'weight_decay': settings.weight_decay},
                {'params': plain, 'weight_decay': 0.0},
            ],
            lr=1e-3,
            fused=True,
            betas=(settings.beta1, settings.beta2),
        )

    def draw_batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Draw images (N, 3, h, w) float32, channels last, and set ids (N, h/4, w/4)."""
        stage, _ = self.config.find_stage(iteration)
        images, sets = self.sampler.draw_batch(stage, (iteration,))
        half = LABEL_STRIDE // 2
        coarse = np.ascontiguousarray(sets[:, half::LABEL_STRIDE, half::LABEL_STRIDE])
        return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(coarse)

    def compute_loss(self, images: Tensor, sets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of the logits and of the auxiliary classifier on the encoder's last stage."""
        criterion = self.prepare_loss()
        reduced = self.config.run.precision == 'bfloat16'
        with torch.autocast(images.device.type, torch.bfloat16, enabled=reduced):
            stages = self.network.backbone(images)  # type: ignore[operator,union-attr]
            logits = self.network.decode_head(stages)  # type: ignore[operator,union-attr]
            coarse = self.auxiliary(stages[-1])
        logits, coarse = logits.float(), coarse.float()
        logits = F.interpolate(logits, sets.shape[1:], mode='bilinear', align_corners=False)
        half = AUXILIARY_STRIDE // 2
        coarse_sets = sets[:, half::AUXILIARY_STRIDE, half::AUXILIARY_STRIDE]
        coarse = coarse[:, :, : coarse_sets.shape[1], : coarse_sets.shape[2]]
        return criterion(logits, sets), criterion(coarse, coarse_sets)

    def step(self, iteration: int, batch: tuple[Tensor, Tensor]) -> float:
        """Take one optimiser step; returns the loss. A gradient that is not finite is skipped."""
        stage, within = self.config.find_stage(iteration)
        rate = compute_learning_rate(stage.learning_rate, within, stage.iterations)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        torch.manual_seed(self.config.run.seed * 1_000_003 + iteration)  # dropout, on resume too
        main, auxiliary = self.compute_loss(*batch)
        (main + self.config.optimizer.auxiliary_weight * auxiliary).backward()
        norm = nn.utils.clip_grad_norm_(self._parameters(), self.config.optimizer.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(main.detach())

    def state_dict(self, iteration: int) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        return {
            'network': self.network.state_dict(),
            'auxiliary': self.auxiliary.state_dict(),
            'average': self.average.state,
            'average_steps': self.average.steps,
            'optimizer': self.optimizer.state_dict(),
            'iteration': iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Take over a checkpoint in place; returns its iteration."""
        self.network.load_state_dict(state['network'])
        self.auxiliary.load_state_dict(state['auxiliary'])
        for key, value in self.average.state.items():
            value.copy_(state['average'][key])
        self.average.steps = int(state['average_steps'])
        self.optimizer.load_state_dict(state['optimizer'])
        return int(state['iteration'])
