# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rounds of a benchmark with known times."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg_perception.evaluation.benchmarks.benchmark_figures import (
    BENCHMARK_FORMAT,
    STAGES,
    summarize_overload,
    summarize_rounds,
    summarize_stages,
    summarize_unthrottled,
    summarize_use,
)
from seg_perception.evaluation.benchmarks.benchmark_samples import CameraReport, Round

# What the node reports of each stage: medians; p95 and p99 are 2 and 3 times as long.
STAGE_MS = dict(zip((*STAGES, 'total'), (0.3, 0.1, 90.0, 2.0, 1.0, 94.0), strict=True))
# The time of the bare engine beside them.
BARE_MS = 95.0


def make_report(
    latencies_ms: list[float], masks_per_s: float = 10.0, slowness: float = 1.0
) -> CameraReport:
    """Return a report with these latencies; the node's stages take `slowness` times as long."""
    node = {
        f'{stage} p{percent} (ms)': f'{factor * slowness * time_ms:.4f}'
        for stage, time_ms in STAGE_MS.items()
        for percent, factor in ((50, 1), (95, 2), (99, 3))
    }
    return CameraReport(
        latencies_ms=latencies_ms,
        published=len(latencies_ms) + 1,
        received=len(latencies_ms),
        masks_per_s=masks_per_s,
        images_per_s=40.0,
        cpu_percent=110.0,
        cpu_ms_per_mask=200.0,
        resident_mb=500.0,
        node={'backend': 'openvino', **node},
    )


def make_round(e2e_ms: float, bare_ms: float, eager_ms: float) -> Round:
    """Return a round with these medians; the times lie 1 ms around them."""
    around = [-1.0, 0.0, 1.0]
    return Round(
        e2e=make_report([e2e_ms + offset for offset in around], slowness=bare_ms / BARE_MS),
        bare_ms=[bare_ms + offset for offset in around],
        eager_ms=[eager_ms + offset for offset in around],
        unthrottled=make_report([e2e_ms] * 3, masks_per_s=1e3 / bare_ms),
        overload=make_report(list(np.linspace(100.0, 200.0, 21))),
    )


def make_figures(rounds: list[Round], **changes: Any) -> dict[str, Any]:
    """Return the figures of a run with these rounds, as the command writes them."""
    figures: dict[str, Any] = {}
    by_round: dict[str, list[float]] = {}
    reports = [entry.e2e for entry in rounds]
    overload = [entry.overload for entry in rounds if entry.overload]
    for found, found_by_round in (
        summarize_rounds(rounds),
        summarize_stages(rounds),
        summarize_use(reports),
        summarize_unthrottled([entry.unthrottled for entry in rounds if entry.unthrottled]),
        summarize_overload(overload, [100.0] * len(overload)),
    ):
        figures |= found
        by_round |= found_by_round
    machine = {
        'cpu': 'a processor',
        'cores': 2,
        'load': 0.1,
        'system': 'Linux',
        'python': '3.11',
        'libraries': {'torch': '2.13'},
        'date': '2026-01-31T12:00:00+00:00',
    }
    return {
        'benchmark_format': BENCHMARK_FORMAT,
        'size': '512x1024',
        'camera': '512x1024',
        'model': 'street',
        'engine': 'OpenVINO on a processor, f32; as configured',
        'backend': 'openvino',
        'precision': 'f32',
        'threads': 2,
        'camera_rate_hz': 5.0,
        **figures,
        'rounds': by_round,
        'notes': [],
        'machine': machine,
        **changes,
    }


def make_run(
    e2e_ms: float = 100.0, bare_ms: float = BARE_MS, eager_ms: float = 600.0, **changes: Any
) -> dict[str, Any]:
    """Return the figures of a run of three rounds that vary by 2 % around these medians."""
    factors = (0.99, 1.0, 1.01)
    rounds = [make_round(e2e_ms * f, bare_ms * f, eager_ms * f) for f in factors]
    return make_figures(rounds, **changes)
