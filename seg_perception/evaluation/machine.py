# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: processor, libraries, date."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2

from seg_perception import __version__

# Names of distributions, as pip and ROS know them.
LIBRARIES = (
    'numpy',
    'numba',
    'onnx',
    'openvino',
    'torch',
    'tensorrt',
    'tensorrt-rtx-cu13-bindings',
    'cuda-python',
    'rclpy',
)


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, load, operating system, library versions and date as JSON values.

    'cores' are those that this process may use; 'load' is the load average of the last minute,
    in cores, which a quiet machine has near 0.
    """
    return {
        'cpu': read_cpu_model(),
        'cores': count_cores(),
        'load': round(os.getloadavg()[0], 2),
        'system': f'{platform.system()} {platform.release()} {platform.machine()}',
        'python': platform.python_version(),
        'libraries': list_library_versions(),
        'seg_perception': __version__,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
    }


def count_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_cpu_model() -> str:
    """Return the processor's name, from /proc/cpuinfo where there is one."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        key, _, value = line.partition(':')
        if key.strip() in ('model name', 'Model'):  # x86; boards with an ARM processor
            return value.strip()
    return platform.processor() or platform.machine()


def list_library_versions() -> dict[str, str]:
    """Return the version of each library that is installed, by name."""
    versions = {'opencv': str(cv2.__version__)}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
