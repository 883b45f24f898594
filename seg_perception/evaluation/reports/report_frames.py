# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Frames that a report shows: which, and their pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.saved_result import count_classes
from seg_perception.evaluation.metrics.confusion import HEADLINE_MIN_SHARE
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.reports.pictures import (
    Picture,
    Places,
    draw_overlay_bgr,
    resize_to_width,
    to_bgr,
)
from seg_perception.perception.labels import UNLABELLED_ID, LabelSpace, load_label_mapping
from seg_perception.perception.overlay import find_outlines

WORST_FRAMES = 8
SPACED_FRAMES = 60
# Two of the worst frames closer than this would show the same.
_WORST_GAP_NS = 1_000_000_000
# A report shows nothing larger, and 60 frames of a camera would take 0.6 GB.
KEPT_WIDTH_PX = 720
_ERROR_BGR = (40, 60, 255)
_JPEG_QUALITY = 78


@dataclass(frozen=True)
class ReportFrame:
    """A frame to be shown.

    Attributes:
        index: of the image in its recording.
        stamp_ns: of its header.
        image: (H, W, 3) uint8 BGR.
        mask: (H, W) uint8, ids of `label_space`.
        truth: (H, W) uint8, ids of `label_space`, 255 where unlabelled; None without a label.
        label_space: that of mask and truth.
        bag: the recording, as the result names it; '' where there is only one.
        outlines: of the instances that were found, places in the flat image; None without any.
        true_outlines: of the true instances.
    """

    index: int
    stamp_ns: int
    image: Picture
    mask: Picture
    truth: Picture | None
    label_space: LabelSpace
    bag: str = ''
    outlines: Places | None = None
    true_outlines: Places | None = None


def make_report_frame(
    judged: JudgedFrame, truth: Picture | None, label_space: LabelSpace, bag: str = ''
) -> ReportFrame:
    """Return a frame in the size of a report, apart from the buffers it was made of.

    Args:
        judged: the image and all that was found in it.
        truth: (H, W) uint8, ids of `label_space`; None without a label.
        label_space: that of the mask.
        bag: see `ReportFrame`.
    """
    image = to_bgr(judged.image, judged.channel_order)
    if image.shape[1] > KEPT_WIDTH_PX:
        image = resize_to_width(image, KEPT_WIDTH_PX)
    size = (image.shape[1], image.shape[0])

    def shrink(ids: np.ndarray) -> np.ndarray:
        return np.array(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST))

    def outline(panoptic: np.ndarray | None) -> Places | None:
        return None if panoptic is None else find_outlines(shrink(panoptic))

    return ReportFrame(
        judged.index,
        judged.stamp_ns,
        image.copy(),
        shrink(judged.mask),
        None if truth is None else shrink(truth),
        label_space,
        bag,
        outline(judged.panoptic),
        outline(judged.true_panoptic),
    )


@dataclass(frozen=True)
class FrameScores:
    """Scores by frame, (frames,) float64, NaN where a frame has no labelled pixel.

    Attributes:
        accuracy: share of the labelled pixels that are right.
        miou: mean IoU of the classes that have 0.1 % of the frame's labelled pixels.
    """

    accuracy: np.ndarray
    miou: np.ndarray


def score_frames(records: Sequence[FrameRecord], num_classes: int) -> FrameScores:
    """Return the scores of each record."""
    right, true, predicted = count_classes(records, num_classes).transpose(1, 0, 2)
    totals = true.sum(axis=1)
    union = true + predicted - right
    counts = (true > 0) & (true >= HEADLINE_MIN_SHARE * totals[:, None])
    iou = np.where(counts, right / np.maximum(union, 1), 0)
    empty = np.full(len(records), np.nan)
    has_labels = totals > 0
    return FrameScores(
        np.divide(right.sum(axis=1), totals, out=empty.copy(), where=has_labels),
        np.divide(iou.sum(axis=1), counts.sum(axis=1), out=empty, where=has_labels),
    )


def choose_worst(
    records: Sequence[FrameRecord], num_classes: int, count: int = WORST_FRAMES
) -> list[int]:
    """Return the positions of the records of lowest mIoU, worst first.

    Not two within a second of each other, unless there would be too few.
    """
    miou = score_frames(records, num_classes).miou
    order = [int(i) for i in np.argsort(miou, kind='stable') if not np.isnan(miou[i])]
    chosen: list[int] = []
    for position in order:
        stamp_ns = records[position].stamp_ns
        if all(abs(stamp_ns - records[i].stamp_ns) >= _WORST_GAP_NS for i in chosen):
            chosen.append(position)
    chosen += [position for position in order if position not in chosen]
    return sorted(chosen[:count], key=order.index)


def choose_spaced(count: int, most: int = SPACED_FRAMES) -> list[int]:
    """Return up to `most` evenly spaced positions of `count`, first and last included."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(most, count)).round()})


def find_fold_lut(
    label_space: str, class_names: Sequence[str], frame_space: LabelSpace
) -> np.ndarray:
    """Return the (256,) uint8 table from the ids of a frame to those that are scored.

    Args:
        label_space: in which is scored.
        class_names: its classes.
        frame_space: that of masks and truths as they are shown.

    Raises:
        LabelError: there is no mapping between the two.
    """
    if tuple(class_names) == frame_space.class_names:
        return np.arange(256, dtype=np.uint8)
    lut = load_label_mapping(label_space, frame_space.name).target_lut()
    lut[lut >= len(class_names)] = UNLABELLED_ID
    return lut


def draw_errors_bgr(image: Picture, mask: Picture, truth: Picture) -> Picture:
    """Return the image in grey, wrong pixels red, unlabelled ones dark; ids as they are scored."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    picture = np.asarray(grey // 2 + 70, np.uint8)
    unlabelled = truth == UNLABELLED_ID
    picture[unlabelled] //= 3
    wrong = (mask != truth) & ~unlabelled
    picture[wrong] = picture[wrong] // 3 + (np.array(_ERROR_BGR) * 2 // 3).astype(np.uint8)
    return picture


def encode_tiles(frame: ReportFrame, width_px: int, fold_lut: np.ndarray) -> dict[str, str]:
    """Return the pictures of a frame as data URIs of JPEG: image, overlay, truth, error.

    The last two only with a label. Frames narrower than the width stay as they are.

    Args:
        frame: to be shown.
        width_px: of each picture, at most.
        fold_lut: of `find_fold_lut`: a truck is no error where the labels know only cars.
    """
    tiles = {
        'image': frame.image,
        'overlay': draw_overlay_bgr(
            frame.image, 'bgr', frame.mask, frame.label_space, frame.outlines
        ),
    }
    if frame.truth is not None:
        tiles['truth'] = draw_overlay_bgr(
            frame.image, 'bgr', frame.truth, frame.label_space, frame.true_outlines
        )
        tiles['error'] = draw_errors_bgr(
            frame.image, fold_lut[frame.mask], fold_lut[frame.truth]
        )
    return {name: encode_jpeg(picture, width_px) for name, picture in tiles.items()}


def encode_jpeg(picture: Picture, width_px: int) -> str:
    """Return a picture of at most this width as a data URI."""
    if picture.shape[1] > width_px:
        picture = resize_to_width(picture, width_px)
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode('ascii')
