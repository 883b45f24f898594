# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The result of an evaluation: figures of all records, and the records themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.drive_judge import make_metrics
from seg_perception.evaluation.drives.evaluate import DriveEvaluation
from seg_perception.evaluation.drives.frame_record import (
    DROPPED,
    MISMATCHED,
    SCORED,
    UNREADABLE,
    FrameRecord,
)
from seg_perception.evaluation.drives.saved_result import SCHEMA
from seg_perception.evaluation.reports.report import percentile_ms
from seg_perception.perception.labels import LabelSpace

# Every result has these, None where there is nothing to make them of.
FIGURES = (
    'miou', 'per_class_iou', 'category_iou', 'pixel_accuracy', 'boundary_f', 'ece', 'pq',
    'pq_per_class', 'sq', 'rq', 'id_switches_per_100', 'temporal_consistency', 'latency_p50_ms',
    'latency_p95_ms')  # fmt: skip


def build_result(
    drives: Sequence[DriveEvaluation],
    metric_names: Sequence[str],
    setup: dict[str, Any],
    timeline: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the result of one or more recordings as JSON values.

    Args:
        drives: what came of each.
        metric_names: that were measured.
        setup: model, engine and so on, as it shall be in the result.
        timeline: use of processor and memory over the time, live mode only.

    Raises:
        UserError: the recordings' labels are of different label spaces.
    """
    label_space = find_common_space(drives)
    records = [record for drive in drives for record in drive.records]
    result: dict[str, Any] = {'schema': SCHEMA, **dict.fromkeys(FIGURES)}
    result |= summarize_records(
        records, metric_names, label_space, drives[0].model_space
    )
    result |= summarize_times(drives, records)
    palette = label_space.palette_array('rgb')[: label_space.num_classes]
    result['setup'] = setup | {
        'bags': [str(drive.bag) for drive in drives],
        'image_topics': [drive.image_topic for drive in drives],
        'label_space': label_space.name,
        'class_names': list(label_space.class_names),
        'palette': palette.tolist(),
        'metrics': list(metric_names),
    }
    result['faults'] = [
        f'{drive.bag}: {fault}' if len(drives) > 1 else fault
        for drive in drives
        for fault in drive.faults
    ]
    if timeline:
        result['timeline'] = list(timeline)
    result['bags'] = [
        {'bag': str(drive.bag), 'frames': [record.to_json() for record in drive.records]}
        for drive in drives
    ]
    return result


def find_common_space(drives: Sequence[DriveEvaluation]) -> LabelSpace:
    """Return the label space of all recordings; UserError where they differ."""
    first = drives[0].label_space
    for drive in drives[1:]:
        if drive.label_space.class_names != first.class_names:
            raise UserError(
                f'the labels of {drives[0].bag} are {first.name}, those of {drive.bag} '
                f'{drive.label_space.name}; evaluate them one by one'
            )
    return first


def summarize_records(
    records: Sequence[FrameRecord],
    metric_names: Sequence[str],
    label_space: LabelSpace,
    model_space: LabelSpace,
) -> dict[str, Any]:
    """Return the figures of the metrics over any set of records, in any order."""
    figures: dict[str, Any] = {}
    for metric in make_metrics(metric_names, label_space, model_space):
        rows = [record.metrics[metric.name] for record in records if metric.name in record.metrics]
        figures |= metric.summarize(rows)
    return figures


def summarize_times(
    drives: Sequence[DriveEvaluation], records: Sequence[FrameRecord]
) -> dict[str, Any]:
    """Return counts of frames, and times; latency is from bytes to mask where nothing was live."""
    latencies_ms = [
        record.times_ms.get('latency', record.times_ms.get('total', 0.0))
        for record in records
        if record.times_ms
    ]
    stages = sorted({stage for record in records for stage in record.times_ms})
    costs_ms: dict[str, list[float]] = {}
    for drive in drives:
        for name, values in drive.costs_ms.items():
            costs_ms.setdefault(name, []).extend(values)
    count = dict.fromkeys((SCORED, DROPPED, UNREADABLE, MISMATCHED), 0)
    for record in records:
        count[record.status] = count.get(record.status, 0) + 1
    inference = [drive.seconds_inference for drive in drives if drive.seconds_inference]
    return {
        'latency_p50_ms': percentile_ms(latencies_ms, 50),
        'latency_p95_ms': percentile_ms(latencies_ms, 95),
        'stages_p50_ms': {stage: _median(records, stage) for stage in stages},
        'metric_cost_ms': {
            name: float(np.median(values)) for name, values in costs_ms.items() if values
        },
        'frames_in_bag': sum(drive.frames_in_bag for drive in drives),
        'frames_scored': count[SCORED],
        'frames_dropped': count[DROPPED],
        'frames_unreadable': count[UNREADABLE],
        'frames_mismatched': count[MISMATCHED],
        'frames_segmented': sum(1 for record in records if record.times_ms),
        'frames_taken_up': sum(drive.taken_up for drive in drives),
        'seconds': sum(drive.seconds for drive in drives),
        'seconds_inference': sum(inference) if inference else None,
    }


def _median(records: Sequence[FrameRecord], stage: str) -> float | None:
    values = [record.times_ms[stage] for record in records if stage in record.times_ms]
    return percentile_ms(values, 50)
