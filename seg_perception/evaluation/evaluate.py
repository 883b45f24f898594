# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation: a recording through the same chain as the node, scored and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import (
    BagReader,
    RawMessage,
    find_image_topic,
    find_label_topic,
)
from seg_perception.evaluation.pictures import SheetFrame
from seg_perception.evaluation.report import percentile_ms
from seg_perception.evaluation.score import BagScorer, BagTruth, MaskScore
from seg_perception.evaluation.topics import COMPRESSED_IMAGE_TYPE
from seg_perception.evaluation.video import OverlayVideo
from seg_perception.perception.frame import Frame, FrameError, FrameReader
from seg_perception.pipeline import SegmentationPipeline

SHEET_ROWS = 5


@dataclass(frozen=True)
class EvaluationConfig:
    """What of a recording is evaluated.

    Attributes:
        bag: Folder of the recording, or a single .mcap file.
        image_topic: Camera topic; '' to find it.
        label_topic: Topic of the label images; '' for the usual one.
        label_space: Label space of the labels; '' for the recorded one.
        limit: Number of images from the start; 0 for all.
        video: Overlay video to write; None for none.
    """

    bag: Path
    image_topic: str = ''
    label_topic: str = ''
    label_space: str = ''
    limit: int = 0
    video: Path | None = None

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f'a limit of {self.limit} images is not possible; 0 means all')


@dataclass
class EvaluationResult:
    """What came out.

    Attributes:
        image_topic: Camera topic that was read.
        score: Agreement with the labels; None for a recording without labels.
        frames_received: Images read.
        frames_used: Images segmented.
        frames_bad: Images that could not be read.
        faults: The first few reasons, one text per bad image.
        times_ms: Per stage (read, inference, decode, total) the time of every used image.
        wall_s: Time from the first image to the last mask, scoring and drawing included.
        sheet_frames: Images spread evenly over the recording, for a contact sheet.
        video: Video that was written.
    """

    image_topic: str
    score: MaskScore | None = None
    frames_received: int = 0
    frames_used: int = 0
    frames_bad: int = 0
    faults: list[str] = field(default_factory=list)
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    wall_s: float = 0.0
    sheet_frames: list[SheetFrame] = field(default_factory=list)
    video: Path | None = None

    def add_times(self, times_ms: dict[str, float]) -> None:
        """Keep the stage times of one image."""
        for stage, value_ms in times_ms.items():
            self.times_ms.setdefault(stage, []).append(value_ms)

    def add_fault(self, reason: str) -> None:
        """Count an image that could not be used; the first five reasons are kept."""
        self.frames_bad += 1
        if len(self.faults) < 5:
            self.faults.append(reason)

    def summarize(self) -> dict[str, Any]:
        """Return the figures as JSON values; latency is the whole chain from bytes to mask."""
        total_ms = self.times_ms.get('total', [])
        p50_ms = percentile_ms(total_ms, 50)
        score = self.score
        return {
            'miou': score.miou if score else None,
            'per_class_iou': score.per_class_iou() if score else {},
            'pixel_accuracy': score.pixel_accuracy if score else None,
            'label_space': score.label_space if score else None,
            'classes_in_headline': [c.name for c in score.classes if c.in_headline]
            if score
            else [],
            'frames_scored': score.frames_scored if score else 0,
            'fps': 1e3 / (sum(total_ms) / len(total_ms)) if total_ms else None,
            'latency_p50_ms': p50_ms,
            'latency_p95_ms': percentile_ms(total_ms, 95),
            'stages_p50_ms': {
                stage: percentile_ms(values, 50) for stage, values in self.times_ms.items()
            },
            'stages_p95_ms': {
                stage: percentile_ms(values, 95) for stage, values in self.times_ms.items()
            },
            'wall_s': self.wall_s,
            'frames_received': self.frames_received,
            'frames_used': self.frames_used,
            'frames_dropped': 0,
            'frames_bad': self.frames_bad,
        }


def evaluate_bag(
    pipeline: SegmentationPipeline,
    config: EvaluationConfig,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> EvaluationResult:
    """Segment a recording's images and score them where it has labels.

    An image that cannot be read is counted and told of, and the next one goes on.

    Args:
        pipeline: The chain, with an engine loaded.
        config: What to evaluate.
        show_progress: Wraps the images' iterable given their number, such as a tqdm bar.

    Raises:
        UserError: The recording cannot be used, or not one image could be segmented.
        EngineError: The engine failed.
    """
    with BagReader(config.bag) as reader:
        image_topic = find_image_topic(reader, config.image_topic)
        scorer = open_scorer(reader, config, pipeline)
        evaluation = _Evaluation(pipeline, scorer, EvaluationResult(image_topic))
        count = reader.count_messages(image_topic)
        count = min(count, config.limit) if config.limit else count
        evaluation.sheet_indices = set(np.linspace(0, count - 1, SHEET_ROWS).round().astype(int))
        messages: Iterator[RawMessage] = islice(
            reader.iterate_raw_messages([image_topic]), config.limit or None
        )
        try:
            if config.video is None:
                evaluation.run(reader, show_progress(messages, count), None)
            else:
                rate_hz = max(1.0, (count - 1) * 1e9 / max(1, reader.duration_ns))
                space = pipeline.engine.metadata.label_space
                with OverlayVideo(config.video, min(rate_hz, 60.0), space) as video:
                    evaluation.run(reader, show_progress(messages, count), video)
                evaluation.result.video = video.path if video.frame_count else None
        finally:
            if scorer is not None:
                scorer.truth.close()
    result = evaluation.result
    if result.frames_used == 0:
        reasons = f': {result.faults[0]}' if result.faults else ''
        raise UserError(f'no image of {image_topic} in {config.bag} could be segmented{reasons}')
    if scorer is not None:
        result.score = scorer.summarize()
    return result


def open_scorer(
    reader: BagReader, config: EvaluationConfig, pipeline: SegmentationPipeline
) -> BagScorer | None:
    """Return a scorer for a recording with labels, None for one without.

    Raises:
        UserError: The labels asked for are not there, or their meaning is not known.
    """
    if not find_label_topic(reader, config.label_topic):
        return None
    truth = BagTruth(config.bag, config.label_topic, config.label_space)
    try:
        return BagScorer(truth, pipeline.engine.metadata.label_space)
    except UserError:
        truth.close()
        raise


def read_camera_frame(frame_reader: FrameReader, type_name: str, message: Any) -> Frame:
    """Return the frame of an Image or CompressedImage message; raises FrameError."""
    if type_name == COMPRESSED_IMAGE_TYPE:
        return frame_reader.read_compressed(message)
    return frame_reader.read_image(message)


class _Evaluation:
    """The loop over images, with what it carries from one to the next."""

    def __init__(
        self,
        pipeline: SegmentationPipeline,
        scorer: BagScorer | None,
        result: EvaluationResult,
    ) -> None:
        self.pipeline = pipeline
        self.scorer = scorer
        self.result = result
        self.sheet_indices: set[int] = set()
        self._frame_reader = FrameReader()
        self._camera_hw = (0, 0)

    def run(
        self, reader: BagReader, messages: Iterable[RawMessage], video: OverlayVideo | None
    ) -> None:
        start_s = time.perf_counter()
        for raw in messages:
            index = self.result.frames_received
            self.result.frames_received += 1
            try:
                message = reader.decode(raw)
                read_start_s = time.perf_counter()
                frame = read_camera_frame(self._frame_reader, raw.type_name, message)
                read_ms = (time.perf_counter() - read_start_s) * 1e3
            except (FrameError, UserError) as error:
                self.result.add_fault(str(error))
                continue
            self._process(frame, read_ms, index, video)
        self.result.wall_s = time.perf_counter() - start_s

    def _process(
        self, frame: Frame, read_ms: float, index: int, video: OverlayVideo | None
    ) -> None:
        camera_hw = (frame.image.shape[0], frame.image.shape[1])
        if camera_hw != self._camera_hw:
            # compiling is not part of any image's time
            self.pipeline.warm_up(camera_hw, frame.channel_order)
            self._camera_hw = camera_hw
        start_s = time.perf_counter()
        segmented = self.pipeline.process(frame)
        total_ms = read_ms + (time.perf_counter() - start_s) * 1e3
        self.result.frames_used += 1
        self.result.add_times({'read': read_ms, **segmented.timings_ms, 'total': total_ms})
        if self.scorer is not None:
            self.scorer.add(frame.stamp_ns, segmented.mask)
        if index in self.sheet_indices:
            self.result.sheet_frames.append(self._make_sheet_frame(frame, segmented.mask, index))
        if video is not None:
            latency_p50_ms = percentile_ms(self.result.times_ms['total'][-30:], 50) or total_ms
            lines = (
                f'{1e3 / latency_p50_ms:.1f} fps   {latency_p50_ms:.0f} ms',
                self.pipeline.engine.description,
            )
            video.write(frame.image, frame.channel_order, segmented.mask, lines)

    def _make_sheet_frame(self, frame: Frame, mask: np.ndarray, index: int) -> SheetFrame:
        truth = None
        if self.scorer is not None:
            label = self.scorer.read_truth(frame.stamp_ns)
            truth = None if label is None else self.scorer.scorer.to_model_space(label)
        return SheetFrame(
            # the frame may be a view of a buffer that the next image reuses
            image=frame.image.copy(),
            channel_order=frame.channel_order,
            mask=mask.copy(),
            truth=truth,
            caption=f'image {index + 1}',
        )
