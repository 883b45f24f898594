# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pixel counts and the scores made of them, as the Cityscapes benchmark defines them.

Unlabelled ground truth is left out. A labelled pixel that is predicted as unlabelled counts
against its class and for no other. A class that neither occurs nor is predicted has no score.
"""

from __future__ import annotations

import numpy as np

from seg_perception.evaluation.metrics.pixel_kernels import count_pairs

UNLABELLED_ID = 255
# A class below this share of the labelled pixels is listed but kept out of the headline: a few
# distant poles more or less would move the mean by whole points.
HEADLINE_MIN_SHARE = 0.001


class ConfusionMatrix:
    """Counts pixels by true and predicted class, over any number of images.

    Attributes:
        counts: (C, C) int64, rows are the true classes, columns the predicted ones.
        missed: (C,) int64, pixels of each true class that were predicted as unlabelled.
    """

    def __init__(self, num_classes: int, ignore_id: int = UNLABELLED_ID) -> None:
        """Start with no pixels.

        Args:
            num_classes: number of classes C, 1..255; ids are 0..C - 1.
            ignore_id: id of unlabelled pixels; 255 is always one as well.

        Raises:
            ValueError: a number outside its range.
        """
        if not 1 <= num_classes <= 255:
            raise ValueError(f'number of classes is {num_classes}, expected 1 to 255')
        if not num_classes <= ignore_id <= 255:
            raise ValueError(f'ignore id is {ignore_id}, expected {num_classes} to 255')
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        self.missed = np.zeros(num_classes, np.int64)
        self._unlabelled_ids = sorted({ignore_id, UNLABELLED_ID})
        self._is_known = np.arange(256) < num_classes
        self._is_known[self._unlabelled_ids] = True

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count the pixels of one image.

        Args:
            truth: uint8 class ids of any shape.
            prediction: uint8 class ids of the same shape.

        Raises:
            ValueError: shapes differ, another type, or an id that is no class.
        """
        for what, ids in (('truth', truth), ('prediction', prediction)):
            if ids.dtype != np.uint8:
                raise ValueError(f'{what} is {ids.dtype}, expected uint8 class ids')
        if truth.shape != prediction.shape:
            raise ValueError(
                f'truth has shape {truth.shape} and prediction {prediction.shape}, '
                'expected the same; compare both at camera resolution'
            )
        pairs = np.zeros((256, 256), np.int64)
        count_pairs(truth.reshape(-1), prediction.reshape(-1), pairs)
        for what, totals in (('truth', pairs.sum(axis=1)), ('prediction', pairs.sum(axis=0))):
            wrong = np.nonzero((totals > 0) & ~self._is_known)[0]
            if wrong.size:
                raise ValueError(
                    f'{what} holds id {wrong[0]}, expected 0..{self.num_classes - 1}, '
                    f'{self.ignore_id} or {UNLABELLED_ID}; is it of another label space?'
                )
        classes = slice(0, self.num_classes)
        self.counts += pairs[classes, classes]
        self.missed += pairs[classes][:, self._unlabelled_ids].sum(axis=1)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the pixels that another matrix of the same classes has counted."""
        if other.num_classes != self.num_classes:
            raise ValueError(
                f'cannot merge counts of {other.num_classes} classes into {self.num_classes}'
            )
        self.counts += other.counts
        self.missed += other.missed

    @property
    def labelled_pixels(self) -> int:
        """Number of pixels with a true class."""
        return int(self.counts.sum() + self.missed.sum())

    def shares(self) -> np.ndarray:
        """Return (C,) float64, the share of each true class among the labelled pixels."""
        totals = self.counts.sum(axis=1) + self.missed
        return totals / max(1, self.labelled_pixels)

    def iou(self) -> np.ndarray:
        """Return (C,) float64 intersection over union, NaN for classes that do not occur."""
        return iou(self.counts, self.missed)

    def mean_iou(self, min_share: float = 0.0) -> float:
        """Return the mean IoU of the classes with at least this share of the labelled pixels."""
        return mean_iou(self.counts, min_share, self.missed)

    def pixel_accuracy(self) -> float:
        """Return the share of labelled pixels that are predicted right, NaN without any."""
        return pixel_accuracy(self.counts, self.missed)


def iou(counts: np.ndarray, missed: np.ndarray | None = None) -> np.ndarray:
    """Compute the intersection over union of each class.

    Args:
        counts: (C, C) int, pixels by true class (rows) and predicted class.
        missed: (C,) int, pixels of each true class predicted as unlabelled; None for none.

    Returns:
        (C,) float64, NaN for classes neither in the truth nor in the prediction.
    """
    right = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + _count_true(counts, missed) - right
    return np.divide(right, union, out=np.full(right.shape, np.nan), where=union > 0)


def mean_iou(
    counts: np.ndarray, min_share: float = 0.0, missed: np.ndarray | None = None
) -> float:
    """Compute the mean IoU over the classes that occur.

    Args:
        counts: (C, C) int, pixels by true class (rows) and predicted class.
        min_share: leave out classes with less than this share of the labelled pixels. At 0, a
            class that is predicted but never true counts with 0, as in the benchmark.
        missed: (C,) int, pixels of each true class predicted as unlabelled; None for none.

    Returns:
        The mean, NaN where no class is left.
    """
    totals = _count_true(counts, missed)
    scores = iou(counts, missed)[totals >= min_share * totals.sum()]
    scores = scores[~np.isnan(scores)]
    return float(scores.mean()) if scores.size else float('nan')


def pixel_accuracy(counts: np.ndarray, missed: np.ndarray | None = None) -> float:
    """Compute the share of labelled pixels that are predicted right, NaN without any."""
    total = _count_true(counts, missed).sum()
    return float(np.trace(counts) / total) if total else float('nan')


def _count_true(counts: np.ndarray, missed: np.ndarray | None) -> np.ndarray:
    totals = counts.sum(axis=1)
    return totals if missed is None else totals + missed
