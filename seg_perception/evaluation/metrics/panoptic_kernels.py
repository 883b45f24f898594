# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Counting the pixels that a true and a predicted segment share, in two passes."""

from __future__ import annotations

from seg_perception.perception.compiling import compile_kernel


@compile_kernel(nogil=True)
def mark_ids(ids, lowest, is_present):
    """Set is_present[id - lowest] for the ids of an image; return the first outside the table.

    ids: (N,) int32. is_present: (M,) bool. Returns 0 where all have a place; lowest is below 0.
    """
    for i in range(ids.size):
        if i == 0 or ids[i] != ids[i - 1]:
            place = ids[i] - lowest
            if place < 0 or place >= is_present.size:
                return ids[i]
            is_present[place] = True
    return 0


@compile_kernel(nogil=True)
def count_shared_pixels(truth, prediction, lowest, true_rows, predicted_columns, counts):
    """Add to counts[row, column] the pixels of each pair of segments.

    truth, prediction: (N,) int32, ids that `mark_ids` accepted. true_rows, predicted_columns:
    (M,) int32, by id - lowest. counts: (rows, columns) int64.
    Pixels of one pair follow each other: the tables are read only where the pair changes.
    """
    start = 0
    for i in range(1, truth.size + 1):
        if i == truth.size or truth[i] != truth[start] or prediction[i] != prediction[start]:
            row = true_rows[truth[start] - lowest]
            column = predicted_columns[prediction[start] - lowest]
            counts[row, column] += i - start
            start = i
