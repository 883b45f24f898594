# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled images for training, from folders and recordings, and the crops drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.image_folders import (
    ImagePair,
    LabelledImage,
    list_pairs,
    read_label,
    read_pair,
)
from seg_perception.perception.labels import (
    LabelMapping,
    load_label_mapping,
    load_label_space,
    read_label_mapping,
)
from seg_perception.training.config import (
    DatasetConfig,
    SourceConfig,
    StageConfig,
    expand_path,
)
from seg_perception.training.crops import (
    IGNORE_SET,
    Crop,
    CropBatch,
    CropSize,
    cut_crop,
    stack_crops,
)
from seg_perception.training.losses import SetTable

CACHE_BYTES = 4 << 30  # decoded images and labels kept in memory, per data set
MIN_CLASS_PIXELS = 10  # of every 16th pixel, for an image to count as showing a class


class DatasetError(UserError, ValueError):
    """A data set that cannot be trained on; the message names it and the fix."""


@dataclass(frozen=True)
class TrainingItem:
    """image: (H, W, 3) uint8 RGB; label: (H, W) uint8 ids of the data set's own label space;
    refinement: None, or (H, W) uint8 ids of the network's label space, see DatasetConfig."""

    image: np.ndarray
    label: np.ndarray
    refinement: np.ndarray | None = None


class LabelledImages:
    """One split of a data set, decoded on first use and then kept in memory."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self.name = config.name
        self.mapping = find_mapping(config, target)
        self._pairs = [pair for pair in self._list_pairs(config, split) if _is_used(pair, config)]
        if not self._pairs:
            raise DatasetError(
                f"data set '{config.name}': only {config.only!r} and exclude {config.exclude!r} "
                'leave no image'
            )
        self._refinement = expand_path(config.refinement) if config.refinement else None
        self._cache: dict[int, TrainingItem] = {}
        self._cached_bytes = 0

    def _list_pairs(self, config: DatasetConfig, split: str) -> list[ImagePair]:
        return list_pairs(config.kind, expand_path(config.path), split)

    def _read(self, index: int) -> LabelledImage:
        return read_pair(self._pairs[index], self.mapping.source)

    def _read_label(self, index: int) -> np.ndarray:
        return read_label(self._pairs[index].label, self.mapping.source)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> TrainingItem:
        if index in self._cache:
            return self._cache[index]
        found = self._read(index)
        item = TrainingItem(found.image, found.label, self._read_refinement(index, found.label))
        size = item.image.nbytes + 2 * item.label.nbytes
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = item
            self._cached_bytes += size
        return item

    def _read_refinement(self, index: int, label: np.ndarray) -> np.ndarray | None:
        if self._refinement is None:
            return None
        path = self._refinement / f'{self._pairs[index].image.stem}.png'
        refinement = read_label(path, self.mapping.target)
        if refinement.shape != label.shape:
            raise DatasetError(
                f'{path} has shape {refinement.shape}, its label {label.shape}; expected the same'
            )
        return refinement

    def count_labels(self) -> np.ndarray:
        """Count pixels per image and label id, (images, 256) int64, over every 16th pixel."""
        counts = np.zeros((len(self), 256), np.int64)
        for index in range(len(self)):
            label = self._read_label(index)
            counts[index] = np.bincount(label[::4, ::4].ravel(), minlength=256)
        return counts


class LabelledBag(LabelledImages):
    """A recording's images that have a label of the same stamp, read when it is opened."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self._items: list[LabelledImage] = []
        super().__init__(config, split, target)

    def _list_pairs(self, config: DatasetConfig, split: str) -> list[ImagePair]:
        from seg_perception.evaluation.labelled_bags import iterate_labelled_images

        size = 0
        for item in iterate_labelled_images(expand_path(config.path), config.label_space):
            self._items.append(item)
            size += item.image.nbytes + item.label.nbytes
            if size > CACHE_BYTES:
                raise DatasetError(
                    f"data set '{config.name}': {config.path} has more than "
                    f'{CACHE_BYTES >> 30} GiB of labelled images; cut the bag into parts'
                )
        if not self._items:
            raise DatasetError(f"data set '{config.name}': no image of {config.path} has a label")
        return [ImagePair(Path(f'{i:06d}'), Path()) for i in range(len(self._items))]

    def _read(self, index: int) -> LabelledImage:
        return self._items[int(self._pairs[index].image.name)]

    def _read_label(self, index: int) -> np.ndarray:
        return self._read(index).label


def open_dataset(config: DatasetConfig, split: str, target: str) -> LabelledImages:
    """Open one split; target: the network's label space.

    Raises UserError when the data cannot be read or its labels not be mapped.
    """
    kind = LabelledBag if config.kind == 'bag' else LabelledImages
    return kind(config, split, target)


def find_mapping(config: DatasetConfig, target: str) -> LabelMapping:
    """Return the mapping from a data set's labels to the network's.

    Raises LabelError when there is none, DatasetError when its file is for other label spaces.
    """
    if not config.label_mapping:
        return load_label_mapping(config.label_space, target)
    mapping = read_label_mapping(expand_path(config.label_mapping))
    expected = (load_label_space(config.label_space).name, load_label_space(target).name)
    if (mapping.source.name, mapping.target.name) != expected:
        raise DatasetError(
            f"data set '{config.name}': {config.label_mapping} maps '{mapping.source.name}' to "
            f"'{mapping.target.name}', expected '{expected[0]}' to '{expected[1]}'"
        )
    return mapping


def _is_used(pair: ImagePair, config: DatasetConfig) -> bool:
    name = pair.image.name
    return config.only in name and not (config.exclude and config.exclude in name)


class CropSampler:
    """Draws training crops from several data sets by their shares.

    A batch depends on the seed and the key it is drawn for alone, so that a resumed run sees
    what an uninterrupted one would have seen. Labels leave as set ids (see losses.SetTable).
    """

    def __init__(self, datasets: Sequence[LabelledImages], table: SetTable, seed: int) -> None:
        self.datasets = {dataset.name: dataset for dataset in datasets}
        self._luts = {dataset.name: table.add(dataset.mapping) for dataset in datasets}
        self._allowed = {
            dataset.name: dataset.mapping.accept_matrix()
            for dataset in datasets
            if dataset.mapping.source != dataset.mapping.target
        }
        self._seed = seed
        self._counts: dict[str, np.ndarray] = {}
        self._images_by_set: dict[str, dict[int, np.ndarray]] = {}

    def count_sets(self, name: str, num_sets: int) -> np.ndarray:
        """Count a data set's pixels per image and set id, (images, num_sets); reads every label
        once."""
        if name not in self._counts:
            labels = self.datasets[name].count_labels()
            sets = np.zeros((256, len(labels)), np.int64)
            np.add.at(sets, self._luts[name], labels.T)
            self._counts[name] = sets.T
        return self._counts[name][:, :num_sets]

    def list_images_by_set(self, name: str) -> dict[int, np.ndarray]:
        """Set id -> indices of the images of a data set that show at least 160 pixels of it."""
        if name not in self._images_by_set:
            shown = self.count_sets(name, IGNORE_SET) >= MIN_CLASS_PIXELS
            self._images_by_set[name] = {
                int(set_id): np.flatnonzero(shown[:, set_id])
                for set_id in np.flatnonzero(shown.any(0))
            }
        return self._images_by_set[name]

    def draw_batch(self, stage: StageConfig, key: Sequence[int]) -> CropBatch:
        """Draw the batch of `key` (for example the iteration)."""
        rng = np.random.default_rng([self._seed, *key])
        size = CropSize(stage.crop_height_px, stage.crop_width_px)
        crops = [self.draw_crop(stage.sources, size, rng) for _ in range(stage.batch_size)]
        return stack_crops(crops, size, int(rng.integers(2**31)))

    def draw_crop(
        self, sources: dict[str, SourceConfig], size: CropSize, rng: np.random.Generator
    ) -> Crop:
        """Draw one crop from one of the data sets, by their shares."""
        names = list(sources)
        shares = np.array([sources[name].share for name in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        dataset, source = self.datasets[name], sources[name]
        wanted_set = None
        index = int(rng.integers(len(dataset)))
        if rng.random() < source.balanced_share:
            images_by_set = self.list_images_by_set(name)
            wanted_set = int(rng.choice(list(images_by_set)))
            index = int(rng.choice(images_by_set[wanted_set]))
        item = dataset[index]
        return cut_crop(item.image, self.find_sets(name, item), size, source, wanted_set, rng)

    def find_sets(self, name: str, item: TrainingItem) -> np.ndarray:
        """Return (H, W) uint8 set ids of an item of a data set."""
        sets = self._luts[name][item.label]
        if item.refinement is None or name not in self._allowed:
            return sets
        matrix = np.zeros((256, 256), bool)
        allowed = self._allowed[name]
        matrix[: allowed.shape[0], : allowed.shape[1]] = allowed
        return np.where(matrix[item.label, item.refinement], item.refinement, sets)
