# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The transport profile reaches Fast DDS under the name that a ROS release reads."""

from __future__ import annotations

import pytest

from seg_perception.ros import environment

NEW, OLD = environment.PROFILE_VARIABLE, environment.OLD_PROFILE_VARIABLE
SHIPPED = str(environment.find_transport_profile())


@pytest.mark.parametrize(
    ('rclpy_version', 'given', 'read', 'expected'),
    [
        ('9.1.2', {}, NEW, SHIPPED),
        ('9.1.2', {NEW: '/mine.xml'}, NEW, '/mine.xml'),
        ('9.1.2', {OLD: '/mine.xml'}, OLD, '/mine.xml'),
        ('7.1.6', {}, OLD, SHIPPED),
        ('7.1.6', {OLD: '/mine.xml'}, OLD, '/mine.xml'),
        ('7.1.6', {NEW: '/mine.xml'}, OLD, '/mine.xml'),  # jazzy does not know the new name
        ('3.3.16', {NEW: '/mine.xml'}, OLD, '/mine.xml'),
    ],
)
def test_profile_has_the_name_of_the_release(monkeypatch, rclpy_version, given, read, expected):
    monkeypatch.setattr(environment, 'version', lambda name: rclpy_version)
    complete = environment.complete_environment(given)
    assert complete[read] == expected
    assert environment.has_transport_profile(complete)
    assert environment.has_transport_profile(given) == (read in given)
    # two names at once: kilted warns at every node
    assert {name for name in (NEW, OLD) if name in complete} == {read, *given}
