# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The figures of a benchmark: percentiles over all frames, and medians by round for their noise.

Figures are a flat mapping from name to number; their medians by round are kept under the same
names, so that a later run can tell a change from noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seg_perception.evaluation.benchmarks.benchmark_samples import CameraReport, Round

BENCHMARK_FORMAT = 1
# Stages as the node names them on /diagnostics, in the order in which a frame meets them.
STAGES = ('queue', 'read', 'inference', 'decode', 'publish')
PERCENTILES = (50, 95, 99)
ROUNDS_OF_TURNS = 4

Figures = dict[str, Any]
RoundFigures = dict[str, list[float]]


def summarize_rounds(rounds: Sequence[Round], suffix: str = '') -> tuple[Figures, RoundFigures]:
    """Return figures and medians by round of node, bare engine and reference chain.

    Args:
        rounds: at least one.
        suffix: appended to all names, e.g. '_camera_1024x2048'.

    """
    figures: Figures = {
        'published': sum(entry.e2e.published for entry in rounds),
        'received': sum(entry.e2e.received for entry in rounds),
    }
    times_ms = {
        'e2e': [entry.e2e.latencies_ms for entry in rounds],
        'bare': [entry.bare_ms for entry in rounds],
        'eager': [entry.eager_ms for entry in rounds],
    }
    by_round: RoundFigures = {}
    for name, lists_ms in times_ms.items():
        if not all(lists_ms):
            continue
        figures |= list_percentiles(name, np.concatenate(lists_ms))
        by_round[f'{name}_p50_ms'] = [float(np.median(values)) for values in lists_ms]
    add_ratio(figures, by_round, 'e2e_vs_bare', 'e2e_p50_ms', 'bare_p50_ms')
    if 'eager_p50_ms' in figures:
        add_ratio(figures, by_round, 'eager_vs_e2e', 'eager_p50_ms', 'e2e_p50_ms')
        add_ratio(figures, by_round, 'eager_vs_bare', 'eager_p50_ms', 'bare_p50_ms')
    return (
        {name + suffix: value for name, value in figures.items()},
        {name + suffix: value for name, value in by_round.items()},
    )


def list_percentiles(name: str, values_ms: Sequence[float] | np.ndarray) -> Figures:
    """Return '<name>_p50_ms' and so on of some times."""
    found = np.percentile(values_ms, PERCENTILES)
    return {
        f'{name}_p{percent}_ms': float(value)
        for percent, value in zip(PERCENTILES, found, strict=True)
    }


def add_ratio(
    figures: Figures, by_round: RoundFigures, name: str, numerator: str, denominator: str
) -> None:
    """Add the ratio of two figures that are there, and that of each round."""
    figures[name] = figures[numerator] / figures[denominator]
    pairs = zip(by_round[numerator], by_round[denominator], strict=True)
    by_round[name] = [above / below for above, below in pairs]


def summarize_stages(rounds: Sequence[Round]) -> tuple[Figures, RoundFigures]:
    """Return the node's own times by stage: medians over the rounds of each round's percentile.

    'transport' is the rest of the way from publish() to the mask's callback: DDS and executors,
    both ways. 'e2e_vs_inference' is end to end by the inference of the same frames: what the
    message path adds, even where the machine's speed changes between node and bare engine.
    """
    figures: Figures = {}
    by_round: RoundFigures = {}
    for stage in (*STAGES, 'total'):
        for percent in PERCENTILES:
            key = f'{stage} p{percent} (ms)'
            values = [float(entry.e2e.node[key]) for entry in rounds]
            figures[f'node_{stage}_p{percent}_ms'] = float(np.median(values))
            if percent == 50:
                by_round[f'node_{stage}_p50_ms'] = values
    by_round['transport_p50_ms'] = [
        float(np.median(entry.e2e.latencies_ms))
        - sum(by_round[f'node_{stage}_p50_ms'][index] for stage in STAGES)
        for index, entry in enumerate(rounds)
    ]
    by_round['e2e_vs_inference'] = [
        float(np.median(entry.e2e.latencies_ms)) / inference_ms
        for entry, inference_ms in zip(rounds, by_round['node_inference_p50_ms'], strict=True)
    ]
    for name in ('transport_p50_ms', 'e2e_vs_inference'):
        figures[name] = float(np.median(by_round[name]))
    return figures, by_round


def summarize_use(reports: Sequence[CameraReport]) -> tuple[Figures, RoundFigures]:
    """Return the node's use of processor and memory; nothing where the system does not tell."""
    figures: Figures = {}
    by_round: RoundFigures = {}
    names = {
        'cpu_percent': 'cpu_percent',
        'cpu_ms_per_mask': 'cpu_ms_per_mask',
        'rss_mb': 'resident_mb',
    }
    for name, attribute in names.items():
        values = [getattr(report, attribute) for report in reports]
        if None in values:
            continue
        by_round[name] = values
        # memory: what it holds in the end
        figures[name] = values[-1] if name == 'rss_mb' else float(np.median(values))
    return figures, by_round


def summarize_unthrottled(reports: Sequence[CameraReport]) -> tuple[Figures, RoundFigures]:
    """Return how many masks per second the node makes when the next image always waits."""
    rates = [report.masks_per_s for report in reports]
    return {'fps': float(np.median(rates))}, {'fps': rates}


def summarize_overload(
    reports: Sequence[CameraReport], inference_ms: Sequence[float]
) -> tuple[Figures, RoundFigures]:
    """Return how old masks are when the camera sends more than the node can take.

    Args:
        reports: of each round.
        inference_ms: the node's median time of inference without overload, in each round: ages
            are divided by that of their own round, since the machine's speed may change.

    """
    ages_ms = [np.asarray(report.latencies_ms) for report in reports]
    ratios = [ages / median_ms for ages, median_ms in zip(ages_ms, inference_ms, strict=True)]
    name = 'overload_age_p95_vs_inference'
    figures: Figures = {
        'overload_camera_hz': float(np.median([report.images_per_s for report in reports])),
        'overload_fps': float(np.median([report.masks_per_s for report in reports])),
        'overload_published': sum(report.published for report in reports),
        'overload_received': sum(report.received for report in reports),
        **list_percentiles('overload_age', np.concatenate(ages_ms)),
        name: float(np.percentile(np.concatenate(ratios), 95)),
    }
    return figures, {name: [float(np.percentile(values, 95)) for values in ratios]}


def summarize_subscribers(
    reports: Mapping[str, Sequence[CameraReport]],
) -> tuple[Figures, RoundFigures]:
    """Return what subscribers cost: end to end and processor time, '..._<name>' for each set."""
    figures: Figures = {}
    by_round: RoundFigures = {}
    for name, entries in reports.items():
        by_round[f'e2e_p50_ms_{name}'] = [float(np.median(e.latencies_ms)) for e in entries]
        cpu_ms = [entry.cpu_ms_per_mask for entry in entries if entry.cpu_ms_per_mask is not None]
        if len(cpu_ms) == len(entries):
            by_round[f'cpu_ms_per_mask_{name}'] = cpu_ms
    figures |= {name: float(np.median(values)) for name, values in by_round.items()}
    return figures, by_round


def summarize_turns(times_ms: Mapping[str, Sequence[float]]) -> tuple[Figures, RoundFigures]:
    """Return '<name>_ms', the median of each of some times that were taken in turns.

    The turns are split into up to ROUNDS_OF_TURNS parts, whose medians stand for rounds.
    """
    figures: Figures = {f'{name}_ms': float(np.median(times_ms[name])) for name in times_ms}
    by_round = {
        f'{name}_ms': [
            float(np.median(part))
            for part in np.array_split(values, min(ROUNDS_OF_TURNS, len(values)))
        ]
        for name, values in times_ms.items()
    }
    return figures, by_round
