# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A camera and a consumer in the test process, against nodes in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from message_package import VISION_MSGS, build_message_package, find_missing_tools
from node_camera import Camera

from seg_perception.ros.environment import prepare_this_process
from seg_perception.ros.lifecycle_client import LifecycleClient
from seg_perception.ros.node_process import NodeProcess


@pytest.fixture(scope='session', autouse=True)
def ros() -> Iterator[None]:
    """ROS for the session: the shipped transport, a domain of its own."""
    # away from a robot, and from other test runs on this machine; ids to 101 are safe on Linux
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    prepare_this_process()
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope='session')
def vision_msgs_folder(tmp_path_factory) -> Path:
    """Return a folder for PYTHONPATH with a vision_msgs made here."""
    missing = find_missing_tools()
    if missing:
        pytest.skip(f'vision_msgs cannot be generated here without {", ".join(missing)}')
    folder = tmp_path_factory.mktemp('messages')
    depends = ('geometry_msgs', 'std_msgs', 'builtin_interfaces')
    build_message_package(folder, 'vision_msgs', VISION_MSGS, depends)
    return folder


@pytest.fixture(scope='module')
def vision_msgs(vision_msgs_folder) -> Iterator[Any]:
    """Return the messages of vision_msgs, there for this module's processes alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(vision_msgs_folder))
        patch.setenv('PYTHONPATH', str(vision_msgs_folder), prepend=':')
        import vision_msgs.msg

        yield vision_msgs.msg
    for name in [name for name in sys.modules if name.partition('.')[0] == 'vision_msgs']:
        del sys.modules[name]


@pytest.fixture(scope='module')
def start_camera() -> Iterator[Callable[..., Camera]]:
    """Return a maker of cameras that are closed when the module is done."""
    cameras = []

    def start(*arguments: Any, **options: Any) -> Camera:
        cameras.append(Camera(*arguments, **options))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.close()


@pytest.fixture(scope='module')
def start_client() -> Iterator[Callable[[str], LifecycleClient]]:
    """Return a maker of lifecycle clients that are closed when the module is done."""
    clients = []

    def start(node_name: str) -> LifecycleClient:
        clients.append(LifecycleClient(node_name))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture(scope='module')
def start_node(tiny_model) -> Iterator[Callable[..., NodeProcess]]:
    """Return a starter of nodes with the tiny model; they are stopped after the module."""
    nodes = []

    def start(parameters: dict | None = None, **options: Any) -> NodeProcess:
        defaults = {
            'model.path': str(tiny_model),
            'diagnostics.period_s': 0.2,
            'occupancy.enabled': False,  # starts sooner
        }
        node = NodeProcess({**defaults, **(parameters or {})}, **options)
        nodes.append(node)
        node.start()
        return node

    yield start
    for node in nodes:
        node.stop()
