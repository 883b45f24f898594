# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""One split of a labelled image folder, ready to score a model that may have finer classes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_folders import (
    ImageFolderError,
    ImagePair,
    LabelledImage,
    list_pairs,
    read_pair,
)
from seg_perception.evaluation.metrics.score import make_fold_lut
from seg_perception.perception.labels import (
    UNLABELLED_ID,
    LabelError,
    LabelSpace,
    load_label_space,
)

LABEL_SPACES = {'camvid': 'camvid', 'cityscapes': 'cityscapes', 'frames': 'cityscapes'}
CLASSES_FILE = 'classes.json'
FOLD_KEY = 'cityscapes_trainid_to_camvid'


@dataclass(frozen=True)
class SplitConfig:
    """Which labelled images.

    Attributes:
        layout: One of image_folders.LAYOUTS.
        root: Folder of the data set.
        split: Name of the split, a folder in it.
        label_space: Name or YAML file of the labels' space; '' for that of the layout.
        limit: Number of images from the start; 0 for all.
    """

    layout: str
    root: Path
    split: str
    label_space: str = ''
    limit: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f'a limit of {self.limit} images is not possible; 0 means all')


@dataclass(frozen=True)
class LabelledSplit:
    """The images, and how the model's classes count in the labels' space.

    Attributes:
        pairs: Images with their labels, by name.
        label_space: Label space of the labels, in which is scored.
        fold_lut: (256,) uint8, model id to label id, 255 where no label accepts the class.
        fold: Where the table is from: 'classes.json', 'package', or 'none' for equal classes.
        fold_differences: Model classes that classes.json folds otherwise than the package.
    """

    pairs: tuple[ImagePair, ...]
    label_space: LabelSpace
    fold_lut: np.ndarray
    fold: str
    fold_differences: tuple[str, ...] = ()

    def read(self, pair: ImagePair) -> LabelledImage:
        """Decode one pair; unlabelled pixels come as 255.

        Raises:
            ImageFolderError: A fault in one of the files, see image_folders.read_pair.
        """
        item = read_pair(pair, self.label_space)
        label = item.label.copy()
        label[label == self.label_space.ignore_id] = UNLABELLED_ID
        return LabelledImage(item.image, label)


def open_split(config: SplitConfig, model_space: LabelSpace) -> LabelledSplit:
    """List the images of a split and find how the model's classes are folded into its labels.

    ROOT/classes.json of the CamVid layout is used where it is there and no label space is named.

    Raises:
        ImageFolderError: The folder, the split or classes.json cannot be used.
        LabelError: An unknown label space, or none of the known mappings fits.
    """
    pairs = list_pairs(config.layout, config.root, config.split)
    chosen = tuple(pairs[: config.limit] if config.limit else pairs)
    space = load_label_space(config.label_space or LABEL_SPACES[config.layout])
    classes_file = config.root.expanduser() / CLASSES_FILE
    is_described = config.layout == 'camvid' and not config.label_space and classes_file.is_file()
    file_lut = read_fold_lut(classes_file, space, model_space) if is_described else None
    if file_lut is not None:
        differences = list_fold_differences(file_lut, space, model_space)
        return LabelledSplit(chosen, space, file_lut, CLASSES_FILE, differences)
    is_same = space.class_names == model_space.class_names
    fold = 'none' if is_same else 'package'
    return LabelledSplit(chosen, space, make_fold_lut(space, model_space), fold)


def read_fold_lut(
    path: Path, label_space: LabelSpace, model_space: LabelSpace
) -> np.ndarray | None:
    """Return the (256,) uint8 table from Cityscapes train ids to label ids of a classes.json.

    Returns None where the file has no such table or the model has other classes.

    Raises:
        ImageFolderError: The file is damaged, lists other classes than `label_space`, or its table
            is not one of train ids to label ids.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ImageFolderError(f'cannot read {path}: {error}') from error
    names = content.get('classes') if isinstance(content, dict) else None
    count = label_space.num_classes
    if not isinstance(names, list) or tuple(names[:count]) != label_space.class_names:
        raise ImageFolderError(
            f"{path}: 'classes' is {names!r}, expected {list(label_space.class_names)} and the "
            'name of the unlabelled ones; for other classes name their YAML file as label space'
        )
    table = content.get(FOLD_KEY)
    if table is None or model_space.class_names != load_label_space('cityscapes').class_names:
        return None
    unlabelled = {label_space.ignore_id, UNLABELLED_ID}
    lut = np.full(256, UNLABELLED_ID, np.uint8)
    for train_id in range(model_space.num_classes):
        label_id: Any = table.get(str(train_id)) if isinstance(table, dict) else None
        if not _is_label_id(label_id, count, unlabelled):
            raise ImageFolderError(
                f"{path}: '{FOLD_KEY}' has {label_id!r} for train id {train_id}, expected a class "
                f'id 0..{count - 1}, or {UNLABELLED_ID} for none'
            )
        lut[train_id] = UNLABELLED_ID if label_id in unlabelled else label_id
    return lut


def list_fold_differences(
    lut: np.ndarray, label_space: LabelSpace, model_space: LabelSpace
) -> tuple[str, ...]:
    """Name the model's classes that a table folds otherwise than the package's mapping."""
    try:
        package_lut = make_fold_lut(label_space, model_space)
    except LabelError:
        return ()
    return tuple(
        name
        for index, name in enumerate(model_space.class_names)
        if lut[index] != package_lut[index]
    )


def _is_label_id(value: Any, count: int, unlabelled: set[int]) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and (0 <= value < count or value in unlabelled)
