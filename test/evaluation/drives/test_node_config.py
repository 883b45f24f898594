# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameter file says how a recording is evaluated, too."""

from pathlib import Path

import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.node_config import (
    list_engine_arguments,
    read_instance_configs,
    read_node_parameters,
)
from seg_perception.perception.panoptic_reference import MergeConfig
from seg_perception.perception.tracks import TrackConfig

SHIPPED = Path(__file__).resolve().parents[3] / 'config' / 'segnext.yaml'


def test_the_shipped_file_asks_for_the_defaults():
    arguments = list_engine_arguments(read_node_parameters(SHIPPED))
    assert arguments == {
        'model': '', 'backend': 'auto', 'precision': 'auto', 'threads': 0, 'fit': ''
    }  # fmt: skip


def test_nested_and_dotted_parameters_of_the_node_are_read(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    model: {path: a, backend: torch}\n'
        'segnext:\n  ros__parameters:\n    model.path: b\n'
        '    input: {height: 256, width: 512, fit: stretch}\n'
        'other_node:\n  ros__parameters: {model.path: c}\n'
    )
    assert list_engine_arguments(read_node_parameters(path)) == {
        'model': 'b', 'backend': 'torch', 'fit': 'stretch', 'input_size': (256, 512)
    }  # fmt: skip


@pytest.mark.parametrize(
    ('content', 'expected'),
    [('a: [', 'is no YAML file'), ('a: 1', 'has no ros__parameters'), ('', 'has no ros__')],
)
def test_files_of_something_else_are_named(tmp_path, content, expected):
    path = tmp_path / 'mine.yaml'
    path.write_text(content)
    with pytest.raises(UserError, match=expected):
        read_node_parameters(path)
    with pytest.raises(UserError, match='cannot read'):
        read_node_parameters(tmp_path / 'none.yaml')


def test_the_shipped_file_makes_and_follows_instances_by_default():
    expected = (MergeConfig(), TrackConfig())
    assert read_instance_configs(read_node_parameters(SHIPPED)) == expected
    assert read_instance_configs({}) == expected


def test_parameters_of_instances_are_read():
    parameters = {'panoptic.top_k': 7, 'panoptic.max_missed': 3, 'panoptic.outlines': True}
    merge, tracks = read_instance_configs(parameters)
    assert (merge, tracks) == (MergeConfig(top_k=7), TrackConfig(max_missed=3))
    assert read_instance_configs({'panoptic.tracks': False})[1] is None


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('top_k', 0, 'panoptic.top_k is 0'),
        ('center_kernel_px', 4, 'panoptic.center_kernel_px is 4'),
        ('max_missed', -1, 'panoptic.max_missed is -1'),
        ('center_threshold', 'low', 'panoptic.'),
    ],
)
def test_parameters_of_instances_that_the_node_refuses_are_refused(name, value, message):
    with pytest.raises(UserError, match=message):
        read_instance_configs({f'panoptic.{name}': value})
