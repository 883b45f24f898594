# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""An engine that takes seconds to build: images are answered meanwhile, and the node switches."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

BUILDING = re.compile(r'building an engine for tensorrt \(\d+%\), running on openvino')
BACKEND = {'model.backend': 'tensorrt'}


@pytest.fixture(autouse=True)
def find_module(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))


def read_values(status):
    return {value.key: value.value for value in status.values}


@pytest.fixture(scope='module')
def started(start_node, start_camera):
    """Start the node once, its build under way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(Path(__file__).parent))
        node = start_node(
            {**BACKEND, 'camera.height': 64, 'camera.width': 128},
            namespace='/building',
            module='building_node',
        )
    node.wait_active()
    camera = start_camera('/building/segnext', '/building/image')
    camera.wait_matched()
    return node, camera


def is_building(status):
    return bool(BUILDING.search(status.message))


def send_until_switched(camera, height_px, width_px, was_building=is_building):
    """Send images, each after the mask of the one before; return their count and the statuses."""
    statuses = []
    camera.status = None
    for sent in range(1, 2000):
        camera.send(camera.make_image(height_px, width_px))
        if camera.status is not None:
            statuses.append(camera.status)
            is_switched = read_values(camera.status)['backend'] == 'tensorrt'
            if is_switched and any(map(was_building, statuses)):
                return sent, statuses
    raise AssertionError('it never switched')


def test_every_image_is_answered_while_engines_are_built_and_taken(started):
    node, camera = started
    # the first build began with the node; the second one begins with an image of a new size
    first, _ = send_until_switched(camera, 64, 128, was_building=bool)
    second, statuses = send_until_switched(camera, 50, 90)
    values = camera.read_diagnostics()
    names = ('received', 'used', 'dropped', 'bad', 'failed')
    sent = first + second
    assert [int(values[f'frames {name}']) for name in names] == [sent, sent, 0, 0, 0]
    building = [s for s in statuses if is_building(s)]
    assert {s.level for s in building} == {DiagnosticStatus.WARN}
    assert {read_values(s)['backend'] for s in building} == {'openvino'}
    assert (values['backend'], values['precision']) == ('tensorrt', 'f32')
    assert (values['engine build'], values['fallback']) == ('none', 'no')
    for size in ('64x128', '50x90'):
        assert f'switched from openvino to tensorrt for {size} rgb images' in node.read_log()


def test_deactivated_node_builds_nothing_and_begins_again_when_it_is_active(
    started, start_client
):
    node, camera = started
    client = start_client('/building/segnext')
    camera.send(camera.make_image(70, 90))
    camera.wait_status(is_building, 'the build')
    assert client.change_state('deactivate')
    assert camera.read_diagnostics()['engine build'] == 'none'
    assert client.change_state('activate')
    camera.wait_matched()
    camera.send(camera.make_image(70, 90))
    camera.wait_status(is_building, 'the build')
    assert node.stop(signal.SIGINT) == 0
    assert node.read_log().count('switched from openvino') == 2  # neither of the two builds
    assert 'Traceback' not in node.read_log()


def test_signal_ends_a_build_that_the_start_waits_for(start_node):
    node = start_node(
        {**BACKEND, 'model.build_in_background': False},
        namespace='/waiting',
        module='building_node',
    )
    deadline_s = time.monotonic() + 30
    while 'the double builds' not in node.read_log() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert node.stop(signal.SIGTERM) == 0
    assert 'configuration interrupted by a signal' in node.read_log()
    assert 'Traceback' not in node.read_log()


@pytest.mark.parametrize(
    ('parameters', 'module', 'code', 'message'),
    [
        (BACKEND, 'building_node', 0, 'build_only: tensorrt is kept'),
        ({'model.backend': 'openvino'}, '', 0, 'build_only: openvino builds no engine ahead'),
        (BACKEND, '', 1, 'the engine is not ready: tensorrt: no NVIDIA driver'),
    ],
)
def test_build_only_ends_and_says_whether_the_engine_is_ready(
    start_node, parameters, module, code, message
):
    options = {'module': module} if module else {}
    node = start_node({**parameters, 'build_only': True}, namespace='/only', **options)
    assert node.wait_exit(60.0) == code
    assert message in node.read_log()
    assert 'Traceback' not in node.read_log()
