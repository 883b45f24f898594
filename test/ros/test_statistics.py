# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rates, ages and percentiles are those of the events that were counted."""

import math

import numpy as np
import pytest

from seg_perception.ros.statistics import (
    FrameStatistics,
    FrameTimes,
    measure_rate_hz,
    summarize_times,
)


def make_times(total_ms: float) -> FrameTimes:
    """Return the times of a frame that took so long in all."""
    return FrameTimes(
        queue_ms=0.1,
        read_ms=0.2,
        inference_ms=20.0,
        decode_ms=2.0,
        publish_ms=1.0,
        total_ms=total_ms,
        stamp_age_ms=40.0,
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


def test_percentiles_of_each_stage_are_those_of_numpy_and_nan_of_nothing():
    values = np.random.default_rng(1).gamma(2.0, 10.0, (200, 7))
    stages = summarize_times([FrameTimes(*row) for row in values])
    for column, name in enumerate(('queue_ms', 'read_ms', 'inference_ms', 'decode_ms')):
        found = (stages[name].p50, stages[name].p95, stages[name].p99)
        assert found == tuple(np.percentile(values[:, column], (50, 95, 99)))
    assert math.isnan(summarize_times([])['total_ms'].p50)


def test_times_begin_anew_when_the_node_is_activated():
    statistics = FrameStatistics()
    statistics.count_used(make_times(total_ms=900.0))
    statistics.mark_activated()
    statistics.count_used(make_times(total_ms=25.0))
    assert statistics.take_snapshot().total_ms.p50 == 25.0


def test_snapshot_has_counts_ages_and_the_last_error():
    now_s = [100.0]
    statistics = FrameStatistics(clock_s=lambda: now_s[0])
    statistics.mark_activated()
    for _ in range(4):
        statistics.count_received()
    statistics.count_dropped()
    now_s[0] = 101.0
    statistics.count_used(make_times(total_ms=25.0))
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
