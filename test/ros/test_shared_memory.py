# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Shared memory that killed processes leave is found and named."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from seg_perception.doctor.finding import WARN
from seg_perception.ros.doctor import check_shared_memory
from seg_perception.ros.shared_memory import find_leftovers, warn_of_leftovers

MEGABYTE = 2**20


def make_segment(folder: Path, name: str, size_bytes: int) -> Path:
    """Write a segment without a process; returns its lock file."""
    (folder / name).write_bytes(bytes(size_bytes))
    lock = folder / f'{name}_el'
    lock.touch()
    return lock


def test_only_segments_that_no_process_holds_are_left_over(tmp_path):
    make_segment(tmp_path, 'fastdds_dead', 2 * MEGABYTE)
    with make_segment(tmp_path, 'fastdds_alive', MEGABYTE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        leftovers = find_leftovers(tmp_path)
    assert leftovers.segments == 1
    assert leftovers.size_bytes == pytest.approx(2 * MEGABYTE, abs=4096)
    assert leftovers.describe() == '1 segments of killed processes hold 2 MB'


def test_much_memory_left_over_is_a_warning_with_its_cure(tmp_path, monkeypatch):
    make_segment(tmp_path, 'fastdds_dead', MEGABYTE)
    lines = []
    logger = type('Logger', (), {'warning': staticmethod(lines.append)})
    warn_of_leftovers(logger, tmp_path)
    assert lines == []
    monkeypatch.setattr('seg_perception.ros.shared_memory.WORTH_A_WARNING_BYTES', MEGABYTE)
    warn_of_leftovers(logger, tmp_path)
    assert len(lines) == 1 and lines[0].endswith('free it with: fastdds shm clean')
    (finding,) = check_shared_memory(tmp_path)
    assert (finding.level, finding.cure) == (WARN, 'fastdds shm clean')
    assert '1 segments of killed processes hold 1 MB' in finding.text
