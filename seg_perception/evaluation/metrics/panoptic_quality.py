# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Panoptic quality, as cityscapesscripts' evalPanopticSemanticLabeling counts it.

After Kirillov, He, Girshick, Rother and Dollar, "Panoptic Segmentation", CVPR 2019. A true and a
predicted segment of one class match where their IoU is above 0.5; the union leaves out the
predicted pixels whose truth is void. A true segment without a match is a false negative, a
predicted one a false positive, unless more than half of it lies on void or on a crowd of its
class. Per class, SQ is the mean IoU of the matches, RQ is TP / (TP + FP / 2 + FN / 2), and
PQ = SQ * RQ. Classes with TP + FP + FN = 0 leave the mean.

Panoptic maps are int32:

- class * 1000 + instance, instance 0..999, a segment. Stuff has one segment for each class: its
  instance number is not looked at.
- -1, void: unlabelled truth, or no prediction.
- -2 - class, in the truth alone: a crowd of the class, instances that nobody told apart. It is
  nothing to find (no false negative), and predictions on it are no false positives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from seg_perception.evaluation.metrics.metric import (
    JudgedFrame,
    Rows,
    require_panoptic_maps,
    sum_rows,
)
from seg_perception.evaluation.metrics.panoptic_kernels import count_shared_pixels, mark_ids
from seg_perception.perception.labels import LabelSpace

INSTANCES_PER_CLASS = 1000
VOID = -1
_LOWEST_ID = -2 - 254  # a crowd of the last class that 8 bits have
_TABLE_SIZE = 255 * INSTANCES_PER_CLASS - _LOWEST_ID
# A table of this many pairs takes 128 MB; street scenes have some 100 x 100.
_MAX_PAIRS = 1 << 24


def crowd_id(class_id: Any) -> Any:
    """Return the id of a crowd of a class in a true panoptic map; its own inverse."""
    return -2 - class_id


class Quality(NamedTuple):
    """Panoptic, segmentation and recognition quality, 0..1."""

    pq: float
    sq: float
    rq: float


class PanopticQuality:
    """PQ, SQ and RQ. Rows: class, true positives, false positives, false negatives, sum of IoUs.

    Args:
        label_space: of the truth; all classes that are no things are stuff.
        fold_lut: (256,) uint8, from the predicted classes to the truth's, 255 for none; None
            where they are the same. Things keep their instances, stuff that is one class in the
            truth becomes one segment.
    """

    name = 'panoptic'

    def __init__(self, label_space: LabelSpace, fold_lut: np.ndarray | None = None) -> None:
        self._label_space = label_space
        self._fold_lut = fold_lut

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Match the segments; ValueError for maps that do not fit or ids they cannot have."""
        truth, prediction = frame.true_panoptic, frame.panoptic
        if truth is None or prediction is None:
            return None
        require_panoptic_maps(truth, prediction)
        true_ids, predicted_ids = _list_ids('truth', truth), _list_ids('prediction', prediction)
        if predicted_ids[0] < VOID:
            raise ValueError(
                f'panoptic prediction holds id {predicted_ids[0]}, expected -1 or more; '
                'only the truth can have crowds'
            )
        true = self._find_segments('truth', true_ids)
        predicted = self._find_segments('prediction', predicted_ids, self._fold_lut)
        if len(true.classes) * len(predicted.classes) > _MAX_PAIRS:
            raise ValueError(
                f'{len(true.classes)} true and {len(predicted.classes)} predicted segments are '
                'too many to match; are these panoptic maps?'
            )
        counts = np.zeros((len(true.classes) + 1, len(predicted.classes) + 1), np.int64)
        count_shared_pixels(
            truth.reshape(-1), prediction.reshape(-1), _LOWEST_ID,
            _make_table(true_ids, true.places),
            _make_table(predicted_ids, predicted.places), counts)  # fmt: skip
        return _match(counts, true, predicted)

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return pq, sq and rq of all classes, of things, of stuff, and of each class."""
        names = self._label_space.class_names
        things = self._label_space.thing_ids
        found = {
            key[0]: _rate(*sums) for key, sums in sum_rows(frames, 1).items() if any(sums[:3])
        }
        figures: dict[str, Any] = {}
        for figure in Quality._fields:
            value_of = {id_: getattr(quality, figure) for id_, quality in found.items()}
            figures[figure] = _mean(value_of.values())
            figures[f'{figure}_things'] = _mean(value_of[i] for i in value_of if i in things)
            figures[f'{figure}_stuff'] = _mean(value_of[i] for i in value_of if i not in things)
            figures[f'{figure}_per_class'] = {
                name: value_of.get(id_) for id_, name in enumerate(names)
            }
        return figures

    def _find_segments(
        self, what: str, ids: np.ndarray, fold_lut: np.ndarray | None = None
    ) -> _Segments:
        """Tell which of the ids (ascending) are segments, in the classes of the truth."""
        classes = np.where(ids >= 0, ids // INSTANCES_PER_CLASS, crowd_id(ids))  # -1 for void
        num_classes = self._label_space.num_classes
        if fold_lut is None:
            wrong = np.flatnonzero(classes >= num_classes)
            if wrong.size:
                raise ValueError(
                    f'panoptic {what} holds id {ids[wrong[0]]} of class {classes[wrong[0]]}, '
                    f'expected classes 0..{num_classes - 1}; is it of another label space?'
                )
        else:
            classes = np.where(classes >= 0, fold_lut[classes].astype(np.int64), VOID)
            classes[classes >= num_classes] = VOID
        # A thing is told apart by its whole id: two predicted classes that fold into one may use
        # the same instance numbers.
        tells_apart = np.isin(classes, self._label_space.thing_ids) | (ids < 0)
        keys = classes * _TABLE_SIZE + np.where(tells_apart, ids, 0)
        is_segment = classes != VOID
        _, first, number = np.unique(keys[is_segment], return_index=True, return_inverse=True)
        places = np.zeros(len(ids), np.int32)
        places[is_segment] = number + 1
        return _Segments(places, classes[is_segment][first], ids[is_segment][first] < VOID)


class _Segments(NamedTuple):
    """Segments of one map.

    Attributes:
        places: (I,) int32, for each of the map's ids its segment's place in the counts; 0, void.
        classes: (S,) int, of the segments; the first has place 1.
        is_crowd: (S,) bool.
    """

    places: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray


def _list_ids(what: str, ids: np.ndarray) -> np.ndarray:
    """Return the ids that a map has, int64, ascending."""
    is_present = np.zeros(_TABLE_SIZE, np.bool_)
    unknown = mark_ids(ids.reshape(-1), _LOWEST_ID, is_present)
    if unknown:
        raise ValueError(
            f'panoptic {what} holds id {unknown}, expected {_LOWEST_ID} to '
            f'{_TABLE_SIZE + _LOWEST_ID - 1}: class * {INSTANCES_PER_CLASS} + instance'
        )
    return np.flatnonzero(is_present) + _LOWEST_ID


def _make_table(ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    table = np.zeros(_TABLE_SIZE, np.int32)
    table[ids - _LOWEST_ID] = places
    return table


def _match(counts: np.ndarray, true: _Segments, predicted: _Segments) -> Rows:
    """Return the rows of one image from the pixels that each pair of segments shares."""
    shared, on_void = counts[1:, 1:], counts[0, 1:]
    true_areas, predicted_areas = counts[1:].sum(axis=1), counts[:, 1:].sum(axis=0)
    union = true_areas[:, None] + predicted_areas - shared - on_void
    is_same_class = true.classes[:, None] == predicted.classes
    iou = np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)
    is_match = is_same_class & ~true.is_crowd[:, None] & (iou > 0.5)
    on_crowd = (shared * (is_same_class & true.is_crowd[:, None])).sum(axis=0)
    is_excused = 2 * (on_void + on_crowd) > predicted_areas
    is_missed = ~is_match.any(axis=1) & ~true.is_crowd
    is_wrong = ~is_match.any(axis=0) & ~is_excused
    rows = []
    for class_id in np.union1d(true.classes, predicted.classes).tolist():
        matched = iou[is_match & (true.classes == class_id)[:, None]].tolist()
        false_positives = int(is_wrong[predicted.classes == class_id].sum())
        false_negatives = int(is_missed[true.classes == class_id].sum())
        if matched or false_positives or false_negatives:
            sum_of_iou = math.fsum(matched)
            rows.append([class_id, len(matched), false_positives, false_negatives, sum_of_iou])
    return rows


def _rate(
    matches: float, false_positives: float, false_negatives: float, sum_of_iou: float
) -> Quality:
    weight = matches + 0.5 * false_positives + 0.5 * false_negatives
    return Quality(
        pq=sum_of_iou / weight,
        sq=sum_of_iou / matches if matches else 0.0,
        rq=matches / weight,
    )


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else None
