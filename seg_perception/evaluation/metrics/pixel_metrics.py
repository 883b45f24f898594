# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The metrics of every labelled pixel: confusion of classes, honesty of the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seg_perception.evaluation.metrics.calibration_error import CalibrationError, sum_levels
from seg_perception.evaluation.metrics.category_iou import score_categories
from seg_perception.evaluation.metrics.confusion import UNLABELLED_ID, ConfusionMatrix
from seg_perception.evaluation.metrics.metric import JudgedFrame, Rows, sum_rows, to_json
from seg_perception.evaluation.metrics.pixel_kernels import count_levels
from seg_perception.evaluation.metrics.score import HEADLINE_MIN_SHARE
from seg_perception.perception.labels import LabelSpace

NO_CLASS = -1


class ConfusionMetric:
    """IoU and pixel accuracy. Rows: true id, predicted id or -1 for none, pixels.

    Args:
        label_space: of the truth.
    """

    name = 'confusion'

    def __init__(self, label_space: LabelSpace) -> None:
        self._label_space = label_space

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Count pixels; ValueError for an id that the label space does not have."""
        if frame.truth is None or frame.folded is None:
            return None
        confusion = ConfusionMatrix(self._label_space.num_classes, UNLABELLED_ID)
        confusion.add(frame.truth, frame.folded)
        rows = [
            [int(true), int(predicted), int(confusion.counts[true, predicted])]
            for true, predicted in np.argwhere(confusion.counts)
        ]
        return rows + [
            [int(true), NO_CLASS, int(confusion.missed[true])]
            for true in np.flatnonzero(confusion.missed)
        ]

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return miou of the classes with 0.1 % of the pixels, and everything by class."""
        confusion = self.merge(frames)
        names = self._label_space.class_names
        has_pixels = confusion.labelled_pixels > 0
        shares = confusion.shares().tolist()
        return {
            'miou': to_json(confusion.mean_iou(HEADLINE_MIN_SHARE)) if has_pixels else None,
            'per_class_iou': dict(zip(names, map(to_json, confusion.iou()), strict=True)),
            'category_iou': score_categories(confusion, self._label_space),
            'pixel_accuracy': to_json(confusion.pixel_accuracy()) if has_pixels else None,
            'per_class_share': dict(zip(names, shares, strict=True)),
            'classes_in_headline': [
                name
                for name, share in zip(names, shares, strict=True)
                if has_pixels and share >= HEADLINE_MIN_SHARE
            ],
        }

    def merge(self, frames: Sequence[Rows]) -> ConfusionMatrix:
        """Return the counts of all frames."""
        confusion = ConfusionMatrix(self._label_space.num_classes, UNLABELLED_ID)
        for (true, predicted), (pixels,) in sum_rows(frames, 2).items():
            if predicted == NO_CLASS:
                confusion.missed[true] += pixels
            else:
                confusion.counts[true, predicted] += pixels
        return confusion


class CalibrationMetric:
    """Expected calibration error.

    Rows: bin of 15, pixels, right ones, sum of their confidences 0..255.
    """

    name = 'calibration'

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Count labelled pixels by confidence."""
        if frame.truth is None or frame.folded is None or frame.confidence is None:
            return None
        counts = np.zeros((2, 256), np.int64)
        count_levels(
            frame.confidence.reshape(-1), frame.truth.reshape(-1), frame.folded.reshape(-1),
            np.uint8(UNLABELLED_ID), counts)  # fmt: skip
        return [
            [index, pixels, right, level_sum]
            for index, (pixels, right, level_sum) in enumerate(sum_levels(counts).tolist())
            if pixels
        ]

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return ece and its bins."""
        calibration = CalibrationError()
        for (index,), (pixels, right, level_sum) in sum_rows(frames, 1).items():
            calibration.add_bin(index, int(pixels), int(right), int(level_sum))
        return {
            'ece': to_json(calibration.error()),
            'confidence_bins': [
                {
                    'upper': entry.upper,
                    'pixels': entry.pixels,
                    'confidence': entry.confidence,
                    'accuracy': entry.accuracy,
                }
                for entry in calibration.bins()
            ],
        }
