# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C before the node is active: it ends at once, without a traceback, and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seg_perception.ros.shared_memory import find_leftovers

# A launch sends SIGTERM after 5 s and kills after 10 s.
PATIENCE_S = 5.0


def stop_soon(node, signal_number) -> str:
    """Send a signal and return the log; the node has ended well, and soon."""
    start_s = time.monotonic()
    assert node.stop(signal_number, timeout_s=2 * PATIENCE_S) == 0
    assert time.monotonic() - start_s < PATIENCE_S
    log = node.read_log()
    assert 'Traceback' not in log
    return log


def wait_mapped(node, library: str) -> None:
    """Wait until the node's process has loaded a library."""
    maps = Path(f'/proc/{node.pid}/maps')
    while library not in maps.read_text(encoding='utf-8'):
        assert node.process.poll() is None, node.read_log()
        time.sleep(0.01)


def test_sigint_ends_the_imports(start_node):
    node = start_node(namespace='/importing')
    wait_mapped(node, '_rclpy_pybind11')
    assert 'configured in' not in stop_soon(node, signal.SIGINT)


@pytest.mark.parametrize(
    ('signal_number', 'later_s'),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 2.0)],
    ids=['engine is compiled', 'Numba compiles'],
)
def test_a_signal_ends_a_configuration(start_node, tmp_path, monkeypatch, signal_number, later_s):
    # nothing is compiled yet, as at the first start after an installation
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path))
    before = find_leftovers().segments
    node = start_node(namespace='/compiling')
    wait_mapped(node, 'openvino_intel_cpu_plugin')
    time.sleep(later_s)
    log = stop_soon(node, signal_number)
    assert 'configuration interrupted by a signal' in log
    assert 'configured in' not in log
    assert find_leftovers().segments <= before


LOST_IN_CALLBACK = """
import ctypes, os, signal, time
from seg_perception.ros.node_main import StopRequest

StopRequest()

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(10_000))  # the signal is taken in here, and C cannot hand its exception on

try:
    ctypes.CFUNCTYPE(None)(interrupt)()
    time.sleep(30.0)
except KeyboardInterrupt:
    print('interrupted')
"""


def test_a_signal_that_comes_in_a_callback_from_c_is_not_lost():
    run = subprocess.run(
        [sys.executable, '-c', LOST_IN_CALLBACK], capture_output=True, text=True, timeout=20.0
    )
    assert (run.stdout, run.stderr) == ('interrupted\n', '')
