# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The configurations of RViz and Foxglove show topics that the node publishes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from seg_perception.ros.ground_messages import OutgoingCoverage
from seg_perception.ros.segmentation_node import NODE_NAME

CONFIG = Path(__file__).resolve().parents[2] / 'config'
RVIZ_TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/Image',
    'rviz_default_plugins/Map': 'nav_msgs/OccupancyGrid',
    'rviz_default_plugins/PointCloud2': 'sensor_msgs/PointCloud2',
}
# Displays of RViz itself, which show no topic.
RVIZ_OTHERS = {'rviz_default_plugins/Grid', 'rviz_default_plugins/TF'}
RELIABILITY = {
    'Reliable': QoSReliabilityPolicy.RELIABLE,
    'Best Effort': QoSReliabilityPolicy.BEST_EFFORT,
}
DURABILITY = {
    'Volatile': QoSDurabilityPolicy.VOLATILE,
    'Transient Local': QoSDurabilityPolicy.TRANSIENT_LOCAL,
}
# What Foxglove's 3D panel draws of the types that the node has.
FOXGLOVE_3D = ('nav_msgs/OccupancyGrid', 'sensor_msgs/PointCloud2')
ALL_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
COVERAGE = f'/{NODE_NAME}/class_coverage'


@pytest.fixture(scope='module')
def rviz() -> dict[str, Any]:
    return yaml.safe_load((CONFIG / 'segnext.rviz').read_text())


@pytest.fixture(scope='module')
def foxglove() -> dict[str, Any]:
    return json.loads((CONFIG / 'foxglove_layout.json').read_text())


def list_displays(displays: list[dict]) -> Iterator[dict]:
    for display in displays:
        if display['Class'] == 'rviz_common/Group':
            yield from list_displays(display['Displays'])
        elif display['Class'] not in RVIZ_OTHERS:
            yield display


def list_panels(layout: str | dict) -> Iterator[str]:
    """Yield the panels of a layout; its nodes are a direction and two halves."""
    if isinstance(layout, str):
        yield layout
    else:
        assert layout['direction'] in ('row', 'column')
        assert 0 < layout.get('splitPercentage', 50) < 100
        yield from list_panels(layout['first'])
        yield from list_panels(layout['second'])


def find_panels(foxglove: dict, kind: str) -> list[dict]:
    return [
        panel for name, panel in foxglove['configById'].items() if name.partition('!')[0] == kind
    ]


def list_class_grids(offers: dict) -> set[str]:
    return {topic for topic in offers if topic.startswith(f'/{NODE_NAME}/occupancy/')}


def test_rviz_gets_what_it_subscribes_to(rviz, offers):
    shown = set()
    for display in list_displays(rviz['Visualization Manager']['Displays']):
        topic = display['Topic']
        qos = QoSProfile(
            depth=topic['Depth'],
            reliability=RELIABILITY[topic['Reliability Policy']],
            durability=DURABILITY[topic['Durability Policy']],
        )
        assert topic['History Policy'] == 'Keep Last'
        assert offers[topic['Value']].serves(RVIZ_TYPES[display['Class']], qos), topic['Value']
        shown.add(topic['Value'])
    products = {f'/{NODE_NAME}/{name}' for name in ('overlay', 'costmap', 'obstacle_points')}
    assert products | list_class_grids(offers) <= shown


def test_rviz_maps_are_latched_so_that_the_last_grid_shows_at_once(rviz):
    displays = list_displays(rviz['Visualization Manager']['Displays'])
    maps = [display for display in displays if display['Class'].endswith('/Map')]
    assert maps
    for display in maps:
        assert display['Topic']['Durability Policy'] == 'Transient Local'
        # RViz would take it from the topic; the node has no updates.
        assert display['Update Topic']['Value'] == display['Topic']['Value'] + '_updates'


def test_rviz_shows_without_being_told_overlay_costmap_and_obstacles(rviz):
    displays = list_displays(rviz['Visualization Manager']['Displays'])
    enabled = {display['Topic']['Value'] for display in displays if display['Enabled']}
    assert enabled == {
        f'/{NODE_NAME}/{name}' for name in ('overlay', 'costmap', 'obstacle_points')
    }


def test_frames_are_those_of_single_images(rviz, foxglove, read_settings):
    settings = read_settings({})
    manager = rviz['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == settings.grid_frame
    assert manager['Views']['Current']['Target Frame'] == settings.base_frame
    (ground,) = find_panels(foxglove, '3D')
    assert ground['followTf'] == settings.base_frame
    assert {layer['frameId'] for layer in ground['layers'].values()} == {settings.base_frame}


def test_foxglove_layout_places_every_panel_once(foxglove):
    panels = list(list_panels(foxglove['layout']))
    assert sorted(panels) == sorted(foxglove['configById'])
    assert all(re.fullmatch(r'\w+!\w+', panel) for panel in panels)


def test_foxglove_shows_topics_of_the_node_with_types_that_its_panels_draw(foxglove, offers):
    (image,) = find_panels(foxglove, 'Image')
    assert offers[image['imageMode']['imageTopic']].serves('sensor_msgs/Image', ALL_QOS)
    (ground,) = find_panels(foxglove, '3D')
    for topic in ground['topics']:
        assert any(offers[topic].serves(name, ALL_QOS) for name in FOXGLOVE_3D), topic
    visible = {topic for topic, options in ground['topics'].items() if options['visible']}
    assert visible == {f'/{NODE_NAME}/{name}' for name in ('costmap', 'obstacle_points')}
    assert list_class_grids(offers) <= set(ground['topics'])
    assert offers[COVERAGE].serves('diagnostic_msgs/DiagnosticArray', ALL_QOS)


def test_foxglove_plots_values_that_class_coverage_has(foxglove, label_space):
    message = OutgoingCoverage(label_space.class_names, 'base_link')._message
    keys = {status.name: {entry.key for entry in status.values} for status in message.status}
    pattern = re.compile(
        re.escape(COVERAGE)
        + r'\.status\[:\]\{name=="([\w ]+)"\}\.values\[:\]\{key=="(\w+)"\}\.value'
    )
    plots = find_panels(foxglove, 'Plot')
    assert plots and all(plot['paths'] for plot in plots)
    for plot in plots:
        for path in plot['paths']:
            found = pattern.fullmatch(path['value'])
            assert found, path['value']
            assert found[2] in keys[found[1]]
            assert path['enabled'] and path['label'] == found[1]
    (table,) = find_panels(foxglove, 'Table')
    assert table['topicPath'] == f'{COVERAGE}.status[:]'


def test_foxglove_shows_diagnostics(foxglove):
    for kind in ('DiagnosticSummary', 'DiagnosticStatusPanel'):
        (panel,) = find_panels(foxglove, kind)
        assert panel['topicToRender'] == '/diagnostics'
