# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reports of a run: aligned text for the terminal and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.evaluation.files import replace_file
from seg_perception.evaluation.metrics.score import MaskScore
from seg_perception.evaluation.reports.pictures import (
    SheetFrame,
    make_contact_sheet,
    write_contact_sheet,
)
from seg_perception.evaluation.reports.tables import (
    format_summary_table,
    format_table,
    print_summary_table,
)
from seg_perception.evaluation.reports.video import OverlayVideo

__all__ = [
    'OverlayVideo',
    'SheetFrame',
    'format_score',
    'format_summary_table',
    'format_table',
    'make_contact_sheet',
    'percentile_ms',
    'print_summary_table',
    'replace_file',
    'write_contact_sheet',
    'write_json',
]


def format_score(score: MaskScore) -> str:
    """Return the per-class table of a score; classes outside the headline are in brackets."""
    if score.miou is None:
        return '  no labelled frame was scored'
    rows = []
    for entry in score.classes:
        value = '-' if entry.iou is None else f'{entry.iou:.3f}'
        name = entry.name if entry.in_headline else f'({entry.name})'
        rows.append((name, value, f'{100 * entry.truth_share:.2f} %'))
    headline = sum(entry.in_headline for entry in score.classes)
    rows.append((f'mean of {headline}', f'{score.miou:.3f}', ''))
    return format_table(rows, ('class', 'IoU', 'of true pixels'))


def percentile_ms(values_ms: Sequence[float], percent: float) -> float | None:
    """Return a percentile of times, None for an empty list."""
    return float(np.percentile(values_ms, percent)) if len(values_ms) else None


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that appears under its name only when whole.

    Raises:
        UserError: The file cannot be written.
        ValueError: A value is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    replace_file(Path(path), lambda temporary: temporary.write_text(text, encoding='utf-8'))
