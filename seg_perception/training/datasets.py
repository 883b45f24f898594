# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled images for training: CamVid folders and flat folders of rendered frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.labels import LabelMapping, LabelSpace, load_label_mapping
from seg_perception.training.augmentation import CropSize, add_letterbox_bars, augment_crop
from seg_perception.training.config import DatasetConfig, SourceConfig, StageConfig
from seg_perception.training.losses import SetTable

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
CACHE_BYTES = 4 << 30  # decoded images and labels kept in memory


class DatasetError(UserError, ValueError):
    """A data set that cannot be trained on; the message names the file and the fix."""


@dataclass(frozen=True)
class ImagePair:
    """Paths of one image and its label image."""

    image: Path
    label: Path


@dataclass(frozen=True)
class LabelledImage:
    """image: (H, W, 3) uint8 RGB; label: (H, W) uint8 ids of the data set's own label space."""

    image: np.ndarray
    label: np.ndarray


def list_pairs(config: DatasetConfig, split: str) -> list[ImagePair]:
    """List the pairs of one split, by name.

    Raises DatasetError when the folder, an image's label or every image is missing.
    """
    root = Path(config.path).expanduser() / split
    images = root / 'images' if config.kind == 'camvid' else root
    if not images.is_dir():
        raise DatasetError(f"data set '{config.name}': no folder {images}")
    pairs = []
    for path in sorted(images.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if config.kind == 'camvid':
            label = root / 'labels' / f'{path.stem}.png'
        elif path.stem.endswith('_image'):
            label = root / f'{path.stem.removesuffix("_image")}_label.png'
        else:
            continue
        if not label.is_file():
            raise DatasetError(f"data set '{config.name}': {path.name} has no label {label}")
        pairs.append(ImagePair(path, label))
    if not pairs:
        raise DatasetError(
            f"data set '{config.name}': no labelled images in {images}; "
            f'expected {", ".join(IMAGE_SUFFIXES)}'
        )
    return pairs


def read_pair(pair: ImagePair, space: LabelSpace) -> LabelledImage:
    """Decode one pair.

    Raises DatasetError for a corrupt file, sizes that differ, a label image that is not grey
    with 8 bits, or a label id outside `space`.
    """
    image = _decode(pair.image, cv2.IMREAD_COLOR)
    label = _decode(pair.label, cv2.IMREAD_UNCHANGED)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise DatasetError(
            f'{pair.label} has shape {label.shape} and type {label.dtype}, '
            'expected a grey image with 8 bits (class ids, not colours)'
        )
    if label.shape != image.shape[:2]:
        raise DatasetError(
            f'{pair.image} is {image.shape[1]}x{image.shape[0]} and its label '
            f'{label.shape[1]}x{label.shape[0]}, expected equal sizes'
        )
    found = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
    allowed = {*range(space.num_classes), space.ignore_id, 255}
    outside = [int(i) for i in found if int(i) not in allowed]
    if outside:
        raise DatasetError(
            f"{pair.label} has label {outside[0]}, outside label space '{space.name}' "
            f'(0..{space.num_classes - 1}, unlabelled {space.ignore_id}); '
            'convert the labels or name their label space'
        )
    return LabelledImage(np.ascontiguousarray(image[..., ::-1]), label)


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(f'cannot read {path}: {error}') from error
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise DatasetError(f'{path} is no image that can be decoded ({data.size} bytes)')
    return image


class LabelledFolder:
    """One split of a data set, decoded on first use and then kept in memory."""

    def __init__(self, config: DatasetConfig, split: str, target: str) -> None:
        self.name = config.name
        self.pairs = list_pairs(config, split)
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

    def count_sets(self, num_sets: int, images: int = 60) -> list[np.ndarray]:
        """Count pixels per set id, one (num_sets,) array per data set, over about `images`."""
        counts = []
        for name, folder in self.folders.items():
            labels = folder.count_labels(max(1, len(folder) // images))
            sets = np.zeros(256, np.int64)
            np.add.at(sets, self._luts[name], labels)
            counts.append(sets[:num_sets])
        return counts

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
        item = folder[int(rng.integers(len(folder)))]
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
        )
