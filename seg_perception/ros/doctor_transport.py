# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Whether a camera image really arrives in another process, as the environment is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN, Finding
from seg_perception.ros.doctor import FASTDDS, has_rclpy
from seg_perception.ros.environment import (
    OLD_PROFILE_VARIABLE,
    PROFILE_VARIABLE,
    child_environment,
    find_transport_profile,
    has_transport_profile,
    name_profile_variable,
)

SECTION = 'Transport'
MODULE = 'seg_perception.ros.doctor_transfer'
TIMEOUT_S = 60.0
# A busy processor loses a few, a transport that is too small nearly all.
ALL, MOST = 0.9, 0.5
AS_SET, WITH_PROFILE, WITHOUT_PROFILE = (
    '6 MB, as set here',
    '6 MB, our profile',
    '6 MB, no profile',
)


@dataclass(frozen=True)
class Transfer:
    """What came of sending images. median_ms: from sending to reception, 0 where none came."""

    sent: int
    received: int
    median_ms: float
    problem: str = ''

    @property
    def share(self) -> float:
        """Share of the images that arrived."""
        return self.received / self.sent if self.sent else 0.0

    def describe(self) -> str:
        """Return how many arrived, and how fast."""
        if self.problem:
            return self.problem
        speed = f', median {self.median_ms:.0f} ms' if self.received else ''
        return f'{self.received} of {self.sent} best-effort images of 6.2 MB arrived{speed}'


def check_transport(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Send images between two processes, with the environment as it is and the other way.

    Args:
        environment: of the shell, not completed.
    """
    if not has_rclpy():
        yield Finding(SECTION, AS_SET, SKIPPED, 'there is no rclpy to send images with')
        return
    as_set = transfer(environment)
    has_profile = has_transport_profile(environment)
    import rclpy

    is_fastdds = FASTDDS in rclpy.get_rmw_implementation_identifier()
    if not is_fastdds:
        yield judge(as_set, None)
        yield Finding(SECTION, WITH_PROFILE, SKIPPED, 'the profile is for Fast DDS')
        return
    is_enough = has_profile and as_set.share >= MOST
    shipped = None if is_enough else transfer(with_profile(environment))
    yield judge(as_set, shipped)
    if has_profile:
        yield describe_without(transfer(without_profile(environment)))
    elif shipped is not None:
        yield judge_shipped(shipped)


def with_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with the shipped profile in place of any other."""
    return {
        **without_profile(environment),
        name_profile_variable(): str(find_transport_profile()),
    }


def without_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that names no profile."""
    names = (PROFILE_VARIABLE, OLD_PROFILE_VARIABLE)
    return {name: value for name, value in environment.items() if name not in names}


def judge(as_set: Transfer, shipped: Transfer | None) -> Finding:
    """Judge the environment as it is.

    Args:
        as_set: what came of it.
        shipped: the same with the shipped profile, None where that was not tried.
    """
    text = as_set.describe()
    if as_set.share >= MOST:
        return judge_most(AS_SET, as_set)
    if shipped is not None and shipped.share >= MOST:
        cure = (
            f'export {name_profile_variable()}={find_transport_profile()} for the camera driver '
            'and for the node (its launch file does)'
        )
        return Finding(SECTION, AS_SET, WARN, text, cure)
    cure = (
        'look at shared memory above; send the images compressed: image_transport:=compressed; '
        'or use a reliable camera topic and qos_overrides'
    )
    return Finding(SECTION, AS_SET, FAIL, text, cure)


def judge_shipped(shipped: Transfer) -> Finding:
    """Judge the shipped profile, which launch files set where nothing is set."""
    if shipped.share >= MOST:
        return judge_most(WITH_PROFILE, shipped)
    cure = 'look at shared memory above, and whether something else loads the machine'
    return Finding(SECTION, WITH_PROFILE, FAIL, shipped.describe(), cure)


def judge_most(name: str, outcome: Transfer) -> Finding:
    """Judge a transport that works: whether some images were lost nevertheless."""
    if outcome.share >= ALL:
        return Finding(SECTION, name, OK, outcome.describe())
    cure = 'the machine may be busy: try again, and look at its load (top)'
    return Finding(SECTION, name, WARN, outcome.describe(), cure)


def describe_without(stock: Transfer) -> Finding:
    """Say what a process gets that lacks the profile; no fault of this environment."""
    text = stock.describe()
    if stock.share < MOST:
        text += ': give the profile to every camera driver too'
    return Finding(SECTION, WITHOUT_PROFILE, OK, text)


def transfer(environment: Mapping[str, str]) -> Transfer:
    """Send images from one new process to another that have this environment."""
    topic = f'/seg_perception_doctor/image_{os.getpid()}'
    child = child_environment(environment)
    if not has_transport_profile(environment):  # child_environment adds ours
        child.pop(name_profile_variable())
    # both at once: each waits for the other
    processes = {
        role: subprocess.Popen(
            [sys.executable, '-m', MODULE, role, topic],
            env=child,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in ('receive', 'send')
    }
    try:
        outcomes = {role: read_outcome(process) for role, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    problems = [f'{role}: {text}' for role in outcomes if (text := outcomes[role].get('problem'))]
    latencies_ms = outcomes['receive'].get('latencies_ms', [])
    return Transfer(
        outcomes['send'].get('sent', 0),
        len(latencies_ms),
        median(latencies_ms) if latencies_ms else 0.0,
        '; '.join(problems),
    )


def read_outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for one side and return its JSON line; 'problem' says why there is none."""
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {'problem': f'did not end within {TIMEOUT_S:.0f} s'}
    if process.returncode != 0:
        lines = errors.strip().splitlines()
        return {
            'problem': f'ended with status {process.returncode}: {lines[-1] if lines else ""}'
        }
    return dict(json.loads(output.strip().splitlines()[-1]))
