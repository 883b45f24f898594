# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Tells whether a benchmark's figures became worse than those of an earlier run, beyond noise.

A figure is worse when it changed by more than 5 % and by more than it varied between the rounds
of either run. Ratios within a run are judged first, since they do not depend on how fast the
machine happens to be. Times are judged on the same machine only, after dividing by how much faster
or slower the reference chain, which is nobody's to improve, was then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_figures import BENCHMARK_FORMAT, STAGES
from seg_perception.evaluation.reports.tables import format_table, format_value

# A smaller change is no regression, whatever the rounds say.
LEAST_CHANGE = 0.05
# Below this, a change of a time is that of the scheduler.
LEAST_CHANGE_MS = 0.2
YARDSTICK = 'eager_p50_ms'
LARGE = '_camera_1024x2048'


@dataclass(frozen=True)
class FigureGroup:
    """Figures that are judged alike.

    Attributes:
        names: of the figures.
        is_better_high: True for rates and for ratios that are to be large.
        speed_power: the old value is multiplied by this power of how much slower the machine is.
        is_ratio: judged on another machine too.

    """

    names: tuple[str, ...]
    is_better_high: bool
    speed_power: int = 0
    is_ratio: bool = False


# In the order in which they are judged.
GROUPS = (
    FigureGroup(
        (
            'e2e_vs_bare',
            'e2e_vs_inference',
            f'e2e_vs_bare{LARGE}',
            'overload_age_p95_vs_inference',
            'panoptic_e2e_vs_bare',
        ),
        is_better_high=False,
        is_ratio=True,
    ),
    FigureGroup(
        (
            'eager_vs_e2e',
            f'eager_vs_e2e{LARGE}',
            'eager_vs_bare',
            'decode_vs_torch',
            'cuda_vs_eager',
        ),
        is_better_high=True,
        is_ratio=True,
    ),
    FigureGroup(
        (
            # not transport, the small difference of two large times
            'e2e_p50_ms',
            'bare_p50_ms',
            *(f'node_{stage}_p50_ms' for stage in STAGES),
            f'e2e_p50_ms{LARGE}',
            'cpu_ms_per_mask',
            'decode_ms',
            'decode_confidence_ms',
        ),
        is_better_high=False,
        speed_power=1,
    ),
    FigureGroup(('fps',), is_better_high=True, speed_power=-1),
    # of a GPU or of the memory: the reference chain on the CPU says nothing of them
    FigureGroup(('cuda_fps_768x1536', 'cuda_fps_1024x2048'), is_better_high=True),
    FigureGroup(('rss_mb',), is_better_high=False),
)
# What must agree for two runs to be comparable at all, and what makes another machine.
IDENTITY = ('size', 'camera', 'model')
MACHINE = ('cpu', 'cores')


@dataclass(frozen=True)
class Change:
    """How one figure changed.

    Attributes:
        name: of the figure.
        old: then, scaled to the machine's speed now where that is known.
        new: now.
        worse: relative change for the worse, negative for the better.
        noise: relative spread between the rounds, the larger one of both runs.
        is_judged: whether it may count as a regression.

    """

    name: str
    old: float
    new: float
    worse: float
    noise: float
    is_judged: bool = True

    @property
    def is_regression(self) -> bool:
        """Whether it became worse beyond noise."""
        if not self.is_judged or self.worse <= max(LEAST_CHANGE, self.noise):
            return False
        return not self.name.endswith('_ms') or abs(self.new - self.old) > LEAST_CHANGE_MS

    @property
    def verdict(self) -> str:
        """One or two words for the table."""
        if not self.is_judged:
            return 'not judged'
        if self.is_regression:
            return 'WORSE'
        return 'better' if -self.worse > max(LEAST_CHANGE, self.noise) else 'same'

    def describe(self) -> str:
        """One line that says what became worse and by how much."""
        return (
            f'regression: {self.name} {format_value(self.old)} -> {format_value(self.new)}, '
            f'{100 * self.worse:.1f} % worse (noise {100 * self.noise:.1f} %)'
        )


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        changes: of all figures that both runs have.
        notes: what a reader should know of the two runs, one line each.

    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse beyond noise."""
        return tuple(change for change in self.changes if change.is_regression)


def load_figures(path: Path) -> dict[str, Any]:
    """Return the figures of an earlier run.

    Raises:
        UserError: the file cannot be read or holds anything else.

    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror or error}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{path} is no JSON file ({error}); expected one of "seg_perception benchmark --json"'
        ) from error
    problem = find_problem(content)
    if problem:
        raise UserError(
            f'{path} is not from "seg_perception benchmark --json": {problem}; measure it again '
            'with this version'
        )
    return dict(content)


def find_problem(content: Any) -> str:
    """Return why a JSON value does not hold the figures of a benchmark, '' when it does."""
    if not isinstance(content, dict):
        return f'it holds a {type(content).__name__}, expected an object'
    if content.get('benchmark_format') != BENCHMARK_FORMAT:
        found = content.get('benchmark_format', 'none')
        return f'its benchmark_format is {found}, expected {BENCHMARK_FORMAT}'
    for name in IDENTITY:
        if not isinstance(content.get(name), str):
            return f'it has no text {name}'
    for name in ('rounds', 'machine'):
        if not isinstance(content.get(name), dict):
            return f'it has no object {name}'
    for name in ('e2e_p50_ms', 'bare_p50_ms'):
        if not is_positive(content.get(name)):
            return f'its {name} is {content.get(name)!r}, expected a positive number'
    for name, values in content['rounds'].items():
        if not isinstance(values, list) or not all(map(is_number, values)):
            return f'its rounds of {name} are no list of numbers'
    return ''


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: Any) -> bool:
    """Tell whether a JSON value is a finite number above zero."""
    return is_number(value) and value > 0


def require_comparable(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise UserError unless both runs are of the same model and sizes.

    Args:
        path: of the old figures, for the message.
        old: figures of `load_figures`.
        new: at least the values named in IDENTITY.

    """
    differing = [
        f'{name} {old[name]} instead of {new[name]}' for name in IDENTITY if old[name] != new[name]
    ]
    if differing:
        raise UserError(
            f'{path} cannot be compared with this run: it has {", ".join(differing)}; measure '
            'with the same arguments'
        )


def compare_figures(new: Mapping[str, Any], old: Mapping[str, Any]) -> Comparison:
    """Compare all figures that both runs have."""
    differences = list_machine_differences(new, old)
    is_same_machine = not any(name in MACHINE for name, _ in differences)
    speed, notes = 1.0, [text for _, text in differences]
    if is_same_machine:
        speed, note = measure_speed(new, old)
        notes.append(note)
    else:
        notes.append('another machine: ratios are judged, times are not')
    notes += list_round_notes(new, old)
    changes = [
        compare_figure(name, new, old, group, speed, is_same_machine)
        for group in GROUPS
        for name in group.names
        if is_positive(new.get(name)) and is_positive(old.get(name))
    ]
    return Comparison(tuple(changes), tuple(notes))


def compare_figure(
    name: str,
    new: Mapping[str, Any],
    old: Mapping[str, Any],
    group: FigureGroup,
    speed: float,
    is_same_machine: bool,
) -> Change:
    """Compare one figure that both runs have; `speed` is that of `measure_speed`."""
    now, then = float(new[name]), float(old[name]) * speed**group.speed_power
    noise = max(measure_spread(new, name), measure_spread(old, name))
    if group.speed_power and speed != 1.0:
        noise += max(measure_spread(new, YARDSTICK), measure_spread(old, YARDSTICK))
    worse = then / now - 1.0 if group.is_better_high else now / then - 1.0
    return Change(name, then, now, worse, noise, group.is_ratio or is_same_machine)


def measure_spread(figures: Mapping[str, Any], name: str) -> float:
    """Return the range of a figure's rounds by their median; 0 of fewer than two."""
    values: Sequence[float] = figures['rounds'].get(name, ())
    if len(values) < 2 or not np.median(values) > 0:
        return 0.0
    return float(np.ptp(values) / np.median(values))


def measure_speed(new: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[float, str]:
    """Return how many times as long the machine takes now, and a line that says so."""
    if not (is_positive(new.get(YARDSTICK)) and is_positive(old.get(YARDSTICK))):
        return 1.0, 'no reference chain in both runs: times are compared as they are'
    if read_libraries(new).get('torch') != read_libraries(old).get('torch'):
        return 1.0, 'another PyTorch: times are compared as they are'
    speed = float(new[YARDSTICK]) / float(old[YARDSTICK])
    slower = 'slower' if speed >= 1 else 'faster'
    share = speed - 1 if speed >= 1 else 1 / speed - 1
    return speed, f'this machine is {100 * share:.0f} % {slower} than then: times are scaled by it'


def read_libraries(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions of the libraries that a run used, by name."""
    libraries = figures['machine'].get('libraries')
    return libraries if isinstance(libraries, dict) else {}


def list_machine_differences(
    new: Mapping[str, Any], old: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return name and a line for each difference of machine, libraries and engine."""
    differences = []
    for name in (*MACHINE, 'system', 'python'):
        now, then = new['machine'].get(name), old['machine'].get(name)
        if now != then:
            differences.append((name, f'{name} is {now}, was {then}'))
    libraries, old_libraries = read_libraries(new), read_libraries(old)
    for name in sorted({*libraries, *old_libraries}):
        now = libraries.get(name, 'not installed')
        then = old_libraries.get(name, 'not installed')
        if now != then:
            differences.append((name, f'{name} is {now}, was {then}'))
    for name in ('backend', 'precision', 'threads'):
        if new.get(name) != old.get(name):
            differences.append((name, f'{name} is {new.get(name)}, was {old.get(name)}'))
    return differences


def list_round_notes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Return a line where one of the runs has too few rounds to know its noise."""
    counts = [len(figures['rounds'].get('e2e_p50_ms', ())) for figures in (new, old)]
    if min(counts) >= 2:
        return []
    return ['a single round: the noise is not known, changes beyond 5 % count']


def format_comparison(comparison: Comparison) -> str:
    """Return notes, a table of all changes, and a line per regression."""
    rows = [
        (
            change.name,
            format_value(change.old),
            format_value(change.new),
            f'{100 * change.worse:+.1f} %',
            f'{100 * change.noise:.1f} %',
            change.verdict,
        )
        for change in comparison.changes
    ]
    headers = ('figure', 'then', 'now', 'worse by', 'noise', 'verdict')
    lines = [*comparison.notes, format_table(rows, headers, 'lrrrrl')]
    lines += [change.describe() for change in comparison.regressions]
    return '\n'.join(lines)
