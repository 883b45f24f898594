# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fused grid in odom: motion, fading, clearing, and clocks that misbehave."""

from types import SimpleNamespace

import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.perception.fusion import FusedGrid, FusionConfig
from seg_perception.perception.occupancy_config import ClassRule, GridConfig, OccupancyConfig

NAMES = ('road', 'person', 'wall', 'building')
ROAD, PERSON, WALL, BUILDING = range(4)
RULES = {
    'road': ClassRule('ground', fade_s=5.0),
    'person': ClassRule('standing', dynamic=True, fade_s=0.5),
    'wall': ClassRule('standing', fade_s=20.0),
    'building': ClassRule('standing', fade_s=20.0),
}
CONFIG = OccupancyConfig(NAMES, GridConfig(0.5, 0.0, 10.0, -5.0, 5.0), RULES, NAMES[:3])
SECOND = 1_000_000_000


def measure(cells, score=95):
    """Return a grid whose cells, by (x m, y m), hold class ids; all others are unknown."""
    label = np.full((20, 20), -1, np.int8)
    planes = np.full((3, 20, 20), -1, np.int8)
    for (x, y), class_id in cells.items():
        row, column = int((y + 5) // 0.5), int(x // 0.5)
        label[row, column] = class_id
        planes[:, row, column] = 2
        if class_id < 3:
            planes[class_id, row, column] = score
    scores = np.where(label >= 0, score, -1).astype(np.int8)
    return SimpleNamespace(config=CONFIG, label=label, score=scores, planes=planes)


def make_fused(**change):
    return FusedGrid(CONFIG, FusionConfig(size_m=30.0, **change))


def read(fused, x, y, what='label'):
    row = int((y - fused.origin_m[1]) // 0.5)
    column = int((x - fused.origin_m[0]) // 0.5)
    return getattr(fused, what)[..., row, column]


def test_a_cell_stays_where_it_is_in_odom_while_the_vehicle_moves_and_turns():
    fused = make_fused()
    fused.update(measure({(6.25, 0.25): WALL}), (0.0, 0.0, 0.0), 0)
    assert read(fused, 6.25, 0.25) == WALL
    # 3.1 m on and turned left by a right angle, the vehicle sees something at its own (2, 1)
    fused.update(measure({(2.25, 1.25): ROAD}), (3.1, 0.0, np.pi / 2), SECOND)
    assert read(fused, 6.25, 0.25) == WALL
    assert read(fused, 3.1 - 1.25, 2.25) == ROAD
    assert np.count_nonzero(fused.label >= 0) <= 3


def test_what_leaves_the_window_is_forgotten_and_does_not_come_back_on_the_other_side():
    fused = make_fused()
    fused.update(measure({(1.25, 0.25): WALL}), (0.0, 0.0, 0.0), 0)
    nothing = measure({})
    for step in range(1, 5):
        fused.update(nothing, (10.0 * step, 0.0, 0.0), step * SECOND)
    assert (fused.label == -1).all()
    for step in range(5, 9):
        fused.update(nothing, (80.0 - 10.0 * step, 0.0, 0.0), step * SECOND)
    assert (fused.label == -1).all()
    assert (fused.planes == -1).all()


def test_evidence_gathers_and_is_bounded():
    fused = make_fused(limit=3.0)
    values = []
    for frame in range(12):
        fused.update(measure({(6.25, 0.25): WALL}, 80), (0.0, 0.0, 0.0), frame * SECOND // 10)
        values.append(read(fused, 6.25, 0.25, 'planes')[WALL])
    assert values == sorted(values)
    assert values[0] == pytest.approx(67, abs=1)  # half of the log odds of 0.8
    assert values[-1] == pytest.approx(100 / (1 + np.exp(-3.0)), abs=1)


def test_a_person_fades_faster_than_a_wall():
    fused = make_fused()
    cells = {(6.25, 0.25): PERSON, (6.25, 2.25): WALL}
    fused.update(measure(cells), (0.0, 0.0, 0.0), 0)
    fused.update(measure({}), (0.0, 0.0, 0.0), 2 * SECOND)
    assert read(fused, 6.25, 0.25) == -1
    assert read(fused, 6.25, 2.25) == WALL


def test_a_person_is_gone_once_the_ground_is_seen_in_its_place_but_a_wall_is_not():
    fused = make_fused()
    for frame in range(8):
        cells = {(6.25, 0.25): PERSON, (6.25, 2.25): WALL}
        fused.update(measure(cells), (0.0, 0.0, 0.0), frame * SECOND // 20)
    fused.update(
        measure({(6.25, 0.25): ROAD, (6.25, 2.25): ROAD}), (0.0, 0.0, 0.0), SECOND // 2)
    assert read(fused, 6.25, 0.25) == ROAD
    assert read(fused, 6.25, 2.25) == WALL


def test_a_standing_class_without_a_grid_of_its_own_is_kept_too():
    fused = make_fused()
    fused.update(measure({(6.25, 0.25): BUILDING}), (0.0, 0.0, 0.0), 0)
    fused.update(measure({}), (0.0, 0.0, 0.0), SECOND)
    assert read(fused, 6.25, 0.25) == BUILDING


def test_a_clock_that_goes_back_resets_and_is_reported():
    fused = make_fused()
    fused.update(measure({(6.25, 0.25): WALL}), (0.0, 0.0, 0.0), 5 * SECOND)
    trouble = fused.update(measure({(6.25, 2.25): WALL}), (0.0, 0.0, 0.0), 2 * SECOND)
    assert 'clock went back by 3.000 s' in trouble
    assert read(fused, 6.25, 0.25) == -1
    assert read(fused, 6.25, 2.25) == WALL


def test_a_jump_of_the_odometry_resets_and_is_reported():
    fused = make_fused()
    fused.update(measure({(6.25, 0.25): WALL}), (0.0, 0.0, 0.0), 0)
    trouble = fused.update(measure({}), (12.0, 0.0, 0.0), SECOND // 10)
    assert 'odometry jumped by 12.0 m' in trouble
    assert (fused.label == -1).all()


def test_a_gap_is_reported_and_what_lasts_is_kept():
    fused = make_fused()
    assert fused.update(measure({(6.25, 0.25): WALL}), (0.0, 0.0, 0.0), 0) is None
    trouble = fused.update(measure({}), (1.0, 0.0, 0.0), 3 * SECOND)
    assert trouble == 'no frame for 3.0 s'
    assert read(fused, 6.25, 0.25) == WALL


def test_a_pose_that_is_no_number_changes_nothing():
    fused = make_fused()
    fused.update(measure({(6.25, 0.25): WALL}), (0.0, 0.0, 0.0), 0)
    with pytest.raises(UserError, match='expected x, y and yaw'):
        fused.update(measure({}), (float('nan'), 0.0, 0.0), SECOND)
    assert read(fused, 6.25, 0.25) == WALL
    assert fused.stamp_ns == 0


@pytest.mark.parametrize('name', ['size_m', 'gain', 'limit', 'max_gap_s', 'max_speed_mps'])
def test_a_setting_that_is_not_above_0_is_named(name):
    with pytest.raises(UserError, match=name):
        FusionConfig(**{name: 0.0})
