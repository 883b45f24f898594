# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Configuration files: what is read, what is refused and how."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from seg_perception.training.config import (
    ConfigError,
    TrainingConfig,
    expand_path,
    load_config,
)
from seg_perception.yaml_config import parse_dataclass

RECIPES = Path(__file__).parents[2] / 'config' / 'training'


def change(path: Path, *keys, value) -> Path:
    """Set one entry of a configuration file."""
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize('path', sorted(RECIPES.glob('*.yaml')), ids=lambda path: path.stem)
def test_shipped_recipes_load(path):
    assert load_config(path).total_iterations > 0


def test_iterations_are_counted_through_the_stages(tiny_run):
    content = yaml.safe_load(tiny_run.read_text())
    second = dict(content['stages'][0], name='second', iterations=7)
    config = load_config(change(tiny_run, 'stages', value=[content['stages'][0], second]))
    assert config.total_iterations == 11
    assert (config.find_stage(3)[0].name, config.find_stage(3)[1]) == ('only', 3)
    assert (config.find_stage(4)[0].name, config.find_stage(4)[1]) == ('second', 0)


@pytest.mark.parametrize(
    ('keys', 'value', 'message'),
    [
        (('run', 'ouput'), 'x', "unknown key 'run.ouput'"),
        (('run', 'seed'), 'three', "'run.seed' is 'three', expected int"),
        (('run', 'seed'), True, "'run.seed' is True, expected int"),
        (('datasets', 0, 'kind'), 'coco', "kind 'coco', expected one of bag, camvid"),
        (
            ('stages', 0, 'sources'),
            {'other': {'share': 1, 'scale_min': 1, 'scale_max': 1}},
            "draws from data set 'other'",
        ),
        (('stages', 0, 'learning_rate', 'peak'), '1e-3', 'YAML reads 1e-3 as text'),
        (('stages', 0, 'learning_rate', 'peak'), 0.0, 'expected peak > 0'),
        (('stages',), [], 'no stages'),
        (('stages', 0, 'crop_width_px'), 31, 'crops of 32x31 px, expected 32 or more'),
        (('stages', 0, 'batch_size'), 0, 'expected 1 or more of each'),
        (('network',), {'dropout': 1.0}, 'dropout is 1.0, expected a probability below 1'),
        (('optimizer',), {'ema_decay': 1.0}, 'ema_decay is 1.0, expected 0 or more and below 1'),
        (('optimizer',), {'clip_norm': 0.0}, 'clip_norm is 0.0, expected above 0'),
        (('run', 'workers'), -1, 'workers is -1, expected 0 or more'),
        (('run', 'validation_width_px'), 0, 'validation_width_px is 0, expected 32 or more'),
        (
            ('run',),
            {'validation_window_px': 8, 'validation_window_stride_px': 8},
            'validation_window_px is 8, expected 0, or 32 or more',
        ),
        (('datasets', 0, 'train_split'), '', 'not among those with a train_split'),
        (('datasets', 0, 'kind'), 'bag', 'is a bag, used whole, for training and for validation'),
        (('datasets',), 'streets', "'datasets' is 'streets', expected a list"),
    ],
)
def test_faults_are_named_with_their_place(tiny_run, keys, value, message):
    change(tiny_run, *keys, value=value)
    with pytest.raises(ConfigError) as caught:
        load_config(tiny_run)
    assert message in str(caught.value)
    assert str(tiny_run) in str(caught.value)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path):
    path = tmp_path / 'short.yaml'
    path.write_text('stages: []\n')
    with pytest.raises(ConfigError, match="key 'datasets' is missing"):
        load_config(path)
    with pytest.raises(ConfigError, match='cannot read configuration'):
        load_config(tmp_path / 'none.yaml')


def test_shipped_and_documented_configurations_can_be_read(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.setenv('SEG_PERCEPTION_DATA', '/data')
    recipes = sorted((root / 'config' / 'training').glob('*.yaml'))
    assert len(recipes) >= 2
    for recipe in recipes:
        assert load_config(recipe).total_iterations >= 100
    text = (root / 'docs' / 'training.md').read_text(encoding='utf-8')
    example = yaml.safe_load(text.split('```yaml\n')[1].split('```')[0])
    assert parse_dataclass(TrainingConfig, example, '').network.variant == 't'


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv('SEG_PERCEPTION_DATA', raising=False)
    with pytest.raises(ConfigError, match=r'\$SEG_PERCEPTION_DATA/camvid'):
        expand_path('$SEG_PERCEPTION_DATA/camvid')
    monkeypatch.setenv('SEG_PERCEPTION_DATA', '/data')
    assert expand_path('$SEG_PERCEPTION_DATA/camvid') == Path('/data/camvid')
