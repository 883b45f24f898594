# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parameters `panoptic.*`, the parameter file of the panoptic launch, and wrong models."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.perception.panoptic_reference import MergeConfig
from seg_perception.perception.tracks import TrackConfig
from seg_perception.ros.panoptic_parameters import (
    PANOPTIC_SPECS,
    find_required_model,
    read_merge_config,
    read_track_config,
    require_instances,
)
from seg_perception.ros.panoptic_products import choose_detections
from seg_perception.ros.parameter_table import SPEC_BY_NAME
from seg_perception.ros.parameters import find_override_problems

CONFIG_PATH = Path(__file__).resolve().parents[2] / 'config' / 'panoptic.yaml'


def read_with(changes):
    return ({spec.name: spec.default for spec in PANOPTIC_SPECS} | changes).__getitem__


def list_names(tree, prefix=''):
    """Return nested YAML keys as dotted names."""
    names = {}
    for key, value in tree.items():
        inner = {f'{prefix}{key}': value}
        names |= list_names(value, f'{prefix}{key}.') if isinstance(value, dict) else inner
    return names


def test_parameter_file_has_names_and_types_of_the_table_and_requires_instances():
    tree = yaml.safe_load(CONFIG_PATH.read_text(encoding='utf-8'))
    values = list_names(tree['/**']['ros__parameters'])
    assert find_override_problems(values) == []
    assert values['panoptic.required'] is True
    changed = {name for name, value in values.items() if value != SPEC_BY_NAME[name].default}
    tuned = {'panoptic.center_threshold', 'panoptic.center_kernel_px'}  # for the shipped model
    assert changed == {'model.path', 'panoptic.required'} | tuned


def test_defaults_are_those_of_merge_and_tracks():
    assert read_merge_config(read_with({})) == MergeConfig()
    assert read_track_config(read_with({})) == TrackConfig()
    assert read_track_config(read_with({'panoptic.tracks': False})) is None
    assert read_track_config(read_with({'panoptic.max_missed': 3})).max_missed == 3


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('label_divisor', 256, 'panoptic.label_divisor: expected only 1000, got 256'),
        ('top_k', 1000, 'panoptic.top_k: expected 1 to 999, got 1000'),
        ('center_threshold', -0.1, 'panoptic.center_threshold: expected 0.0 to 1.0, got -0.1'),
        ('instances_as', 'boxes', 'panoptic.instances_as: expected one of auto, detections, '),
    ],
)
def test_values_out_of_range_are_refused_at_start(name, value, expected):
    (problem,) = find_override_problems({f'panoptic.{name}': value})
    assert problem.startswith(expected)


def test_an_even_kernel_is_refused_while_configuring():
    with pytest.raises(UserError, match=r'panoptic\.center_kernel_px is 8, expected an odd'):
        read_merge_config(read_with({'panoptic.center_kernel_px': 8}))


def test_a_model_that_is_not_there_names_the_command_that_makes_one():
    with pytest.raises(UserError, match='no model named no_such_street; there are') as refused:
        find_required_model('no_such_street', needs_instances=True)
    assert 'export --checkpoint axial_deeplab.safetensors --name no_such_str' in str(refused.value)
    with pytest.raises(UserError) as refused:
        find_required_model('no_such_street', needs_instances=False)
    assert '--checkpoint' not in str(refused.value)


def test_a_semantic_model_is_refused_by_name(tiny_model, tiny_panoptic_model):
    require_instances(load_model_file(tiny_panoptic_model).metadata, str(tiny_panoptic_model))
    with pytest.raises(UserError, match=r'tiny\.onnx returns logits alone, but panoptic\.requi'):
        require_instances(load_model_file(tiny_model).metadata, str(tiny_model))


def test_detections_need_vision_msgs():
    assert choose_detections('auto', is_installed=True)
    assert not choose_detections('auto', is_installed=False)
    assert not choose_detections('points', is_installed=True)
    with pytest.raises(UserError, match='instances_as is detections, but vision_msgs'):
        choose_detections('detections', is_installed=False)
