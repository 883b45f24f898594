# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a result's records say of instances, as arrays that sum over any set of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.saved_result import read_rows

MAX_CLASSES = 255


def count_segments(records: Sequence[FrameRecord], num_classes: int) -> np.ndarray:
    """Return (frames, 4, C) float64: matches, false positives, false negatives, sum of IoUs.

    Records without panoptic rows have zeros. Raises UserError for rows that no metric writes.
    """
    counts = np.zeros((len(records), 4, num_classes))
    for frame, record in zip(counts, records, strict=True):
        rows = read_rows(record, 'panoptic', 5, num_classes)
        frame[:, rows[:, 0].astype(np.int64)] = rows[:, 1:].T
    return counts


def count_switches(records: Sequence[FrameRecord]) -> np.ndarray:
    """Return (frames, 2) float64: times that a large object was found, and its ID switches.

    Raises UserError for rows that no metric writes.
    """
    counts = np.zeros((len(records), 2))
    for frame, record in zip(counts, records, strict=True):
        rows = read_rows(record, 'id_switches', 5, MAX_CLASSES)
        frame[:] = rows[rows[:, 1] == 1, 2:4].sum(axis=0)
    return counts
