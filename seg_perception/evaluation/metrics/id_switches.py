# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""ID switches: does an object keep its predicted id from image to image?

After CLEAR MOT (Bernardin and Stiefelhagen, 2008): a true thing is found by the predicted segment
of its class with which its IoU is above 0.5, where the union leaves out void; that can be one at
most. An object whose predicted id is another than when it was last found is a switch. Groups that
nobody told apart (crowds, see `panoptic_quality`) are no objects.

- Figures are per 100 instance-frames, that is for 100 times that an object was found.
- `id_switches_per_100` counts objects of at least 100 px at 1024x2048 (the same share of other
  sizes), the smallest that Cityscapes' instance benchmark looks at, and that were found in one of
  the last three labelled images: what is promised of tracks, that they survive two images.
- `id_switches_per_100_any_size` counts smaller ones too: distant people of a few pixels.
- `id_changes_after_gap_per_100` counts those that were not found for longer and came back with
  another id, of at least 100 px.

A recording is a row of stretches of STRETCH_IMAGES images. Each begins anew, here and in the
tracks of an offline run: nothing is compared across its start. So an evaluation that was
interrupted repeats the images of one stretch at most, and gives the figures of one that was not.
One of 1000 comparisons is lost.

The true ids have to be those of the object in all images. Those of Cityscapes are not, see
`INSTANCES_TRACKED_KEY` in `topics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
SURVIVED_IMAGES = 2
# 100 s at 10 Hz; images that are unreadable or have no truth count too
STRETCH_IMAGES = 1000
LEAST_AREA_SHARE = 100 / (1024 * 2048)
_LOWEST_ID = -2 - 254  # a crowd of the last class that 8 bits have
_TABLE_SIZE = 255 * INSTANCES_PER_CLASS - _LOWEST_ID
_REST, _VOID_ROW, _FIRST_ROW = 0, 1, 2


class IdSwitches:
    """Rows: class, 1 for a large object, found, switched, changed after a gap; one per object.

    Args:
        label_space: of the truth.
        fold_lut: (256,) uint8, from the predicted classes to the truth's; None where they are the
            same.
    """

    name = 'id_switches'

    def __init__(self, label_space: LabelSpace, fold_lut: np.ndarray | None = None) -> None:
        self._label_space = label_space
        self._fold_lut = np.arange(256) if fold_lut is None else fold_lut.astype(np.int64)
        self._judged = 0
        self._stretch = 0
        self._last: dict[int, tuple[int, int]] = {}  # true id: predicted id, in which image

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Compare the ids with those of earlier images; ValueError for maps that do not fit."""
        truth, prediction = frame.true_panoptic, frame.panoptic
        if truth is None or prediction is None:
            return None
        require_panoptic_maps(truth, prediction)
        if find_stretch(frame.index) != self._stretch:
            self._stretch = find_stretch(frame.index)
            self._last.clear()
        rows = []
        for true_id, predicted_id, area in self._find_objects(truth, prediction):
            is_large = int(area >= LEAST_AREA_SHARE * truth.size)
            last_id, last_image = self._last.get(true_id, (predicted_id, self._judged))
            is_changed = last_id != predicted_id
            is_after_gap = self._judged - last_image - 1 > SURVIVED_IMAGES
            rows.append(
                [
                    true_id // INSTANCES_PER_CLASS,
                    is_large,
                    1,
                    int(is_changed and not is_after_gap),
                    int(is_changed and is_after_gap),
                ]
            )
            self._last[true_id] = (predicted_id, self._judged)
        self._judged += 1
        return rows

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return the figures, None without any object, and the instance-frames behind them."""
        sums = sum_rows(frames, 2)
        all_sizes = _total(list(sums.values()))
        found, switched, after_gap = _total([sums[key] for key in sums if key[1]])
        return {
            'id_switches_per_100': _rate(switched, found),
            'id_switches_per_100_any_size': _rate(all_sizes[1], all_sizes[0]),
            'id_changes_after_gap_per_100': _rate(after_gap, found),
            'instance_frames': int(found),
        }

    def _find_objects(
        self, truth: np.ndarray, prediction: np.ndarray
    ) -> list[tuple[int, int, int]]:
        """Return the true things that are found: true id, predicted id, true area in pixels."""
        things = self._label_space.thing_ids
        ids = [_list_numbered_ids(what, image)
               for what, image in (('truth', truth), ('prediction', prediction))]  # fmt: skip
        true_ids = ids[0][np.isin(ids[0] // INSTANCES_PER_CLASS, things)]
        classes = self._fold_lut[ids[1] // INSTANCES_PER_CLASS]
        predicted_ids = ids[1][np.isin(classes, things)]
        classes = classes[np.isin(classes, things)]
        rows = np.full(_TABLE_SIZE, _REST, np.int32)
        rows[VOID - _LOWEST_ID] = _VOID_ROW
        rows[true_ids - _LOWEST_ID] = np.arange(len(true_ids)) + _FIRST_ROW
        columns = np.zeros(_TABLE_SIZE, np.int32)
        columns[predicted_ids - _LOWEST_ID] = np.arange(len(predicted_ids)) + 1
        counts = np.zeros((len(true_ids) + _FIRST_ROW, len(predicted_ids) + 1), np.int64)
        count_shared_pixels(
            truth.reshape(-1), prediction.reshape(-1), _LOWEST_ID, rows, columns, counts
        )
        shared, areas = counts[_FIRST_ROW:, 1:], counts[_FIRST_ROW:].sum(axis=1)
        predicted_areas = counts[:, 1:].sum(axis=0) - counts[_VOID_ROW, 1:]
        is_found = 2 * shared > areas[:, None] + predicted_areas - shared
        is_found &= true_ids[:, None] // INSTANCES_PER_CLASS == classes
        return [
            (int(true_ids[row]), int(predicted_ids[column]), int(areas[row]))
            for row, column in zip(*np.nonzero(is_found), strict=True)
        ]


def find_stretch(index: int) -> int:
    """Return the first image of the stretch that an image of a recording is in."""
    return index - index % STRETCH_IMAGES


def _list_numbered_ids(what: str, ids: np.ndarray) -> np.ndarray:
    """Return the ids of instances that a map has, int64, ascending."""
    is_present = np.zeros(_TABLE_SIZE, np.bool_)
    unknown = mark_ids(ids.reshape(-1), _LOWEST_ID, is_present)
    if unknown:
        raise ValueError(
            f'panoptic {what} holds id {unknown}, expected {_LOWEST_ID} to '
            f'{_TABLE_SIZE + _LOWEST_ID - 1}: class * {INSTANCES_PER_CLASS} + instance'
        )
    present = np.flatnonzero(is_present) + _LOWEST_ID
    return present[(present > 0) & (present % INSTANCES_PER_CLASS > 0)]


def _total(rows: Sequence[Sequence[int | float]]) -> list[int | float]:
    return [sum(column) for column in zip(*rows, strict=True)] if rows else [0, 0, 0]


def _rate(switched: float, found: float) -> float | None:
    return 100 * switched / found if found else None
