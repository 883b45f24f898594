# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled images: CamVid's layout, Cityscapes', and rendered frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.perception.labels import LabelSpace

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
CITYSCAPES_IMAGE = '_leftImg8bit.png'
CITYSCAPES_TRAIN_IDS = '_gtFine_labelTrainIds.png'
CITYSCAPES_IDS = '_gtFine_labelIds.png'
# cityscapesscripts/helpers/labels.py: label id -> train id, everything else is not scored
CITYSCAPES_SCORED_IDS = (
    7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
)  # fmt: skip


class ImageFolderError(UserError, ValueError):
    """A folder of labelled images that cannot be used; the message names the file and the fix."""


@dataclass(frozen=True)
class ImagePair:
    """Paths of one image and its label image."""

    image: Path
    label: Path


@dataclass(frozen=True)
class LabelledImage:
    """image: (H, W, 3) uint8 RGB; label: (H, W) uint8 ids of the folder's label space."""

    image: np.ndarray
    label: np.ndarray


def list_pairs(layout: str, root: str | Path, split: str) -> list[ImagePair]:
    """List the labelled images of one split, by name.

    layout: 'camvid' (ROOT/SPLIT/images/NAME.jpg or .png, ROOT/SPLIT/labels/NAME.png),
    'cityscapes' (ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with ROOT/gtFine/SPLIT/CITY/
    *_gtFine_labelTrainIds.png or *_gtFine_labelIds.png, or both kinds of files side by side in
    ROOT/SPLIT or, without such a folder, in ROOT) or 'frames' (ROOT/SPLIT/NAME_image.jpg or .png
    beside NAME_label.png). `~` in root is expanded.

    Raises ImageFolderError when the layout is unknown, or the folder, an image's label or every
    image is missing.
    """
    if layout not in LAYOUTS:
        raise ImageFolderError(f'layout is {layout!r}, expected one of {", ".join(LAYOUTS)}')
    folder = Path(root).expanduser()
    pairs = list(LAYOUTS[layout](folder, split))
    if not pairs:
        raise ImageFolderError(
            f'no labelled images of split {split!r} in {folder} (layout {layout}); '
            'see `seg_perception evaluate-images --help` for the names that are expected'
        )
    return pairs


def read_pair(pair: ImagePair, space: LabelSpace) -> LabelledImage:
    """Decode one pair.

    Raises ImageFolderError for a corrupt file, sizes that differ, a label image that is not grey
    with 8 bits, or a label id outside `space`.
    """
    image = _decode(pair.image, cv2.IMREAD_COLOR)
    label = read_label(pair.label, space)
    if label.shape != image.shape[:2]:
        raise ImageFolderError(
            f'{pair.image} is {image.shape[1]}x{image.shape[0]} and its label '
            f'{label.shape[1]}x{label.shape[0]}, expected equal sizes'
        )
    return LabelledImage(np.ascontiguousarray(image[..., ::-1]), label)


def read_label(path: Path, space: LabelSpace) -> np.ndarray:
    """Decode one label image: (H, W) uint8 ids of `space`; raises ImageFolderError, see read_pair.

    Cityscapes' own *_labelIds.png come back as train ids.
    """
    label = _decode(path, cv2.IMREAD_UNCHANGED)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise ImageFolderError(
            f'{path} has shape {label.shape} and type {label.dtype}, '
            'expected a grey image with 8 bits (class ids, not colours)'
        )
    if path.name.endswith(CITYSCAPES_IDS):
        label = _CITYSCAPES_LUT[label]
    found = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
    allowed = {*range(space.num_classes), space.ignore_id, 255}
    outside = [int(i) for i in found if int(i) not in allowed]
    if outside:
        raise ImageFolderError(
            f"{path} has label {outside[0]}, outside label space '{space.name}' "
            f'(0..{space.num_classes - 1}, unlabelled {space.ignore_id}); '
            'convert the labels or name their label space'
        )
    return label


def _list_camvid(root: Path, split: str) -> Iterator[ImagePair]:
    for path in _list_files(root / split / 'images'):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield _pair(path, root / split / 'labels' / f'{path.stem}.png')


def _list_frames(root: Path, split: str) -> Iterator[ImagePair]:
    for path in _list_files(root / split):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith('_image'):
            yield _pair(path, path.with_name(f'{path.stem.removesuffix("_image")}_label.png'))


def _list_cityscapes(root: Path, split: str) -> Iterator[ImagePair]:
    images = root / 'leftImg8bit' / split
    if images.is_dir():
        for city in _list_files(images):
            for path in _list_files(city) if city.is_dir() else []:
                if path.name.endswith(CITYSCAPES_IMAGE):
                    yield _pair_cityscapes(path, root / 'gtFine' / split / city.name)
        return
    flat = root / split if split and (root / split).is_dir() else root
    for path in _list_files(flat):
        if path.name.endswith(CITYSCAPES_IMAGE):
            yield _pair_cityscapes(path, flat)


def _pair_cityscapes(image: Path, labels: Path) -> ImagePair:
    stem = image.name.removesuffix(CITYSCAPES_IMAGE)
    ids = labels / f'{stem}{CITYSCAPES_IDS}'
    if ids.is_file() and not (labels / f'{stem}{CITYSCAPES_TRAIN_IDS}').is_file():
        return ImagePair(image, ids)
    return _pair(image, labels / f'{stem}{CITYSCAPES_TRAIN_IDS}')


def _pair(image: Path, label: Path) -> ImagePair:
    if not label.is_file():
        raise ImageFolderError(f'{image} has no label {label}')
    return ImagePair(image, label)


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageFolderError(f'no folder {folder}')
    return sorted(folder.iterdir())


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageFolderError(f'cannot read {path}: {error}') from error
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise ImageFolderError(f'{path} is no image that can be decoded ({data.size} bytes)')
    return image


def _make_cityscapes_lut() -> np.ndarray:
    lut = np.full(256, 255, np.uint8)
    lut[list(CITYSCAPES_SCORED_IDS)] = np.arange(len(CITYSCAPES_SCORED_IDS))
    return lut


_CITYSCAPES_LUT = _make_cityscapes_lut()
LAYOUTS: dict[str, Callable[[Path, str], Iterator[ImagePair]]] = {
    'camvid': _list_camvid,
    'cityscapes': _list_cityscapes,
    'frames': _list_frames,
}
