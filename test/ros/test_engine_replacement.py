# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A backend that gives up while the node runs: the next one takes over, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

pytest.importorskip('torch')


def test_a_backend_replaced_by_a_camera_of_a_new_size_is_in_diagnostics(
    start_node, start_camera, monkeypatch
):
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))
    node = start_node({}, namespace='/small', module='small_memory_node')
    node.wait_active()
    camera = start_camera('/small/segnext', '/small/image')
    camera.wait_matched()
    camera.send(camera.make_image(64, 96))
    assert camera.read_diagnostics()['backend'] == 'openvino'
    message = camera.make_image(128, 192)
    assert camera.send(message).height == 128  # the frame that found out has its mask too
    status = camera.wait_status(lambda s: 'out of memory in this test' in s.message, 'the warning')
    assert status.level == DiagnosticStatus.WARN
    assert {value.key: value.value for value in status.values}['backend'] == 'torch'
    assert 'openvino: out of memory in this test' in node.read_log()
    assert node.stop() == 0
