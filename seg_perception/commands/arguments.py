# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Argument types and checks that several commands share."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Iterable

from seg_perception.errors import UserError


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) in px of a text such as 512x1024.

    Raises:
        argparse.ArgumentTypeError: Not two positive whole numbers, or above 16384.
    """
    match = re.fullmatch(r'(\d{1,5})[xX](\d{1,5})', text)
    height_px, width_px = (int(part) for part in match.groups()) if match else (0, 0)
    if not (1 <= height_px <= 16384 and 1 <= width_px <= 16384):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no size; expected HEIGHTxWIDTH in px, such as 512x1024'
        )
    return height_px, width_px


def require_packages(extra: str, *modules: str) -> None:
    """Raise UserError when a module of an optional part of the installation is missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'this needs {", ".join(missing)}, not installed here; '
            f'pip install "seg_perception[{extra}]"'
        )


def show_progress(items: Iterable, name: str, total: int, unit: str) -> Iterable:
    """Wrap an iterable in a progress bar, which is drawn on a terminal and not into a log."""
    from tqdm import tqdm

    return tqdm(items, name, total, unit=unit, disable=None)
