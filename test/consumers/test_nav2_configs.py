# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The example configurations of Nav2 fit what the node publishes.

What Nav2 declares and subscribes to is in `nav2_contract`; what the node has comes from its code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from nav2_contract import (
    CLASS_TYPE,
    COSTMAP,
    LATCHED,
    LAYERS,
    MAX_VOXELS,
    MONITOR,
    MONITOR_CLOUD,
    MONITOR_POLYGON,
    OBSTACLE_LAYER,
    OBSTACLE_SOURCE,
    SEMANTIC_LAYER,
    SEMANTIC_SOURCE,
    SENSOR_DATA,
    STATIC_LAYER,
    VOXEL_LAYER,
)
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from seg_perception.perception.clouds import OBSTACLE_TYPE
from seg_perception.ros.ground_messages import make_obstacle_cloud, make_point_cloud
from seg_perception.ros.messages import OutgoingImage
from seg_perception.ros.parameters import SPEC_BY_NAME, find_problem
from seg_perception.ros.segmentation_node import NODE_NAME

CONFIG = Path(__file__).resolve().parents[2] / 'config'
FILES = sorted(path.name for path in CONFIG.glob('nav2_*.yaml'))
STATIC, OBSTACLES, SEMANTIC = (
    f'nav2_{name}.yaml' for name in ('static_layer', 'obstacle_points', 'semantic_layer')
)

# Sky is neither free nor an obstacle, and no point of it is known.
NOT_CONFIGURED = {'sky'}


def read_config(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIG / name).read_text())


def flatten(tree: dict, prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        is_group = isinstance(value, dict)
        flat |= flatten(value, f'{prefix}{key}.') if is_group else {f'{prefix}{key}': value}
    return flat


def read_own_parameters(name: str) -> dict[str, Any]:
    return flatten(read_config(name)[NODE_NAME]['ros__parameters'])


def list_costmaps(name: str) -> Iterator[dict]:
    """Yield the parameters of each costmap; its node lives in a namespace of the same name."""
    for key, section in read_config(name).items():
        if key.endswith('_costmap'):
            yield section[key]['ros__parameters']


def list_layers(name: str, *plugins: str) -> Iterator[dict]:
    """Yield the layers of some plugins, those too that are only there to be chosen."""
    for costmap in list_costmaps(name):
        for value in costmap.values():
            if isinstance(value, dict) and value['plugin'] in plugins:
                yield value


def list_sources(layer: dict) -> Iterator[dict]:
    for source in layer['observation_sources'].split():
        yield layer[source]


def list_monitor_clouds(name: str) -> Iterator[dict]:
    monitor = read_config(name).get('collision_monitor', {}).get('ros__parameters', {})
    for source in monitor.get('observation_sources', []):
        yield monitor[source]


def list_subscriptions(name: str) -> Iterator[tuple[str, str, QoSProfile]]:
    """Yield topic, type and QoS of each subscription that a file makes Nav2 open."""
    for layer in list_layers(name, STATIC_LAYER):
        yield layer['map_topic'], 'nav_msgs/OccupancyGrid', LATCHED
    for layer in list_layers(name, OBSTACLE_LAYER, VOXEL_LAYER):
        for source in list_sources(layer):
            assert source['data_type'] == 'PointCloud2'  # LaserScan is the default
            yield source['topic'], 'sensor_msgs/PointCloud2', SENSOR_DATA
    for layer in list_layers(name, SEMANTIC_LAYER):
        for source in list_sources(layer):
            yield source['segmentation_topic'], 'sensor_msgs/Image', SENSOR_DATA
            yield source['confidence_topic'], 'sensor_msgs/Image', SENSOR_DATA
            yield source['pointcloud_topic'], 'sensor_msgs/PointCloud2', SENSOR_DATA
            yield source['labels_topic'], 'vision_msgs/LabelInfo', LATCHED
    for source in list_monitor_clouds(name):
        assert source['type'] == 'pointcloud'
        yield source['topic'], 'sensor_msgs/PointCloud2', SENSOR_DATA


def check_types(values: dict, declared: dict[str, type], groups: set[str]) -> None:
    """Check names and exact types: a ROS parameter declared double refuses 40."""
    assert set(values) - set(declared) - {'plugin'} == groups
    for key, value in values.items():
        if key in declared:
            assert type(value) is declared[key], key


def test_there_is_a_file_for_each_way():
    assert {STATIC, OBSTACLES, SEMANTIC} == set(FILES)


@pytest.mark.parametrize('name', FILES)
def test_the_node_takes_its_section(name, read_settings):
    parameters = read_own_parameters(name)
    assert [find_problem(SPEC_BY_NAME[key], value) for key, value in parameters.items()] == (
        [''] * len(parameters)
    )
    assert parameters['occupancy.enabled'] is True
    read_settings(parameters)


@pytest.mark.parametrize('name', FILES)
def test_every_parameter_is_declared_by_nav2_with_its_type(name):
    for costmap in list_costmaps(name):
        layers = {key: value for key, value in costmap.items() if isinstance(value, dict)}
        check_types(costmap, COSTMAP, set(layers))
        assert set(costmap['plugins']) <= set(layers)
        for layer in layers.values():
            sources = set(layer.get('observation_sources', '').split())
            check_types(layer, LAYERS[layer['plugin']], sources)
    for layer in list_layers(name, OBSTACLE_LAYER, VOXEL_LAYER):
        for source in list_sources(layer):
            check_types(source, OBSTACLE_SOURCE, set())
    for layer in list_layers(name, SEMANTIC_LAYER):
        for source in list_sources(layer):
            check_types(source, SEMANTIC_SOURCE, set(source['class_types']))
            for class_type in source['class_types']:
                check_types(source[class_type], CLASS_TYPE, set())


@pytest.mark.parametrize('name', FILES)
def test_ros_hands_the_parameters_to_nodes_with_the_names_of_nav2(name, context):
    for key, section in read_config(name).items():
        is_costmap = key.endswith('_costmap')
        node = rclpy.create_node(
            key,
            namespace=f'/{key}' if is_costmap else '/',
            context=context,
            cli_args=['--ros-args', '--params-file', str(CONFIG / name)],
            automatically_declare_parameters_from_overrides=True,
        )
        given = flatten((section[key] if is_costmap else section)['ros__parameters'])
        received = {full_name: node.get_parameter(full_name).value for full_name in given}
        node.destroy_node()
        assert received == given


def test_every_parameter_of_the_collision_monitor_is_declared_with_its_type():
    monitor = read_config(OBSTACLES)['collision_monitor']['ros__parameters']
    check_types(monitor, MONITOR, {*monitor['polygons'], *monitor['observation_sources']})
    for polygon in monitor['polygons']:
        check_types(monitor[polygon], MONITOR_POLYGON, set())
    for source in monitor['observation_sources']:
        check_types(monitor[source], MONITOR_CLOUD, set())


@pytest.mark.parametrize('name', FILES)
def test_every_subscription_gets_messages(name, offers):
    subscriptions = list(list_subscriptions(name))
    assert subscriptions
    for topic, type_name, qos in subscriptions:
        assert topic in offers
        assert offers[topic].serves(type_name, qos), topic


def test_costmap_of_a_node_that_does_not_latch_would_not_arrive(offers):
    assert not offers[f'/{NODE_NAME}/points'].serves('sensor_msgs/PointCloud2', LATCHED)


@pytest.mark.parametrize('name', FILES)
def test_costmap_frames_are_those_of_the_node(name, read_settings):
    settings = read_settings(read_own_parameters(name))
    for costmap in list_costmaps(name):
        assert costmap['rolling_window'] is True
        assert costmap['global_frame'] == settings.odom_frame
        assert costmap['robot_base_frame'] == settings.base_frame


def test_collision_monitor_frames_are_those_of_the_node(read_settings):
    settings = read_settings(read_own_parameters(OBSTACLES))
    monitor = read_config(OBSTACLES)['collision_monitor']['ros__parameters']
    assert monitor['base_frame_id'] == settings.base_frame
    assert monitor['odom_frame_id'] == settings.odom_frame
    # An old cloud must stop the robot before the node says itself that nothing is known.
    assert monitor['source_timeout'] <= settings.max_age_s


def test_static_layer_keeps_graded_costs_and_the_unknown(read_settings):
    settings = read_settings(read_own_parameters(STATIC))
    layers = list(list_layers(STATIC, STATIC_LAYER))
    assert layers and all(layer['map_subscribe_transient_local'] for layer in layers)
    for costmap in list_costmaps(STATIC):
        assert costmap['trinary_costmap'] is False
        assert costmap['lethal_cost_threshold'] == 100
        assert costmap['track_unknown_space'] is True
        # Only then is no tf between the two, of which some versions take the wrong window.
        assert costmap['global_frame'] == settings.grid_frame
        assert settings.fusion is not None
        assert costmap['width'] <= settings.fusion.size_m


@pytest.mark.parametrize('name', [OBSTACLES, SEMANTIC])
def test_obstacle_points_pass_heights_and_ranges(name, read_settings):
    settings = read_settings(read_own_parameters(name))
    grid = settings.config.grid
    farthest_m = math.hypot(grid.x_max_m, max(-grid.y_min_m, grid.y_max_m))
    for layer in list_layers(name, OBSTACLE_LAYER, VOXEL_LAYER):
        for source in list_sources(layer):
            is_ground = source['topic'].endswith('/points')
            height_m = 0.0 if is_ground else settings.obstacle_height_m
            assert source['min_obstacle_height'] < height_m < source['max_obstacle_height']
            assert source['raytrace_max_range'] >= farthest_m
            assert source['marking'] is not is_ground
            if not is_ground:
                assert layer.get('min_obstacle_height', 0.0) < height_m
                assert height_m < layer['max_obstacle_height']
                assert source['obstacle_max_range'] >= farthest_m
        if 'z_voxels' in layer:
            top_m = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
            assert layer['origin_z'] < 0.0 < layer['max_obstacle_height'] <= top_m
            assert layer['z_voxels'] <= MAX_VOXELS
    for costmap in list_costmaps(name):
        assert min(costmap['width'], costmap['height']) >= 2 * grid.x_max_m


def test_obstacle_points_pass_the_collision_monitor(read_settings):
    height_m = read_settings(read_own_parameters(OBSTACLES)).obstacle_height_m
    clouds = list(list_monitor_clouds(OBSTACLES))
    assert clouds
    for cloud in clouds:
        assert cloud['min_height'] < height_m < cloud['max_height']


def test_semantic_layer_knows_every_class_once_at_the_cost_of_the_costmap(
    label_space, read_settings
):
    settings = read_settings(read_own_parameters(SEMANTIC))
    grid = settings.config.grid
    (layer,) = list_layers(SEMANTIC, SEMANTIC_LAYER)
    (source,) = list_sources(layer)
    types = [source[class_type] for class_type in source['class_types']]
    names = [name for class_type in types for name in class_type['classes']]
    assert sorted(names) == sorted(set(label_space.class_names) - NOT_CONFIGURED)
    for class_type in types:
        for name in class_type['classes']:
            assert class_type['max_cost'] == int(settings.config.rules[name].cost * 254 / 100)
        assert 0 <= class_type['base_cost'] <= class_type['max_cost']
    farthest_m = math.hypot(grid.x_max_m, max(-grid.y_min_m, grid.y_max_m))
    assert source['max_obstacle_distance'] >= farthest_m


def test_mask_is_read_as_data_at_row_times_width_plus_column():
    image = OutgoingImage()
    pixels = image.pixels(3, 5)
    pixels[:] = np.arange(15).reshape(3, 5)
    message = image.message(Header())
    assert (message.encoding, message.height, message.width) == ('mono8', 3, 5)
    assert message.step == message.width
    assert [message.data[v * 5 + u] for v in range(3) for u in range(5)] == list(range(15))


def read_field(message: Any, name: str, index: int) -> float:
    """Return a float of a point as PointCloud2 iterators find it."""
    (field,) = [field for field in message.fields if field.name == name]
    assert (field.datatype, field.count) == (PointField.FLOAT32, 1)
    order = '>' if message.is_bigendian else '<'
    at = index * message.point_step + field.offset
    return float(np.frombuffer(bytes(message.data[at : at + 4]), f'{order}f4')[0])


def test_points_are_organised_as_the_mask_and_empty_ones_are_nan():
    points = np.full((3, 5, 3), np.nan, np.float32)
    points[2, 1] = 7.0, -1.0, 0.0
    message = make_point_cloud('base_link').fill(points, (3, 5), False, 10**9)
    assert (message.height, message.width) == (3, 5)
    assert message.row_step == message.width * message.point_step
    assert len(message.data) == message.height * message.row_step
    assert [(field.name, field.offset) for field in message.fields] == [
        ('x', 0),
        ('y', 4),
        ('z', 8),
    ]
    assert [read_field(message, axis, 2 * 5 + 1) for axis in 'xyz'] == [7.0, -1.0, 0.0]
    assert all(math.isnan(read_field(message, axis, 0)) for axis in 'xyz')
    assert not message.is_dense


def test_obstacle_points_begin_with_x_y_z_and_may_be_none():
    cloud = make_obstacle_cloud('base_link')
    points = np.zeros(2, OBSTACLE_TYPE)
    points[1] = (4.0, 1.0, 0.5, 11, 0.75)
    message = cloud.fill(points, (1, 2), True, 10**9)
    assert [field.name for field in message.fields][:3] == ['x', 'y', 'z']
    assert [field.offset for field in message.fields][:3] == [0, 4, 8]
    assert [read_field(message, axis, 1) for axis in 'xyz'] == [4.0, 1.0, 0.5]
    empty = cloud.fill(points[:0], (1, 0), True, 10**9)
    assert (empty.height * empty.width, len(empty.data)) == (0, 0)
