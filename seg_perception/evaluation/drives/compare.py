# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Two evaluations of the same recordings: what differs, and by more than chance.

Frames are paired by recording and stamp, and only those that both evaluations have are compared.
Blocks of consecutive frames are drawn, the same for both, 2000 times; the differences of the
figures of these draws give the interval (see `bootstrap`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.bootstrap import (
    BLOCK_S,
    FEW_BLOCKS,
    RESAMPLES,
    Blocks,
    find_interval,
    make_blocks,
    resample,
)
from seg_perception.evaluation.drives.frame_pairs import FramePairs, describe_frames, pair_frames
from seg_perception.evaluation.drives.resampled_scores import (
    PERCENTILES,
    BoundaryScores,
    ClassScores,
    ConfidenceScores,
    LatencyScores,
    PanopticScores,
    SwitchScores,
)
from seg_perception.evaluation.drives.saved_result import (
    SavedResult,
    count_classes,
    count_confidence,
    read_latencies_ms,
    sum_boundaries,
)
from seg_perception.evaluation.metrics.instance_counts import count_segments, count_switches

COMPARISON_SCHEMA = 'seg_perception/comparison/1'
# What may be a regression; the others are shown.
JUDGED_SCORES = ('miou', 'pixel_accuracy', 'boundary_f', 'pq')
SWITCHES = 'id_switches_per_100'
LOWER_IS_BETTER = ('ece', SWITCHES, *PERCENTILES)
# Keys of a result that are no figures, or are made again from the frames in common.
_NOT_LISTED = (
    'schema', 'setup', 'faults', 'metric_cost_ms', 'timeline', 'confidence_bins', 'per_class_iou',
    'per_class_share', 'pq_per_class', 'classes_in_headline', *JUDGED_SCORES, *LOWER_IS_BETTER,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How much worse is let pass.

    Attributes:
        score_points: of mIoU, pixel accuracy, boundary F and PQ, in points of 100.
        latency_percent: of the latencies, in percent of A.
    """

    score_points: float = 0.5
    latency_percent: float = 10.0

    def __post_init__(self) -> None:
        for value, what in (
            (self.score_points, 'a threshold in points'),
            (self.latency_percent, 'a threshold of the latency in percent'),
        ):
            if not 0 <= value < float('inf'):
                raise UserError(f'{what} is {value}; expected 0 or more')


@dataclass(frozen=True)
class Difference:
    """One figure of both evaluations, over the frames that both have.

    Attributes:
        name: its JSON key; per_class_iou/NAME for a class.
        a: value of the first, None where there is none.
        b: value of the second.
        interval: of b - a, 95 %; None where there is none.
        limit: how much worse is let pass, in the figure's own unit; None: not judged.
    """

    name: str
    a: float | None
    b: float | None
    interval: tuple[float, float] | None = None
    limit: float | None = None

    @property
    def change(self) -> float | None:
        """b - a."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def verdict(self) -> str:
        """'better', 'worse', 'same' (the interval holds zero), 'REGRESSION', '' unknown."""
        if self.interval is None or self.change is None:
            return ''
        low, high = self.interval
        if low <= 0 <= high:
            return 'same'
        worse = self.change if self.name in LOWER_IS_BETTER else -self.change
        if worse <= 0:
            return 'better'
        return 'REGRESSION' if self.limit is not None and worse > self.limit else 'worse'

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            'a': self.a,
            'b': self.b,
            'difference': self.change,
            'interval': None if self.interval is None else list(self.interval),
            'limit': self.limit,
            'verdict': self.verdict,
        }


@dataclass
class Comparison:
    """What was found.

    Attributes:
        names: of both results.
        differences: over the frames in common, with intervals.
        others: figures as the files have them, each over its own frames.
        notes: what a reader should know, one line each.
        frames: frames in common.
    """

    names: tuple[str, str]
    frames: int
    differences: list[Difference] = field(default_factory=list)
    others: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def regressions(self) -> list[Difference]:
        """What became worse beyond limit and chance."""
        return [entry for entry in self.differences if entry.verdict == 'REGRESSION']

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            'schema': COMPARISON_SCHEMA,
            'a': self.names[0],
            'b': self.names[1],
            'frames_in_common': self.frames,
            'resamples': RESAMPLES,
            'regressions': [entry.name for entry in self.regressions],
            'figures': {entry.name: entry.to_json() for entry in self.differences},
            'others': {entry.name: entry.to_json() for entry in self.others},
            'notes': self.notes,
        }


def compare_results(a: SavedResult, b: SavedResult, limits: Limits | None = None) -> Comparison:
    """Compare two results.

    Raises:
        UserError: other label spaces, no frame in common, or rows that no metric writes.
    """
    limits = limits or Limits()
    if (a.label_space, a.class_names) != (b.label_space, b.class_names):
        raise UserError(
            f'{a.name} is scored in {len(a.class_names)} classes of {a.label_space}, {b.name} in '
            f'{len(b.class_names)} of {b.label_space}; evaluate both against the same labels'
        )
    pairs = pair_frames(a, b)
    comparison = Comparison((a.name, b.name), len(pairs.a))
    comparison.notes += describe_frames(a, b, pairs)
    compare_scores(comparison, pairs, a.class_names, limits)
    compare_instances(comparison, pairs, a.class_names, limits)
    compare_latencies(comparison, pairs, a.setup, b.setup, limits)
    comparison.others = list_others(a.figures, b.figures)
    return comparison


def compare_scores(
    comparison: Comparison, pairs: FramePairs, class_names: Sequence[str], limits: Limits
) -> None:
    """Add the differences of all that needs labels."""
    points = limits.score_points / 100
    num_classes = len(class_names)
    chosen = pairs.select(pairs.have('confusion'))
    if not chosen.a:
        comparison.notes.append('no labelled frame in common: scores are not compared')
        return
    blocks = make_blocks(chosen.bags, chosen.stamps_ns)
    comparison.notes.append(_describe_blocks('scores', blocks))
    sides = [count_classes(records, num_classes) for records in (chosen.a, chosen.b)]
    if (sides[0][:, 1] != sides[1][:, 1]).any():
        comparison.notes.append('the labels of both are not the same')
    names = ['miou', 'pixel_accuracy', *(f'per_class_iou/{name}' for name in class_names)]
    found = _difference(names, blocks, [ClassScores(blocks.sum_frames(side)) for side in sides])
    found += _compare_sums(pairs, 'boundary', num_classes)
    found += _compare_sums(pairs, 'calibration', num_classes)
    order = ('miou', 'pixel_accuracy', 'boundary_f', 'ece')
    found.sort(key=lambda entry: order.index(entry.name) if entry.name in order else len(order))
    comparison.differences += [
        Difference(e.name, e.a, e.b, e.interval, points if e.name in JUDGED_SCORES else None)
        for e in found
    ]


def _compare_sums(pairs: FramePairs, metric: str, num_classes: int) -> list[Difference]:
    """Return the difference of boundary F or ECE over the frames that have their rows."""
    chosen = pairs.select(pairs.have(metric))
    if not chosen.a:
        return []
    blocks = make_blocks(chosen.bags, chosen.stamps_ns)
    if metric == 'boundary':
        boundaries = [sum_boundaries(records, num_classes) for records in (chosen.a, chosen.b)]
        sides = [BoundaryScores(blocks.sum_frames(side)) for side in boundaries]
        return _difference(['boundary_f'], blocks, sides)
    confidences = [count_confidence(records) for records in (chosen.a, chosen.b)]
    bins = [ConfidenceScores(blocks.sum_frames(side)) for side in confidences]
    return _difference(['ece'], blocks, bins)


def compare_instances(
    comparison: Comparison, pairs: FramePairs, class_names: Sequence[str], limits: Limits
) -> None:
    """Add the differences of panoptic quality and ID switches; nothing without any."""
    num_classes = len(class_names)
    chosen = pairs.select(pairs.judged('panoptic'))
    if chosen.a:
        blocks = make_blocks(chosen.bags, chosen.stamps_ns)
        comparison.notes.append(_describe_blocks('instances', blocks))
        segments = [count_segments(records, num_classes) for records in (chosen.a, chosen.b)]
        qualities = [PanopticScores(blocks.sum_frames(side)) for side in segments]
        names = ['pq', *(f'pq_per_class/{name}' for name in class_names)]
        for entry in _difference(names, blocks, qualities):
            limit = limits.score_points / 100 if entry.name == 'pq' else None
            comparison.differences.append(replace(entry, limit=limit))
    chosen = pairs.select(pairs.judged('id_switches'))
    if chosen.a:
        blocks = make_blocks(chosen.bags, chosen.stamps_ns)
        switches = [count_switches(records) for records in (chosen.a, chosen.b)]
        rates = [SwitchScores(blocks.sum_frames(side)) for side in switches]
        comparison.differences += _difference([SWITCHES], blocks, rates)


def compare_latencies(
    comparison: Comparison,
    pairs: FramePairs,
    setup_a: Mapping[str, Any],
    setup_b: Mapping[str, Any],
    limits: Limits,
) -> None:
    """Add the differences of the latencies; judged on the same machine and in one mode only."""
    times_ms = [read_latencies_ms(records) for records in (pairs.a, pairs.b)]
    has_both = np.isfinite(times_ms[0]) & np.isfinite(times_ms[1])
    if not has_both.any():
        comparison.notes.append('no frame with a time in common: latencies are not compared')
        return
    chosen = pairs.select(has_both)
    blocks = make_blocks(chosen.bags, chosen.stamps_ns)
    comparison.notes.append(_describe_blocks('latencies', blocks))
    sides = [LatencyScores(times[has_both], blocks.of_frame) for times in times_ms]
    unlike = _find_unlike_timing(setup_a, setup_b)
    if unlike:
        comparison.notes.append(f'{unlike}: latencies are shown, not judged')
    for entry in _difference(list(PERCENTILES), blocks, sides, len(chosen.a)):
        limit = None
        if not unlike and entry.a is not None:
            limit = entry.a * limits.latency_percent / 100
        comparison.differences.append(
            Difference(entry.name, entry.a, entry.b, entry.interval, limit)
        )


def _find_unlike_timing(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    if a.get('mode') != b.get('mode'):
        return f'mode is {a.get("mode")} and {b.get("mode")}'
    machines = [setup.get('machine') or {} for setup in (a, b)]
    for key in ('cpu', 'cores', 'gpu'):
        values = [machine.get(key) for machine in machines]
        if values[0] != values[1]:
            return f'machines differ, {key} is {values[0]} and {values[1]}'
    return ''


def _describe_blocks(what: str, blocks: Blocks) -> str:
    length = f'{blocks.length_s:g} s' if blocks.length_s else 'one frame'
    text = f'{what}: 95 % intervals from {RESAMPLES} draws of {blocks.count} blocks of {length}'
    if blocks.count < 2:
        return f'{what}: a single frame in common, no intervals, nothing is judged'
    if blocks.count < FEW_BLOCKS or blocks.length_s < BLOCK_S:
        return f'{text}; so short a drive makes intervals rough'
    return text


def _difference(
    names: Sequence[str], blocks: Blocks, sides: Sequence[Any], width: int = 0
) -> list[Difference]:
    """Return the figures of two sides with the interval of their difference."""
    ones = np.ones((1, blocks.count))
    values = [side.compute(ones)[0] for side in sides]
    a, b = sides
    draws = resample(
        blocks.count, lambda counts: np.asarray(b.compute(counts) - a.compute(counts)), width
    )
    return [
        Difference(
            name, _to_json(values[0][i]), _to_json(values[1][i]),
            find_interval(draws[:, i], blocks.count),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip


def list_others(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return the numbers of both files that are not made again, nested ones by KEY/NAME."""
    found = [dict(_flatten(figures)) for figures in (a, b)]
    return [
        Difference(name, found[0].get(name), found[1].get(name))
        for name in dict.fromkeys([*found[0], *found[1]])
    ]


def _flatten(figures: Mapping[str, Any], prefix: str = '') -> list[tuple[str, float]]:
    numbers = []
    for key, value in figures.items():
        if not prefix and key in _NOT_LISTED:
            continue
        if isinstance(value, dict):
            numbers += _flatten(value, f'{prefix}{key}/')
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers.append((f'{prefix}{key}', value))
    return numbers


def _to_json(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
