# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Figures carry the machine that they were measured on; other processes' use is the system's."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime

import numpy as np
import psutil
import pytest

from seg_perception import __version__
from seg_perception.evaluation.machine import count_cores, describe_machine
from seg_perception.evaluation.process_usage import read_usage


def test_machine_is_described_as_json():
    machine = json.loads(json.dumps(describe_machine()))
    assert machine['cpu']
    assert machine['cores'] == count_cores() == len(os.sched_getaffinity(0))
    assert machine['libraries']['numpy'] == np.__version__
    assert machine['seg_perception'] == __version__
    assert datetime.fromisoformat(machine['date']).tzinfo is not None


def test_use_of_a_process_is_that_of_psutil():
    busy = 'import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n'
    with subprocess.Popen(
        [sys.executable, '-c', f'{busy}print("done", flush=True)\ntime.sleep(60)'],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05)
        usage, reference = read_usage(process.pid), psutil.Process(process.pid)
        assert usage is not None
        assert usage.cpu_s == pytest.approx(sum(reference.cpu_times()[:2]), abs=0.021)
        assert usage.cpu_s >= 0.3
        assert usage.resident_mb == pytest.approx(reference.memory_info().rss / 2**20, rel=0.02)
        process.kill()


def test_a_process_that_is_gone_has_no_use():
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    assert read_usage(process.pid) is None
