# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Expected calibration error: how far the confidence is from the share of right pixels.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017:
pixels are sorted into 15 bins of equal width by their confidence, (0, 1/15] to (14/15, 1], and
the error is the mean of |share of right pixels - mean confidence| over the bins, weighted by
their pixels. Confidence is the product of the decode, 8 bits, so the sums are whole numbers and
exact: 255 levels make 15 bins of 17.

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


def sum_levels(counts: np.ndarray) -> np.ndarray:
    """Return (BINS, 3) int64: pixels, right ones and the sum of their confidences 0..255, by bin.

    Args:
        counts: (2, 256) int64, wrong and right pixels by confidence.
    """
    levels = np.arange(_LEVELS)
    bin_of = np.maximum(levels - 1, 0) // ((_LEVELS - 1) // BINS)
    columns = (counts.sum(axis=0), counts[1], counts.sum(axis=0) * levels)
    sums = np.zeros((BINS, len(columns)), np.int64)
    np.add.at(sums, bin_of, np.stack(columns, axis=1))
    return sums


class CalibrationError:
    """Counts right and wrong pixels by confidence, over any number of images."""

    def __init__(self) -> None:
        # per bin: pixels, right ones, sum of the confidences 0..255
        self._sums = np.zeros((BINS, 3), np.int64)

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
        self._sums += sum_levels(np.bincount(keys, minlength=2 * _LEVELS).reshape(2, _LEVELS))

    def add_bin(self, index: int, pixels: int, right: int, level_sum: int) -> None:
        """Count what `sum_levels` found in the bin of this index."""
        self._sums[index] += (pixels, right, level_sum)

    def bins(self) -> tuple[ConfidenceBin, ...]:
        """Return the bins, from no confidence to full."""
        return tuple(
            ConfidenceBin(
                upper=(index + 1) / BINS,
                pixels=pixels,
                confidence=level_sum / (_LEVELS - 1) / pixels if pixels else None,
                accuracy=right / pixels if pixels else None,
            )
            for index, (pixels, right, level_sum) in enumerate(self._sums.tolist())
        )

    def error(self) -> float:
        """Return the expected calibration error, 0..1, NaN without pixels."""
        total = int(self._sums[:, 0].sum())
        if not total:
            return float('nan')
        gaps = (
            item.pixels * abs(item.accuracy - item.confidence)
            for item in self.bins()
            if item.accuracy is not None and item.confidence is not None
        )
        return float(sum(gaps) / total)
