# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled images for training: CamVid folders and flat folders of rendered frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.evaluation.image_folders import (
    LabelledImage,
    list_pairs,
    read_label,
    read_pair,
)
from seg_perception.perception.labels import LabelMapping, load_label_mapping
from seg_perception.training.augmentation import (
    IGNORE_SET,
    CropSize,
    add_letterbox_bars,
    augment_crop,
)
from seg_perception.training.config import DatasetConfig, SourceConfig, StageConfig
from seg_perception.training.losses import SetTable

CACHE_BYTES = 4 << 30  # decoded images and labels kept in memory


class LabelledFolder:
    """One split of a data set, decoded on first use and then kept in memory."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self.name = config.name
        self.pairs = list_pairs(config.kind, config.path, split)
        self.mapping: LabelMapping = load_label_mapping(config.label_space, target)
        self._cache: dict[int, LabelledImage] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> LabelledImage:
        if index in self._cache:
            return self._cache[index]
        item = read_pair(self.pairs[index], self.mapping.source)
        size = item.image.nbytes + item.label.nbytes
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = item
            self._cached_bytes += size
        return item

    def count_image_labels(self) -> np.ndarray:
        """Count pixels per image and label id, (images, 256) int64, over every 16th pixel."""
        counts = np.zeros((len(self), 256), np.int64)
        for index, pair in enumerate(self.pairs):
            label = read_label(pair.label, self.mapping.source)
            counts[index] = np.bincount(label[::4, ::4].ravel(), minlength=256)
        return counts

    def count_labels(self, every: int = 1) -> np.ndarray:
        """Count pixels per label id, (256,) int64, over every `every`-th image."""
        counts = np.zeros(256, np.int64)
        for index in range(0, len(self), every):
            counts += np.bincount(self[index].label[::4, ::4].ravel(), minlength=256)
        return counts


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the network's input, per RGB channel, 0..255 scale."""

    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]


class CropSampler:
    """Draws augmented training crops from several data sets by their shares.

    A batch depends on the seed and the key it is drawn for alone, so that a resumed run sees
    what an uninterrupted one would have seen. Labels leave as set ids (see losses.SetTable).
    """

    def __init__(
        self,
        folders: Sequence[LabelledFolder],
        table: SetTable,
        normalisation: Normalisation,
        seed: int,
    ) -> None:
        self.folders = {folder.name: folder for folder in folders}
        self._luts = {folder.name: table.add(folder.mapping) for folder in folders}
        self._normalisation = normalisation
        self._seed = seed
        self._images_by_set: dict[str, dict[int, np.ndarray]] = {}

    def count_sets(self, num_sets: int, images: int = 60) -> list[np.ndarray]:
        """Count pixels per set id, one (num_sets,) array per data set, over about `images`."""
        counts = []
        for name, folder in self.folders.items():
            labels = folder.count_labels(max(1, len(folder) // images))
            sets = np.zeros(256, np.int64)
            np.add.at(sets, self._luts[name], labels)
            counts.append(sets[:num_sets])
        return counts

    def list_images_by_set(self, name: str) -> dict[int, np.ndarray]:
        """Set id -> indices of the images of a data set that show at least 160 pixels of it.

        Reads every label once, at the first call for a data set.
        """
        if name not in self._images_by_set:
            counts = self.folders[name].count_image_labels()
            lut = self._luts[name]
            shown: dict[int, np.ndarray] = {}
            for set_id in np.unique(lut[lut < IGNORE_SET]):
                pixels = counts[:, lut == set_id].sum(1)
                indices = np.flatnonzero(pixels >= 10)
                if len(indices):
                    shown[int(set_id)] = indices
            self._images_by_set[name] = shown
        return self._images_by_set[name]

    def draw_batch(self, stage: StageConfig, key: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Draw the batch of `key` (for example the iteration).

        Returns (N, h, w, 3) float32 normalised RGB and (N, h, w) uint8 set ids.
        """
        rng = np.random.default_rng([self._seed, *key])
        crop = CropSize(stage.crop_height_px, stage.crop_width_px)
        pairs = [self.draw_crop(stage.sources, crop, rng) for _ in range(stage.batch_size)]
        return np.stack([image for image, _ in pairs]), np.stack([sets for _, sets in pairs])

    def draw_crop(
        self, sources: dict[str, SourceConfig], crop: CropSize, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one crop: (h, w, 3) float32 normalised RGB and (h, w) uint8 set ids."""
        names = list(sources)
        shares = np.array([sources[name].share for name in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        folder, source = self.folders[name], sources[name]
        wanted_set = None
        index = int(rng.integers(len(folder)))
        if rng.random() < source.balanced_share:
            images_by_set = self.list_images_by_set(name)
            wanted_set = int(rng.choice(list(images_by_set)))
            index = int(rng.choice(images_by_set[wanted_set]))
        item = folder[index]
        scale = float(np.exp(rng.uniform(np.log(source.scale_min), np.log(source.scale_max))))
        image, sets = item.image, self._luts[name][item.label]
        if rng.random() < source.letterbox_share:
            image, sets = add_letterbox_bars(image, sets, source.letterbox_aspect)
        return augment_crop(
            image,
            sets,
            crop,
            scale,
            self._normalisation.mean_rgb,
            self._normalisation.std_rgb,
            rng,
            wanted_set,
        )
