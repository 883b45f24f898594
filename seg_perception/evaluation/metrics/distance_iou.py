# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""IoU by distance from the camera: what is right at 10 m may be wrong at 60 m."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seg_perception.evaluation.metrics.confusion import UNLABELLED_ID
from seg_perception.evaluation.metrics.distance_kernels import count_pairs_by_depth
from seg_perception.evaluation.metrics.metric import JudgedFrame, Rows
from seg_perception.evaluation.metrics.pixel_metrics import NO_CLASS, ConfusionMetric
from seg_perception.perception.labels import LabelSpace

# Where one bin ends and the next begins; a pixel at 10 m is in the second.
BIN_EDGES_M = (10.0, 20.0, 40.0, 80.0)
BIN_NAMES = ('0-10 m', '10-20 m', '20-40 m', '40-80 m', '80+ m')


class DistanceIou:
    """IoU of labelled pixels by depth. Rows: bin, true id, predicted id or -1 for none, pixels.

    Pixels without a depth (0, negative, NaN, infinite: REP 117) are left out.

    Args:
        label_space: of the truth.
    """

    name = 'distance'

    def __init__(self, label_space: LabelSpace) -> None:
        self._num_classes = label_space.num_classes
        self._confusion = ConfusionMetric(label_space)

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Count pixels; ValueError for an id that the label space does not have."""
        if frame.truth is None or frame.folded is None or frame.depth_m is None:
            return None
        if frame.depth_m.dtype != np.float32 or frame.depth_m.shape != frame.truth.shape:
            raise ValueError(
                f'depth is {frame.depth_m.dtype} of shape {frame.depth_m.shape}, expected float32 '
                f'of shape {frame.truth.shape}'
            )
        counts = np.zeros((len(BIN_NAMES), 256, 256), np.int64)
        count_pairs_by_depth(
            frame.truth.reshape(-1), frame.folded.reshape(-1), frame.depth_m.reshape(-1),
            np.array(BIN_EDGES_M, np.float32), UNLABELLED_ID, counts)  # fmt: skip
        rows = []
        for place, true, predicted in np.argwhere(counts).tolist():
            for what, id_ in (('truth', true), ('prediction', predicted)):
                if id_ >= self._num_classes and id_ != UNLABELLED_ID:
                    raise ValueError(
                        f'{what} holds id {id_}, expected 0..{self._num_classes - 1} or '
                        f'{UNLABELLED_ID}; is it of another label space?'
                    )
            pixels = int(counts[place, true, predicted])
            rows.append(
                [place, true, NO_CLASS if predicted == UNLABELLED_ID else predicted, pixels]
            )
        return rows

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return iou_by_distance: miou and labelled pixels of each bin; None without any.

        miou is that of the classes with 0.1 % of the bin's pixels, as it is of whole images.
        """
        if not any(frames):
            return {'iou_by_distance': None}
        figures = {}
        for place, name in enumerate(BIN_NAMES):
            of_bin = [[row[1:] for row in rows if row[0] == place] for rows in frames]
            figures[name] = {
                'miou': self._confusion.summarize(of_bin)['miou'],
                'pixels': self._confusion.merge(of_bin).labelled_pixels,
            }
        return {'iou_by_distance': figures}
