# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is ahead: shares and distances."""

import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.perception.ahead import AheadMeter, CorridorConfig
from seg_perception.perception.occupancy_config import ClassRule, GridConfig, OccupancyConfig

RULES = {'road': ClassRule('ground'), 'car': ClassRule('standing'), 'sky': ClassRule()}
CONFIG = OccupancyConfig(
    ('road', 'car', 'sky'), GridConfig(0.5, 0.0, 10.0, -5.0, 5.0), RULES, ('road',)
)
MASK = np.array([[2, 2, 2, 255], [0, 0, 1, 1]], np.uint8)


def make_label():
    label = np.full((20, 20), -1, np.int8)
    label[:, 4:] = 0  # from x = 2 m on
    return label


def test_shares_of_image_and_corridor():
    ahead = AheadMeter(CONFIG, CorridorConfig(2.0)).measure(MASK, make_label())
    np.testing.assert_allclose(ahead.image_share, [0.25, 0.25, 0.375])
    np.testing.assert_allclose(ahead.corridor_share, [0.8, 0, 0])
    assert ahead.unknown_share[0] == pytest.approx(0.2)


def test_the_first_obstacle_counts_from_the_vehicles_front_and_only_in_the_corridor():
    meter = AheadMeter(CONFIG, CorridorConfig(2.0, front_m=1.0))
    label = make_label()
    label[9, 12:14] = 1  # y = -0.25 m, from x = 6 m on
    label[2, 6] = 1  # nearer, but beside the corridor
    ahead = meter.measure(MASK, label)
    assert ahead.obstacle_m[1] == pytest.approx(5.0)
    assert np.isinf(ahead.obstacle_m[[0, 2]]).all()
    assert np.isinf(meter.measure(MASK, make_label()).obstacle_m).all()


def test_a_corridor_beside_the_grid_is_refused():
    with pytest.raises(UserError, match='no cell of the grid'):
        AheadMeter(CONFIG, CorridorConfig(2.0, front_m=11.0))
    with pytest.raises(UserError, match='width_m is -1'):
        CorridorConfig(-1.0)
