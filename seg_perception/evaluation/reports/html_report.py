# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: one HTML file that needs nothing else, and its numbers.

Tables and plots are made here and need no script; `report_page/report.js` sorts, and moves through
the drive. Everything that comes from outside is escaped, and the page's policy lets it load
nothing.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import numpy as np

from seg_perception.evaluation.drives.frame_record import (
    DROPPED,
    MISMATCHED,
    UNREADABLE,
    FrameRecord,
)
from seg_perception.evaluation.drives.saved_result import (
    SavedResult,
    count_confidence,
    parse_result,
    sum_confusion,
)
from seg_perception.evaluation.files import replace_file
from seg_perception.evaluation.reports.report_charts import (
    Series,
    draw_histogram,
    draw_reliability,
    draw_timeline,
)
from seg_perception.evaluation.reports.report_drive import (
    Drive,
    DrivePicture,
    encode_pictures,
    format_data,
    line_up,
)
from seg_perception.evaluation.reports.report_frames import ReportFrame
from seg_perception.evaluation.reports.report_tables import (
    make_cards,
    make_class_table,
    make_confusion_table,
    make_other_tables,
    make_rows,
    make_setup_table,
)

REPORT_NAME = 'report.html'
_LOST = (DROPPED, UNREADABLE, MISMATCHED)


def write_report(
    folder: Path, result: Mapping[str, Any], pictures: Sequence[ReportFrame]
) -> Path:
    """Write report.html, frames.jsonl (the records) and summary.json (all but the records).

    Args:
        folder: made where it is not there.
        result: as in the result file.
        pictures: frames to show, in any order, such as those of `choose_spaced` and
            `choose_worst`: 60 of them on the way through the drive, the worst ones in large.

    Returns:
        Path of the HTML file.

    Raises:
        UserError: the folder cannot be written, or the result is damaged.
    """
    saved = parse_result(result, 'the result')
    drive = line_up(saved)
    spaced, worst = encode_pictures(saved, drive, pictures)
    page = make_page(saved, drive, spaced, worst)
    summary = {
        **saved.figures,
        'bags': [{'bag': bag.path, 'records': len(bag.records)} for bag in saved.bags],
    }
    path = folder / REPORT_NAME
    _write_text(folder / 'frames.jsonl', format_records(saved))
    _write_text(folder / 'summary.json', json.dumps(summary, indent=2, allow_nan=False) + '\n')
    _write_text(path, page)
    return path


def make_page(
    result: SavedResult,
    drive: Drive,
    spaced: Sequence[DrivePicture],
    worst: Sequence[DrivePicture],
) -> str:
    """Return the report as the text of an HTML file."""
    files = importlib.resources.files('seg_perception') / 'evaluation' / 'reports' / 'report_page'
    names = [PurePosixPath(bag.path).name for bag in result.bags]
    setup = result.setup
    title = ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
    about = [setup.get(key) for key in ('model', 'engine', 'mode')]
    return Template((files / 'page.html').read_text(encoding='utf-8')).substitute(
        title=escape(title),
        about=escape(' · '.join(str(value) for value in about if value)),
        style=(files / 'style.css').read_text(encoding='utf-8'),
        script=(files / 'report.js').read_text(encoding='utf-8'),
        data=format_data(drive, spaced),
        cards=make_cards(result.figures),
        faults=make_faults(result.figures),
        drive=make_drive(result, drive, spaced),
        classes=make_classes(result, drive),
        times=make_distributions(result, drive),
        worst=make_worst(result, drive, worst),
        others=_make_section('Other figures', make_other_tables(result.figures)),
        setup=_make_section('Setup', make_setup_table(result.figures)),
    )


def make_faults(figures: Mapping[str, Any]) -> str:
    """Return what went wrong, '' for nothing."""
    faults = [str(fault) for fault in figures.get('faults') or ()]
    items = ''.join(f'<li>{escape(fault)}</li>' for fault in faults)
    return _make_section('Faults', f'<ul class="faults">{items}</ul>' if items else '')


def make_drive(result: SavedResult, drive: Drive, spaced: Sequence[DrivePicture]) -> str:
    """Return the way through the drive, and its scores and latencies over time."""
    if not drive.records:
        return ''
    parts = [_make_scrubber(spaced)] if spaced else []
    marks = {
        status: drive.times_s[[record.status == status for record in drive.records]]
        for status in _LOST
    }
    legend = ''.join(
        f'<span class="key {name}">{name} ({len(times)})</span>'
        for name, times in marks.items()
        if len(times)
    )
    scores = drive.scores
    if np.isfinite(scores.accuracy).any():
        lines = [Series('accuracy', scores.accuracy), Series('miou', scores.miou)]
        plot = draw_timeline(drive.times_s, lines, (0.0, 1.0), 'Scores of each frame', marks)
        keys = '<span class="key accuracy">pixel accuracy</span><span class="key miou">mIoU</span>'
        parts.append(f'<h3>Scores of each frame {keys}{legend}</h3>{plot}')
    latencies_ms = drive.latencies_ms
    if np.isfinite(latencies_ms).any():
        high_ms = 1.1 * float(np.nanmax(latencies_ms))
        lines = [Series('latency', latencies_ms)]
        plot = draw_timeline(
            drive.times_s, lines, (0.0, high_ms), 'Latency of each frame', marks, ' ms'
        )
        parts.append(f'<h3>Latency of each frame {legend}</h3>{plot}')
    parts.append('<p id="readout" class="quiet"></p>')
    parts += _make_load(result.figures.get('timeline') or [])
    return _make_section('Drive', ''.join(parts))


def _make_scrubber(spaced: Sequence[DrivePicture]) -> str:
    kinds = [kind for kind in ('image', 'overlay', 'truth', 'error')
             if any(kind in picture.tiles for picture in spaced)]  # fmt: skip
    tiles = ''.join(
        f'<figure><img data-tile="{kind}" alt="{kind}"><figcaption>{kind}</figcaption></figure>'
        for kind in kinds
    )
    return (
        f'<div id="scrubber" hidden><div class="tiles">{tiles}</div>'
        f'<input id="slider" type="range" min="0" max="{len(spaced) - 1}" value="0" '
        'aria-label="frame of the drive"><p id="caption"></p></div>'
    )


def _make_load(points: Sequence[Mapping[str, float]]) -> list[str]:
    """Return processor and memory over the time of a live run."""
    if len(points) < 2:
        return []
    times_s = np.array([point['t_s'] for point in points], np.float64)
    parts = []
    for key, label, unit in (
        ('cpu_percent', 'Processor', ' %'),
        ('rss_mb', 'Memory', ' MB'),
    ):
        values = np.array([point.get(key, np.nan) for point in points], np.float64)
        if np.isfinite(values).any():
            high = max(1.0, 1.1 * float(np.nanmax(values)))
            plot = draw_timeline(times_s, [Series(key, values)], (0.0, high), label, y_unit=unit)
            parts.append(f'<div class="load"><h3>{label} of the node</h3>{plot}</div>')
    return parts


def make_classes(result: SavedResult, drive: Drive) -> str:
    """Return the table of the classes and the confusion matrix."""
    counts = sum_confusion(drive.records, len(result.class_names))
    confusion = make_confusion_table(counts, result)
    heading = (
        '<h3>Confusion</h3><p class="quiet">Rows are true classes, columns what was predicted; '
        'percent of the row. Numbers of pixels when the mouse rests on a cell.</p>'
    )
    table = make_class_table(result)
    content = f'<div>{table}</div>' if table else ''
    content += f'<div>{heading}{confusion}</div>' if confusion else ''
    return _make_section('Classes', f'<div class="tables">{content}</div>' if content else '')


def make_distributions(result: SavedResult, drive: Drive) -> str:
    """Return how latencies are distributed, and whether the confidence is honest."""
    parts = []
    if np.isfinite(drive.latencies_ms).any():
        figures = result.figures
        marks = {'p50': figures.get('latency_p50_ms'), 'p95': figures.get('latency_p95_ms')}
        histogram = draw_histogram(drive.latencies_ms, marks)
        parts.append(f'<div><h3>Latencies, frames by ms</h3>{histogram}</div>')
    pixels, confidence, right = count_confidence(drive.records).sum(axis=0)
    if pixels.any():
        plot = draw_reliability(pixels, confidence, right)
        parts.append(
            f'<div><h3>Share of right pixels by confidence</h3>{plot}<p class="quiet">Bars on the '
            'diagonal are honest; orange is the gap that the calibration error counts.</p></div>'
        )
    content = f'<div class="columns">{"".join(parts)}</div>' if parts else ''
    return _make_section('Distributions', content)


def make_worst(result: SavedResult, drive: Drive, worst: Sequence[DrivePicture]) -> str:
    """Return the frames of lowest mIoU with their pictures and what was taken for what."""
    items = []
    for picture in worst:
        record = drive.records[picture.position]
        figures = ''.join(
            f'<figure><img src="{uri}" alt="{kind}" loading="lazy"><figcaption>{kind}</figcaption>'
            '</figure>'
            for kind, uri in picture.tiles.items()
        )
        place = f'{drive.bags[picture.position]}, image {record.index + 1}'
        rows = [
            (place, f'{drive.times_s[picture.position]:.2f} s'),
            ('mIoU', f'{drive.scores.miou[picture.position]:.3f}'),
            ('pixel accuracy', f'{drive.scores.accuracy[picture.position]:.3f}'),
            *list_confusions(record, result.class_names),
        ]
        items.append(f'<article>{make_rows(rows)}<div class="tiles">{figures}</div></article>')
    return _make_section('Worst frames', ''.join(items))


def list_confusions(record: FrameRecord, class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which classes a frame took for which others, the three of most pixels."""
    names = [*class_names, 'no class']
    total = sum(row[2] for row in record.metrics.get('confusion', ()))
    wrong = [row for row in record.metrics.get('confusion', ()) if row[0] != row[1]]
    wrong.sort(key=lambda row: -row[2])
    return [
        (f'{names[int(true)]} as {names[int(predicted)]}', f'{100 * pixels / total:.2f} %')
        for true, predicted, pixels in wrong[:3]
    ]


def format_records(result: SavedResult) -> str:
    """Return the records of all recordings as JSON lines, each with the name of its recording."""
    return ''.join(
        json.dumps({'bag': bag.path, **record.to_json()}, separators=(',', ':')) + '\n'
        for bag in result.bags
        for record in bag.records
    )


def _make_section(title: str, content: str) -> str:
    return f'<section><h2>{title}</h2>{content}</section>' if content else ''


def _write_text(path: Path, text: str) -> None:
    replace_file(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))
