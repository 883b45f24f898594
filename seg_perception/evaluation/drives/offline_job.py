# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""An offline evaluation of several recordings: what is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception import __version__
from seg_perception.errors import UserError
from seg_perception.evaluation.drives.drive_judge import require_instances
from seg_perception.evaluation.drives.drive_result import build_result
from seg_perception.evaluation.drives.evaluate import DriveConfig, DriveEvaluation
from seg_perception.evaluation.drives.offline_run import OfflineConfig, OfflineRun
from seg_perception.evaluation.reports.watchers import PictureKeeper
from seg_perception.pipeline import SegmentationPipeline

if TYPE_CHECKING:
    from seg_perception.engines.select import EngineConfig

# Loads an engine; returns its chain, and model and engine as JSON values.
OpenChain = Callable[['EngineConfig'], tuple[SegmentationPipeline, dict[str, Any]]]
# Wraps an iterable given the number of its items, such as a bar.
ShowProgress = Callable[[Iterable, int], Iterable]


@dataclass(frozen=True)
class OfflineJob:
    """What is evaluated, and how; can be sent to another process.

    Attributes:
        drives: what of which recordings.
        config: without an identity, which comes from the engine.
        engine: the engine to load.
        open_chain: loads it.
    """

    drives: Sequence[DriveConfig]
    config: OfflineConfig
    engine: EngineConfig
    open_chain: OpenChain

    def open_run(self, threads: int = 0) -> tuple[SegmentationPipeline, OfflineRun, EngineFacts]:
        """Load the engine; threads overrules those of the configuration where it is not 0.

        Raises:
            UserError: it cannot be loaded, or has no instances and metrics of them were asked for.
        """
        engine = replace(self.engine, threads=threads) if threads else self.engine
        pipeline, facts = self.open_chain(engine)
        metadata = pipeline.engine.metadata
        try:
            require_instances(self.config.metric_names, metadata.is_panoptic, metadata.name)
        except UserError:
            pipeline.close()
            raise
        # those asked for: how many workers share the processor changes no record's meaning
        identity = facts | {'version': __version__, 'threads': self.engine.threads}
        run = OfflineRun(pipeline, replace(self.config, identity=identity))
        return pipeline, run, EngineFacts(facts, pipeline.engine.description)


@dataclass(frozen=True)
class EngineFacts:
    """Model and engine as JSON values, and the engine in one line."""

    values: dict[str, Any]
    description: str


@dataclass
class OfflineOutcome:
    """What came of a job.

    Attributes:
        facts: model and engine.
        drives: what came of each recording that could be used, in the order of the job.
        keepers: the pictures of each of them.
        journals: files of their records.
        failures: by recording that could not be used, why.
        seconds: from the first image to the last record; None to add up those of the drives.
        setup: more of how it ran, as JSON values.
    """

    facts: EngineFacts
    drives: list[DriveEvaluation] = field(default_factory=list)
    keepers: list[PictureKeeper] = field(default_factory=list)
    journals: list[Path] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    setup: dict[str, Any] = field(default_factory=dict)

    def add(
        self, drive: DriveEvaluation, keeper: PictureKeeper, journal: Path | None
    ) -> None:
        """Take what came of a recording."""
        self.drives.append(drive)
        self.keepers.append(keeper)
        if journal is not None:
            self.journals.append(journal)

    def build_result(self, metric_names: Sequence[str], setup: dict[str, Any]) -> dict[str, Any]:
        """Return the result as JSON values; recordings that failed are among its faults.

        Raises:
            UserError: no recording could be used, or they are of different label spaces.
        """
        if not self.drives:
            raise UserError(
                '; '.join(
                    reason if len(self.failures) == 1 else f'{bag}: {reason}'
                    for bag, reason in self.failures.items()
                )
            )
        result = build_result(self.drives, metric_names, setup | self.setup)
        if self.seconds is not None:
            result['seconds'] = self.seconds
        result['bags_failed'] = list(self.failures)
        result['faults'] = [
            f'{bag} was not evaluated: {reason}' for bag, reason in self.failures.items()
        ] + result['faults']
        return result

    def discard_journals(self) -> None:
        """Remove the records' files: the result is written."""
        for path in self.journals:
            path.unlink(missing_ok=True)


def evaluate_here(job: OfflineJob, show_progress: ShowProgress) -> OfflineOutcome:
    """Evaluate recordings one after the other in this process.

    One that cannot be used is kept in `failures`, and the next one goes on.

    Raises:
        UserError: the engine cannot be loaded.
    """
    pipeline, run, facts = job.open_run()
    outcome = OfflineOutcome(facts)
    try:
        for drive in job.drives:
            try:
                evaluation, keeper = run.evaluate(drive, show_progress)
            except UserError as error:
                outcome.failures[str(drive.bag)] = str(error)
                continue
            outcome.add(evaluation, keeper, run.find_journal(drive, evaluation.image_topic))
    finally:
        pipeline.close()
    return outcome
