# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scoring masks against a recording's labels, matched by the stamp of their image.

Offline evaluation and the live node's masks over DDS go through the same classes: a mask has the
header of its image bit by bit, so equal stamps are the same frame.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_images import StampedMessages, decode_png_channel
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_label_space, find_label_topic
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE
from seg_perception.evaluation.metrics.confusion import HEADLINE_MIN_SHARE, ConfusionMatrix
from seg_perception.perception.labels import LabelSpace, load_label_mapping

UNLABELLED_ID = 255


@dataclass(frozen=True)
class ClassScore:
    """One class of the label space: its IoU (None when absent) and share of the true pixels."""

    name: str
    iou: float | None
    truth_share: float
    in_headline: bool


@dataclass(frozen=True)
class MaskScore:
    """How well masks agree with the labels.

    Attributes:
        label_space: Name of the labels' space, in which is scored.
        miou: Mean IoU of the headline classes; None when nothing was scored.
        pixel_accuracy: Share of labelled pixels that are right; None when nothing was scored.
        classes: Every class of the label space.
        frames_scored: Masks that met a label of equal stamp.
        frames_without_label: Masks whose stamp no label has.
    """

    label_space: str
    miou: float | None
    pixel_accuracy: float | None
    classes: tuple[ClassScore, ...]
    frames_scored: int
    frames_without_label: int

    def per_class_iou(self) -> dict[str, float | None]:
        """Return IoU by class name, None for a class that is neither true nor predicted."""
        return {entry.name: entry.iou for entry in self.classes}


class BagTruth:
    """The label images of a recording, found by the stamp in their header.

    Labels are read from the file when asked for: an hour of 1024x2048 labels would not fit
    into memory. Has its own file handle, so that a replay of the same bag may go on beside it.

    Args:
        path: The recording.
        label_topic: Topic of the label images; '' for the usual one.
        label_space: Name or YAML file of their label space; '' for the recorded one.
        tolerate_damage: Of a damaged recording, find what can be read.

    Raises:
        UserError: The recording has no labels, or labels of unknown meaning.
    """

    def __init__(
        self,
        path: str | Path,
        label_topic: str = '',
        label_space: str = '',
        tolerate_damage: bool = False,
    ) -> None:
        self._reader = BagReader(path, tolerate_damage)
        try:
            self.topic = find_label_topic(self._reader, label_topic)
            if not self.topic:
                raise UserError(
                    f'{path} has no labels to score against (no topic /ground_truth/label); '
                    'name their topic with --label-topic'
                )
            space = find_label_space(self._reader, label_space, self.topic)
            if space is None:
                raise UserError(
                    f'{path} does not say which label space its labels have; give --label-space'
                )
            self.label_space = space
            self._messages = StampedMessages(self._reader, self.topic)
        except BaseException:
            self._reader.close()
            raise

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, stamp_ns: int) -> bool:
        return stamp_ns in self._messages

    def read(self, stamp_ns: int) -> npt.NDArray[np.uint8] | None:
        """Return the (H, W) uint8 label of an image's stamp, 255 unlabelled; None without one.

        Raises:
            UserError: The label message is damaged or no mono8 image.
        """
        raw = self._messages.find(stamp_ns)
        if raw is None:
            return None
        message = self._reader.decode(raw)
        if raw.type_name == COMPRESSED_IMAGE_TYPE:
            label = decode_png_channel(message, self.topic)
            if label.dtype != np.uint8:
                raise UserError(f'a label image has {label.dtype} pixels; expected 8 bits')
        else:
            label = read_label_message(message)
        ignore_id = self.label_space.ignore_id
        if ignore_id == UNLABELLED_ID:
            return label
        # recordings of other tools keep the id that the space has for unlabelled pixels
        return np.where(label == ignore_id, np.uint8(UNLABELLED_ID), label)

    def close(self) -> None:
        """Close the recording."""
        self._reader.close()


def read_label_message(message: Any) -> npt.NDArray[np.uint8]:
    """Return the (H, W) uint8 ids of a mono8 or 8UC1 sensor_msgs/Image (rclpy or rosbags).

    Raises:
        UserError: Another encoding, or less data than the size in the message needs.
    """
    height_px, width_px, step = message.height, message.width, message.step
    if message.encoding not in ('mono8', '8UC1'):
        raise UserError(
            f'a label image has encoding {message.encoding!r}; expected mono8 or 8UC1 class ids'
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if height_px < 1 or width_px < 1 or step < width_px or data.size < step * height_px:
        raise UserError(
            f'a label image of {height_px}x{width_px} with step {step} has {data.size} bytes; '
            f'expected a step of at least {width_px} and step x height bytes'
        )
    return data[: step * height_px].reshape(height_px, step)[:, :width_px]


class MaskScorer:
    """Counts how a model's masks agree with labels of its own or of a coarser label space.

    A model of another space than the labels is scored through the mapping between the two: each
    of its classes counts as the label class that accepts it.

    Args:
        label_space: Label space of the truth.
        model_space: Label space of the masks.
        min_share: Share of the labelled pixels from which a class counts in the headline.

    Raises:
        LabelError: The two spaces differ and there is no mapping between them.
    """

    def __init__(
        self,
        label_space: LabelSpace,
        model_space: LabelSpace,
        min_share: float = HEADLINE_MIN_SHARE,
    ) -> None:
        self.label_space = label_space
        self._min_share = min_share
        self._lut = make_fold_lut(label_space, model_space)
        self._display_lut = make_display_lut(label_space, model_space)
        self._confusion = ConfusionMatrix(label_space.num_classes, UNLABELLED_ID)
        self._frames_scored = 0
        self._frames_without_label = 0

    def fold(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn a model's mask into ids of the labels' space, 255 where it has none."""
        return self._lut[mask]

    def to_model_space(self, truth: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn true ids into the model's, to be drawn in the same colours as its masks."""
        return self._display_lut[truth]

    def add(self, truth: npt.NDArray[np.uint8] | None, mask: npt.NDArray[np.uint8]) -> bool:
        """Count one mask; returns False when there is no label for it.

        Args:
            truth: (H, W) uint8 label ids, 255 where unlabelled; None when there is no label.
            mask: (H, W) uint8 ids of the model's space.

        Raises:
            UserError: Mask and label differ in size, or the label has an unknown id.
        """
        if truth is None:
            self._frames_without_label += 1
            return False
        if truth.shape != mask.shape:
            raise UserError(
                f'mask is {mask.shape[0]}x{mask.shape[1]}, its label is '
                f'{truth.shape[0]}x{truth.shape[1]}; masks must have the size of their image'
            )
        try:
            self._confusion.add(truth, self.fold(mask))
        except ValueError as error:
            raise UserError(f'a mask cannot be scored: {error}') from error
        self._frames_scored += 1
        return True

    def summarize(self) -> MaskScore:
        """Return the score over all masks so far."""
        class_ious = self._confusion.iou()
        shares = self._confusion.shares()
        total = self._confusion.labelled_pixels
        classes = tuple(
            ClassScore(
                name=name,
                iou=None if np.isnan(class_ious[index]) else float(class_ious[index]),
                truth_share=float(shares[index]),
                in_headline=bool(shares[index] >= self._min_share),
            )
            for index, name in enumerate(self.label_space.class_names)
        )
        return MaskScore(
            label_space=self.label_space.name,
            miou=self._confusion.mean_iou(self._min_share) if total else None,
            pixel_accuracy=self._confusion.pixel_accuracy() if total else None,
            classes=classes,
            frames_scored=self._frames_scored,
            frames_without_label=self._frames_without_label,
        )


class BagScorer:
    """Scores masks that arrive with the stamp of their image against a recording's labels.

    Args:
        truth: Labels of the recording.
        model_space: Label space of the masks.
    """

    def __init__(self, truth: BagTruth, model_space: LabelSpace) -> None:
        self.truth = truth
        self.scorer = MaskScorer(truth.label_space, model_space)
        self._recent: OrderedDict[int, npt.NDArray[np.uint8]] = OrderedDict()

    def add(self, stamp_ns: int, mask: npt.NDArray[np.uint8]) -> bool:
        """Count the mask of an image; returns False when no label has its stamp.

        Raises:
            UserError: The label is damaged, or of another size than the mask.
        """
        return self.scorer.add(self.read_truth(stamp_ns), mask)

    def read_truth(self, stamp_ns: int) -> npt.NDArray[np.uint8] | None:
        """Return the label of a stamp; the last few are kept for whoever draws them next."""
        if stamp_ns in self._recent:
            return self._recent[stamp_ns]
        label = self.truth.read(stamp_ns)
        if label is not None:
            self._recent[stamp_ns] = label
            if len(self._recent) > 4:
                self._recent.popitem(last=False)
        return label

    def summarize(self) -> MaskScore:
        """Return the score over all masks so far."""
        return self.scorer.summarize()


def make_fold_lut(label_space: LabelSpace, model_space: LabelSpace) -> npt.NDArray[np.uint8]:
    """Return the (256,) uint8 table from a model's ids to the labels' ids, 255 for none.

    Raises:
        LabelError: There is no mapping between the two label spaces.
    """
    if label_space.class_names == model_space.class_names:
        return _keep_ids(np.arange(256), label_space)
    mapping = load_label_mapping(label_space.name, model_space.name)
    return _keep_ids(mapping.target_lut(), label_space)


def make_display_lut(label_space: LabelSpace, model_space: LabelSpace) -> npt.NDArray[np.uint8]:
    """Return the (256,) uint8 table from the labels' ids to the model's nearest, 255 for none.

    Raises:
        LabelError: There is no mapping between the two label spaces.
    """
    if label_space.class_names == model_space.class_names:
        return _keep_ids(np.arange(256), label_space)
    mapping = load_label_mapping(label_space.name, model_space.name)
    return _keep_ids(mapping.primary_lut(), model_space)


def _keep_ids(lut: npt.NDArray, space: LabelSpace) -> npt.NDArray[np.uint8]:
    """Return a table with 255 for every id that a label space does not have."""
    return np.where(lut < space.num_classes, lut, UNLABELLED_ID).astype(np.uint8)
