# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation: every image of a recording through the chain of the node, into records.

Three threads overlap: one reads ahead, one runs the network, one judges what came out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.bags.frame_source import FrameSource, ReadFrame
from seg_perception.evaluation.drives.drive_judge import TruthConfig, open_judge
from seg_perception.evaluation.drives.frame_record import UNREADABLE, FrameRecord
from seg_perception.evaluation.drives.journal import Journal
from seg_perception.evaluation.drives.judge import MAX_FAULTS, FrameJudge
from seg_perception.evaluation.metrics.id_switches import find_stretch
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.perception.labels import LabelSpace
from seg_perception.pipeline import SegmentationPipeline

# Images between the network and the judge, the one that it judges included.
_IN_FLIGHT = 3
# Called with record, what was judged and the judge, which has the truth.
Watcher = Callable[[FrameRecord, JudgedFrame, FrameJudge], None]


@dataclass(frozen=True)
class DriveConfig:
    """What of a recording is evaluated.

    Attributes:
        bag: folder of the recording, or a single .mcap or .db3 file.
        image_topic: camera topic; '' to find it.
        truth: where its labels are.
        limit: number of images from the start; 0 for all.
    """

    bag: Path
    image_topic: str = ''
    truth: TruthConfig = field(default_factory=TruthConfig)
    limit: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f'a limit of {self.limit} images is not possible; 0 means all')


@dataclass
class DriveEvaluation:
    """What came of one recording.

    Attributes:
        bag: the recording.
        image_topic: camera topic that was read.
        label_space: in which is scored: that of the labels, without any the model's.
        model_space: of the masks.
        frames_in_bag: images in the topic, of those that the limit leaves.
        records: of each of them, in order.
        faults: what is wrong with the recording, and the first reasons of images not scored.
        costs_ms: by metric, the time of each frame.
        seconds: from the first image to the last record, without compiling for its size.
        seconds_inference: in the engine alone.
        taken_up: records of an earlier run that was interrupted.
    """

    bag: Path
    image_topic: str
    label_space: LabelSpace
    model_space: LabelSpace
    frames_in_bag: int = 0
    records: Sequence[FrameRecord] = ()
    faults: list[str] = field(default_factory=list)
    costs_ms: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    seconds_inference: float = 0.0
    taken_up: int = 0


def evaluate_drive(
    pipeline: SegmentationPipeline,
    config: DriveConfig,
    metric_names: Sequence[str],
    open_journal: Callable[[str], Journal] = lambda image_topic: Journal(None, {}),
    watch: Watcher | None = None,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> DriveEvaluation:
    """Segment the images of a recording and judge each.

    An image or a label that cannot be used is named in its record, and the next one goes on.

    Args:
        pipeline: the chain, with an engine loaded.
        config: what to evaluate.
        metric_names: see `drive_judge.METRICS`.
        open_journal: returns the records' journal for an image topic; what it holds of an
            interrupted run is not done again.
        watch: sees each judged image, in order, in the judge's thread.
        show_progress: wraps the images' iterable given their number, such as a tqdm bar.

    Raises:
        UserError: the recording cannot be used.
        EngineError: the engine failed.
    """
    with BagReader(config.bag, tolerate_damage=True) as reader:
        topic = find_image_topic(reader, config.image_topic)
        count = reader.count_messages(topic)
        model_space = pipeline.engine.metadata.label_space
        out = DriveEvaluation(config.bag, topic, model_space, model_space)
        out.frames_in_bag = min(count, config.limit) if config.limit else count
        judge, out.label_space = open_judge(
            config.bag,
            config.truth,
            model_space,
            metric_names,
            pipeline.engine.metadata.is_panoptic,
        )
        try:
            with open_journal(topic) as journal:
                loop = _Loop(pipeline, judge, journal, out, watch)
                first = find_first(journal.taken_up, out.frames_in_bag, judge.compares_ids)
                messages = islice(reader.iterate_raw_messages([topic]), config.limit or None)
                messages = islice(messages, first, None)
                source = FrameSource(reader, messages, first, lifetime=_IN_FLIGHT + 1)
                loop.run(show_progress(source, out.frames_in_bag - first))
                out.records = journal.records
                out.taken_up = journal.taken_up
        finally:
            judge.close()
        damage = reader.damage
    if damage:
        out.faults.append(damage)
    out.costs_ms = judge.costs_ms
    out.faults += judge.faults + list_faults(out.records)
    return out


def find_first(taken_up: int, frames: int, compares_ids: bool) -> int:
    """Return the image with which a run goes on that was interrupted after so many of its frames.

    Images before the first that is not done are judged again, but not recorded again: the last
    one, for metrics that compare images with the one before; where ids are compared all of its
    stretch, so that tracks are those of a run without interruption (see `id_switches`).
    """
    last = max(0, taken_up - 1)
    if taken_up >= frames or not compares_ids:
        return last
    return min(last, find_stretch(taken_up))


def list_faults(records: Iterable[FrameRecord]) -> list[str]:
    """Return why images were not scored, the first few reasons."""
    reasons = (
        f'image {record.index + 1}: {record.reason}' for record in records if record.reason
    )
    return list(islice(reasons, MAX_FAULTS))


class _Buffers(NamedTuple):
    """Products of one image, in the order of `SegmentationPipeline.process`."""

    mask: np.ndarray
    confidence: np.ndarray
    panoptic: np.ndarray | None


class _Loop:
    """Runs the network and hands its masks to the judge's thread."""

    def __init__(
        self,
        pipeline: SegmentationPipeline,
        judge: FrameJudge,
        journal: Journal,
        out: DriveEvaluation,
        watch: Watcher | None,
    ) -> None:
        self._pipeline = pipeline
        self._judge = judge
        self._journal = journal
        self._out = out
        self._watch = watch
        self._buffers: list[_Buffers] = []
        self._camera_hw = (0, 0)
        self._count = 0
        self._stretch = -1
        self._prepare_s = 0.0

    def run(self, frames: Iterable[ReadFrame]) -> None:
        start_s = time.perf_counter()
        pending: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, 'judge') as executor:
            for read in frames:
                while len(pending) >= _IN_FLIGHT - 1:
                    pending.popleft().result()
                pending.append(self._process(executor, read))
            while pending:
                pending.popleft().result()
        self._out.seconds = time.perf_counter() - start_s - self._prepare_s

    def _process(self, executor: ThreadPoolExecutor, read: ReadFrame) -> Future[None]:
        if read.frame is None:
            record = FrameRecord(read.index, read.stamp_ns, UNREADABLE, read.reason)
            return executor.submit(self._keep, record)
        buffers = self._prepare(read)
        if find_stretch(read.index) != self._stretch:
            self._stretch = find_stretch(read.index)
            self._pipeline.forget_tracks()
        segmented = self._pipeline.process(read.frame, *buffers)
        times_ms = {'read': read.read_ms, **segmented.timings_ms}
        times_ms['total'] = sum(times_ms.values())
        self._out.seconds_inference += times_ms['inference'] * 1e-3
        return executor.submit(self._judge_one, read, buffers, times_ms)

    def _prepare(self, read: ReadFrame) -> _Buffers:
        """Return buffers for the products; a new camera size compiles before its time."""
        assert read.frame is not None
        camera_hw = (read.frame.image.shape[0], read.frame.image.shape[1])
        if camera_hw != self._camera_hw:
            start_s = time.perf_counter()
            is_panoptic = self._pipeline.engine.metadata.is_panoptic
            self._pipeline.warm_up(
                camera_hw, read.frame.channel_order, with_panoptic=is_panoptic
            )
            self._prepare_s += time.perf_counter() - start_s
            self._camera_hw = camera_hw
            self._buffers = [
                _Buffers(
                    np.empty(camera_hw, np.uint8),
                    np.empty(camera_hw, np.uint8),
                    np.empty(camera_hw, np.int32) if is_panoptic else None,
                )
                for _ in range(_IN_FLIGHT + 1)
            ]
        self._count += 1
        return self._buffers[self._count % len(self._buffers)]

    def _judge_one(
        self,
        read: ReadFrame,
        buffers: _Buffers,
        times_ms: dict[str, float],
    ) -> None:
        assert read.frame is not None
        record, judged = self._judge.judge(
            read.index, read.frame, buffers.mask, buffers.confidence, times_ms, buffers.panoptic
        )
        self._keep(record)
        if self._watch is not None:
            self._watch(record, judged, self._judge)

    def _keep(self, record: FrameRecord) -> None:
        if record.index >= self._journal.taken_up:
            self._journal.add(record)
