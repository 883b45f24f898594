# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Panoptic truth of labelled folders, and the instance ids that crops carry.

'cityscapes' folders have *_gtFine_instanceIds.png beside the labels. 'frames' folders have
NAME_panoptic.png beside NAME_label.png: 16 bits, class * 1000 + instance in the folder's label
space, things from 1 and stuff 0, 65535 for void.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.cityscapes import convert_instance_ids
from seg_perception.evaluation.images.image_folders import (
    CITYSCAPES_IDS,
    CITYSCAPES_TRAIN_IDS,
    ImagePair,
)
from seg_perception.evaluation.metrics.panoptic_quality import INSTANCES_PER_CLASS, VOID
from seg_perception.perception.labels import LabelSpace
from seg_perception.training.crops import UNKNOWN_INSTANCE

CITYSCAPES_INSTANCES = '_gtFine_instanceIds.png'
FRAME_LABEL, FRAME_PANOPTIC = '_label.png', '_panoptic.png'
FILE_VOID = 65535


class InstanceError(UserError, ValueError):
    """Instances that are missing or cannot be read; the message names the file and the fix."""


def find_panoptic(pair: ImagePair, kind: str) -> Path:
    """Return where the panoptic truth of an image is kept.

    Raises InstanceError for a kind of data set that has none, and where the file is missing.
    """
    name = pair.label.name
    if kind == 'frames':
        name = name.removesuffix(FRAME_LABEL) + FRAME_PANOPTIC
    elif kind == 'cityscapes':
        for ending in (CITYSCAPES_IDS, CITYSCAPES_TRAIN_IDS):
            name = name.removesuffix(ending)
        name += CITYSCAPES_INSTANCES
    else:
        raise InstanceError(
            f'data sets of kind {kind!r} have no instances, which a panoptic network learns from; '
            'use cityscapes or frames'
        )
    path = pair.label.with_name(name)
    if not path.is_file():
        advice = '; render the frames again' if kind == 'frames' else ''
        raise InstanceError(f'{pair.image} has no instances: {path} is missing{advice}')
    return path


def read_panoptic(pair: ImagePair, kind: str, space: LabelSpace) -> np.ndarray:
    """Decode the panoptic truth of an image, (H, W) int32 as evaluation.panoptic_quality has it.

    Raises InstanceError for a file that is missing, no 16-bit image or of another label space.
    """
    path = find_panoptic(pair, kind)
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype not in (np.uint16, np.int32):
        found = 'no image' if ids is None else f'{ids.dtype} of shape {ids.shape}'
        raise InstanceError(f'{path} is {found}, expected a grey image with 16 bits')
    if kind == 'cityscapes':
        return convert_instance_ids(ids, space)
    panoptic = np.where(ids == FILE_VOID, VOID, ids.astype(np.int32))
    highest = int(panoptic.max())
    if highest >= space.num_classes * INSTANCES_PER_CLASS:
        raise InstanceError(
            f'{path} holds id {highest}, outside the {space.num_classes} classes of label space '
            f"'{space.name}' (class * {INSTANCES_PER_CLASS} + instance)"
        )
    return panoptic


def encode_panoptic(panoptic: np.ndarray) -> np.ndarray:
    """Return class * 1000 + instance as a frames folder's file has it, (H, W) uint16."""
    is_known = (panoptic >= 0) & (panoptic < FILE_VOID)
    return np.where(is_known, panoptic, FILE_VOID).astype(np.uint16)


def encode_instances(panoptic: np.ndarray, space: LabelSpace) -> np.ndarray:
    """Turn panoptic truth into the ids that crops carry, (H, W) uint16.

    0 for stuff, UNKNOWN_INSTANCE for void and crowds, else one number for each instance.
    """
    is_thing = np.isin(panoptic // INSTANCES_PER_CLASS, space.thing_ids)
    instances = np.where(is_thing & (panoptic >= 0), panoptic, 0)
    return np.where(panoptic < 0, UNKNOWN_INSTANCE, instances).astype(np.uint16)
