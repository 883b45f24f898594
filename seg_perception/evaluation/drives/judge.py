# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From the masks of a recording to records: the metrics, with the truth of each image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.label_truth import Truth
from seg_perception.evaluation.drives.frame_record import (
    MISMATCHED,
    SCORED,
    UNLABELLED,
    FrameRecord,
)
from seg_perception.evaluation.metrics.metric import JudgedFrame, Metric, Rows
from seg_perception.evaluation.metrics.score import make_display_lut, make_fold_lut
from seg_perception.perception.frame import Frame
from seg_perception.perception.labels import LabelSpace

MAX_FAULTS = 20


class StampedImages(Protocol):
    """Further true images by stamp: depth in metres, panoptic ids."""

    def read(self, stamp_ns: int) -> np.ndarray | None:
        """Return (H, W), None where there is none; UserError where damaged."""

    def close(self) -> None:
        """Close the files."""


class FrameJudge:
    """Measures the masks of one recording, in their order.

    Attributes:
        costs_ms: by metric, what measuring each frame took.
        num_classes: of the label space in which is scored.
        faults: what was wrong with depth or panoptic truth, each once.

    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        model_space: LabelSpace,
        truth: Truth | None = None,
        depth: StampedImages | None = None,
        panoptic: StampedImages | None = None,
    ) -> None:
        """Prepare the translation between label spaces.

        Raises:
            LabelError: masks cannot be scored in the label space of the truth.
        """
        self._metrics = tuple(metrics)
        self._truth, self._depth, self._panoptic = truth, depth, panoptic
        self._fold_lut = self._display_lut = np.zeros(0, np.uint8)
        self.num_classes = (truth.label_space if truth else model_space).num_classes
        if truth is not None:
            self._fold_lut = make_fold_lut(truth.label_space, model_space)
            self._display_lut = make_display_lut(truth.label_space, model_space)
        self.faults: list[str] = []
        self.costs_ms: dict[str, list[float]] = {metric.name: [] for metric in self._metrics}

    @property
    def scores_instances(self) -> bool:
        """Whether the recording has true instances that are scored."""
        return self._panoptic is not None

    @property
    def compares_ids(self) -> bool:
        """Whether ids of instances are compared from image to image."""
        return self._panoptic is not None and 'id_switches' in self.costs_ms

    def judge(
        self,
        index: int,
        frame: Frame,
        mask: np.ndarray,
        confidence: np.ndarray | None,
        times_ms: dict[str, float],
        panoptic: np.ndarray | None = None,
    ) -> tuple[FrameRecord, JudgedFrame]:
        """Return the record of one image, and what was judged.

        A truth that cannot be used is named in the record.
        """
        status, reason, truth = self._read_truth(frame.stamp_ns, mask.shape)
        judged = JudgedFrame(
            index=index,
            stamp_ns=frame.stamp_ns,
            image=frame.image,
            channel_order=frame.channel_order,
            mask=mask,
            confidence=confidence,
            truth=truth,
            folded=None if truth is None else self._fold_lut[mask],
            panoptic=panoptic,
            true_panoptic=self._read('panoptic truth', self._panoptic, frame, mask.shape),
            depth_m=self._read('depth', self._depth, frame, mask.shape),
        )
        metrics: dict[str, Rows] = {}
        for metric in self._metrics:
            start_s = time.perf_counter()
            try:
                rows = metric.measure(judged)
            except ValueError as error:
                status, reason, rows = MISMATCHED, f'{metric.name}: {error}', None
            self.costs_ms[metric.name].append((time.perf_counter() - start_s) * 1e3)
            if rows is not None:
                metrics[metric.name] = rows
        return FrameRecord(index, frame.stamp_ns, status, reason, metrics, times_ms), judged

    def read_shown_truth(self, stamp_ns: int) -> np.ndarray | None:
        """Return the truth in ids of the model's label space, to draw it in the same colours."""
        if self._truth is None:
            return None
        label = self._truth.read(stamp_ns)
        return None if label is None else self._display_lut[label]

    def close(self) -> None:
        """Close the truth's files."""
        for source in (self._truth, self._depth, self._panoptic):
            if source is not None:
                source.close()

    def _read_truth(
        self, stamp_ns: int, shape: tuple[int, ...]
    ) -> tuple[str, str, np.ndarray | None]:
        if self._truth is None:
            return UNLABELLED, '', None
        try:
            truth = self._truth.read(stamp_ns)
        except UserError as error:
            return MISMATCHED, str(error), None
        if truth is None:
            return UNLABELLED, '', None
        if truth.shape != shape:
            return (
                MISMATCHED,
                f'the label is {truth.shape[0]}x{truth.shape[1]}, the image {shape[0]}x'
                f'{shape[1]}; labels must have the size of their image',
                None,
            )
        return SCORED, '', truth

    def _read(
        self, what: str, source: StampedImages | None, frame: Frame, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """Return a further true image; one that cannot be used is named, and as good as none."""
        if source is None:
            return None
        try:
            image = source.read(frame.stamp_ns)
        except UserError as error:
            self._add_fault(f'{what}: {error}')
            return None
        if image is not None and image.shape != shape:
            self._add_fault(
                f'{what} is {image.shape[0]}x{image.shape[1]}, the image {shape[0]}x{shape[1]}'
            )
            return None
        return image

    def _add_fault(self, fault: str) -> None:
        if fault not in self.faults and len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
