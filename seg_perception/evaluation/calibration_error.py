# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Expected calibration error: how far the confidence is from the share of right pixels.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017:
pixels are sorted into 15 bins of equal width by their confidence, (0, 1/15] to (14/15, 1], and
the error is the mean of |share of right pixels - mean confidence| over the bins, weighted by
their pixels. Confidence is the product of the decode, 8 bits, so nothing is lost by counting
pixels per level: 255 levels make 15 bins of 17.

A model with finer classes than the labels has the confidence of its own winning class, which is
what the robot gets; it is right where that class counts as the true one. Such a model may look
less sure than it is right: 0.5 car and 0.4 truck is 0.9 of CamVid's car.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15
_LEVELS = 256


@dataclass(frozen=True)
class ConfidenceBin:
    """One bin: its upper end, pixels, and (None without pixels) their confidence and accuracy."""

    upper: float
    pixels: int
    confidence: float | None
    accuracy: float | None


class CalibrationError:
    """Counts right and wrong pixels by confidence, over any number of images."""

    def __init__(self) -> None:
        # row 0 wrong, row 1 right
        self._counts = np.zeros((2, _LEVELS), np.int64)

    def add(self, confidence: np.ndarray, is_right: np.ndarray) -> None:
        """Count labelled pixels.

        Args:
            confidence: uint8 of any shape, probability of the winning class times 255.
            is_right: bool of the same shape.

        Raises:
            ValueError: shapes differ, or another type.
        """
        if confidence.dtype != np.uint8 or is_right.dtype != np.bool_:
            raise ValueError(
                f'confidence is {confidence.dtype} and is_right {is_right.dtype}, expected uint8 '
                'and bool'
            )
        if confidence.shape != is_right.shape:
            raise ValueError(
                f'confidence has shape {confidence.shape} and is_right {is_right.shape}, '
                'expected the same'
            )
        keys = confidence.reshape(-1) + np.int32(_LEVELS) * is_right.reshape(-1)
        self._counts += np.bincount(keys, minlength=2 * _LEVELS).reshape(2, _LEVELS)

    def add_counts(self, level: int, is_right: int, pixels: int) -> None:
        """Count pixels of one confidence level, 0..255, that are right (1) or wrong (0)."""
        self._counts[is_right, level] += pixels

    def bins(self) -> tuple[ConfidenceBin, ...]:
        """Return the bins, from no confidence to full."""
        levels = np.arange(_LEVELS)
        width = (_LEVELS - 1) // BINS
        bin_of = np.maximum(levels - 1, 0) // width
        totals = self._counts.sum(axis=0)
        pixels = np.bincount(bin_of, totals, BINS)
        confidences = np.bincount(bin_of, totals * levels / (_LEVELS - 1), BINS)
        right = np.bincount(bin_of, self._counts[1], BINS)
        return tuple(
            ConfidenceBin(
                upper=(index + 1) / BINS,
                pixels=int(count),
                confidence=float(confidences[index] / count) if count else None,
                accuracy=float(right[index] / count) if count else None,
            )
            for index, count in enumerate(pixels)
        )

    def error(self) -> float:
        """Return the expected calibration error, 0..1, NaN without pixels."""
        total = int(self._counts.sum())
        if not total:
            return float('nan')
        gaps = (
            item.pixels * abs(item.accuracy - item.confidence)
            for item in self.bins()
            if item.accuracy is not None and item.confidence is not None
        )
        return float(sum(gaps) / total)
