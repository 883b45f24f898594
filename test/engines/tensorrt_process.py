# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX in an environment of its own, and our commands in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / '.venv-tensorrt' / 'bin' / 'python'
NEEDS_TENSORRT_RTX = pytest.mark.skipif(
    not (PYTHON.parents[1] / '.done').exists(),
    reason='TensorRT-RTX is not installed: `make .venv-tensorrt/.done` installs it, on platforms '
    'that it has wheels for',
)


def make_environment(cache: Path) -> dict[str, str]:
    """Return the variables of a process that has our package, and nothing else of this one."""
    folders = [str(ROOT), str(Path(__file__).parent)]
    return os.environ | {'PYTHONPATH': os.pathsep.join(folders), 'XDG_CACHE_HOME': str(cache)}


def start_build(cache: Path, *options: str) -> subprocess.Popen:
    """Start `seg_perception build-engine` as a user would."""
    command = [str(PYTHON), '-m', 'seg_perception', 'build-engine', *options]
    return subprocess.Popen(
        command,
        cwd=cache,
        env=make_environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
