# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A comparison of two evaluations as aligned text."""

from __future__ import annotations

from seg_perception.evaluation.drives.compare import SWITCHES, Comparison, Difference
from seg_perception.evaluation.drives.resampled_scores import PERCENTILES
from seg_perception.evaluation.reports.tables import format_table, format_value


def format_comparison(comparison: Comparison) -> str:
    """Return notes, the differences with their intervals, the other figures, regressions."""
    parts = [f'A  {comparison.names[0]}', f'B  {comparison.names[1]}', *comparison.notes]
    rows = [
        _format_row(entry)
        for entry in comparison.differences
        if entry.a is not None or entry.b is not None
    ]
    if rows:
        headers = ('figure', 'A', 'B', 'B - A', '95 % interval', '')
        parts += ['', format_table(rows, headers, 'lrrrrl')]
    changed = [entry for entry in comparison.others if entry.a != entry.b]
    if changed:
        others = [
            (entry.name, format_value(entry.a), format_value(entry.b), _format_plain(entry.change))
            for entry in changed
        ]
        parts += ['', format_table(others, ('of all frames of each', 'A', 'B', 'B - A'))]
    parts += ['', *(describe_regression(entry) for entry in comparison.regressions)]
    if not comparison.regressions:
        parts.append('no regression')
    return '\n'.join(parts)


def describe_regression(entry: Difference) -> str:
    """Return one line that says what became worse and what was let pass."""
    _, a, b, change, interval, _ = _format_row(entry)
    unit = 'ms' if entry.name in PERCENTILES else 'points'
    limit = _scale(entry, entry.limit or 0.0)
    return (
        f'regression: {entry.name} {a} -> {b}, {change} (95 % interval {interval}; '
        f'{limit:.2f} {unit} worse are let pass)'
    )


def _format_row(entry: Difference) -> tuple[str, ...]:
    """Scores as they are and their difference in points of 100; latencies in ms; rates as is."""
    is_time = entry.name in PERCENTILES
    value = '{:.1f} ms' if is_time else '{:.4f}'
    change = '-'
    if entry.change is not None:
        unit = {SWITCHES: ''}.get(entry.name, ' ms' if is_time else ' points')
        change = f'{_scale(entry, entry.change):+.2f}{unit}'
        if is_time and entry.a:
            change += f' ({100 * entry.change / entry.a:+.1f} %)'
    interval = '-'
    if entry.interval is not None:
        low, high = (_scale(entry, bound) for bound in entry.interval)
        interval = f'{low:+.2f} to {high:+.2f}'
    a, b = ('-' if side is None else value.format(side) for side in (entry.a, entry.b))
    return entry.name, a, b, change, interval, entry.verdict


def _scale(entry: Difference, value: float) -> float:
    return value if entry.name in PERCENTILES or entry.name == SWITCHES else 100 * value


def _format_plain(change: float | None) -> str:
    return '-' if change is None else f'{change:+.4g}'
