# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation of labelled image folders, through the same chain as the node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_folders import ImageFolderError, ImagePair
from seg_perception.evaluation.images.labelled_split import LabelledSplit
from seg_perception.evaluation.metrics.boundary import BoundaryScore
from seg_perception.evaluation.metrics.calibration_error import CalibrationError
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.metrics.score import make_display_lut
from seg_perception.evaluation.reports.pictures import SheetFrame
from seg_perception.evaluation.reports.tables import format_table
from seg_perception.perception.frame import Frame
from seg_perception.perception.labels import UNLABELLED_ID, LabelSpace
from seg_perception.pipeline import SegmentationPipeline

SHEET_ROWS = 5


class ImageScore:
    """Scores masks and confidences against labels of the model's or a coarser label space.

    Attributes:
        label_space: In which is scored.
        confusion: Pixels by true and folded predicted class.
        boundary: Agreement of the outlines, after folding.
        calibration: Confidence of the model's winning class against being right after folding.
        images: Images added.
    """

    def __init__(self, label_space: LabelSpace, fold_lut: np.ndarray) -> None:
        """Start with no images.

        Args:
            label_space: Label space of the truth.
            fold_lut: (256,) uint8, model id to label id, 255 for none.
        """
        self.label_space = label_space
        self.confusion = ConfusionMatrix(label_space.num_classes, UNLABELLED_ID)
        self.boundary = BoundaryScore(label_space.num_classes)
        self.calibration = CalibrationError()
        self.images = 0
        self._fold_lut = fold_lut

    def add(self, truth: np.ndarray, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Score one image.

        Args:
            truth: (H, W) uint8 label ids, 255 where unlabelled.
            mask: (H, W) uint8 ids of the model's space.
            confidence: (H, W) uint8, probability of the winning class times 255.

        Raises:
            ValueError: Shapes or types differ from these, or an id that is no class.
        """
        folded = self._fold_lut[mask]
        self.confusion.add(truth, folded)
        self.boundary.add(truth, folded)
        is_labelled = truth != UNLABELLED_ID
        is_right = truth[is_labelled] == folded[is_labelled]
        self.calibration.add(confidence[is_labelled], is_right)
        self.images += 1

    def summarize(self) -> dict[str, Any]:
        """Return the figures as JSON values; those that do not exist are None.

        Mean IoU is over every class that occurs or is predicted, as the Cityscapes benchmark
        counts.
        """
        names = self.label_space.class_names
        return {
            'miou': _to_json(self.confusion.mean_iou()),
            'per_class_iou': dict(zip(names, map(_to_json, self.confusion.iou()), strict=True)),
            'pixel_accuracy': _to_json(self.confusion.pixel_accuracy()),
            'boundary_f': _to_json(self.boundary.mean()),
            'per_class_boundary_f': dict(
                zip(names, map(_to_json, self.boundary.per_class()), strict=True)
            ),
            'boundary_tolerance_of_diagonal': self.boundary.tolerance_share,
            'ece': _to_json(self.calibration.error()),
            'confidence_bins': [
                {
                    'upper': item.upper,
                    'pixels': item.pixels,
                    'confidence': item.confidence,
                    'accuracy': item.accuracy,
                }
                for item in self.calibration.bins()
            ],
            'images': self.images,
            'labelled_pixels': self.confusion.labelled_pixels,
            'label_space': self.label_space.name,
        }

    def format_classes(self) -> str:
        """Return a table of the classes: IoU, boundary F-score and share of the true pixels."""
        rows = [
            (name, _show(iou), _show(boundary_f), f'{100 * share:.2f} %')
            for name, iou, boundary_f, share in zip(
                self.label_space.class_names,
                self.confusion.iou(),
                self.boundary.per_class(),
                self.confusion.shares(),
                strict=True,
            )
        ]
        counted = int((~np.isnan(self.confusion.iou())).sum())
        means = (_show(self.confusion.mean_iou()), _show(self.boundary.mean()), '')
        rows.append((f'mean of {counted}', *means))
        return format_table(rows, ('class', 'IoU', 'boundary F', 'of true pixels'))


@dataclass
class ImageSetResult:
    """What came out: the score, and images spread evenly over the split for a contact sheet."""

    score: ImageScore
    sheet_frames: list[SheetFrame] = field(default_factory=list)


def evaluate_images(
    pipeline: SegmentationPipeline,
    split: LabelledSplit,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> ImageSetResult:
    """Segment every image of a split and score it: whole image, one scale, camera size.

    Args:
        pipeline: The chain, with an engine loaded.
        split: The images.
        show_progress: Wraps the images' iterable given their number, such as a tqdm bar.

    Raises:
        ImageFolderError: A fault in an image or a label; nothing is scored without it.
        UserError: Not one pixel is labelled.
        EngineError: The engine failed.
    """
    model_space = pipeline.engine.metadata.label_space
    result = ImageSetResult(ImageScore(split.label_space, split.fold_lut))
    display_lut = make_display_lut(split.label_space, model_space)
    count = len(split.pairs)
    sheet_indices = set(np.linspace(0, count - 1, SHEET_ROWS).round().astype(int))
    for index, pair in enumerate(show_progress(split.pairs, count)):
        frame = _score_pair(pipeline, split, pair, result.score, display_lut)
        if index in sheet_indices:
            result.sheet_frames.append(frame)
    if not result.score.confusion.labelled_pixels:
        raise UserError(
            f'not one pixel of {count} label images is labelled, e.g. {split.pairs[0].label}; '
            'nothing can be scored'
        )
    return result


def _score_pair(
    pipeline: SegmentationPipeline,
    split: LabelledSplit,
    pair: ImagePair,
    score: ImageScore,
    display_lut: np.ndarray,
) -> SheetFrame:
    item = split.read(pair)
    confidence = np.empty(item.label.shape, np.uint8)
    frame = Frame(item.image, 'rgb', 0, '', None)
    mask = pipeline.process(frame, confidence_out=confidence).mask
    try:
        score.add(item.label, mask, confidence)
    except ValueError as error:
        raise ImageFolderError(f'{pair.label} cannot be scored: {error}') from error
    return SheetFrame(item.image, 'rgb', mask, display_lut[item.label], pair.image.name)


def _to_json(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _show(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.3f}'
