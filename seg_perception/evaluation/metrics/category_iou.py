# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Intersection over union of groups of classes, as cityscapesscripts counts it.

All classes of a category count as one: a truck taken for a car is right. The categories are those
of Cityscapes; CamVid's classes are in those of the Cityscapes classes they stand for.
"""

from __future__ import annotations

import numpy as np

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix, iou
from seg_perception.evaluation.metrics.metric import to_json
from seg_perception.perception.labels import LabelSpace

# Class names by category, by label space.
_CATEGORIES = {
    'cityscapes': {
        'flat': ('road', 'sidewalk'),
        'construction': ('building', 'wall', 'fence'),
        'object': ('pole', 'traffic light', 'traffic sign'),
        'nature': ('vegetation', 'terrain'),
        'sky': ('sky',),
        'human': ('person', 'rider'),
        'vehicle': ('car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
    },
    # CamVid's bicyclist is the rider with the bicycle: mostly rider.
    'camvid': {
        'flat': ('road', 'pavement'),
        'construction': ('building', 'fence'),
        'object': ('pole', 'sign_symbol'),
        'nature': ('tree',),
        'sky': ('sky',),
        'human': ('pedestrian', 'bicyclist'),
        'vehicle': ('car',),
    },
}


def score_categories(
    confusion: ConfusionMatrix, label_space: LabelSpace
) -> dict[str, float | None] | None:
    """Compute the IoU of each category of classes.

    Args:
        confusion: pixels by class.
        label_space: its classes.

    Returns:
        IoU by category, None for one that neither occurs nor is predicted; None for a label
        space whose classes are in no categories.
    """
    categories = _CATEGORIES.get(label_space.name)
    if categories is None:
        return None
    in_category = {name: category for category, names in categories.items() for name in names}
    if set(in_category) != set(label_space.class_names):
        return None  # a space of one's own that has the name of one of ours
    belongs = np.array(
        [
            [in_category[name] == category for name in label_space.class_names]
            for category in categories
        ],
        np.int64,
    )
    scores = iou(belongs @ confusion.counts @ belongs.T, belongs @ confusion.missed)
    return dict(zip(categories, map(to_json, scores.tolist()), strict=True))
