# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Intervals hold the truth about as often as they say, also where neighbours are alike."""

import numpy as np
import pytest

from seg_perception.evaluation.drives.bootstrap import (
    estimate_t,
    find_interval,
    find_percentile,
    make_blocks,
    resample,
)


def find_mean_interval(values, blocks, resamples=400):
    """Return the interval of the mean of values by frame."""
    sums = blocks.sum_frames(np.column_stack([values, np.ones(len(values))]))

    def compute(counts):
        total, frames = (counts @ sums).T
        return (total / frames)[:, None]

    return find_interval(resample(blocks.count, compute, resamples=resamples)[:, 0], blocks.count)


@pytest.mark.parametrize('seconds', [10, 60])
def test_intervals_cover_the_truth_where_frames_of_a_second_are_alike(seconds):
    generator = np.random.default_rng(1)
    stamps_ns = np.arange(10 * seconds) * 100_000_000
    bags = np.zeros(len(stamps_ns), np.int64)
    blocks = make_blocks(bags, stamps_ns)
    frames = make_blocks(bags, stamps_ns, 0.1)
    covered = narrow = 0
    for _ in range(300):
        values = np.repeat(generator.normal(size=seconds), 10)
        values = values + generator.normal(0, 0.3, len(values))
        low, high = find_mean_interval(values, blocks)
        covered += low <= 0 <= high
        low, high = find_mean_interval(values, frames)
        narrow += low <= 0 <= high
    # 95 % of 300 is 285; three standard errors are 11
    assert 274 <= covered <= 297
    # taken for independent, the same frames promise far too much
    assert narrow < 200


def test_blocks_are_seconds_of_one_recording():
    bags = np.repeat([0, 1], 60)
    stamps_ns = np.tile(5_000_000_000 + np.arange(60) * 100_000_000, 2)
    blocks = make_blocks(bags, stamps_ns)
    assert (blocks.count, blocks.length_s) == (12, 1.0)
    assert np.array_equal(blocks.of_frame, np.arange(120) // 10)


def test_blocks_do_not_need_stamps_in_order():
    stamps_ns = np.arange(100) * 100_000_000
    order = np.random.default_rng(0).permutation(100)
    blocks = make_blocks(np.zeros(100, np.int64), stamps_ns[order])
    assert np.array_equal(blocks.of_frame, order // 10)


@pytest.mark.parametrize(
    ('frames', 'count', 'length_s'), [(40, 5, 1.0), (20, 5, 0.5), (5, 5, 0.125), (1, 1, 1.0)]
)
def test_a_short_drive_has_shorter_blocks(frames, count, length_s):
    stamps_ns = np.arange(frames) * 125_000_000
    blocks = make_blocks(np.zeros(frames, np.int64), stamps_ns)
    assert (blocks.count, blocks.length_s) == (count, length_s)


def test_frames_of_equal_stamps_are_their_own_blocks():
    assert make_blocks(np.zeros(4, np.int64), np.zeros(4, np.int64)).count == 4


@pytest.mark.parametrize('width', [0, 10**6])
def test_draws_have_as_many_blocks_as_the_drive(width):
    totals = resample(7, lambda counts: counts.sum(axis=1, keepdims=True), width, 50)
    assert totals.shape == (50, 1) and (totals == 7).all()


# from a table of Student's t
@pytest.mark.parametrize(('freedom', 't'), [(4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)])
def test_quantiles_of_student(freedom, t):
    assert estimate_t(freedom) == pytest.approx(t, abs=0.01)


@pytest.mark.parametrize('percent', [0, 37, 50, 95, 100])
def test_percentile_of_repeated_values_is_that_of_numpy(percent):
    generator = np.random.default_rng(2)
    values = np.sort(generator.random(13))
    counts = generator.integers(0, 4, (50, 13))
    counts[:, 5] += 1
    found = find_percentile(values, counts, percent)
    expected = [np.percentile(np.repeat(values, row), percent) for row in counts]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ('values', 'blocks'), [([1.0] * 10, 1), ([np.nan] * 6 + [1.0] * 4, 9), ([np.nan] * 4, 9)]
)
def test_no_interval_where_there_is_too_little(values, blocks):
    assert find_interval(np.array(values), blocks) is None
