# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle manager can own the node: every transition, failures included."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

NODE = '/managed/segnext'


@pytest.fixture(scope='module')
def node(start_node):
    node = start_node(
        {'autostart': False, 'model.path': '/nowhere/model.onnx'}, namespace='/managed'
    )
    node.wait_state('unconfigured')
    return node


@pytest.fixture(scope='module')
def client(node, start_client):
    return start_client(NODE)


@pytest.fixture(scope='module')
def camera(node, start_camera):
    return start_camera(NODE, '/managed/image')


# The tests of this module walk one node through its life, in this order.


def test_without_autostart_it_stays_unconfigured_and_publishes_nothing(camera, client):
    assert client.read_state(5.0) == 'unconfigured'
    assert camera.read_diagnostics()['state'] == 'unconfigured'
    assert camera.raw.get_subscription_count() == 0


def test_a_missing_model_fails_to_configure_with_one_clear_line(node, camera, client):
    assert not client.change_state('configure')
    assert client.read_state(5.0) == 'unconfigured'
    lines = [line for line in node.read_log().splitlines() if 'cannot configure' in line]
    assert len(lines) == 1
    assert 'model file /nowhere/model.onnx does not exist' in lines[0]
    status = camera.wait_status(lambda s: s.level == DiagnosticStatus.ERROR, 'level ERROR')
    assert '/nowhere/model.onnx' in status.message


def test_a_file_that_is_no_model_fails_to_configure(client, node, tmp_path):
    path = tmp_path / 'broken.onnx'
    path.write_bytes(b'no model')
    assert client.set_parameter('model.path', str(path)) == ''
    assert not client.change_state('configure')
    assert client.read_state(5.0) == 'unconfigured'
    assert str(path) in node.read_log().splitlines()[-1]


def test_it_can_be_corrected_and_activated(camera, client, tiny_model):
    assert client.set_parameter('model.path', str(tiny_model)) == ''
    assert client.change_state('configure')
    assert client.read_state(5.0) == 'inactive'
    assert 'model.path can only be changed' in client.set_parameter('model.path', 'other')
    assert client.change_state('activate')
    camera.wait_matched()
    image = camera.make_image(64, 128)
    assert camera.send(image).header == image.header
    assert camera.status.level == DiagnosticStatus.OK


def test_an_inactive_node_neither_listens_nor_publishes(camera, client):
    assert client.change_state('deactivate')
    camera.spin_until(lambda: camera.raw.get_subscription_count() == 0, 'no subscription')
    assert camera.read_diagnostics()['state'] == 'inactive'


def test_it_can_be_cleaned_up_and_started_again(camera, client):
    assert client.change_state('cleanup')
    assert client.set_parameter('output.queue_depth', 3) == ''
    assert client.change_state('configure')
    assert client.change_state('activate')
    camera.wait_matched()
    image = camera.make_image(64, 128)
    assert camera.send(image).header == image.header


def test_shutdown_while_active_finalizes_and_sigint_then_ends_it(node, client):
    assert client.change_state('shutdown')
    assert client.read_state(5.0) == 'finalized'
    assert node.stop() == 0
    assert 'Traceback' not in node.read_log()
