# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Ground grids are drawn with ahead up and left on the left."""

import numpy as np

from seg_perception.evaluation.reports.birds_eye import (
    OTHER_OBSTACLE,
    UNKNOWN,
    combine_grids,
    draw_birds_eye,
)
from seg_perception.perception.labels import load_label_space

LABELS = load_label_space('cityscapes')
ROAD, CAR = LABELS.class_names.index('road'), LABELS.class_names.index('car')


def test_the_most_likely_class_wins_and_the_costmap_fills_in():
    grids = {
        ROAD: np.array([[90, 40, -1, 0, 60]], np.int8),
        CAR: np.array([[5, 45, -1, 0, 70]], np.int8),
    }
    cost = np.array([[0, -1, -1, 100, 100]], np.int8)
    assert combine_grids(grids, cost).tolist() == [[ROAD, UNKNOWN, UNKNOWN, OTHER_OBSTACLE, CAR]]


def test_forward_is_up_and_left_is_left():
    cells = np.full((20, 40), UNKNOWN, np.uint8)
    cells[15:, :10] = CAR  # rows go to the left, columns ahead: near and on the left
    picture = draw_birds_eye(cells, LABELS, 80, (0.5, -10.0, 1.0))
    assert picture.shape == (80, 40, 3)
    car = (picture == LABELS.palette_array('bgr')[CAR]).all(axis=2)
    rows, columns = np.nonzero(car)
    assert rows.min() >= 60 and columns.max() < 10
    assert car.sum() > 0.8 * 20 * 10


def test_a_line_is_drawn_each_ten_metres():
    cells = np.full((20, 40), ROAD, np.uint8)
    picture = draw_birds_eye(cells, LABELS, 80, (0.0, -10.0, 1.0))
    right_edge = (picture[:, -1] != LABELS.palette_array('bgr')[ROAD]).any(axis=1)
    assert np.nonzero(right_edge)[0].tolist() == [20, 40, 60]
