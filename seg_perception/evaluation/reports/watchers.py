# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What looks on while a recording is judged: pictures for the report, the overlay video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg_perception.evaluation.drives.evaluate import Watcher
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.judge import FrameJudge
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.reports.pictures import SheetFrame
from seg_perception.evaluation.reports.report_frames import (
    ReportFrame,
    choose_spaced,
    make_report_frame,
    score_frames,
)
from seg_perception.evaluation.reports.video import OverlayVideo
from seg_perception.perception.labels import LabelSpace

SHEET_ROWS = 5
# More than are shown: the report leaves out those that are a second or less apart.
_WORST_KEPT = 24


class PictureKeeper:
    """Keeps pictures spread evenly over a recording, and those of the worst images.

    Args:
        bag: the recording, as the result names it.
        count: images in it.
        model_space: label space of the masks.
        spaced: how many to spread; the next one stands in for one that is missing.
        with_worst: keep the worst ones too.
    """

    def __init__(
        self, bag: str, count: int, model_space: LabelSpace, spaced: int, with_worst: bool
    ) -> None:
        self._bag = bag
        self.model_space = model_space
        self._pending = choose_spaced(count, spaced) if count and spaced else []
        self._with_worst = with_worst
        self._spaced: list[ReportFrame] = []
        self._worst: list[tuple[float, ReportFrame]] = []

    def __call__(self, record: FrameRecord, judged: JudgedFrame, judge: FrameJudge) -> None:
        """Keep a picture where it is wanted."""
        is_spaced = bool(self._pending) and record.index >= self._pending[0]
        miou = self._score(record, judge)
        is_worse = len(self._worst) < _WORST_KEPT or miou < self._worst[-1][0]
        if not is_spaced and (np.isnan(miou) or not is_worse):
            return
        truth = judge.read_shown_truth(record.stamp_ns)
        if truth is not None and truth.shape != judged.mask.shape:
            truth = None
        kept = make_report_frame(judged, truth, self.model_space, self._bag)
        if is_spaced:
            self._pending = [index for index in self._pending if index > record.index]
            self._spaced.append(kept)
        if not np.isnan(miou) and is_worse:
            self._worst.append((miou, kept))
            self._worst.sort(key=lambda entry: entry[0])
            del self._worst[_WORST_KEPT:]

    def list_frames(self) -> list[ReportFrame]:
        """Return all that was kept, in order."""
        frames = {kept.index: kept for kept in self._spaced}
        frames |= {kept.index: kept for _, kept in self._worst}
        return [frames[index] for index in sorted(frames)]

    def list_sheet_frames(self) -> list[SheetFrame]:
        """Return rows of a contact sheet, spread evenly over what was kept."""
        if not self._spaced:
            return []
        return [
            SheetFrame(
                kept.image,
                'bgr',
                kept.mask,
                kept.truth,
                f'image {kept.index + 1}',
                outlines=kept.outlines,
                true_outlines=kept.true_outlines,
            )
            for kept in (
                self._spaced[position]
                for position in choose_spaced(len(self._spaced), SHEET_ROWS)
            )
        ]

    def _score(self, record: FrameRecord, judge: FrameJudge) -> float:
        if not self._with_worst or not record.metrics.get('confusion'):
            return float('nan')
        return float(score_frames([record], judge.num_classes).miou[0])


class VideoDrawer:
    """Writes each image with its mask and its time into an overlay video."""

    def __init__(self, video: OverlayVideo, description: str) -> None:
        self._video = video
        self._description = description

    def __call__(self, record: FrameRecord, judged: JudgedFrame, judge: FrameJudge) -> None:
        """Draw one image."""
        total_ms = record.times_ms.get('latency', record.times_ms.get('total', 0.0))
        lines = (f'image {record.index + 1}   {total_ms:.0f} ms', self._description)
        self._video.write(
            judged.image, judged.channel_order, judged.mask, lines, panoptic=judged.panoptic
        )


def watch_all(watchers: Sequence[Watcher]) -> Watcher:
    """Return a watcher that calls all of these."""

    def watch(record: FrameRecord, judged: JudgedFrame, judge: FrameJudge) -> None:
        for watcher in watchers:
            watcher(record, judged, judge)

    return watch
