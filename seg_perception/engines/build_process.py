# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Builds an engine in a process of its own.

A builder that crashes or takes all memory does not take the node with it. A build that nobody
wants any more ends at once, where the library itself ends it at its next step (up to 2 s with
TensorRT-RTX 1.7), and the memory that it took is the system's again.

    python -m seg_perception.engines.build_process FOLDER

is that process: it reads the request from a folder, writes JSON lines about its progress and the
answer beside the request. It ends when its standard input does: with the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from seg_perception.engines.build_watch import BuildWatch
from seg_perception.engines.contract import BackendUnavailableError, EngineError
from seg_perception.engines.tensorrt_build import (
    BuildSettings,
    BuiltPlan,
    TensorFacts,
    build_plan,
    load_library,
)

GRAPH = 'graph.onnx'
REQUEST = 'request.json'
TIMINGS = 'timings'
PLAN = 'plan'
ANSWER = 'answer.json'
# Of the JSON in these files, and of the lines on standard output.
LIBRARY, SETTINGS, ERROR, IS_UNAVAILABLE = 'library', 'settings', 'error', 'is_unavailable'
INPUTS, OUTPUTS, PHASE, SHARE = 'inputs', 'outputs', 'phase', 'share'
# Below the camera, the network that runs meanwhile, and whatever else the robot does.
NICENESS = 10
LEAST_REPORT_S = 0.05


def build_apart(
    library: str, graph: bytes, settings: BuildSettings, watch: BuildWatch
) -> BuiltPlan:
    """Build an engine, as `tensorrt_build.build_plan` does, in a process of its own.

    Args:
        library: name of the library, of tensorrt_build.MODULES.
        graph: serialised ONNX, its types as they are to be computed.
        settings: how to build.
        watch: told of the progress; ends the process when it is cancelled.

    Raises:
        BackendUnavailableError: the library cannot build here, or crashed.
        EngineError: an unknown target, or the library refuses the graph.
        BuildCancelledError: the watch was cancelled.
    """
    try:
        with tempfile.TemporaryDirectory(prefix='seg_perception_build_') as name:
            folder = Path(name)
            write_request(folder, library, graph, settings)
            return_code = run_builder(folder, watch)
            watch.require_wanted()
            if return_code != 0:
                raise BackendUnavailableError(
                    f'{library} did not survive building ({describe_end(return_code)})'
                )
            return read_answer(folder)
    except OSError as error:
        raise BackendUnavailableError(f'{library} cannot build here: {error}') from error


def write_request(folder: Path, library: str, graph: bytes, settings: BuildSettings) -> None:
    """Write what to build."""
    values = asdict(replace(settings, timing_cache=None))
    text = json.dumps({LIBRARY: library, SETTINGS: values})
    (folder / REQUEST).write_text(text, encoding='utf-8')
    (folder / GRAPH).write_bytes(graph)
    if settings.timing_cache is not None:
        (folder / TIMINGS).write_bytes(settings.timing_cache)


def read_request(folder: Path) -> tuple[str, bytes, BuildSettings]:
    """Return the library's name, the graph and the settings."""
    request = json.loads((folder / REQUEST).read_text(encoding='utf-8'))
    timings = folder / TIMINGS
    settings = BuildSettings(
        targets=tuple(request[SETTINGS]['targets']),
        timing_cache=timings.read_bytes() if timings.exists() else None,
        dla_core=request[SETTINGS]['dla_core'],
    )
    return request[LIBRARY], (folder / GRAPH).read_bytes(), settings


def run_builder(folder: Path, watch: BuildWatch) -> int:
    """Run the process to its end, or to that of the watch; return its exit code."""
    process = subprocess.Popen(
        [sys.executable, '-m', __name__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # an interrupt from the terminal is for us, and we end the process
        start_new_session=True,
    )
    try:
        with watch.stop_with(process.kill):
            assert process.stdout is not None
            for line in process.stdout:
                follow(line, watch)
            return process.wait()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def follow(line: bytes, watch: BuildWatch) -> None:
    """Hand a line of progress on; whatever else the library prints is no news."""
    try:
        values = json.loads(line)
        watch.report(str(values[PHASE]), float(values[SHARE]))
    except (ValueError, TypeError, KeyError):
        return


def describe_end(return_code: int) -> str:
    """Say how a process ended that gave no answer."""
    if return_code == -signal.SIGKILL:
        return 'killed; the system does that where memory runs out'
    if return_code < 0:
        return f'signal {signal.Signals(-return_code).name}'
    return f'exit code {return_code}'


def read_answer(folder: Path) -> BuiltPlan:
    """Return what was built; raises what the builder raised."""
    answer = json.loads((folder / ANSWER).read_text(encoding='utf-8'))
    if ERROR in answer:
        raise (BackendUnavailableError if answer[IS_UNAVAILABLE] else EngineError)(answer[ERROR])
    return BuiltPlan(
        plan=(folder / PLAN).read_bytes(),
        inputs=read_facts(answer[INPUTS]),
        outputs=read_facts(answer[OUTPUTS]),
        timing_cache=(folder / TIMINGS).read_bytes() if (folder / TIMINGS).exists() else b'',
    )


def read_facts(values: list[dict[str, Any]]) -> tuple[TensorFacts, ...]:
    """Return tensors from their JSON."""
    return tuple(TensorFacts(v['name'], v['dtype'], tuple(v['shape'])) for v in values)


def main(folder: Path, output: IO[str]) -> int:
    """Build what the folder asks for and leave the answer there."""
    os.nice(NICENESS)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    name, graph, settings = read_request(folder)
    try:
        built = build_plan(load_library(name), graph, settings, Reporter(output).report)
    except EngineError as error:
        is_unavailable = isinstance(error, BackendUnavailableError)
        answer: dict[str, Any] = {ERROR: str(error), IS_UNAVAILABLE: is_unavailable}
    else:
        answer = {
            INPUTS: [asdict(tensor) for tensor in built.inputs],
            OUTPUTS: [asdict(tensor) for tensor in built.outputs],
        }
        (folder / PLAN).write_bytes(built.plan)
        if settings.timing_cache is not None:
            (folder / TIMINGS).write_bytes(built.timing_cache)
    (folder / ANSWER).write_text(json.dumps(answer), encoding='utf-8')
    return 0


def leave_with_parent() -> None:
    """End this process with the one that started it, however that ended."""
    # not sys.stdin, whose lock Python wants back when it ends
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


class Reporter:
    """Writes progress as lines, not more than 20 a second: some phases have thousands of steps."""

    def __init__(self, output: IO[str]) -> None:
        """Keep where to write."""
        self._output = output
        self._last_s = 0.0

    def report(self, phase: str, share: float) -> None:
        """Write a line, unless one was written just now."""
        now_s = time.monotonic()
        if now_s - self._last_s >= LEAST_REPORT_S:
            self._last_s = now_s
            print(json.dumps({PHASE: phase, SHARE: share}), file=self._output, flush=True)


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1]), sys.stdout))
