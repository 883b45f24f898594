# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Boundary F-score: how well the outlines of the classes agree.

After Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?",
BMVC 2013. For one image and one class, precision is the share of the class' boundary pixels in
the mask that lie within a tolerance of its boundary in the truth, recall the same with both
exchanged, and F = 2 P R / (P + R). Here:

- A pixel of a class is a boundary pixel where one of its four neighbours has another class. The
  edge of the image and edges to unlabelled pixels are none. Where the truth is unlabelled, the
  mask counts as unlabelled too.
- The tolerance is a Euclidean distance between pixel centres, 0.75 % of the image's diagonal
  (4.5 px at 360x480).
- The F-score of a class is the mean over the images in which it has a boundary in the truth or in
  the mask (0 where it is in one of them alone), the score the mean over the classes that have one.
"""

from __future__ import annotations

import math

import numpy as np

from seg_perception.evaluation.metrics.boundary_kernels import count_near, mark_boundary

TOLERANCE_SHARE = 0.0075
_NO_EDGE = 255


class BoundaryScore:
    """Collects boundary F-scores over any number of images."""

    def __init__(self, num_classes: int, tolerance_share: float = TOLERANCE_SHARE) -> None:
        """Start with no images.

        Args:
            num_classes: number of classes C, 1..255; ids are 0..C - 1, all others unlabelled.
            tolerance_share: tolerance as a share of the image's diagonal, above 0.

        Raises:
            ValueError: a number outside its range.
        """
        if not 1 <= num_classes <= 255:
            raise ValueError(f'number of classes is {num_classes}, expected 1 to 255')
        if not 0.0 < tolerance_share < 1.0:
            raise ValueError(f'tolerance is {tolerance_share} of the diagonal, expected 0 to 1')
        self.num_classes = num_classes
        self.tolerance_share = tolerance_share
        self._sums = np.zeros(num_classes)
        self._images = np.zeros(num_classes, np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Score one image.

        Args:
            truth: (H, W) uint8 class ids.
            prediction: (H, W) uint8 class ids.

        Raises:
            ValueError: shapes differ.
        """
        if truth.ndim != 2 or truth.shape != prediction.shape:
            raise ValueError(
                f'truth has shape {truth.shape} and prediction {prediction.shape}, expected the '
                'same (height, width)'
            )
        tolerance_px = self.tolerance_share * math.hypot(*truth.shape)
        scores = score_boundaries(truth, prediction, self.num_classes, tolerance_px)
        has_boundary = ~np.isnan(scores)
        self._sums[has_boundary] += scores[has_boundary]
        self._images += has_boundary

    def per_class(self) -> np.ndarray:
        """Return (C,) float64, the mean F-score of each class, NaN without a boundary."""
        empty = np.full(self.num_classes, np.nan)
        return np.divide(self._sums, self._images, out=empty, where=self._images > 0)

    def mean(self) -> float:
        """Return the mean over the classes that have a boundary, NaN without any."""
        scores = self.per_class()
        scores = scores[~np.isnan(scores)]
        return float(scores.mean()) if scores.size else float('nan')


def score_boundaries(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, tolerance_px: float
) -> np.ndarray:
    """Compute the boundary F-score of each class in one image.

    Args:
        truth: (H, W) uint8 class ids, other ids than 0..num_classes - 1 are unlabelled.
        prediction: (H, W) uint8 class ids, likewise.
        num_classes: number of classes C.
        tolerance_px: largest distance at which boundary pixels match.

    Returns:
        (C,) float64, NaN for classes without a boundary in either.
    """
    prediction = np.where(truth < num_classes, prediction, np.uint8(_NO_EDGE))
    margin_px = math.floor(tolerance_px)
    edges = [find_boundary(ids, num_classes, margin_px) for ids in (truth, prediction)]
    steps = _list_steps(tolerance_px, edges[0].shape[1])
    # boundary pixels of truth and prediction, and how many of each lie near the other's
    totals, near = np.zeros((2, 256), np.int64), np.zeros((2, 256), np.int64)
    for which in range(2):
        count_near(edges[which], edges[1 - which], steps, margin_px, totals[which], near[which])
    recall, precision = (
        np.divide(count, total, out=np.zeros(256), where=total > 0)[:num_classes]
        for count, total in zip(near, totals, strict=True)
    )
    both = recall + precision
    scores = np.divide(2 * recall * precision, both, out=np.zeros(num_classes), where=both > 0)
    scores[(totals[0] + totals[1])[:num_classes] == 0] = np.nan
    return scores


def find_boundary(ids: np.ndarray, num_classes: int, margin_px: int = 0) -> np.ndarray:
    """Keep the pixels with a neighbour (above, below, left, right) of another class.

    Args:
        ids: (H, W) uint8; ids from num_classes on are unlabelled, which is no class.
        num_classes: number of classes C.
        margin_px: to add on all sides.

    Returns:
        (H + 2 * margin_px, W + 2 * margin_px) uint8: their ids, 255 elsewhere.
    """
    height, width = ids.shape
    edges = np.full((height + 2 * margin_px, width + 2 * margin_px), _NO_EDGE, np.uint8)
    mark_boundary(ids, num_classes, margin_px, edges)
    return edges


def _list_steps(radius_px: float, width: int) -> np.ndarray:
    """Return the steps from a pixel to those of a disc around it, in rows of a width, near first.

    The nearest are looked at first: a boundary that matches mostly does so within a few pixels.
    """
    reach_px = np.arange(-math.floor(radius_px), math.floor(radius_px) + 1)
    squares = reach_px[:, None] ** 2 + reach_px**2
    rows, columns = np.nonzero(squares <= radius_px**2)
    order = np.argsort(squares[rows, columns], kind='stable')
    return (reach_px[rows] * width + reach_px[columns])[order]
