# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Plain threads for compiled loops that release the GIL.

Numba's own work queue aborts the process when two threads enter it at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

MAX_THREADS = 4  # memory bandwidth, not cores, limits these loops from there on


def count_threads(asked: int) -> int:
    """Return the threads to use: as asked for, or (0) one for each processor, at most 4."""
    if asked:
        return asked
    if hasattr(os, 'sched_getaffinity'):
        return min(MAX_THREADS, len(os.sched_getaffinity(0)))
    return min(MAX_THREADS, os.cpu_count() or 1)


def run_parts(run: Callable[[int], None], parts: int) -> None:
    """Call run(0) .. run(parts - 1) at the same time and wait for all."""
    others = [_worker_pool(os.getpid()).submit(run, part) for part in range(1, parts)]
    run(0)
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _worker_pool(process_id: int) -> ThreadPoolExecutor:
    # By process: the threads of a pool do not live on in a forked child.
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix='ground')
