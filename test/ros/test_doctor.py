# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The ROS installation as the doctor sees it, and images that really travel."""

import os
import shutil

import pytest

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN
from seg_perception.ros import doctor, doctor_transport
from seg_perception.ros.doctor import (
    Companion,
    check_companion,
    check_middleware,
    check_profile,
    check_rclpy,
    check_shared_memory,
    describe_distribution,
)
from seg_perception.ros.doctor_transport import Transfer, check_transport, judge, without_profile
from seg_perception.ros.environment import find_transport_profile, name_profile_variable

NAME = 'package_of_the_ros_doctor_test'
COMPANION = Companion(NAME, f'import {NAME}', 'tests', WARN, 'there are none')


def test_this_installation_is_fine():
    findings = [*check_rclpy(), *check_middleware(os.environ)]
    assert {finding.level for finding in findings} == {OK}, findings


@pytest.mark.parametrize(
    ('version', 'ros_distro', 'level', 'expected'),
    [
        ('9.1.2', '', OK, 'kilted'),
        ('7.1.6', 'jazzy', OK, 'jazzy'),
        ('3.3.16', 'humble', OK, 'humble'),
        ('9.1.2', 'humble', WARN, 'ROS_DISTRO is humble, but this rclpy is that of kilted'),
        ('5.0.1', 'iron', WARN, 'not tested'),
        ('10.0.4', 'rolling', WARN, 'not tested'),
        ('unknown version', '', WARN, 'not known'),
    ],
)
def test_the_distribution_is_known_by_environment_or_version(
    version, ros_distro, level, expected
):
    finding = describe_distribution(version, ros_distro)
    assert finding.level == level and expected in finding.text
    assert bool(finding.cure) == (level != OK)


@pytest.mark.parametrize(
    ('source', 'level', 'expected'),
    [
        (None, WARN, 'not installed (for tests): there are none'),
        ('', OK, 'for tests'),
        ("raise AttributeError('_ARRAY_API not found')", WARN, '_ARRAY_API not found'),
        ('import os; os.abort()', WARN, 'ends Python with signal 6'),
    ],
)
def test_a_companion_is_imported_where_it_cannot_do_harm(
    source, level, expected, tmp_path, monkeypatch
):
    if source is not None:
        (tmp_path / f'{NAME}.py').write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    (finding,) = check_companion(COMPANION)
    assert finding.level == level and expected in finding.text


def test_the_profile_is_looked_at_before_it_is_trusted(tmp_path):
    variable = name_profile_variable()
    broken = tmp_path / 'broken.xml'
    broken.write_text('<dds><profiles>')
    for environment, level, expected in (
        ({variable: str(find_transport_profile())}, OK, 'fastdds.xml'),
        ({}, WARN, 'is not set here'),
        ({variable: '/nowhere/fastdds.xml'}, FAIL, 'cannot be read'),
        ({variable: str(broken)}, FAIL, 'cannot be read'),
    ):
        finding = check_profile(environment, 'rmw_fastrtps_cpp')
        assert finding.level == level and expected in finding.text
        assert (f'export {variable}=' in finding.cure) == (level != OK)
    assert check_profile({}, 'rmw_cyclonedds_cpp').level == SKIPPED


def test_small_shared_memory_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / 'fastdds_1234').touch()
    monkeypatch.setattr(doctor, 'NEEDED_SHARED_MEMORY_BYTES', 0)
    (finding,) = check_shared_memory(tmp_path)
    assert finding.level == OK and '1 files of Fast DDS' in finding.text
    more = shutil.disk_usage(tmp_path).total + 1
    monkeypatch.setattr(doctor, 'NEEDED_SHARED_MEMORY_BYTES', more)
    (finding,) = check_shared_memory(tmp_path)
    assert finding.level == WARN and '--shm-size' in finding.cure


def test_images_arrive_with_the_profile_and_not_without():
    as_set, without = check_transport(dict(os.environ))
    assert as_set.level in (OK, WARN), as_set  # WARN: some lost on a busy machine
    assert 'images of 6.2 MB arrived, median' in as_set.text
    assert without.level == OK and 'give the profile to every camera driver' in without.text


def test_without_a_profile_the_cure_is_the_profile(monkeypatch):
    outcomes = {True: Transfer(20, 20, 15.0), False: Transfer(20, 1, 60.0)}

    def transfer(environment):
        return outcomes[name_profile_variable() in environment]

    monkeypatch.setattr(doctor_transport, 'transfer', transfer)
    as_set, shipped = check_transport(without_profile(os.environ))
    assert as_set.level == WARN and '1 of 20' in as_set.text
    assert str(find_transport_profile()) in as_set.cure
    assert shipped.level == OK and '20 of 20' in shipped.text


@pytest.mark.parametrize(
    ('as_set', 'shipped', 'level'),
    [
        (Transfer(20, 20, 15.0), None, OK),
        (Transfer(20, 14, 15.0), None, WARN),
        (Transfer(20, 0, 0.0), Transfer(20, 0, 0.0), FAIL),
        (Transfer(0, 0, 0.0, 'the two processes did not find each other'), None, FAIL),
    ],
)
def test_what_does_not_arrive_with_any_profile_fails(as_set, shipped, level):
    finding = judge(as_set, shipped)
    assert finding.level == level
    assert as_set.describe() in finding.text and bool(finding.cure) == (level != OK)


def test_a_process_that_fails_is_reported_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(doctor_transport, 'MODULE', 'seg_perception.no_such_module')
    outcome = doctor_transport.transfer(os.environ)
    assert outcome.received == 0
    assert 'send: ended with status 1' in outcome.problem
    assert 'no_such_module' in outcome.problem
