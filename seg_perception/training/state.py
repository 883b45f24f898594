# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parts of a run that learn: network, auxiliary classifier, average, loss, optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seg_perception.networks.checkpoints import (
    load_encoder_weights,
    load_weights,
    read_source,
)
from seg_perception.networks.registry import build_network
from seg_perception.perception.labels import load_label_space
from seg_perception.training.checkpoint import CheckpointError
from seg_perception.training.config import (
    ConfigError,
    NetworkConfig,
    TrainingConfig,
    expand_path,
)
from seg_perception.training.crops import CropBatch
from seg_perception.training.datasets import LabelledImages, open_dataset
from seg_perception.training.ema import WeightAverage
from seg_perception.training.losses import SetCrossEntropy, SetTable, compute_set_weights
from seg_perception.training.sampling import CropSampler
from seg_perception.training.schedule import compute_learning_rate
from seg_perception.training.tasks import list_network_options, make_task

CLASSIFIERS = (
    'decode_head.conv_seg',
    'decode_head.dense_seg',
    'decode_head.categories',
    'decode_head.semantic_head.predict',
    'decode_head.class_head',
)
CLASSIFIER_KEYS = (
    *(f'{name}.{leaf}' for name in CLASSIFIERS for leaf in ('weight', 'bias')),
    'decode_head.queries',  # SegViT's, one per class
)


def find_device(name: str) -> torch.device:
    """Return the device of a configuration: 'auto', 'cpu' or 'cuda'; raises ConfigError."""
    if name == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(
            "device is 'cuda', but PyTorch finds no GPU here: set run.device to auto or cpu, or "
            'install a PyTorch with CUDA'
        )
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    return torch.device(name)


def open_datasets(config: TrainingConfig, part: str) -> list[LabelledImages]:
    """Open the 'train' or 'validation' split of every data set that has one."""
    opened = []
    for dataset in config.datasets:
        split = dataset.train_split if part == 'train' else dataset.validation_split
        if split:
            opened.append(open_dataset(dataset, split, config.network.label_space))
    if part == 'train' and not opened:
        raise ConfigError('no data set has a train_split: nothing to learn from')
    return opened


def build_training_network(config: TrainingConfig, device: torch.device) -> nn.Module:
    """Build the network of a configuration, with random weights, in training mode."""
    settings = config.network
    classes = load_label_space(settings.label_space).num_classes
    options = list_network_options(settings)
    network = build_network(settings.name, settings.variant, classes, **options)
    if settings.layer_scale > 0:
        for name, parameter in network.named_parameters():
            if 'layer_scale' in name:
                nn.init.constant_(parameter, settings.layer_scale)
    if device.type == 'cpu':
        from seg_perception.training.fast_layers import use_fast_layers

        use_fast_layers(network)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.train()


def load_start_weights(network: nn.Module, settings: NetworkConfig) -> tuple[str, ...]:
    """Load what a configuration starts from; returns what its files held and was not used.

    A classifier of another number of classes is left out: a model is fitted to new classes so.
    Raises UserError for a file that cannot be read or does not fit.
    """
    unused: list[str] = []
    if settings.encoder_weights:
        path = expand_path(settings.encoder_weights)
        unused += load_encoder_weights(network, path)  # type: ignore[arg-type]
    if settings.initial_weights:
        state, name = read_source(expand_path(settings.initial_weights))
        own = network.state_dict()
        for key in CLASSIFIER_KEYS:
            if key in state and key in own and len(state[key]) != len(own[key]):
                unused.append(f'{key} of {len(state[key])} classes')
                state = {**state, key: own[key]}
        load_weights(network, state, name)
    return tuple(unused)


class Learner:
    """One process's view of the run: the weights (shared or not) and its own optimiser."""

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.run.seed)
        self.config = config
        self.device = find_device(config.run.device)
        self.network = build_training_network(config, self.device)
        self.unused_weights = load_start_weights(self.network, config.network)
        self.task = make_task(config, self.network, self.device)
        self.average = WeightAverage(self.network, config.optimizer.ema_decay)
        self.table = SetTable(self.network.num_classes)  # type: ignore[arg-type]
        self.sampler = CropSampler(
            open_datasets(config, 'train'), self.table, config.run.seed, self.task.needs_instances
        )
        self.optimizer = self._build_optimizer()
        self.criterion: SetCrossEntropy | None = None

    def share_memory(self) -> None:
        """Move weights and average to shared memory, before worker processes are started."""
        self.network.share_memory()
        self.task.auxiliary.share_memory()
        self.average.share_memory()

    def prepare_loss(self) -> SetCrossEntropy:
        """Count the labels and weigh rare classes up (once)."""
        if self.criterion is None:
            sets = self.table.sets
            counts = [
                images.count_sets().sum(0)[: len(sets)]
                for images in self.sampler.datasets.values()
            ]
            power = self.config.optimizer.class_weight_power
            weights = compute_set_weights(counts, sets, power)
            criterion = SetCrossEntropy(self.table, torch.from_numpy(weights))
            self.criterion = criterion.to(self.device)
        return self.criterion

    def _parameters(self) -> list[Tensor]:
        return [*self.network.parameters(), *self.task.auxiliary.parameters()]

    def _build_optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        groups = []
        for in_head in (False, True):
            parameters = [
                parameter
                for name, parameter in self.network.named_parameters()
                if name.startswith('decode_head.') == in_head
            ]
            if in_head:
                parameters += self.task.auxiliary.parameters()
            factor = settings.head_rate_factor if in_head else 1.0
            decayed = [p for p in parameters if p.ndim >= 2]
            plain = [p for p in parameters if p.ndim < 2]
            decay = settings.weight_decay
            groups.append({'params': decayed, 'weight_decay': decay, 'rate_factor': factor})
            groups.append({'params': plain, 'weight_decay': 0.0, 'rate_factor': factor})
        return torch.optim.AdamW(
            groups, lr=1e-3, betas=(settings.beta1, settings.beta2), fused=True
        )

    def draw_batches(self, iteration: int) -> list[CropBatch]:
        """Draw what a step needs, one batch per gradient that it accumulates."""
        stage, _ = self.config.find_stage(iteration)
        return [
            self.sampler.draw_batch(stage, (iteration, part)) for part in range(stage.accumulation)
        ]

    def step(self, iteration: int, batches: list[CropBatch]) -> Tensor:
        """Take one optimiser step; returns the loss, on the device.

        A gradient that is not finite is skipped.
        """
        stage, within = self.config.find_stage(iteration)
        rate = compute_learning_rate(stage.learning_rate, within, stage.iterations)
        for group in self.optimizer.param_groups:
            group['lr'] = rate * group['rate_factor']
        torch.manual_seed(self.config.run.seed * 1_000_003 + iteration)  # dropout, on resume too
        total = torch.zeros((), device=self.device)
        for batch in batches:
            loss, shown = self.task.compute_loss(self.network, self.prepare_loss(), batch)
            (loss / len(batches)).backward()
            total += shown.detach() / len(batches)
        norm = nn.utils.clip_grad_norm_(self._parameters(), self.config.optimizer.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def state_dict(self, iteration: int) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        return {
            'network': self.network.state_dict(),
            'auxiliary': self.task.auxiliary.state_dict(),
            'average': self.average.state,
            'average_steps': self.average.steps,
            'optimizer': self.optimizer.state_dict(),
            'iteration': iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Take over a checkpoint in place; returns its iteration.

        Raises CheckpointError for a checkpoint of another network.
        """
        try:
            self.network.load_state_dict(state['network'])
            self.task.auxiliary.load_state_dict(state['auxiliary'])
            for key, value in self.average.state.items():
                value.copy_(state['average'][key])
            self.optimizer.load_state_dict(state['optimizer'])
        except (KeyError, RuntimeError, ValueError) as error:
            settings = self.config.network
            raise CheckpointError(
                f'is of another network than {settings.name}-{settings.variant} with '
                f'{self.network.num_classes} classes: set run.output to another folder, or '
                'start anew with --fresh'
            ) from error
        self.average.steps = int(state['average_steps'])
        return int(state['iteration'])
