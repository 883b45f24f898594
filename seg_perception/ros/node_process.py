# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Runs the segmentation node as a real process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from seg_perception.errors import UserError
from seg_perception.ros.environment import child_environment
from seg_perception.ros.lifecycle_client import LifecycleClient

NODE_MODULE = 'seg_perception.ros.node_main'
POLL_S = 0.1
LOG_TAIL_LINES = 25


class NodeProcess:
    """Context manager that starts the node and stops it with SIGINT, as a launch file does.

    Args:
        parameters: value by full name, e.g. {'model.backend': 'openvino'}.
        remappings: new name by old name, e.g. {'image': '/camera/image_raw'}.
        namespace: namespace of the node.
        arguments: further command line arguments, e.g. ['--params-file', path].
        module: Python module that is run.

    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
        namespace: str = '/',
        arguments: Sequence[str] = (),
        module: str = NODE_MODULE,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix='seg_perception_node_')
        self.log_path = Path(self._folder.name) / 'node.log'
        self.node_name = f'{namespace.rstrip("/")}/segnext'
        self._command = [sys.executable, '-m', module, '--ros-args', *arguments]
        self._command += ['-r', f'__ns:={namespace}']
        for old, new in (remappings or {}).items():
            self._command += ['-r', f'{old}:={new}']
        if parameters:
            # A file keeps the types: on the command line '1' could be a string or an integer.
            path = Path(self._folder.name) / 'parameters.yaml'
            content = {'/**': {'ros__parameters': dict(parameters)}}
            path.write_text(yaml.safe_dump(content), encoding='utf-8')
            self._command += ['--params-file', str(path)]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        return self._running().pid

    def start(self) -> None:
        """Start the process; its output goes to log_path."""
        with self.log_path.open('wb') as log:
            self.process = subprocess.Popen(
                self._command,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole group; the node is to be stopped once
                start_new_session=True,
            )

    def wait_active(self, timeout_s: float = 120.0) -> None:
        """Wait until the node is active.

        Raises:
            UserError: it ended, could not be configured, or took too long; with its log.

        """
        self.wait_state('active', timeout_s)

    def wait_state(self, wanted: str, timeout_s: float = 120.0) -> None:
        """Wait until the node is in a lifecycle state; raises as wait_active does."""
        deadline_s = time.monotonic() + timeout_s
        with LifecycleClient(self.node_name) as client:
            while True:
                return_code = self._running().poll()
                if return_code is not None:
                    raise UserError(self._describe(f'ended with exit code {return_code}'))
                state = client.read_state(timeout_s=POLL_S * 10)
                if state == wanted:
                    return
                if state == 'unconfigured' and 'cannot configure: ' in self.read_log():
                    raise UserError(self._describe('could not be configured'))
                if time.monotonic() > deadline_s:
                    raise UserError(
                        self._describe(f'is not {wanted} after {timeout_s:.0f} s but {state!r}')
                    )
                time.sleep(POLL_S)

    def wait_exit(self, timeout_s: float = 30.0) -> int:
        """Wait for the process to end by itself and return its exit code."""
        return self._running().wait(timeout_s)

    def stop(self, signal_number: int = signal.SIGINT, timeout_s: float = 15.0) -> int:
        """Stop the node and return its exit code; kills it when it does not react."""
        process = self._running()
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def read_log(self) -> str:
        """Return what the node has written so far."""
        return self.log_path.read_text(encoding='utf-8', errors='replace')

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError('the node process was not started; call start() first')
        return self.process

    def _describe(self, what: str) -> str:
        tail = '\n'.join(self.read_log().splitlines()[-LOG_TAIL_LINES:])
        return f'the node {self.node_name} {what}; its last log lines:\n{tail}'
