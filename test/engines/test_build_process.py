# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Builds in a process of their own: what a library does to that process stays there.

The library is a stand-in that crashes, refuses or takes forever; test_tensorrt.py builds with the
real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seg_perception.engines.build_process import build_apart
from seg_perception.engines.build_watch import BuildCancelledError, BuildWatch
from seg_perception.engines.contract import BackendUnavailableError, EngineError
from seg_perception.engines.tensorrt_build import BuildSettings, PhaseStack

LIBRARY = """
import os, signal, sys, time
__version__ = '10.0'
class ILogger:
    class Severity: ERROR, INTERNAL_ERROR = 0, 1
class Builder:
    def __init__(self, logger):
        with open(os.environ['STARTED'], 'w') as file:
            file.write(str(os.getpid()))
        print('the library says hello')
        {behaviour}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes the stand-in the library tensorrt of new processes."""

    def write(behaviour: str) -> Path:
        (tmp_path / 'tensorrt.py').write_text(LIBRARY.format(behaviour=behaviour))
        monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
        monkeypatch.setenv('STARTED', str(tmp_path / 'started'))
        return tmp_path / 'started'

    return write


def wait_for_process(started: Path) -> int:
    """Return the id of the builder's process once the library has started there."""
    deadline_s = time.monotonic() + 30
    while not (started.exists() and started.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return int(started.read_text())


def wait_for_end(process_id: int) -> None:
    """Wait until a process is gone, or is only waited for."""
    deadline_s = time.monotonic() + 10
    status = Path(f'/proc/{process_id}/status')
    while status.exists() and 'zombie' not in status.read_text():
        assert time.monotonic() < deadline_s, 'the process goes on'
        time.sleep(0.02)


@pytest.mark.parametrize(
    ('behaviour', 'message'),
    [
        ('os.kill(os.getpid(), signal.SIGSEGV)', 'did not survive building .signal SIGSEGV'),
        ('os.kill(os.getpid(), signal.SIGKILL)', 'killed; the system does that where memory'),
        ('os._exit(3)', 'exit code 3'),
        ('raise RuntimeError', 'tensorrt cannot start its builder'),
    ],
)
def test_library_that_ends_badly_is_unavailable_and_this_process_goes_on(
    install, behaviour, message
):
    install(behaviour)
    with pytest.raises(BackendUnavailableError, match=message):
        build_apart('tensorrt', b'', BuildSettings(), BuildWatch())


def test_request_that_cannot_be_fulfilled_is_an_error_of_its_own(install):
    install('pass')
    with pytest.raises(EngineError, match='builds for the GPU of this machine alone') as raised:
        build_apart('tensorrt', b'', BuildSettings(('sm89',)), BuildWatch())
    assert not isinstance(raised.value, BackendUnavailableError)


def test_cancelled_build_ends_at_once(install):
    started = install('time.sleep(60)')
    watch = BuildWatch()
    ended: list[Exception] = []

    def build() -> None:
        try:
            build_apart('tensorrt', b'', BuildSettings(), watch)
        except EngineError as error:
            ended.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    process_id = wait_for_process(started)
    watch.cancel()
    thread.join(10)
    assert [type(error) for error in ended] == [BuildCancelledError]
    wait_for_end(process_id)


def test_cancelled_watch_starts_nothing(install):
    started = install('pass')
    watch = BuildWatch()
    watch.cancel()
    with pytest.raises(BuildCancelledError):
        build_apart('tensorrt', b'', BuildSettings(), watch)
    assert not started.exists()


def test_build_ends_with_the_process_that_wanted_it(install):
    started = install('time.sleep(60)')
    code = (
        'from seg_perception.engines.build_process import *\n'
        "build_apart('tensorrt', b'', BuildSettings(), BuildWatch())"
    )
    process = subprocess.Popen([sys.executable, '-c', code])
    builder = wait_for_process(started)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_end(builder)


def test_progress_of_nested_phases_grows_to_one():
    phases = PhaseStack()
    shares = [phases.share]
    phases.start('all', 2)
    phases.complete_step('all', 0)
    shares.append(phases.share)
    phases.start('tactics', 4)
    for step in range(4):
        phases.complete_step('tactics', step)
        shares.append(phases.share)
    phases.finish('tactics')
    phases.complete_step('all', 1)
    shares.append(phases.share)
    assert shares == [0, 0.5, 0.625, 0.75, 0.875, 1, 1]


def test_watch_never_goes_back():
    watch = BuildWatch()
    for share in (0.5, 0.25):
        watch.report('timing', share)
    assert (watch.phase, watch.share) == ('timing', 0.5)
