# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The training configuration: YAML to frozen dataclasses. Importing this does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from seg_perception.training.schedule import LearningRateConfig
from seg_perception.yaml_config import ConfigError, load_dataclass

DATASET_KINDS = ('bag', 'camvid', 'cityscapes', 'frames')
DEVICES = ('auto', 'cpu', 'cuda')
PRECISIONS = ('float32', 'bfloat16')
MIN_CROP_PX = 32  # the encoder's last stage is at 1/32; a patch of SegViT has 16


@dataclass(frozen=True)
class DatasetConfig:
    """One source of labelled images.

    name: how stages refer to it.
    kind: the layout of the folder, see evaluation.image_folders.list_pairs, or 'bag' for a
    labelled recording.
    path: the folder; `~` and environment variables are expanded.
    label_space: of its label images.
    label_mapping: YAML file of the mapping to the network's label space, '' takes the package's.
    train_split, validation_split: '' leaves that use out. A bag is used whole, so one of the two
    is ''.
    validation_step: every how many images validation takes.
    refinement: folder of NAME.png with ids of the network's label space, of a teacher say: where
    a label accepts several classes and one of them is there, that one is learnt. Validation
    does not read it.
    only, exclude: parts of image names that are used, or left out ('0006R0' holds a CamVid drive
    out).
    """

    name: str
    kind: str
    path: str
    label_space: str
    train_split: str = 'train'
    validation_split: str = 'val'
    validation_step: int = 1
    label_mapping: str = ''
    refinement: str = ''
    only: str = ''
    exclude: str = ''

    def __post_init__(self) -> None:
        if self.kind not in DATASET_KINDS:
            raise ConfigError(
                f"data set '{self.name}' has kind {self.kind!r}, "
                f'expected one of {", ".join(DATASET_KINDS)}'
            )
        if self.validation_step < 1:
            raise ConfigError(
                f"data set '{self.name}' has validation_step={self.validation_step}, expected >= 1"
            )
        if self.kind == 'bag' and self.train_split and self.validation_split:
            raise ConfigError(
                f"data set '{self.name}' is a bag, used whole, for training and for validation: "
                "set train_split or validation_split to ''"
            )


@dataclass(frozen=True)
class NetworkConfig:
    """What is trained.

    drop_path, dropout: probabilities, in the encoder's branches and before the classifier.
    layer_scale: start value of every layer scale, 0 keeps the published 1e-2.
    initial_weights: a checkpoint or safetensors file to start from, '' starts at random.
    encoder_weights: an ImageNet file for the encoder alone (keys without `backbone.`).
    stem, span_px: of axial_deeplab, see networks.axial_deeplab, which has none of the others;
    span_px 0 is the variant's own. layer_scale is SegNeXt's alone, drop_path SegNeXt's and
    SegViT's.
    attention: of sanet, 'sa', or 'se' for squeeze-and-excitation in its place.
    """

    name: str = 'segnext'
    variant: str = 't'
    label_space: str = 'cityscapes'
    drop_path: float = 0.0
    dropout: float = 0.1
    layer_scale: float = 0.0
    initial_weights: str = ''
    encoder_weights: str = ''
    stem: str = 'conv'
    span_px: int = 0
    attention: str = 'sa'

    def __post_init__(self) -> None:
        for name in ('drop_path', 'dropout'):
            require(0 <= getattr(self, name) < 1, self, name, 'a probability below 1')
        require(self.layer_scale >= 0, self, 'layer_scale', '0 or more')


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW. Norms, biases and layer scales get no weight decay.

    clip_norm: a gradient of a larger norm is scaled down to it.
    auxiliary_weight: of the loss of a classifier on the encoder's last stage.
    class_weight_power: classes weigh frequency ** -power, 0 weighs all alike.
    ema_decay: share of the averaged weights that a step keeps.
    head_rate_factor: learning rate of the decode head over that of the encoder; the SegNeXt paper
    takes 10 with an encoder from ImageNet.
    """

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 5.0
    auxiliary_weight: float = 0.3
    class_weight_power: float = 0.5
    ema_decay: float = 0.998
    head_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        for name in ('beta1', 'beta2', 'ema_decay'):
            require(0 <= getattr(self, name) < 1, self, name, '0 or more and below 1')
        for name in ('weight_decay', 'auxiliary_weight', 'class_weight_power'):
            require(getattr(self, name) >= 0, self, name, '0 or more')
        for name in ('clip_norm', 'head_rate_factor'):
            require(getattr(self, name) > 0, self, name, 'above 0')


@dataclass(frozen=True)
class PanopticConfig:
    """Losses of a panoptic network, as Axial-DeepLab has them, and what its validation merges.

    center_weight, offset_weight: of the heatmap's squared error and the offsets' L1 distance
    beside the semantic cross-entropy, which has weight 1.
    hard_share: of the pixels of an image, those with the highest loss, make the cross-entropy.
    small_area_px, small_weight: pixels of an instance smaller than that weigh so much there.
    center_sigma_px: of the Gaussian at each centre, px of the crop; the paper's 8 is for inputs of
    1025x2049.
    ignored_area_px: instances of fewer pixels of the crop count as a crowd: none has to be found
    there. One cell of the outputs has 16.
    """

    center_weight: float = 200.0
    offset_weight: float = 0.01
    hard_share: float = 0.2
    small_area_px: int = 64 * 64
    small_weight: float = 3.0
    center_sigma_px: float = 8.0
    ignored_area_px: int = 0

    def __post_init__(self) -> None:
        for name in ('center_weight', 'offset_weight', 'small_area_px', 'ignored_area_px'):
            require(getattr(self, name) >= 0, self, name, '0 or more')
        for name in ('small_weight', 'center_sigma_px'):
            require(getattr(self, name) > 0, self, name, 'above 0')
        require(0 < self.hard_share <= 1, self, 'hard_share', 'above 0 and up to 1')


@dataclass(frozen=True)
class SourceConfig:
    """How one stage draws from one data set: its share, and the range of image scales.

    letterbox_share: of its images that get the bars of a letterbox of letterbox_aspect
    (width / height), as the deployed graph adds them to a camera of another shape.
    balanced_share: of its crops that are drawn for a class: first a class, each as likely, then
    an image that shows it, then a crop around one of its pixels.
    """

    share: float
    scale_min: float
    scale_max: float
    letterbox_share: float = 0.0
    letterbox_aspect: float = 2.0
    balanced_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.letterbox_share <= 1 or self.letterbox_aspect <= 0:
            raise ConfigError(
                f'letterbox_share {self.letterbox_share}, letterbox_aspect '
                f'{self.letterbox_aspect}: expected a share of 0 to 1 and an aspect above 0'
            )
        require(0 <= self.balanced_share <= 1, self, 'balanced_share', '0 to 1')
        if self.share < 0 or not 0 < self.scale_min <= self.scale_max:
            raise ConfigError(
                f'share {self.share}, scale {self.scale_min} to {self.scale_max}: '
                'expected share >= 0 and 0 < scale_min <= scale_max'
            )


@dataclass(frozen=True)
class StageConfig:
    """A part of the run with its own crops, mix of data and learning rate.

    accumulation: batches whose gradients make one step.
    """

    name: str
    iterations: int
    crop_height_px: int
    crop_width_px: int
    batch_size: int
    learning_rate: LearningRateConfig
    sources: dict[str, SourceConfig]
    accumulation: int = 1

    def __post_init__(self) -> None:
        counts = (self.iterations, self.batch_size, self.accumulation)
        if min(counts) < 1:
            raise ConfigError(
                f"stage '{self.name}': iterations, batch_size and accumulation are {counts}, "
                'expected 1 or more of each'
            )
        if min(self.crop_height_px, self.crop_width_px) < MIN_CROP_PX:
            raise ConfigError(
                f"stage '{self.name}' has crops of {self.crop_height_px}x{self.crop_width_px} px, "
                f'expected {MIN_CROP_PX} or more each way'
            )
        if sum(source.share for source in self.sources.values()) <= 0:
            raise ConfigError(f"stage '{self.name}' draws from no data set: give a share above 0")

    @property
    def images_per_step(self) -> int:
        """Crops that one optimiser step sees."""
        return self.batch_size * self.accumulation


@dataclass(frozen=True)
class RunConfig:
    """Where a run computes and writes, and how often.

    workers: on the CPU, processes that share the weights, each with one thread; 0 takes one
    process with all threads. Two single-threaded workers beat one process with two threads by
    1.5x on 2 busy cores, because nothing waits for the slower core. With device 'auto' it is
    ignored where there is a GPU; with 'cuda' it is refused.
    device: 'auto' (a GPU where there is one), 'cpu' or 'cuda'.
    loader_threads: threads that cut crops beside the steps; a worker has one of its own.
    precision: 'float32' or 'bfloat16' (autocast; NMF, norms and losses stay in float32).
    checkpoint_every_s, validate_every_s: seconds between two; both come at the end as well.
    validation_height_px, validation_width_px: network input, images are letterboxed to it.
    validation_window_px, validation_window_stride_px: the network sees that input in overlapping
    square windows, as in SegViT's paper (512 and 341); 0 for the whole at once, as the node.
    """

    output: str = 'out/training'
    workers: int = 0
    device: str = 'auto'
    loader_threads: int = 1
    seed: int = 0
    precision: str = 'float32'
    checkpoint_every_s: float = 120.0
    validate_every_s: float = 480.0
    validation_height_px: int = 512
    validation_width_px: int = 1024
    validation_window_px: int = 0
    validation_window_stride_px: int = 0

    def __post_init__(self) -> None:
        for name, known in (('device', DEVICES), ('precision', PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"'{name}' is {getattr(self, name)!r}, expected one of {', '.join(known)}"
                )
        if self.workers and self.device == 'cuda':
            raise ConfigError('workers share weights in main memory: with device cuda set it to 0')
        for name in ('workers', 'seed', 'checkpoint_every_s', 'validate_every_s'):
            require(getattr(self, name) >= 0, self, name, '0 or more')
        require(self.loader_threads >= 1, self, 'loader_threads', '1 or more')
        for name in ('validation_height_px', 'validation_width_px'):
            is_right = getattr(self, name) >= MIN_CROP_PX
            require(is_right, self, name, f'{MIN_CROP_PX} or more')
        window, stride = self.validation_window_px, self.validation_window_stride_px
        is_right = window == stride == 0 or 0 < stride <= window
        require(is_right, self, 'validation_window_stride_px', f'1 to the window, {window} px')
        is_right = window == 0 or window >= MIN_CROP_PX
        require(is_right, self, 'validation_window_px', f'0, or {MIN_CROP_PX} or more')


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training run."""

    datasets: tuple[DatasetConfig, ...]
    stages: tuple[StageConfig, ...]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    panoptic: PanopticConfig = field(default_factory=PanopticConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) != len(names):
            raise ConfigError(f'data set names are {names}, expected each once')
        if not self.stages:
            raise ConfigError('no stages: give at least one')
        trained = [dataset.name for dataset in self.datasets if dataset.train_split]
        for stage in self.stages:
            for name in stage.sources:
                if name not in trained:
                    raise ConfigError(
                        f"stage '{stage.name}' draws from data set '{name}', which is not among "
                        f'those with a train_split: {trained}'
                    )

    @property
    def total_iterations(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.iterations for stage in self.stages)

    def find_stage(self, iteration: int) -> tuple[StageConfig, int]:
        """Return the stage of a global iteration, and the iteration within it.

        The last stage goes on for iterations beyond the end.
        """
        for stage in self.stages[:-1]:
            if iteration < stage.iterations:
                return stage, iteration
            iteration -= stage.iterations
        return self.stages[-1], iteration


def require(is_right: bool, config: object, name: str, expected: str) -> None:
    """Raise ConfigError for a field of a configuration that is not as expected."""
    if not is_right:
        raise ConfigError(f'{name} is {getattr(config, name)}, expected {expected}')


def expand_path(text: str) -> Path:
    """Expand `~` and environment variables; raises ConfigError for a variable that is not set."""
    expanded = os.path.expandvars(text)
    if '$' in expanded:
        raise ConfigError(f"path '{text}' names an environment variable that is not set")
    return Path(expanded).expanduser()


def load_config(path: str | Path) -> TrainingConfig:
    """Read a training configuration.

    Raises:
        ConfigError: file missing, not YAML, an unknown or missing key, a wrong type or value.
    """
    return load_dataclass(TrainingConfig, path, 'configuration')
