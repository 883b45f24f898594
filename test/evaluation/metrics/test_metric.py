# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Rows of frames add up exactly, in any order and however they were split."""

import math
import random

from seg_perception.evaluation.metrics.metric import sum_rows, to_json


def test_rows_with_equal_keys_are_added():
    frames = [[[0, 1, 5, 0.5], [2, 1, 7, 0.25]], [[0, 1, 6, 0.125]], []]
    assert sum_rows(frames, keys=2) == {(0, 1): [11, 0.625], (2, 1): [7, 0.25]}


def test_integers_stay_integers_of_any_size():
    (total,) = sum_rows([[[3, 2**62]], [[3, 2**62]]], keys=1).values()
    assert total == [2**63] and isinstance(total[0], int)


def test_floats_add_up_to_the_same_bits_in_any_order():
    generator = random.Random(1)
    frames = [[[0, generator.uniform(-1, 1) * 10.0 ** generator.randint(-12, 12)]]
              for _ in range(500)]  # fmt: skip
    expected = sum_rows(frames, keys=1)
    for _ in range(5):
        generator.shuffle(frames)
        assert sum_rows(frames, keys=1) == expected
    assert expected[(0,)][0] == math.fsum(frame[0][1] for frame in frames)


def test_json_has_no_nan():
    assert to_json(math.nan) is None
    assert to_json(0.5) == 0.5
