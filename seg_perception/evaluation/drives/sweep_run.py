# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Evaluates the points of a sweep one after the other; each result is a file that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seg_perception import __version__
from seg_perception.engines.select import EngineConfig
from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.drives.evaluate import DriveConfig
from seg_perception.evaluation.drives.node_config import list_engine_arguments
from seg_perception.evaluation.drives.offline_job import (
    OfflineJob,
    ShowProgress,
    evaluate_here,
)
from seg_perception.evaluation.drives.offline_run import OfflineConfig, describe_drive
from seg_perception.evaluation.drives.saved_result import load_result
from seg_perception.evaluation.drives.sweep import Parameters, SweepPoint, name_point_file
from seg_perception.evaluation.reports.report import write_json
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.resources import find_model


@dataclass(frozen=True)
class SweepJob:
    """What every point of a sweep is evaluated on.

    Attributes:
        drives: the recordings.
        metric_names: see `drive_judge.METRICS`.
        folder: of the points' results.
        open_chain: loads an engine and makes its chain, given the node's parameters too.
        hash_model: returns the hash of a model file.
        describe_setup: returns how it ran, of model and engine as JSON values and the engine in a
            line.
    """

    drives: Sequence[DriveConfig]
    metric_names: Sequence[str]
    folder: Path
    open_chain: Callable[
        [EngineConfig, Parameters], tuple[SegmentationPipeline, dict[str, Any]]
    ]
    hash_model: Callable[[Path], str]
    describe_setup: Callable[[dict[str, Any], str], dict[str, Any]]

    def check_bags(self) -> None:
        """Raise UserError for a recording that cannot be read at all."""
        for drive in self.drives:
            BagReader(drive.bag, tolerate_damage=True).close()

    def find_file(self, point: SweepPoint) -> Path:
        """Return where the result of a point is kept; raises UserError for an unknown model."""
        model = find_model(str(point.parameters.get('model.path', '')))
        config = OfflineConfig(self.metric_names)
        identity = {
            'version': __version__,
            'model_sha256': self.hash_model(model),
            'drives': [
                describe_drive(drive, drive.image_topic, config) for drive in self.drives
            ],
        }
        return self.folder / name_point_file(point, identity)


def evaluate_points(
    job: SweepJob,
    points: Sequence[SweepPoint],
    show_progress: Callable[[SweepPoint], ShowProgress],
) -> list[SweepPoint]:
    """Return the points with their figures; one that cannot be evaluated has the reason."""
    job.check_bags()
    return [evaluate_point(job, point, show_progress(point)) for point in points]


def evaluate_point(job: SweepJob, point: SweepPoint, show_progress: ShowProgress) -> SweepPoint:
    """Return one point with its figures, those of an earlier run where there are any."""
    try:
        path = job.find_file(point)
        if not path.exists():
            evaluate_into(path, job, point, show_progress)
        figures = load_result(path).figures
    except UserError as error:
        return replace(point, reason=str(error))
    return replace(
        point,
        miou=figures['miou'],
        latency_ms=figures['latency_p50_ms'],
        pq=figures.get('pq'),
    )


def evaluate_into(
    path: Path, job: SweepJob, point: SweepPoint, show_progress: ShowProgress
) -> None:
    """Evaluate a point and write its result.

    Raises:
        UserError: the engine does not run with these parameters, or a recording cannot be used.
    """
    config = OfflineConfig(job.metric_names, journal_folder=path.parent)
    offline = OfflineJob(
        job.drives,
        config,
        make_engine_config(point),
        lambda engine: job.open_chain(engine, point.parameters),
    )
    outcome = evaluate_here(offline, show_progress)
    if outcome.failures:  # points are compared on the same recordings
        raise UserError(
            '; '.join(f'{bag}: {reason}' for bag, reason in outcome.failures.items())
        )
    facts = outcome.facts
    setup = job.describe_setup(facts.values, facts.description)
    result = outcome.build_result(job.metric_names, setup | {'parameters': dict(point.parameters)})
    write_json(path, result)
    outcome.discard_journals()


def make_engine_config(point: SweepPoint) -> EngineConfig:
    """Return the engine of a point; one that was asked for is not replaced by another."""
    arguments = list_engine_arguments(dict(point.parameters))
    return EngineConfig(
        model_path=str(find_model(str(arguments.get('model', ''))).absolute()),
        backend=arguments.get('backend', 'auto'),
        precision=arguments.get('precision', 'auto'),
        # here each has a meaning alone: the other is the model's own
        height_px=point.parameters.get('input.height', 0),
        width_px=point.parameters.get('input.width', 0),
        fit=arguments.get('fit', ''),
        threads=arguments.get('threads', 0),
        allow_fallback=not {'model.backend', 'model.precision'} & set(point.swept),
    )
