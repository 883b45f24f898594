# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The table of parameters is declared, checked and documented as it stands."""

from pathlib import Path

import pytest
import yaml
from rclpy.parameter import Parameter

from seg_perception.engines.base import PRECISIONS
from seg_perception.engines.select import BACKENDS
from seg_perception.errors import UserError
from seg_perception.perception.geometry import FITS
from seg_perception.ros.camera_parameters import read_camera_names
from seg_perception.ros.parameter_docs import format_markdown_table, format_parameter_file
from seg_perception.ros.parameter_spec import AT_START, LIVE
from seg_perception.ros.parameter_table import SPEC_BY_NAME, SPECS
from seg_perception.ros.parameters import (
    build_descriptor,
    check_change,
    find_override_problems,
    find_problem,
    list_specs,
)

CONFIG_PATH = Path(__file__).resolve().parents[2] / 'config' / 'segnext.yaml'


def flatten(tree: dict, prefix: str = '') -> dict:
    """Return nested YAML keys as dotted names."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def test_parameter_file_holds_every_parameter_with_its_default_and_a_comment():
    text = CONFIG_PATH.read_text(encoding='utf-8')
    values = flatten(yaml.safe_load(text)['/**']['ros__parameters'])
    assert values == {spec.name: spec.default for spec in SPECS}
    assert [type(values[spec.name]) for spec in SPECS] == [type(s.default) for s in SPECS]
    lines = text.splitlines()
    for spec in SPECS:
        key = spec.name.rpartition('.')[2]
        above = [
            lines[i - 1].strip()
            for i, line in enumerate(lines)
            if line.strip().startswith(f'{key}: ')
        ]
        assert any(line.startswith('#') for line in above), spec.name


def test_parameter_file_is_the_one_that_the_table_makes():
    assert CONFIG_PATH.read_text(encoding='utf-8') == format_parameter_file()


def test_documented_parameters_are_those_of_the_table():
    text = (CONFIG_PATH.parents[1] / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert text.endswith(format_markdown_table().strip() + '\n')


def test_choices_are_those_of_the_engines():
    assert SPEC_BY_NAME['model.backend'].choices == ('auto', *BACKENDS)
    assert SPEC_BY_NAME['model.precision'].choices == PRECISIONS
    assert SPEC_BY_NAME['input.fit'].choices == ('model', *FITS)


def test_markdown_table_has_a_row_per_parameter():
    rows = format_markdown_table().splitlines()[2:]
    assert [row.split('`')[1] for row in rows] == [spec.name for spec in SPECS]
    assert all(row.count('|') == 6 for row in rows)


@pytest.mark.parametrize('spec', SPECS, ids=lambda spec: spec.name)
def test_defaults_are_within_their_own_limits(spec):
    assert find_problem(spec, spec.default) == ''
    assert build_descriptor(spec).read_only == (spec.change == AT_START)


@pytest.mark.parametrize(
    ('overrides', 'expected'),
    [
        ({'model.backend': 'openvino', 'use_sim_time': True}, []),
        ({'modle.path': 'x'}, ['modle.path: no such parameter; did you mean model.path?']),
        ({'path': 'x'}, ['path: no such parameter; did you mean model.path?']),
        ({'zzz': 1}, ['zzz: no such parameter; parameters are autostart, ']),
        (
            {'model.threads': 'two'},
            ['model.threads: expected integer such as 2, got string "two"'],
        ),
        (
            {'diagnostics.period_s': 2},
            ['diagnostics.period_s: expected double such as 2.0, got integer 2'],
        ),
        ({'autostart': 1}, ['autostart: expected bool such as true, got integer 1']),
        ({'model.threads': True}, ['model.threads: expected integer such as 2, got bool true']),
        ({'model.path': [1, 2]}, ['model.path: expected string such as "auto", got list [1, 2]']),
        ({'output.overlay_alpha': 1.5}, ['output.overlay_alpha: expected 0.0 to 1.0, got 1.5']),
        (
            {'output.overlay_alpha': float('nan')},
            ['output.overlay_alpha: expected 0.0 to 1.0, got nan'],
        ),
        (
            {'image_transport': 'theora'},
            ['image_transport: expected one of raw, compressed, got string "theora"'],
        ),
        ({'qos_overrides./camera.subscription.depth': 2}, []),
        (
            {'qos_overrides./other.subscription.depth': 2},
            ['qos_overrides./other.subscription.depth: this node has no topic /other'],
        ),
        ({'zzz': 1, 'autostart': 'yes'}, ['zzz: no such parameter', 'autostart: expected bool']),
    ],
)
def test_overrides_are_refused_with_key_expectation_and_value(overrides, expected):
    problems = find_override_problems(overrides, ['/camera'])
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
def test_only_live_parameters_change_after_configuring(state):
    for spec in SPECS:
        result = check_change([Parameter(spec.name, value=spec.default)], state)
        may_change = state == 'unconfigured' or spec.change in (LIVE, AT_START)
        assert result.successful == may_change, spec.name
        if not may_change:
            assert spec.name in result.reason
            assert state in result.reason


def test_what_a_camera_may_have_of_its_own_is_described_and_checked_as_the_common_one():
    specs = list_specs(('front',))
    own = [spec for name, spec in specs.items() if name.startswith('front.')]
    assert {'front.image_transport', 'front.output.overlay', 'front.occupancy.camera_x_m'} < {
        spec.name for spec in own
    }
    assert 'front.model.path' not in specs
    assert list_specs(('',)) == SPEC_BY_NAME
    for spec in own:
        assert 'of the camera front alone' in build_descriptor(spec).description
        assert find_problem(spec, SPEC_BY_NAME[spec.name.removeprefix('front.')].default) == ''
    change = [Parameter('front.output.overlay_alpha', value=0.25)]
    assert check_change(change, 'active', specs).successful


@pytest.mark.parametrize('value', [None, 'null'])
def test_a_dumped_parameter_without_value_is_taken_as_not_given(value):
    overrides = {'front.output.overlay': value, 'cameras': ['front']}
    assert find_override_problems(overrides, (), list_specs(('front',))) == []


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (None, ('',)),
        ([], ('',)),
        ([''], ('',)),
        (['front', 'rear_2'], ('front', 'rear_2')),
        (['front', ''], 'has ""'),
        (['a__b'], 'has "a__b"'),
        (['links_\u00fc'], 'expected names'),
        (['camera'], 'name of parameters'),
        ([f'c{index}' for index in range(17)], 'has 17 names, expected at most 16'),
    ],
)
def test_names_of_cameras_are_unique_parts_of_topics(value, expected):
    if isinstance(expected, tuple):
        assert read_camera_names(value, ['camera']) == expected
    else:
        with pytest.raises(UserError, match=expected):
            read_camera_names(value, ['camera'])
