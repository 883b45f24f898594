# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The boundary F-score, counted in single frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seg_perception.evaluation.metrics.boundary import TOLERANCE_SHARE, score_boundaries
from seg_perception.evaluation.metrics.metric import JudgedFrame, Rows, sum_rows
from seg_perception.perception.labels import LabelSpace


class BoundaryMetric:
    """Outlines of the classes; see `boundary.py`. Rows: class, its F-score in the image.

    Args:
        label_space: of the truth.
        tolerance_share: at which boundaries match, as a share of the image's diagonal.
    """

    name = 'boundary'

    def __init__(self, label_space: LabelSpace, tolerance_share: float = TOLERANCE_SHARE) -> None:
        self._label_space = label_space
        self._tolerance_share = tolerance_share

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Score the classes that have a boundary in the truth or in the mask."""
        if frame.truth is None or frame.folded is None:
            return None
        scores = score_boundaries(
            frame.truth,
            frame.folded,
            self._label_space.num_classes,
            self._tolerance_share * math.hypot(*frame.truth.shape),
        )
        return [[int(id_), float(scores[id_])] for id_ in np.flatnonzero(~np.isnan(scores))]

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return boundary_f, the mean over the classes, and per_class_boundary_f."""
        with_images = [[[*row, 1] for row in rows] for rows in frames]
        sums = sum_rows(with_images, 1)
        by_class = {key[0]: score / images for key, (score, images) in sums.items()}
        names = self._label_space.class_names
        return {
            'boundary_f': math.fsum(by_class.values()) / len(by_class) if by_class else None,
            'per_class_boundary_f': {name: by_class.get(id_) for id_, name in enumerate(names)},
        }
