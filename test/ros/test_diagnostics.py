# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The level on /diagnostics follows from what happened, and the message says what."""

from dataclasses import replace

import pytest

from seg_perception.ros.diagnostics import (
    ERROR,
    OK,
    WARN,
    EngineFacts,
    NodeFacts,
    build_status,
    judge,
)
from seg_perception.ros.statistics import FrameStatistics, FrameTimes

ENGINE = EngineFacts(model='/m.onnx', backend='openvino', precision='f32', label_space='camvid')
FACTS = NodeFacts(state='active', engine=ENGINE, image_topic='/camera', publisher_count=1)
NEVER = float('inf')


@pytest.fixture
def healthy():
    """Return the snapshot of a node that was activated a minute ago and got a frame just now."""
    now_s = [0.0]
    statistics = FrameStatistics(clock_s=lambda: now_s[0])
    statistics.mark_activated()
    now_s[0] = 60.0
    statistics.count_received()
    statistics.count_used(FrameTimes(0.1, 0.2, 20.0, 2.0, 1.0, 25.0, 40.0))
    return statistics.take_snapshot()


SILENT = {'last_received_age_s': 7.0, 'last_used_age_s': 7.0}
ALL_BAD = {'last_used_age_s': NEVER, 'last_bad_age_s': 0.1, 'last_error': 'bad step'}
ALL_FAIL = {'last_used_age_s': 9.0, 'last_failed_age_s': 0.1, 'last_error': 'no memory'}


@pytest.mark.parametrize(
    ('snapshot_changes', 'facts_changes', 'level', 'text'),
    [
        ({}, {}, OK, 'segmenting'),
        (SILENT, {}, WARN, 'no camera image on /camera for 7.0 s (1 publishers)'),
        ({'last_bad_age_s': 3.0, 'last_error': 'bad step'}, {}, WARN, 'bad step'),
        ({'last_bad_age_s': 30.0}, {}, OK, 'segmenting'),
        ({'last_publish_failure_age_s': 1.0}, {}, WARN, 'could not be published'),
        ({'last_stamp_problem_age_s': 1.0}, {}, WARN, 'not increasing'),
        ({}, {'incompatible_qos': 'incompatible QoS (RELIABILITY)'}, WARN, 'RELIABILITY'),
        ({}, {'engine': replace(ENGINE, fallback_reason='no openvino')}, WARN, 'no openvino'),
        (
            {},
            {'engine': replace(ENGINE, build_status='building an engine for tensorrt (42%)')},
            WARN,
            'building an engine for tensorrt (42%), running on openvino',
        ),
        ({}, {'engine': replace(ENGINE, cache_problem='disk full')}, WARN, 'disk full'),
        (ALL_BAD, {}, ERROR, 'bad step'),
        (ALL_FAIL, {}, ERROR, 'no memory'),
        ({}, {'publisher_count': 2}, WARN, '2 publishers on /camera'),
        ({}, {'state': 'inactive'}, OK, 'inactive'),
        (
            {},
            {'state': 'unconfigured', 'configure_error': 'no file /m.onnx'},
            ERROR,
            'no file /m.onnx',
        ),
    ],
)
def test_level_and_message(healthy, snapshot_changes, facts_changes, level, text):
    judged = judge(replace(healthy, **snapshot_changes), replace(FACTS, **facts_changes))
    assert judged[0] == level
    assert text in judged[1]


def test_message_holds_every_figure_by_name(healthy):
    status = build_status(healthy, FACTS, '/robot/segnext', 'camera_optical')
    values = {value.key: value.value for value in status.values}
    assert (status.name, status.hardware_id) == ('robot/segnext: segmentation', 'camera_optical')
    assert values['frames received'] == '1'
    assert values['inference p50 (ms)'] == '20.00'
    assert values['publish p99 (ms)'] == '1.00'
    assert values['age of stamp p95 (ms)'] == '40.00'
    assert (values['backend'], values['model']) == ('openvino', '/m.onnx')
    assert values['fallback'] == 'no'


def test_a_named_camera_has_a_status_of_its_own_name(healthy):
    status = build_status(healthy, FACTS, '/segnext', '', 'front')
    assert status.name == 'segnext: segmentation front'
