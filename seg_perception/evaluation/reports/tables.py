# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Aligned plain text for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TextIO


def format_table(
    rows: Sequence[Sequence[str]],
    headers: Sequence[str] = (),
    align: str = '',
    indent: str = '  ',
) -> str:
    """Return rows as aligned columns.

    Args:
        rows: Cells, each row as long as the others.
        headers: Cells above; none when empty.
        align: 'l' or 'r' per column; '' is the first to the left and the others to the right.
        indent: What every line begins with.

    >>> print(format_table([('road', '0.97'), ('pole', '0.4')], ('class', 'IoU')))
      class   IoU
      road   0.97
      pole    0.4
    """
    lines = [list(headers), *map(list, rows)] if headers else [list(row) for row in rows]
    if not lines:
        return ''
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    align = align or 'l' + 'r' * (len(widths) - 1)
    return '\n'.join(
        indent
        + '  '.join(
            cell.ljust(width) if side == 'l' else cell.rjust(width)
            for cell, width, side in zip(line, widths, align, strict=True)
        ).rstrip()
        for line in lines
    )


def format_summary_table(title: str, entries: Mapping[str, object]) -> str:
    """Return a title and one `name   value` line per entry, values to the left.

    Floats are shown with three significant digits, None as a dash.
    """
    width = max((len(name) for name in entries), default=0)
    lines = [f'  {name.ljust(width)}  {format_value(value)}' for name, value in entries.items()]
    return '\n'.join([title, *lines])


def print_summary_table(
    title: str, entries: Mapping[str, object], stream: TextIO | None = None
) -> None:
    """Print format_summary_table to a stream, standard output by default."""
    print(format_summary_table(title, entries), file=stream or sys.stdout)


def format_value(value: object) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return '-'
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'
    return str(value)
