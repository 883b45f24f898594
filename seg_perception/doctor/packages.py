# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Python and the packages that every part of the node imports."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import seg_perception
from seg_perception.doctor.finding import FAIL, OK, WARN, Finding

SECTION = 'Python'
OLDEST_PYTHON = (3, 10)
NEWEST_TESTED_PYTHON = (3, 12)


@dataclass(frozen=True)
class Requirement:
    """A package that the node cannot do without.

    Attributes:
        name: for people.
        module: that is imported.
        oldest: version from which on it is supported.
        newest_tested: major version, newer ones are not known to work.
        install: how it is installed.
    """

    name: str
    module: str
    oldest: tuple[int, int]
    newest_tested: int
    install: str


REQUIREMENTS = (
    Requirement('NumPy', 'numpy', (1, 21), 2, 'pip install "numpy>=1.21"'),
    Requirement('OpenCV', 'cv2', (4, 5), 5, 'pip install opencv-python-headless'),
    Requirement('Numba', 'numba', (0, 53), 0, 'pip install --upgrade numba'),
    Requirement('ONNX', 'onnx', (1, 16), 1, 'pip install "onnx>=1.16"'),
    Requirement('PyYAML', 'yaml', (5, 3), 6, 'pip install pyyaml'),
)


def check_package() -> Iterator[Finding]:
    """Say which seg_perception this is, and where."""
    folder = Path(seg_perception.__file__).parent
    yield Finding(SECTION, 'seg_perception', OK, f'{seg_perception.__version__}, {folder}')


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Iterator[Finding]:
    """Check Python's version."""
    text = f'{platform.python_version()}, {sys.executable}'
    if version < OLDEST_PYTHON:
        cure = f'use Python {format_version(OLDEST_PYTHON)} or newer'
        yield Finding(SECTION, 'Python', FAIL, text, cure)
    elif version > NEWEST_TESTED_PYTHON:
        tested = f'{format_version(OLDEST_PYTHON)} to {format_version(NEWEST_TESTED_PYTHON)}'
        yield Finding(
            SECTION, 'Python', WARN, f'{text}: not tested', f'if it fails, use Python {tested}'
        )
    else:
        yield Finding(SECTION, 'Python', OK, text)


def check_requirement(requirement: Requirement) -> Iterator[Finding]:
    """Import a package, since one that is there may not fit the others, and look at its version.

    Args:
        requirement: which one.
    """
    name = requirement.name
    try:
        module = import_module(requirement.module)
    except ModuleNotFoundError as error:
        yield Finding(SECTION, name, FAIL, f'not installed ({error})', requirement.install)
        return
    # Numba with a NumPy that is too new, or OpenCV built for another NumPy, raise anything
    except Exception as error:
        text = f'installed, but cannot be imported: {type(error).__name__}: {error}'
        yield Finding(SECTION, name, FAIL, text, requirement.install)
        return
    text = str(module.__version__)
    version = parse_version(text)
    if version < requirement.oldest:
        needed = format_version(requirement.oldest)
        yield Finding(
            SECTION, name, FAIL, f'{text}, expected {needed} or newer', requirement.install
        )
    elif version[0] > requirement.newest_tested:
        yield Finding(
            SECTION,
            name,
            WARN,
            f'{text} is newer than what was tested',
            f'if it fails, install version {requirement.newest_tested}',
        )
    else:
        yield Finding(SECTION, name, OK, text)


def parse_version(text: str) -> tuple[int, int]:
    """Return the first two numbers of a version such as 1.26.4 or 5.0.0-dev."""
    numbers = [int(part) if part.isdigit() else 0 for part in text.split('.')[:2]]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0


def format_version(version: tuple[int, int]) -> str:
    """Return (3, 10) as 3.10."""
    return '.'.join(map(str, version))
