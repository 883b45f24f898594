# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where the vehicle was when an image was taken; no ROS in here."""

from __future__ import annotations

import bisect
import math
import threading

from seg_perception.errors import UserError

KEPT = 500  # 5 s at 100 Hz

Pose = tuple[float, float, float]


class MotionError(UserError):
    """Ego motion that cannot be used; the message says why."""


class ClockBackError(MotionError):
    """A pose older than the one before: the clock went back, as a replay that starts again."""


class MotionBuffer:
    """The last poses of the vehicle, asked for by stamp (thread-safe).

    Args:
        max_gap_s: longest time between two poses, and from the newest to the stamp asked for.
        source: what the poses are, for messages.
    """

    def __init__(self, max_gap_s: float, source: str = 'odometry') -> None:
        self._max_gap_s = max_gap_s
        self._source = source
        self._lock = threading.Lock()
        self._stamps_ns: list[int] = []
        self._poses: list[Pose] = []

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Keep a pose (x m, y m, yaw rad).

        Raises:
            MotionError: the pose is no number; it is not kept.
            ClockBackError: the clock went back; all earlier poses are forgotten.
        """
        if not all(map(math.isfinite, pose)):
            raise MotionError(f'{self._source} is {pose}, expected numbers')
        with self._lock:
            last_ns = self._stamps_ns[-1] if self._stamps_ns else stamp_ns - 1
            if stamp_ns < last_ns:
                self._stamps_ns, self._poses = [], []
            if stamp_ns != last_ns:
                self._stamps_ns.append(stamp_ns)
                self._poses.append(pose)
            del self._stamps_ns[:-KEPT], self._poses[:-KEPT]
        if stamp_ns < last_ns:
            raise ClockBackError(
                f'the clock of the {self._source} went back by {(last_ns - stamp_ns) * 1e-9:.3f} s'
            )

    def find(self, stamp_ns: int) -> Pose:
        """Return the pose at a stamp, between its neighbours or just past the newest.

        Raises:
            MotionError: there is none near enough.
        """
        with self._lock:
            stamps, poses = self._stamps_ns, self._poses
            after = bisect.bisect_left(stamps, stamp_ns)
            if not stamps:
                raise MotionError(f'there is no {self._source} yet')
            if after < len(stamps) and stamps[after] == stamp_ns:
                return poses[after]
            if after == 0:
                ahead_s = (stamps[0] - stamp_ns) * 1e-9
                raise MotionError(
                    f'the oldest {self._source} is {ahead_s:.3f} s newer than the image'
                )
            if after == len(stamps):
                late_s = (stamp_ns - stamps[-1]) * 1e-9
                if late_s > self._max_gap_s:
                    raise MotionError(
                        f'the newest {self._source} is {late_s:.3f} s older than the image, '
                        f'expected at most {self._max_gap_s:g} s'
                    )
                if len(stamps) == 1:
                    return poses[0]
                # Goes on as between the last two.
                after -= 1
            first, second = after - 1, after
            gap_s = (stamps[second] - stamps[first]) * 1e-9
            if gap_s > self._max_gap_s:
                raise MotionError(
                    f'the {self._source} has a gap of {gap_s:.3f} s at the stamp of the image, '
                    f'expected at most {self._max_gap_s:g} s'
                )
            share = (stamp_ns - stamps[first]) * 1e-9 / gap_s
            return interpolate(poses[first], poses[second], share)

    def clear(self) -> None:
        """Forget all poses."""
        with self._lock:
            self._stamps_ns, self._poses = [], []


def interpolate(first: Pose, second: Pose, share: float) -> Pose:
    """Return the pose at a share of the way, above 1 beyond the second; yaw the short way."""
    turn = math.remainder(second[2] - first[2], 2 * math.pi)
    return (
        first[0] + share * (second[0] - first[0]),
        first[1] + share * (second[1] - first[1]),
        first[2] + share * turn,
    )


def compute_yaw(x: float, y: float, z: float, w: float) -> float:
    """Return the yaw of a quaternion, NaN for one that is no rotation."""
    norm = x * x + y * y + z * z + w * w
    if not abs(norm - 1.0) < 0.01:
        return math.nan
    return math.atan2(2 * (w * z + x * y), norm - 2 * (y * y + z * z))


def compute_tilt(x: float, y: float, z: float, w: float) -> tuple[float, float]:
    """Return (roll, pitch) in rad of a quaternion, NaN for one that is no rotation (REP-103)."""
    norm = x * x + y * y + z * z + w * w
    if not abs(norm - 1.0) < 0.01:
        return math.nan, math.nan
    roll_rad = math.atan2(2 * (w * x + y * z), norm - 2 * (x * x + y * y))
    return roll_rad, math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x) / norm)))
