# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where a recording's ground truth comes from: a topic of its own, or a folder of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_label_space, find_label_topic
from seg_perception.evaluation.bags.folder_truth import DEFAULT_TOLERANCE_MS, FolderTruth
from seg_perception.evaluation.metrics.score import BagTruth
from seg_perception.perception.labels import LabelSpace


class Truth(Protocol):
    """Label images found by the stamp of the image that they belong to."""

    label_space: LabelSpace

    def __len__(self) -> int:
        """Return the number of labels."""

    def __contains__(self, stamp_ns: int) -> bool:
        """Tell whether an image of this stamp has a label."""

    def read(self, stamp_ns: int) -> npt.NDArray[np.uint8] | None:
        """Return the (H, W) uint8 label, 255 unlabelled; None without one. Raises UserError."""

    def close(self) -> None:
        """Close what is open."""


def open_truth(
    bag: str | Path,
    label_topic: str = '',
    labels_folder: Path | None = None,
    label_space: str = '',
    tolerance_ms: float = DEFAULT_TOLERANCE_MS,
    tolerate_damage: bool = False,
) -> Truth | None:
    """Return the labels to score a recording against, None when it has none.

    Args:
        bag: The recording.
        label_topic: Topic of its label images; '' for the usual one.
        labels_folder: Folder of label images, which takes the place of a topic.
        label_space: Name or YAML file of the labels' space; '' for the recorded one.
        tolerance_ms: Largest difference of stamps between an image and a label of the folder.
        tolerate_damage: Of a damaged recording, use what can be read.

    Raises:
        UserError: Labels that were asked for are not there, or their meaning is not known.
    """
    if labels_folder is not None and label_topic:
        raise UserError(
            f'labels of both the topic {label_topic} and the folder {labels_folder} were asked '
            'for; choose one'
        )
    with BagReader(bag, tolerate_damage) as reader:
        if labels_folder is None:
            if not find_label_topic(reader, label_topic):
                return None
        else:
            space = find_label_space(reader, label_space)
            custom_data = reader.custom_data
    if labels_folder is None:
        return BagTruth(bag, label_topic, label_space, tolerate_damage)
    if space is None:
        raise UserError(
            f'which label space do the labels in {labels_folder} have? Give --label-space'
        )
    return FolderTruth(labels_folder, space, tolerance_ms, custom_data)
