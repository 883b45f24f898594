# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Training images with set ids, kept in memory, and the crops drawn from them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.training.config import SourceConfig, StageConfig
from seg_perception.training.crops import (
    IGNORE_SET,
    Crop,
    CropBatch,
    CropSize,
    cut_crop,
    stack_crops,
)
from seg_perception.training.datasets import DatasetError, LabelledImages
from seg_perception.training.losses import SetTable

CACHE_BYTES = 4 << 30  # decoded images and set ids kept in memory, per data set and process
MIN_CLASS_PIXELS = 10  # of every 16th pixel, for an image to count as showing a class


@dataclass(frozen=True)
class TrainingItem:
    """image: (H, W, 3) uint8 RGB; sets: (H, W) uint8 set ids, see losses.SetTable.

    instances: (H, W) uint16, see instances.encode_instances; None where they are not needed.
    """

    image: np.ndarray
    sets: np.ndarray
    instances: np.ndarray | None = None


class NumberedImages:
    """A data set whose labels are set ids of a table; decoded on first use and then kept.

    May be used from several threads. has_instances: read instances too.
    """

    def __init__(
        self, images: LabelledImages, table: SetTable, has_instances: bool = False
    ) -> None:
        self._images = images
        self._has_instances = has_instances
        self._lut = table.add(images.mapping)
        self._refined_lut = refine_lut(self._lut, images.mapping.accept_matrix())
        self._cache: dict[int, TrainingItem] = {}
        self._cached_bytes = 0
        self._cache_lock = threading.Lock()
        self._counts: np.ndarray | None = None
        self._images_by_set: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> TrainingItem:
        if index in self._cache:
            return self._cache[index]
        found = self._images[index]
        instances = self._images.read_instances(index) if self._has_instances else None
        item = TrainingItem(found.image, self._number(index, found.label), instances)
        size = item.image.nbytes + item.sets.nbytes
        size += 0 if instances is None else instances.nbytes
        with self._cache_lock:
            if index not in self._cache and self._cached_bytes + size <= CACHE_BYTES:
                self._cache[index] = item
                self._cached_bytes += size
        return item

    def _number(self, index: int, label: np.ndarray) -> np.ndarray:
        """Turn label ids into set ids, (H, W) uint8."""
        refinement = self._images.read_refinement(index, label)
        return self._lut[label] if refinement is None else self._refined_lut[label, refinement]

    def count_sets(self) -> np.ndarray:
        """Count pixels per image and set id, (images, 256) int64, over every 16th pixel.

        Reads every label, the first time: 1000 of 512x1024 take 3.0 s. Not in threads: one that
        ends holds a lock of OpenCV for a moment, and workers forked then wait for it forever.
        """
        if self._counts is None:
            self._counts = np.stack([self._count_image(index) for index in range(len(self))])
        return self._counts

    def _count_image(self, index: int) -> np.ndarray:
        sets = self._lut[self._images.read_label(index)[::4, ::4]]
        return np.bincount(sets.ravel(), minlength=256)

    def list_images_by_set(self) -> dict[int, np.ndarray]:
        """Set id -> indices of the images that show at least 160 pixels of it.

        Raises DatasetError where no image shows so much of any.
        """
        if not self._images_by_set:
            shown = self.count_sets()[:, :IGNORE_SET] >= MIN_CLASS_PIXELS
            self._images_by_set = {
                int(set_id): np.flatnonzero(shown[:, set_id])
                for set_id in np.flatnonzero(shown.any(0))
            }
            if not self._images_by_set:
                raise DatasetError(
                    f"data set '{self._images.name}': no image has {16 * MIN_CLASS_PIXELS} pixels "
                    'of a class that the network knows: check the labels and their label space'
                )
        return self._images_by_set


def refine_lut(lut: np.ndarray, accepts: np.ndarray) -> np.ndarray:
    """Return the (256, 256) uint8 table label id, refinement -> set id.

    lut: (256,) uint8, label id -> set id; accepts: (labels, classes) bool. A refinement that the
    label accepts is the set of that class alone, any other leaves the label's own set.
    """
    table = np.repeat(lut[:, None], 256, axis=1)
    labels, classes = np.nonzero(accepts)
    table[labels, classes] = classes
    return table


class CropSampler:
    """Draws training crops from several data sets by their shares.

    A batch depends on the seed and the key it is drawn for alone, so that a resumed run sees
    what an uninterrupted one would have seen. Labels leave as set ids of the table.
    """

    def __init__(
        self,
        datasets: Sequence[LabelledImages],
        table: SetTable,
        seed: int,
        has_instances: bool = False,
    ) -> None:
        self.datasets = {
            dataset.name: NumberedImages(dataset, table, has_instances) for dataset in datasets
        }
        self._seed = seed

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
            images_by_set = dataset.list_images_by_set()
            wanted_set = int(rng.choice(list(images_by_set)))
            index = int(rng.choice(images_by_set[wanted_set]))
        item = dataset[index]
        return cut_crop(item.image, item.sets, size, source, wanted_set, rng, item.instances)
