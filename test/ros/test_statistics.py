# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rates, ages and percentiles are those of the events that were counted."""

import math

import numpy as np
import pytest

from seg_perception.ros.statistics import (
    FrameStatistics,
    FrameTimes,
    find_percentiles,
    measure_rate_hz,
)


@pytest.mark.parametrize(
    ('moments_s', 'now_s', 'expected_hz'),
    [
        ([], 10.0, 0.0),
        ([9.9], 10.0, 0.0),
        (list(np.arange(6.0, 10.0, 0.1)), 10.0, 10.0),
        (list(np.arange(0.0, 10.0, 0.5)), 9.6, 2.0),
        # one frame per second and two seconds overdue: 2 gaps in 4 s
        ([5.0, 6.0, 7.0], 10.0, 0.5),
        # nothing in the last five seconds
        ([1.0, 1.1, 1.2], 10.0, 0.0),
    ],
)
def test_rate(moments_s, now_s, expected_hz):
    assert measure_rate_hz(moments_s, now_s) == pytest.approx(expected_hz)


def test_percentiles_are_those_of_numpy_and_nan_of_nothing():
    values = list(np.random.default_rng(1).gamma(2.0, 10.0, 200))
    percentiles = find_percentiles(values)
    assert (percentiles.p50, percentiles.p95) == tuple(np.percentile(values, (50, 95)))
    assert math.isnan(find_percentiles([]).p50)


def test_snapshot_has_counts_ages_and_the_last_error():
    now_s = [100.0]
    statistics = FrameStatistics(clock_s=lambda: now_s[0])
    statistics.mark_activated()
    for _ in range(4):
        statistics.count_received()
    statistics.count_dropped()
    now_s[0] = 101.0
    statistics.count_used(FrameTimes(20.0, 2.0, 25.0, 40.0))
    statistics.count_bad('bad step')
    statistics.count_failed('no memory')
    now_s[0] = 103.0
    snapshot = statistics.take_snapshot()
    counts = snapshot.counts
    assert (counts.received, counts.used, counts.dropped, counts.bad, counts.failed) == (
        4,
        1,
        1,
        1,
        1,
    )
    assert (snapshot.last_received_age_s, snapshot.last_used_age_s) == (3.0, 2.0)
    assert snapshot.active_for_s == 3.0
    assert snapshot.total_ms.p50 == 25.0
    assert snapshot.last_error == 'no memory'
