# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which parameters of the node are best: all combinations, accuracy against latency.

A point is one combination. Its result is a file of its own, so that an interrupted sweep goes on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.node_config import (
    MERGE_FIELDS,
    PANOPTIC_PREFIX,
    TRACK_FIELDS,
)

# Of the node, without the prefix: what decides the masks and the time they take.
SWEPT = (
    'model.path',
    'model.backend',
    'model.precision',
    'model.threads',
    'input.height',
    'input.width',
    'input.fit',
)
# Of a panoptic model; where one of them is swept, points are ranked by panoptic quality.
SWEPT_INSTANCES = tuple(
    f'{PANOPTIC_PREFIX}{name}'
    for name in (*(field for field in MERGE_FIELDS if field != 'label_divisor'), *TRACK_FIELDS)
)
SCORE_NAMES = {'miou': 'mean IoU', 'pq': 'panoptic quality'}
# Times the size that the model was exported for; becomes input.height and input.width.
SCALE = 'input.scale'
# The network halves its input five times; other sizes work, but are padded inside.
SIZE_STEP_PX = 32
MAX_POINTS = 1000
_REFUSED = {
    'output.': 'it changes what is published, not the masks',
    'occupancy.': 'it changes what is made of the masks, not the masks',
    'panoptic.': 'it changes what is published, not the instances',
    'diagnostics.': 'it changes messages about the node, not the masks',
    'camera.': 'it tells of the camera; the bag does that here',
    'model.allow_fallback': 'it decides what happens on failure, not the masks',
    'model.build_in_background': 'it decides when an engine is built, not the masks',
    'model.dla_core': 'it is for a Jetson and not used offline',
}

# Value by name of a parameter.
Parameters = Mapping[str, Any]
# Returns why a value of a node parameter cannot be taken, '' when it can.
FindProblem = Callable[[str, Any], str]


@dataclass(frozen=True)
class SweepPoint:
    """One combination and what came of it.

    Attributes:
        swept: the values that were asked for, input.scale included.
        parameters: those of the node, as they go into its parameter file.
        miou: mean IoU; None without labels.
        latency_ms: median from the bytes of an image to its mask.
        pq: panoptic quality; None where instances were not scored.
        reason: why it could not be evaluated, '' when it could.
        ranked_by: 'miou' or 'pq'.
    """

    swept: Parameters
    parameters: Parameters
    miou: float | None = None
    latency_ms: float | None = None
    pq: float | None = None
    reason: str = ''
    ranked_by: str = 'miou'

    @property
    def score(self) -> float | None:
        """What points are compared by beside their latency."""
        return self.pq if self.ranked_by == 'pq' else self.miou

    @property
    def name(self) -> str:
        """The values in short: 'height=384 precision=bf16'."""
        return ' '.join(
            f'{key.rpartition(".")[2]}={Path(value).stem if key == "model.path" else value}'
            for key, value in self.swept.items()
        )

    @property
    def is_measured(self) -> bool:
        """Whether there are both figures."""
        return self.score is not None and self.latency_ms is not None


def parse_sweep(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return the values by parameter of texts such as 'input.height=384,512'.

    Values are read as YAML reads them, as in a parameter file.

    Raises:
        UserError: no such text, or a parameter that cannot be swept.
    """
    sweep: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition('=')
        name = name.strip()
        if not equals or not values.strip():
            raise UserError(
                f"--param '{text}': expected NAME=VALUE,VALUE such as input.height=384,512"
            )
        if name in sweep:
            raise UserError(f'--param {name} is given twice; put all its values into one')
        check_name(name)
        try:
            sweep[name] = [yaml.safe_load(value) for value in values.split(',')]
        except yaml.YAMLError as error:
            raise UserError(
                f"--param '{text}': a value is no YAML scalar; put it in quotes"
            ) from error
        if len(set(map(repr, sweep[name]))) != len(sweep[name]):
            raise UserError(f'--param {text}: a value is there twice')
    if not sweep:
        raise UserError('nothing to sweep; give --param NAME=VALUE,VALUE')
    if SCALE in sweep and {'input.height', 'input.width'} & set(sweep):
        raise UserError('input.scale sets input.height and input.width; give it or them')
    return sweep


def check_name(name: str) -> None:
    """Raise UserError for a parameter that cannot be swept, with the reason."""
    if name in (*SWEPT, *SWEPT_INSTANCES, SCALE):
        return
    for prefix, reason in _REFUSED.items():
        if name.startswith(prefix):
            raise UserError(f'{name} cannot be swept: {reason}')
    raise UserError(
        f'{name} cannot be swept; parameters that decide masks and latency are '
        f'{", ".join((*SWEPT, SCALE, *SWEPT_INSTANCES))}'
    )


def list_points(
    sweep: Mapping[str, Sequence[Any]],
    base: Parameters,
    model_size: Callable[[str], tuple[int, int]],
    find_problem: FindProblem,
    ranked_by: str = 'miou',
) -> list[SweepPoint]:
    """Return all combinations, the last parameter changing fastest.

    Args:
        sweep: values by parameter.
        base: parameters of the node that all points have.
        model_size: returns (height, width) in px that a model was exported for, of its name.
        find_problem: checks a value.
        ranked_by: see `SweepPoint`.

    Raises:
        UserError: a value that the node would refuse, or too many points.
    """
    problems = [
        problem
        for name, values in sweep.items()
        for value in values
        if (problem := find_scale_problem(value) if name == SCALE else find_problem(name, value))
    ]
    if problems:
        raise UserError('; '.join(problems))
    points: list[SweepPoint] = []
    for values in itertools.product(*sweep.values()):
        if len(points) == MAX_POINTS:
            raise UserError(f'more than {MAX_POINTS} combinations; sweep fewer values')
        swept = dict(zip(sweep, values, strict=True))
        parameters = {**base, **{name: v for name, v in swept.items() if name != SCALE}}
        if SCALE in swept:
            sizes = [
                max(SIZE_STEP_PX, round(size * swept[SCALE] / SIZE_STEP_PX) * SIZE_STEP_PX)
                for size in model_size(parameters.get('model.path', ''))
            ]
            parameters |= dict(zip(('input.height', 'input.width'), sizes, strict=True))
        points.append(SweepPoint(swept, parameters, ranked_by=ranked_by))
    return points


def find_scale_problem(value: Any) -> str:
    """Return why a value is no scale, '' when it is one."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0.05 <= value <= 8:
        return ''
    return f'{SCALE}: expected a number from 0.05 to 8, got {value}'


def name_point_file(point: SweepPoint, identity: Mapping[str, Any]) -> str:
    """Return the file name of a point's result; another for all else that it depends on."""
    key = json.dumps([dict(point.parameters), dict(identity)], sort_keys=True, default=str)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return f'{re.sub(r"[^A-Za-z0-9_.=-]+", "_", point.name)[:80]}.{digest}.json'


def list_pareto(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Return the points that none beats in both, from the fastest to the most accurate."""
    measured = [point for point in points if point.is_measured]
    front: list[SweepPoint] = []
    for point in sorted(measured, key=lambda p: (p.latency_ms, -(p.score or 0.0))):
        if not front or (point.score or 0.0) > (front[-1].score or 0.0):
            front.append(point)
    return front


@dataclass(frozen=True)
class Choice:
    """What the best point is.

    Attributes:
        min_score: the fastest of at least this score; None for no such demand.
        max_latency_ms: the most accurate that is not slower; None for no such demand.
        score: what points are ranked by, 'miou' or 'pq'.
    """

    min_score: float | None = None
    max_latency_ms: float | None = None
    score: str = 'miou'

    def choose(self, points: Sequence[SweepPoint]) -> SweepPoint:
        """Return the best point.

        Without a demand it is the knee of the Pareto front: the point nearest to the corner of
        the lowest latency and the highest score, both scaled to the range of the front; of two
        as near, the more accurate one.

        Raises:
            UserError: no point meets the demands, or none was measured.
        """
        front = list_pareto(points)
        if not front:
            needed = 'of instances and a panoptic model ' if self.score == 'pq' else ''
            raise UserError(
                f'no point has both {SCORE_NAMES[self.score]} and latency; bags with labels '
                f'{needed}are needed'
                + ''.join(f'; {p.name}: {p.reason}' for p in points if p.reason)
            )
        fitting = [
            point
            for point in front
            if _figure(point.score) >= (self.min_score or 0.0)
            and _figure(point.latency_ms) <= (self.max_latency_ms or float('inf'))
        ]
        if not fitting:
            best, fastest = front[-1], front[0]
            raise UserError(
                f'no point meets that; the most accurate has {SCORE_NAMES[self.score]} '
                f'{best.score:.4f} at {best.latency_ms:.1f} ms, the fastest '
                f'{fastest.score:.4f} at {fastest.latency_ms:.1f} ms'
            )
        # along the front, a slower point is a more accurate one
        if self.min_score is not None:
            return fitting[0]
        return fitting[-1] if self.max_latency_ms is not None else find_knee(front)


def find_knee(front: Sequence[SweepPoint]) -> SweepPoint:
    """Return the point of a Pareto front nearest to its ideal corner; see `Choice.choose`."""
    latencies = [_figure(point.latency_ms) for point in front]
    scores = [_figure(point.score) for point in front]
    latency_span = max(latencies) - min(latencies) or 1.0
    score_span = max(scores) - min(scores) or 1.0

    def measure_distance(point: SweepPoint) -> tuple[float, float]:
        slower = (_figure(point.latency_ms) - min(latencies)) / latency_span
        worse = (max(scores) - _figure(point.score)) / score_span
        return (round(slower**2 + worse**2, 9), -_figure(point.score))

    return min(front, key=measure_distance)


def parse_choice(
    demand: str, max_latency_ms: float | None, parameters: Iterable[str] = ()
) -> Choice:
    """Return the choice of a text such as 'miou>=0.7' or 'pq>=0.4', '' for none, and a latency.

    Without such a text points are ranked by panoptic quality where one of the swept `parameters`
    decides instances, else by mean IoU.

    Raises:
        UserError: another text.
    """
    if max_latency_ms is not None and not max_latency_ms > 0.0:
        raise UserError(f'a latency of {max_latency_ms} ms is not possible')
    if not demand:
        has_instances = not set(SWEPT_INSTANCES).isdisjoint(parameters)
        return Choice(None, max_latency_ms, 'pq' if has_instances else 'miou')
    match = re.fullmatch(r'\s*(miou|pq)\s*>=\s*(0?\.\d+|0|1|1\.0+)\s*', demand)
    if match is None:
        raise UserError(
            f"--choose '{demand}': expected miou>=SHARE or pq>=SHARE such as 'miou>=0.7'"
        )
    return Choice(float(match[2]), max_latency_ms, match[1])


def format_parameters(parameters: Parameters, comments: Sequence[str]) -> str:
    """Return a ROS parameter file of the node, for ros2 launch's params_file."""
    tree: dict[str, Any] = {}
    for name, value in parameters.items():
        branch = tree
        *folders, leaf = name.split('.')
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = value
    text = yaml.safe_dump({'/**': {'ros__parameters': tree}}, sort_keys=False)
    return ''.join(f'# {line}\n' for line in comments) + text


def _figure(value: float | None) -> float:
    assert value is not None
    return value
