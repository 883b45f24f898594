# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A line of each kind passes once per period, and says how many were held back."""

from seg_perception.ros.throttle import ThrottledLog


def test_lines_of_a_kind_pass_once_per_period_with_a_count():
    lines, now_s = [], [0.0]
    log = ThrottledLog(lines.append, period_s=5.0, clock_s=lambda: now_s[0])
    for moment_s in (0.0, 1.0, 2.0, 6.0, 7.0):
        now_s[0] = moment_s
        log.log('step', 'bad step')
    assert lines == ['bad step', 'bad step (2 more like this in the last 6 s)']


def test_kinds_do_not_hide_each_other():
    lines = []
    log = ThrottledLog(lines.append, period_s=5.0, clock_s=lambda: 0.0)
    log.log('step', 'bad step')
    log.log('size', 'bad size')
    assert lines == ['bad step', 'bad size']
