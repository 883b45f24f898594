# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Figures of many drives at once, each made of the same blocks occurring differently often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.evaluation.drives.bootstrap import find_percentile
from seg_perception.evaluation.metrics.calibration_error import BINS
from seg_perception.evaluation.metrics.confusion import HEADLINE_MIN_SHARE

PERCENTILES = {'latency_p50_ms': 50.0, 'latency_p95_ms': 95.0}


@dataclass(frozen=True)
class ClassScores:
    """mIoU, pixel accuracy, IoU by class; sums: (blocks, 3, C) right, true, predicted."""

    sums: np.ndarray

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 2 + C) for how often each block occurs, (draws, blocks)."""
        flat = counts @ self.sums.reshape(len(self.sums), -1)
        right, true, predicted = flat.reshape(len(counts), 3, -1).transpose(1, 0, 2)
        iou = _divide(right, true + predicted - right)
        # The classes in the mean are those of all frames, or it would jump between draws.
        totals = self.sums[:, 1].sum(axis=0)
        in_headline = totals >= HEADLINE_MIN_SHARE * totals.sum()
        exists = ~np.isnan(iou) & in_headline
        miou = _divide(np.where(exists, iou, 0).sum(axis=1), exists.sum(axis=1))
        accuracy = _divide(right.sum(axis=1), true.sum(axis=1))
        return np.column_stack([miou, accuracy, iou])


@dataclass(frozen=True)
class BoundaryScores:
    """Boundary F; sums: (blocks, 2, C) of the frames' scores and how many have one."""

    sums: np.ndarray

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 1)."""
        flat = counts @ self.sums.reshape(len(self.sums), -1)
        scores, frames = flat.reshape(len(counts), 2, -1).transpose(1, 0, 2)
        exists = frames > 0
        per_class = np.where(exists, _divide(scores, frames), 0)
        return _divide(per_class.sum(axis=1), exists.sum(axis=1))[:, None]


@dataclass(frozen=True)
class ConfidenceScores:
    """ECE; sums: (blocks, 3, bins) pixels, their confidence, right ones."""

    sums: np.ndarray

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 1)."""
        flat = counts @ self.sums.reshape(len(self.sums), -1)
        pixels, confidence, right = flat.reshape(len(counts), 3, BINS).transpose(1, 0, 2)
        return _divide(np.abs(right - confidence).sum(axis=1), pixels.sum(axis=1))[:, None]


@dataclass(frozen=True)
class PanopticScores:
    """PQ, PQ by class; sums: (blocks, 4, C) matches, false positives, negatives, sum of IoUs."""

    sums: np.ndarray

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 1 + C)."""
        flat = counts @ self.sums.reshape(len(self.sums), -1)
        matches, wrong, missed, ious = flat.reshape(len(counts), 4, -1).transpose(1, 0, 2)
        quality = _divide(ious, matches + 0.5 * wrong + 0.5 * missed)
        exists = ~np.isnan(quality)
        mean = _divide(np.where(exists, quality, 0).sum(axis=1), exists.sum(axis=1))
        return np.column_stack([mean, quality])


@dataclass(frozen=True)
class SwitchScores:
    """ID switches per 100; sums: (blocks, 2) times that an object was found, switches."""

    sums: np.ndarray

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 1)."""
        found, switched = (counts @ self.sums).T
        return 100 * _divide(switched, found)[:, None]


class LatencyScores:
    """Percentiles of times; of_frame: (frames,) their blocks."""

    def __init__(self, times_ms: np.ndarray, of_frame: np.ndarray) -> None:
        order = np.argsort(times_ms)
        self._sorted_ms, self._of_frame = times_ms[order], of_frame[order]

    def compute(self, counts: np.ndarray) -> np.ndarray:
        """Return (draws, 2)."""
        by_frame = counts[:, self._of_frame]
        return np.column_stack(
            [find_percentile(self._sorted_ms, by_frame, q) for q in PERCENTILES.values()]
        )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    empty = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)
