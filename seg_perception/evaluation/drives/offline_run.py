# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""An offline evaluation of recordings one after the other, with journals and pictures."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.drives.evaluate import (
    DriveConfig,
    DriveEvaluation,
    Watcher,
    evaluate_drive,
)
from seg_perception.evaluation.drives.journal import Journal
from seg_perception.evaluation.reports.video import OverlayVideo
from seg_perception.evaluation.reports.watchers import PictureKeeper, VideoDrawer, watch_all
from seg_perception.pipeline import SegmentationPipeline


@dataclass(frozen=True)
class OfflineConfig:
    """How recordings are evaluated.

    Attributes:
        metric_names: see `drive_judge.METRICS`.
        identity: model, engine and so on: what an interrupted run has to have in common with the
            one that takes its records up.
        journal_folder: where records are kept until the result is written; None for nowhere.
        spaced_pictures: pictures to keep, spread evenly.
        with_worst: keep pictures of the worst images too.
        video: overlay video to write.
    """

    metric_names: Sequence[str]
    identity: dict[str, Any] = field(default_factory=dict)
    journal_folder: Path | None = None
    spaced_pictures: int = 0
    with_worst: bool = False
    video: Path | None = None


class OfflineRun:
    """Evaluates recordings with one pipeline."""

    def __init__(self, pipeline: SegmentationPipeline, config: OfflineConfig) -> None:
        self._pipeline = pipeline
        self._config = config

    def evaluate(
        self,
        drive: DriveConfig,
        show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
    ) -> tuple[DriveEvaluation, PictureKeeper]:
        """Evaluate one recording; raises as `evaluate_drive` does."""
        config, engine = self._config, self._pipeline.engine
        model_space = engine.metadata.label_space
        with BagReader(drive.bag, tolerate_damage=True) as reader:
            topic = find_image_topic(reader, drive.image_topic)
            count = reader.count_messages(topic)
            rate_hz = max(1.0, min(60.0, (count - 1) * 1e9 / max(1, reader.duration_ns)))
        count = min(count, drive.limit) if drive.limit else count
        keeper = PictureKeeper(
            str(drive.bag), count, model_space, config.spaced_pictures, config.with_worst
        )
        watchers: list[Watcher] = [keeper] if config.spaced_pictures else []
        with contextlib.ExitStack() as opened:
            if config.video is not None:
                video = opened.enter_context(OverlayVideo(config.video, rate_hz, model_space))
                watchers.append(VideoDrawer(video, engine.description))
            evaluation = evaluate_drive(
                self._pipeline,
                drive,
                config.metric_names,
                lambda image_topic: self._open_journal(drive, image_topic),
                watch_all(watchers) if watchers else None,
                show_progress,
            )
        if evaluation.taken_up and watchers:
            evaluation.faults.append(
                f'{evaluation.taken_up} images were done by a run that was interrupted; there are '
                'no pictures of them'
            )
        return evaluation, keeper

    def find_journal(self, drive: DriveConfig, image_topic: str) -> Path | None:
        """Return the file of a recording's records, None where they are not kept in a file."""
        if self._config.journal_folder is None:
            return None
        # Records of the same recording under other settings have a file of their own.
        header = describe_drive(drive, image_topic, self._config)
        digest = hashlib.sha256(repr(sorted(header.items())).encode()).hexdigest()[:16]
        return self._config.journal_folder / f'{drive.bag.name}.{digest}.part.jsonl'

    def _open_journal(self, drive: DriveConfig, image_topic: str) -> Journal:
        path = self.find_journal(drive, image_topic)
        return Journal(path, describe_drive(drive, image_topic, self._config))


def describe_drive(
    drive: DriveConfig, image_topic: str, config: OfflineConfig
) -> dict[str, Any]:
    """Return all that the records of a recording depend on."""
    files = [drive.bag] if drive.bag.is_file() else sorted(drive.bag.iterdir())
    return {
        'bag': str(drive.bag.resolve()),
        'bytes': [file.stat().st_size for file in files if file.is_file()],
        'image_topic': image_topic,
        'label_topic': drive.truth.label_topic,
        'labels': str(drive.truth.labels_folder or ''),
        'label_space': drive.truth.label_space,
        'limit': drive.limit,
        'metrics': list(config.metric_names),
        **config.identity,
    }
