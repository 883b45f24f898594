# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of figures of a drive, by drawing pieces of it again and again.

After Efron and Tibshirani, "An Introduction to the Bootstrap", 1993. Neighbouring images of a
drive show nearly the same, so single frames are not independent: what is drawn are blocks of
consecutive frames (Kuensch 1989). With few blocks percentiles are too narrow; they are taken
farther out by Student's t and sqrt(n / (n - 1)), the "expanded percentile" of Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
BLOCK_S = 1.0
# Simulated drives whose frames are alike within a second: the interval holds the truth in 95 % of
# those of 8 s and 91 % of those of 5 s, where blocks of half a second would make it 77 %.
FEW_BLOCKS = 8
# With fewer blocks than this, shorter ones are taken.
LEAST_BLOCKS = 4
_SEED = 20260101
# Numbers held at once while drawing: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Blocks:
    """Pieces of recordings that are drawn together.

    Attributes:
        of_frame: (frames,) int64, the block of each frame, 0..count - 1.
        count: number of blocks.
        length_s: their length; 0 where each frame is one.
    """

    of_frame: np.ndarray
    count: int
    length_s: float

    def sum_frames(self, values: np.ndarray) -> np.ndarray:
        """Return (blocks, ...) float64 sums of (frames, ...) values."""
        sums = np.zeros((self.count, *values.shape[1:]))
        np.add.at(sums, self.of_frame, values)
        return sums


def make_blocks(bags: np.ndarray, stamps_ns: np.ndarray, length_s: float = BLOCK_S) -> Blocks:
    """Cut recordings into blocks; shorter ones than asked for where there would be too few.

    Args:
        bags: (frames,) int, number of the recording.
        stamps_ns: (frames,) int64.
        length_s: of a block, above 0.
    """
    least = min(LEAST_BLOCKS, len(stamps_ns))
    while length_s >= 1e-3:
        steps = np.zeros(len(stamps_ns), np.int64)
        for bag in np.unique(bags):
            own = stamps_ns[bags == bag]
            steps[bags == bag] = (own - own.min()) // int(length_s * 1e9)
        blocks, of_frame = np.unique(np.stack([bags, steps]), axis=1, return_inverse=True)
        if blocks.shape[1] >= least:
            return Blocks(of_frame.reshape(-1), blocks.shape[1], length_s)
        length_s /= 2
    return Blocks(np.arange(len(stamps_ns)), len(stamps_ns), 0.0)


def resample(
    blocks: int,
    compute: Callable[[np.ndarray], np.ndarray],
    width: int = 0,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Return the figures of many drives that are drawn, with repetition, from blocks of one.

    Args:
        blocks: number of blocks B.
        compute: figures (draws, F) for how often each block occurs, (draws, B) float64.
        width: numbers that `compute` holds for each draw, where these are more than B.
        resamples: number of drives.

    Returns:
        (resamples, F) float64.
    """
    generator = np.random.default_rng(_SEED)
    chunk = max(1, min(resamples, _CHUNK // max(blocks, width)))
    parts = []
    for start in range(0, resamples, chunk):
        draws = min(chunk, resamples - start)
        drawn = generator.integers(0, blocks, (draws, blocks))
        drawn += blocks * np.arange(draws)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=draws * blocks)
        parts.append(compute(counts.reshape(draws, blocks).astype(np.float64)))
    return np.concatenate(parts)


def find_interval(values: np.ndarray, blocks: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a figure of which `resample` has made these values.

    None with less than two blocks, or where less than half of the values exist (are not NaN).
    """
    exist = ~np.isnan(values)
    if blocks < 2 or exist.sum() < max(1, len(values) / 2):
        return None
    reach = estimate_t(blocks - 1) * math.sqrt(blocks / (blocks - 1))
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(values[exist], (tail, 1 - tail))
    return float(low), float(high)


def estimate_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to 0.01 from 4 degrees of freedom on.

    The expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5); at 1 degree 9.4 where 12.7
    is right, both of which are the outermost values there are.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))


def find_percentile(
    sorted_values: np.ndarray, counts: np.ndarray, percent: float
) -> np.ndarray:
    """Return a percentile of values that occur several times each, as np.percentile has it.

    Args:
        sorted_values: (frames,) float64, ascending.
        counts: (draws, frames), how often each occurs; at least one in each draw.
        percent: 0..100.

    Returns:
        (draws,) float64.
    """
    ends = np.cumsum(counts, axis=1)
    position = (ends[:, -1] - 1) * percent / 100
    lower = np.floor(position)
    # the value at place p, from 0, is the first of which more than p are there or before
    low = sorted_values[np.minimum((ends <= lower[:, None]).sum(axis=1), len(sorted_values) - 1)]
    high = sorted_values[
        np.minimum((ends <= np.ceil(position)[:, None]).sum(axis=1), len(sorted_values) - 1)
    ]
    return low + (high - low) * (position - lower)
