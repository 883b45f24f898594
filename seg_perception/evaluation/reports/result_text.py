# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The result of an evaluation as text for a terminal."""

from __future__ import annotations

from typing import Any

from seg_perception.evaluation.reports.tables import format_summary_table, format_table

_FAULTS_SHOWN = 5


def format_result(result: dict[str, Any]) -> str:
    """Return headline, classes and faults as aligned text."""
    setup = result['setup']
    counts = f'{result["frames_in_bag"]} in the recordings, {result["frames_scored"]} scored'
    for status in ('dropped', 'unreadable', 'mismatched'):
        if result[f'frames_{status}']:
            counts += f', {result[f"frames_{status}"]} {status}'
    entries: dict[str, Any] = {
        'model': setup['model'],
        'engine': setup['engine'],
        'images': counts,
        'mean IoU': result['miou'],
        'pixel accuracy': result['pixel_accuracy'],
        'boundary F': result.get('boundary_f'),
        'calibration error': result.get('ece'),
        'panoptic quality': _format_panoptic(result),
        'ID switches': _format_switches(result),
        'temporal consistency': result.get('temporal_consistency'),
        'latency p50': _format_ms(result['latency_p50_ms']),
        'latency p95': _format_ms(result['latency_p95_ms']),
        'stages p50': _format_times(result['stages_p50_ms']),
        'metrics p50': _format_times(result['metric_cost_ms']),
        'seconds': f'{result["seconds"]:.1f}'
        + (
            f', {result["seconds_inference"]:.1f} of them inference'
            if result['seconds_inference']
            else ''
        ),
    }
    title = f'{", ".join(setup["bags"])}  {setup["mode"]}'
    parts = [format_summary_table(title, {k: v for k, v in entries.items() if v is not None})]
    parts += [f'  fault: {fault}' for fault in result['faults'][:_FAULTS_SHOWN]]
    if len(result['faults']) > _FAULTS_SHOWN:
        parts.append(f'  and {len(result["faults"]) - _FAULTS_SHOWN} more')
    if result['frames_scored'] and (result['per_class_iou'] or result.get('pq_per_class')):
        parts.append(format_classes(result))
    return '\n'.join(parts)


def format_classes(result: dict[str, Any]) -> str:
    """Return the table of classes; those outside the mean IoU are in brackets."""
    headline = result.get('classes_in_headline', [])
    iou, boundary = result['per_class_iou'] or {}, result.get('per_class_boundary_f') or {}
    quality = result.get('pq_per_class') or {} if result.get('pq') is not None else {}
    shares = result.get('per_class_share') or {}
    rows = []
    for name in iou or quality:
        cells = [_format_share(iou.get(name)), _format_share(boundary.get(name))]
        cells += [_format_share(quality.get(name))] if quality else []
        cells.append(f'{100 * shares[name]:.2f} %' if name in shares else '-')
        rows.append((name if name in headline or not iou else f'({name})', *cells))
    # PQ is a mean of other classes: all that occur
    means = [_format_share(result['miou']), _format_share(result.get('boundary_f'))]
    means += [''] if quality else []
    rows += [(f'mean of {len(headline)}', *means, '')] if iou else []
    headers = ['class', 'IoU', 'boundary F', *(['PQ'] if quality else []), 'of true pixels']
    return format_table(rows, headers)


def _format_panoptic(result: dict[str, Any]) -> str | None:
    if result.get('pq') is None:
        return None
    return f'{result["pq"]:.3f}, SQ {result["sq"]:.3f}, RQ {result["rq"]:.3f}'


def _format_switches(result: dict[str, Any]) -> str | None:
    switches = result.get('id_switches_per_100')
    if switches is None:
        return None
    return f'{switches:.2f} per 100, objects found {result["instance_frames"]} times'


def _format_share(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _format_ms(value: float | None) -> str | None:
    return None if value is None else f'{value:.1f} ms'


def _format_times(times_ms: dict[str, float | None]) -> str | None:
    shown = [f'{name} {value:.1f} ms' for name, value in times_ms.items() if value is not None]
    return ', '.join(shown) or None
