# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Poses of the vehicle by stamp: between two, past the newest, gaps, a clock that goes back."""

import math

import pytest

from seg_perception.ros.ego_motion import (
    KEPT,
    ClockBackError,
    MotionBuffer,
    MotionError,
    compute_tilt,
    compute_yaw,
)

SECOND_NS = 10**9


@pytest.fixture
def buffer():
    """Return poses each 0.1 s of a vehicle at 10 m/s along x that turns by 0.2 rad/s."""
    buffer = MotionBuffer(max_gap_s=0.3)
    for index in range(5):
        buffer.add(SECOND_NS + index * SECOND_NS // 10, (float(index), 0.0, 0.02 * index))
    return buffer


def test_a_pose_is_that_of_its_stamp_and_interpolated_between_two(buffer):
    assert buffer.find(SECOND_NS + SECOND_NS // 5) == (2.0, 0.0, 0.04)
    assert buffer.find(SECOND_NS + 225_000_000) == pytest.approx((2.25, 0.0, 0.045))


def test_past_the_newest_it_goes_on_as_between_the_last_two(buffer):
    assert buffer.find(SECOND_NS + 600_000_000) == pytest.approx((6.0, 0.0, 0.12))


def test_yaw_is_interpolated_the_short_way_over_pi():
    buffer = MotionBuffer(1.0)
    buffer.add(1, (0.0, 0.0, math.pi - 0.1))
    buffer.add(3, (0.0, 0.0, -math.pi + 0.1))
    assert abs(math.remainder(buffer.find(2)[2], 2 * math.pi)) == pytest.approx(math.pi)


@pytest.mark.parametrize(
    ('stamp_ns', 'expected'),
    [
        (SECOND_NS - 1_000_000, 'the oldest odometry is 0.001 s newer than the image'),
        (SECOND_NS + 800_000_000, 'the newest odometry is 0.400 s older .* at most 0.3 s'),
    ],
)
def test_stamps_out_of_reach_are_named(buffer, stamp_ns, expected):
    with pytest.raises(MotionError, match=expected):
        buffer.find(stamp_ns)


def test_a_gap_at_the_stamp_is_named_and_one_elsewhere_does_no_harm(buffer):
    buffer.add(3 * SECOND_NS, (20.0, 0.0, 0.0))
    assert buffer.find(SECOND_NS + 350_000_000) == pytest.approx((3.5, 0.0, 0.07))
    with pytest.raises(MotionError, match=r'gap of 1\.600 s at the stamp of the image'):
        buffer.find(2 * SECOND_NS)


def test_without_any_pose_it_says_so():
    with pytest.raises(MotionError, match='there is no odometry yet'):
        MotionBuffer(1.0).find(0)


def test_a_clock_that_goes_back_forgets_what_was_and_goes_on(buffer):
    with pytest.raises(ClockBackError, match=r'went back by 1\.400 s'):
        buffer.add(0, (7.0, 7.0, 0.0))
    assert buffer.find(0) == (7.0, 7.0, 0.0)
    with pytest.raises(MotionError, match='newest odometry'):
        buffer.find(SECOND_NS + 200_000_000)


@pytest.mark.parametrize('pose', [(math.nan, 0.0, 0.0), (0.0, math.inf, 0.0)])
def test_poses_that_are_no_numbers_are_refused_and_not_kept(buffer, pose):
    with pytest.raises(MotionError, match='expected numbers'):
        buffer.add(2 * SECOND_NS, pose)
    assert buffer.find(SECOND_NS + 400_000_000) == (4.0, 0.0, 0.08)


def test_memory_is_bounded():
    buffer = MotionBuffer(1.0)
    for stamp_ns in range(2 * KEPT):
        buffer.add(stamp_ns, (0.0, 0.0, 0.0))
    with pytest.raises(MotionError, match='the oldest odometry'):
        buffer.find(KEPT - 1)


def test_yaw_of_a_quaternion_and_nan_for_one_that_is_no_rotation():
    assert compute_yaw(0.0, 0.0, math.sin(0.35), math.cos(0.35)) == pytest.approx(0.7)
    assert math.isnan(compute_yaw(0.0, 0.0, 0.0, 0.0))
    assert math.isnan(compute_yaw(0.0, 0.0, math.nan, 1.0))


def test_tilt_of_a_quaternion_has_the_nose_down_for_a_positive_pitch():
    half = 0.15
    assert compute_tilt(0.0, math.sin(half), 0.0, math.cos(half)) == pytest.approx((0.0, 0.3))
    assert compute_tilt(math.sin(half), 0.0, 0.0, math.cos(half)) == pytest.approx((0.3, 0.0))
    assert all(map(math.isnan, compute_tilt(0.0, 0.0, 0.0, 0.0)))
