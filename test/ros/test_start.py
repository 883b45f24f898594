# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Starting and ending the node: parameter files, failures, wrong wiring, signals."""

import signal
import sys

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from seg_perception.errors import UserError
from seg_perception.ros.node_main import run_node
from seg_perception.ros.node_process import NodeProcess


def run_with_file(path, content) -> tuple[int, list[str]]:
    """Run the node with a parameter file; return its exit code and output lines."""
    path.write_text(content, encoding='utf-8')
    with NodeProcess(arguments=['--params-file', str(path)]) as node:
        return_code = node.wait_exit()
        return return_code, node.read_log().splitlines()


def test_unknown_keys_and_wrong_types_end_it_with_one_line(tmp_path):
    return_code, lines = run_with_file(
        tmp_path / 'bad.yaml',
        '/**:\n  ros__parameters:\n    modle: {path: x}\n    model: {threads: "two"}\n',
    )
    assert return_code == 2
    assert len(lines) == 1
    assert lines[0].startswith('error: bad parameters for /segnext: ')
    assert 'modle.path: no such parameter; did you mean model.path?' in lines[0]
    assert 'model.threads: expected integer such as 2, got string "two"' in lines[0]


def test_a_file_that_is_no_yaml_ends_it_with_a_message_that_names_it(tmp_path):
    path = tmp_path / 'broken.yaml'
    return_code, lines = run_with_file(path, '/**:\n  ros__parameters: [1, {\n')
    assert return_code == 2
    assert any(line.startswith('error: ') and str(path) in line for line in lines)
    assert not any('Traceback' in line for line in lines)


def test_a_failed_autostart_is_reported_and_leaves_the_node_to_be_corrected(start_node):
    node = start_node({'model.path': 'no_such_model'}, namespace='/failed')
    with pytest.raises(UserError, match='could not be configured') as error:
        node.wait_active()
    assert 'no model named no_such_model' in str(error.value)
    assert node.process.poll() is None
    assert node.stop() == 0


@pytest.fixture(scope='module')
def strict_node(start_node):
    """Return a node that demands a reliable camera."""
    qos = {'qos_overrides./strict/image.subscription.reliability': 'reliable'}
    node = start_node(qos, namespace='/strict')
    node.wait_active()
    return node


@pytest.fixture(scope='module')
def lost_node(start_node):
    """Return a node whose image topic nobody publishes."""
    node = start_node({'diagnostics.stale_timeout_s': 0.3}, namespace='/lost')
    node.wait_active()
    return node


def test_incompatible_qos_is_a_warning_in_log_and_diagnostics(strict_node, start_camera):
    camera = start_camera('/strict/segnext', '/strict/image', reliable=False)
    status = camera.wait_status(lambda s: 'incompatible QoS' in s.message, 'the warning')
    assert status.level == DiagnosticStatus.WARN
    assert 'RELIABILITY' in status.message
    assert 'offers incompatible QoS (RELIABILITY)' in strict_node.read_log()


def test_a_topic_without_publisher_is_named_with_what_could_be_meant(lost_node, start_camera):
    camera = start_camera('/lost/segnext', '/lost/front')
    camera.wait_status(lambda s: 'no camera image on /lost/image' in s.message, 'the warning')
    # the log repeats every ten seconds, and the first time may have come before the camera
    camera.spin_until(
        lambda: 'images of this type are on /lost/front' in lost_node.read_log(), 'the log'
    )
    assert 'no camera image on /lost/image for' in lost_node.read_log()


@pytest.mark.parametrize(
    ('name', 'signal_number'), [('strict_node', signal.SIGINT), ('lost_node', signal.SIGTERM)]
)
def test_a_signal_ends_an_active_node_cleanly(request, name, signal_number):
    node = request.getfixturevalue(name)
    assert node.stop(signal_number) == 0
    assert 'active: listening on' in node.read_log()
    assert 'Traceback' not in node.read_log()


def test_without_rclpy_it_says_which_python_lacks_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rclpy', None)
    assert run_node([], None) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: import of rclpy halted')
    assert sys.executable in line and 'source the setup file of ROS 2' in line
