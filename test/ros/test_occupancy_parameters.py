# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From the parameters occupancy.* to the settings of grids and clouds."""

import pytest

from seg_perception.errors import UserError
from seg_perception.perception.labels import load_label_space
from seg_perception.perception.occupancy_config import DEFAULT_RULES
from seg_perception.ros.occupancy_parameters import (
    DEFAULT_COSTS,
    OCCUPANCY_SPECS,
    PREFIX,
    name_class_topic,
    read_ground_settings,
)

CITYSCAPES = load_label_space('cityscapes').class_names


def read(changes=None, names=CITYSCAPES, has_tf=False):
    values = {spec.name: spec.default for spec in OCCUPANCY_SPECS}
    values |= {PREFIX + name: value for name, value in (changes or {}).items()}
    return read_ground_settings(values.__getitem__, names, has_tf)


def test_defaults_fit_the_shipped_model_and_publish_in_the_base_frame():
    settings = read()
    assert settings.fusion is None
    assert settings.grid_frame == 'base_link'
    assert (settings.config.grid.rows, settings.config.grid.columns) == (200, 400)
    assert settings.config.find_rule(CITYSCAPES.index('sidewalk')).cost == 60


def test_defaults_fit_a_model_with_other_classes_too():
    settings = read(names=('road', 'car', 'tree'))
    assert settings.config.grid_classes == ('road', 'car')


def test_fusion_moves_the_grids_to_the_odometry_frame():
    settings = read({'fusion': True, 'odom_frame': 'map', 'fusion_size_m': 30.0})
    assert settings.grid_frame == 'map'
    assert settings.fusion.size_m == 30.0


@pytest.mark.parametrize(
    ('camera_pose', 'has_tf', 'expected'),
    [('auto', True, None), ('auto', False, 1.2), ('parameters', True, 1.2), ('tf', True, None)],
)
def test_camera_pose_comes_from_tf_where_it_is_and_is_wanted(camera_pose, has_tf, expected):
    settings = read({'camera_pose': camera_pose, 'camera_z_m': 1.2}, has_tf=has_tf)
    assert (settings.pose and settings.pose.z_m) == expected


def test_one_cost_changes_and_the_others_stay():
    settings = read({'costs': ['sidewalk=100', ' sky = 0']})
    costs = {n: settings.config.find_rule(i).cost for i, n in enumerate(CITYSCAPES)}
    expected = {name: DEFAULT_RULES[name].cost for name in CITYSCAPES}
    assert costs == expected | {'sidewalk': 100, 'sky': 0}


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'costs': ['road:0']}, "occupancy.costs has 'road:0', expected such as 'road=0'"),
        ({'costs': ['rod=0']}, "names the class 'rod', but the model has only: road"),
        ({'costs': ['road=101']}, 'cost of a class is 101, expected -1 to 100'),
        ({'classes': ['cars']}, 'grid_classes has cars, but the model has only'),
        ({'classes': ['car', 'car']}, 'expected no repeats'),
        ({'x_max_m': 0.0}, 'expected x_max_m at least one cell'),
        ({'resolution_m': 0.01}, 'take a coarser resolution_m'),
        ({'base_frame': ''}, 'occupancy.base_frame is empty'),
        ({'camera_pose': 'tf'}, 'tf2_ros is not installed'),
        ({'fusion': True, 'ego_motion': 'tf'}, 'tf2_ros is not installed'),
    ],
)
def test_values_that_cannot_be_used_are_named(changes, expected):
    with pytest.raises(UserError, match=expected):
        read(changes)


def test_topics_of_classes_are_legal_names():
    assert name_class_topic('traffic light') == '~/occupancy/traffic_light'
    assert name_class_topic('  Bike-Lane 2 ') == '~/occupancy/bike_lane_2'
    assert name_class_topic('3d object') == '~/occupancy/class_3d_object'


def test_default_costs_name_every_class_of_cityscapes():
    assert {entry.partition('=')[0] for entry in DEFAULT_COSTS} == set(CITYSCAPES)
