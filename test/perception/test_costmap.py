# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A cost for each cell."""

import numpy as np
import pytest

from seg_perception.perception.costmap import Costmap
from seg_perception.perception.occupancy_config import ClassRule, OccupancyConfig

CONFIG = OccupancyConfig(
    ('road', 'grass', 'car', 'sky'),
    rules={
        'road': ClassRule('ground', cost=0),
        'grass': ClassRule('ground', cost=60),
        'car': ClassRule('standing', cost=100),
        'sky': ClassRule('ignored', cost=-1),
    },
    grid_classes=('road',),
)


def test_each_class_gets_its_cost_and_unknown_stays_unknown():
    label = np.array([[0, 1, 2], [3, -1, 0]], np.int8)
    costmap = Costmap(CONFIG, label.shape)
    cost = costmap.update(label)
    np.testing.assert_array_equal(cost, [[0, 60, 100], [-1, -1, 0]])
    assert cost is costmap.cost


def test_a_grid_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r'expected int8 of shape \(2, 3\)'):
        Costmap(CONFIG, (2, 3)).update(np.zeros((3, 2), np.int8))
