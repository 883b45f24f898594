# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""All ground products behind one object."""

import numpy as np
import pytest
from ground_scene import NAMES, ROAD, WALL, Box, cast_scene

from seg_perception.errors import UserError
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.fusion import FusionConfig
from seg_perception.perception.occupancy import Occupancy
from seg_perception.perception.occupancy_config import (
    DEFAULT_RULES,
    ClassRule,
    GridConfig,
    OccupancyConfig,
    OccupancyConfigError,
)

MODEL = CameraModel(121, 201, (130.0, 130.0), (100.0, 60.0))
POSE = CameraPose(1.0, 0.0, 1.5, 0.0, 0.1, 0.0)
RULES = {
    'road': ClassRule('ground', cost=0),
    'sidewalk': ClassRule('ground', cost=50),
    'wall': ClassRule('standing', depth_m=0.5),
}
CONFIG = OccupancyConfig(NAMES, GridConfig(0.2, 0.0, 20.0, -8.0, 8.0), RULES, NAMES[:3])
SECOND = 1_000_000_000


def make(**change):
    occupancy = Occupancy(CONFIG, threads=1, **change)
    occupancy.set_camera(MODEL, POSE)
    return occupancy


def see(*boxes):
    mask = cast_scene(MODEL, POSE.to_matrix(), boxes)
    return mask, np.full(mask.shape, 255, np.uint8)


def test_a_frame_gives_grids_costs_and_what_is_ahead_in_the_base_frame():
    result = make().update(*see(Box((6.1, 6.5), (-1.0, 1.0), 1.0)), SECOND)
    assert (result.stamp_ns, result.origin_m, result.is_fused) == (SECOND, (0.0, -8.0), False)
    assert result.label.shape == (80, 100)
    assert result.trouble is None
    assert (result.cost[result.label == ROAD] == 0).all()
    assert (result.cost[result.label == WALL] == 100).all()
    assert (result.cost[result.label == -1] == -1).all()
    assert result.ahead.obstacle_m[WALL] == pytest.approx(6.1, abs=0.2)


def test_fused_grids_are_in_odom_with_the_same_obstacle():
    occupancy = make(fusion=FusionConfig(size_m=40.0))
    mask, confidence = see(Box((6.1, 6.5), (-1.0, 1.0), 1.0))
    result = occupancy.update(mask, confidence, SECOND, (100.0, 50.0, np.pi / 2))
    assert result.is_fused
    row, column = np.nonzero(result.label == WALL)
    y = result.origin_m[1] + (row + 0.5) * result.resolution_m
    x = result.origin_m[0] + (column + 0.5) * result.resolution_m
    assert y.min() == pytest.approx(56.2, abs=0.2)
    assert x.mean() == pytest.approx(100.0, abs=0.2)


def test_fusion_without_ego_motion_is_refused_and_changes_nothing():
    occupancy = make(fusion=FusionConfig(size_m=40.0))
    label = occupancy.update(*see(), SECOND, (0.0, 0.0, 0.0)).label.copy()
    with pytest.raises(UserError, match='no ego motion'):
        occupancy.update(*see(), 2 * SECOND)
    np.testing.assert_array_equal(occupancy.update(*see(), SECOND, (0.0, 0.0, 0.0)).label >= 0,
                                  label >= 0)  # fmt: skip


@pytest.mark.parametrize('fusion', [None, FusionConfig(size_m=40.0)])
def test_products_go_unknown_once_they_are_too_old(fusion):
    occupancy = make(fusion=fusion, max_age_s=0.5)
    occupancy.update(*see(), SECOND, (0.0, 0.0, 0.0))
    assert occupancy.expire(SECOND + SECOND // 2) is None
    result = occupancy.expire(SECOND + 6 * SECOND // 10)
    assert 'no valid frame for 0.6 s' in result.trouble
    assert result.stamp_ns is None
    for grid in (result.label, result.planes, result.cost):
        assert (grid == -1).all()
    assert occupancy.expire(10 * SECOND) is None


def test_a_clock_that_goes_back_is_reported():
    occupancy = make()
    occupancy.update(*see(), 2 * SECOND)
    assert 'clock went back by 1.000 s' in occupancy.update(*see(), SECOND).trouble


def test_warming_up_leaves_nothing_behind():
    occupancy = make(fusion=FusionConfig(size_m=40.0), with_clouds=True)
    occupancy.warm_up()
    assert (occupancy.grid.label == -1).all()
    assert occupancy.update(*see(), SECOND, (500.0, 0.0, 0.0)).trouble is None
    assert occupancy.clouds.place_on_ground(see()[0]).shape == (121, 201, 3)


@pytest.mark.parametrize(
    ('make_config', 'named'),
    [
        (lambda: GridConfig(0.0), 'resolution_m is 0.0'),
        (lambda: GridConfig(0.1, 10.0, 10.0), 'x goes from 10.0 to 10.0'),
        (lambda: GridConfig(0.1, float('nan')), 'x_min_m is nan'),
        (lambda: GridConfig(0.001), 'expected at most'),
        (lambda: ClassRule('flying'), "'flying'"),
        (lambda: ClassRule(depth_m=-1.0), 'depth_m of a class is -1'),
        (lambda: ClassRule(cost=101), 'cost of a class is 101'),
        (lambda: OccupancyConfig(('road',), grid_classes=('lane',)), 'grid_classes has lane'),
        (lambda: OccupancyConfig(('road',), rules={'lane': ClassRule()}), 'rules has lane'),
        (lambda: OccupancyConfig(('road',), grid_classes=('road',), min_confidence=0.0),
         'min_confidence is 0.0'),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named(make_config, named):
    with pytest.raises(OccupancyConfigError, match=named):
        make_config()


def test_the_default_rules_are_those_of_cityscapes_classes():
    from seg_perception.perception.labels import load_label_space

    assert set(DEFAULT_RULES) == set(load_label_space('cityscapes').class_names)
