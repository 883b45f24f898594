# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Tables of a report as HTML; they need no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from seg_perception.evaluation.drives.saved_result import SavedResult

# Headline figures: key, name, digits behind the point, unit, what a high value means.
_SCORES = (
    ('miou', 'mean IoU', 3, ''),
    ('pixel_accuracy', 'pixel accuracy', 3, ''),
    ('boundary_f', 'boundary F', 3, ''),
    ('ece', 'calibration error', 3, ''),
    ('pq', 'PQ', 3, ''),
    ('sq', 'SQ', 3, ''),
    ('rq', 'RQ', 3, ''),
    ('id_switches_per_100', 'ID switches per 100', 2, ''),
    ('temporal_consistency', 'temporal consistency', 3, ''),
    ('latency_p50_ms', 'latency p50', 1, ' ms'),
    ('latency_p95_ms', 'latency p95', 1, ' ms'),
    ('frames_scored', 'frames scored', 0, ''),
    ('frames_in_bag', 'frames in bag', 0, ''),
    ('frames_dropped', 'frames dropped', 0, ''),
    ('frames_unreadable', 'frames unreadable', 0, ''),
    ('seconds', 'duration', 1, ' s'),
    ('seconds_inference', 'of it inference', 1, ' s'),
)
_CLASS_COLUMNS = {
    'per_class_iou': 'IoU',
    'per_class_boundary_f': 'boundary F',
    'per_class_share': 'share of pixels',
    'flicker': 'flicker',
    'pq_per_class': 'PQ',
    'sq_per_class': 'SQ',
    'rq_per_class': 'RQ',
}
# Figures that have their own place in the report.
_SHOWN = (
    'schema', 'setup', 'faults', 'metric_cost_ms', 'timeline', 'confidence_bins',
    'classes_in_headline', *_CLASS_COLUMNS, *(score[0] for score in _SCORES),
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of numbers by class: its header, and values by the class' name."""

    header: str
    values: Mapping[str, float | None]
    is_share: bool = False


def make_cards(figures: Mapping[str, Any]) -> str:
    """Return the headline figures, those that exist."""
    cards = [
        f'<div class="card" data-figure="{key}"><b>{figures[key]:.{digits}f}{unit}</b>'
        f'<span>{name}</span></div>'
        for key, name, digits, unit in _SCORES
        if isinstance(figures.get(key), (int, float))
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def make_class_table(result: SavedResult) -> str:
    """Return a row per class: IoU, boundary F, share of the pixels, flicker, panoptic quality."""
    columns = []
    for key, header in _CLASS_COLUMNS.items():
        values = result.figures.get(key) or {}
        if has_class_names(result.figures, key) and any(map(is_number, values.values())):
            columns.append(Column(header, values, key in ('per_class_share', 'flicker')))
    if not columns:
        return ''
    headline = result.figures.get('classes_in_headline')
    rows = []
    for position, name in enumerate(result.class_names):
        if all(column.values.get(name) is None for column in columns):
            continue
        cells = [_make_class_cell(column.values.get(name), column) for column in columns]
        is_left_out = isinstance(headline, list) and name not in headline
        note = ' <small>not in the mean</small>' if is_left_out else ''
        swatch = f'<i class="swatch" style="background:{find_color(result, position)}"></i>'
        rows.append(
            f'<tr><th data-value="{position}">{swatch}{escape(name)}{note}</th>{"".join(cells)}'
            '</tr>'
        )
    headers = ''.join(f'<th>{column.header}</th>' for column in columns)
    return (
        f'<table id="classes" class="sortable"><thead><tr><th>class</th>{headers}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table>'
    )


def _make_class_cell(value: float | None, column: Column) -> str:
    if not is_number(value):
        return '<td data-value="">–</td>'
    assert value is not None
    text = f'{100 * value:.2f} %' if column.is_share else f'{value:.3f}'
    bar = '' if column.is_share else f' style="--bar:{100 * min(max(value, 0), 1):.1f}%"'
    return f'<td data-value="{value!r}"{bar}>{text}</td>'


def make_confusion_table(counts: np.ndarray, result: SavedResult) -> str:
    """Return the confusion matrix; cells are coloured by their share of the true class.

    Args:
        counts: (C, C + 1) int64 pixels by true and predicted class, the last is no class.
        result: names the classes; those that do not occur are left out.
    """
    num_classes = len(result.class_names)
    totals = counts.sum(axis=1)
    occurs = np.flatnonzero(totals + counts[:, :num_classes].sum(axis=0))
    if not totals.any():
        return ''
    columns = [*occurs.tolist(), *([num_classes] if counts[:, num_classes].any() else [])]
    names = [*map(escape, result.class_names), 'no class']
    heads = ''.join(f'<th><span>{names[column]}</span></th>' for column in columns)
    rows = []
    for true in occurs:
        cells = []
        for column in columns:
            pixels = int(counts[true, column])
            if not pixels:
                cells.append('<td></td>')
                continue
            share = pixels / totals[true]
            title = f'{names[true]} as {names[column]}: {100 * share:.2f} %, {pixels} pixels'
            kind = 'right' if column == true else 'wrong'
            text = f'{100 * share:.0f}' if share >= 0.005 else ''
            cells.append(
                f'<td class="{kind}" style="--share:{share:.4f}" title="{title}">{text}</td>'
            )
        rows.append(f'<tr><th>{names[true]}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table id="confusion"><thead><tr><th></th>{heads}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>'
    )


def make_other_tables(figures: Mapping[str, Any]) -> str:
    """Return what has no place of its own, such as IoU by category, by distance, occupancy."""
    left = {
        key.replace('_', ' '): value
        for key, value in figures.items()
        if value is not None and value != {} and value != []
        and (key not in _SHOWN or key in _CLASS_COLUMNS and not has_class_names(figures, key))
    }
    tables = {name: _list_cells(value) for name, value in left.items() if isinstance(value, dict)}
    numbers = {name: value for name, value in left.items() if name not in tables}
    if numbers:
        tables['single figures'] = _list_cells(numbers)
    divisions = [
        f'<div><h3>{escape(name)}</h3>{make_rows(rows)}</div>' for name, rows in tables.items()
    ]
    return f'<div class="columns">{"".join(divisions)}</div>' if divisions else ''


def _list_cells(value: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a figure's rows: numbers by name, with a column for each second name."""
    # a number by one name stands in a column without a head
    lines = {
        str(name): entry if isinstance(entry, dict) else {'': entry}
        for name, entry in value.items()
    }
    heads = list(dict.fromkeys(head for line in lines.values() for head in line))
    rows = [
        (name, *(format_cell(line[head]) if head in line else '' for head in heads))
        for name, line in lines.items()
    ]
    return rows if heads == [''] else [('', *map(str, heads)), *rows]


def make_setup_table(figures: Mapping[str, Any]) -> str:
    """Return what was evaluated, how, where, and what each metric cost."""
    setup = {k: v for k, v in figures['setup'].items() if k not in ('palette', 'class_names')}
    machine = setup.pop('machine', None) or {}
    rows = [(key.replace('_', ' '), format_cell(value)) for key, value in setup.items()]
    rows += [(key.replace('_', ' '), format_cell(value)) for key, value in machine.items()]
    costs = figures.get('metric_cost_ms') or {}
    if costs:
        text = ', '.join(f'{name} {format_cell(value)} ms' for name, value in costs.items())
        rows.append(('metrics, per frame', text))
    return make_rows(rows)


def make_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, the first of each row its header; everything is escaped."""
    lines = [
        f'<tr><th>{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}'
        '</tr>'
        for row in rows
    ]
    return f'<table class="plain"><tbody>{"".join(lines)}</tbody></table>'


def format_cell(value: Any) -> str:
    """Return a JSON value as a person reads it."""
    if value is None:
        return '–'
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, dict):
        return ', '.join(f'{key} {format_cell(entry)}' for key, entry in value.items())
    if isinstance(value, list):
        return ', '.join(map(format_cell, value))
    return str(value)


def find_color(result: SavedResult, class_id: int) -> str:
    """Return the CSS colour of a class, grey where the result has none."""
    palette = result.figures['setup'].get('palette') or []
    if class_id < len(palette):
        channels = [int(channel) & 255 for channel in palette[class_id]]
        return f'#{channels[0]:02x}{channels[1]:02x}{channels[2]:02x}'
    return '#808080'


def has_class_names(figures: Mapping[str, Any], key: str) -> bool:
    """Tell whether a figure has numbers by the classes that are scored.

    Flicker is by the model's classes, which are others where the labels are coarser.
    """
    values = figures.get(key)
    return isinstance(values, dict) and set(values) <= set(figures['setup']['class_names'])


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
