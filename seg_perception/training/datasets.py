# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled images for training and validation, from folders and recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_folders import (
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
from seg_perception.training.config import DatasetConfig, expand_path
from seg_perception.training.instances import encode_instances, read_panoptic

MAX_BAG_BYTES = 4 << 30  # of a recording's images and labels, which are kept in memory


class DatasetError(UserError, ValueError):
    """A data set that cannot be trained on; the message names it and the fix."""


class LabelledImages:
    """One split of a data set; what is read is not kept, see sampling.NumberedImages."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self.name = config.name
        self._kind = config.kind
        self.mapping = find_mapping(config, target)
        self._pairs = [pair for pair in self._list_pairs(config, split) if _is_used(pair, config)]
        if not self._pairs:
            raise DatasetError(
                f"data set '{config.name}': only {config.only!r} and exclude {config.exclude!r} "
                'leave no image'
            )
        self._refinement = expand_path(config.refinement) if config.refinement else None

    def _list_pairs(self, config: DatasetConfig, split: str) -> list[ImagePair]:
        return list_pairs(config.kind, expand_path(config.path), split)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> LabelledImage:
        """Decode one image and its label."""
        return read_pair(self._pairs[index], self.mapping.source)

    def read_label(self, index: int) -> np.ndarray:
        """Decode a label alone: (H, W) uint8 ids of the data set's own label space."""
        return read_label(self._pairs[index].label, self.mapping.source)

    def read_panoptic(self, index: int) -> np.ndarray:
        """Decode an image's panoptic truth, (H, W) int32; see instances.read_panoptic."""
        return read_panoptic(self._pairs[index], self._kind, self.mapping.source)

    def read_instances(self, index: int) -> np.ndarray:
        """Decode an image's instance ids, (H, W) uint16; see instances.encode_instances."""
        return encode_instances(self.read_panoptic(index), self.mapping.source)

    def read_refinement(self, index: int, label: np.ndarray) -> np.ndarray | None:
        """Decode an image's refinement: (H, W) uint8 ids of the network's label space.

        None for a data set without, see DatasetConfig. Raises UserError for a file that cannot be
        read, DatasetError for one of another size than the label.
        """
        if self._refinement is None:
            return None
        path = self._refinement / f'{self._pairs[index].image.stem}.png'
        refinement = read_label(path, self.mapping.target)
        if refinement.shape != label.shape:
            raise DatasetError(
                f'{path} has shape {refinement.shape}, its label {label.shape}; expected the same'
            )
        return refinement


class LabelledBag(LabelledImages):
    """A recording's images that have a label of the same stamp, read when it is opened."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self._items: list[LabelledImage] = []
        super().__init__(config, split, target)

    def _list_pairs(self, config: DatasetConfig, split: str) -> list[ImagePair]:
        from seg_perception.evaluation.bags.labelled_bags import iterate_labelled_images

        size = 0
        for item in iterate_labelled_images(expand_path(config.path), config.label_space):
            self._items.append(item)
            size += item.image.nbytes + item.label.nbytes
            if size > MAX_BAG_BYTES:
                raise DatasetError(
                    f"data set '{config.name}': {config.path} has more than "
                    f'{MAX_BAG_BYTES >> 30} GiB of labelled images; cut the bag into parts'
                )
        if not self._items:
            raise DatasetError(f"data set '{config.name}': no image of {config.path} has a label")
        return [ImagePair(Path(f'{i:06d}'), Path()) for i in range(len(self._items))]

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image and its label."""
        return self._items[int(self._pairs[index].image.name)]

    def read_label(self, index: int) -> np.ndarray:
        """Return a label alone."""
        return self[index].label


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
