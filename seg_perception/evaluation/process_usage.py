# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Processor time and memory of another process, read from Linux' /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 2**20


@dataclass(frozen=True)
class ProcessUsage:
    """What a process has used until a moment.

    Attributes:
        moment_s: time.perf_counter() of the reading.
        cpu_s: processor time of all its threads since it started.
        resident_mb: memory it holds now, MiB.

    """

    moment_s: float
    cpu_s: float
    resident_mb: float


def read_usage(pid: int) -> ProcessUsage | None:
    """Read what a process uses; None where the system has no /proc or the process is gone."""
    folder = Path('/proc') / str(pid)
    try:
        # the name, in brackets, may hold spaces; what follows it does not
        values = (folder / 'stat').read_text(encoding='utf-8').rpartition(')')[2].split()
        pages = int((folder / 'statm').read_text(encoding='utf-8').split()[1])
    except OSError:
        return None
    user_ticks, system_ticks = int(values[11]), int(values[12])
    return ProcessUsage(
        moment_s=time.perf_counter(),
        cpu_s=(user_ticks + system_ticks) / os.sysconf('SC_CLK_TCK'),
        resident_mb=pages * os.sysconf('SC_PAGE_SIZE') / MEGABYTE,
    )
