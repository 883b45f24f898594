# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the replay launch file starts; needs launch, which a ROS install has."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

# with the dot: the folder launch/ of a checkout is no substitute for the package
pytest.importorskip('launch.actions')

from launch.actions import DeclareLaunchArgument, ExecuteProcess

from launch import LaunchContext, LaunchDescription, LaunchService
from seg_perception.cli import build_parser
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def launch_file():
    """Return the launch file as a module."""
    path = CHECKOUT / 'launch' / 'replay.launch.py'
    spec = importlib.util.spec_from_file_location('replay_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_context(launch_file, **arguments) -> LaunchContext:
    """Return a context in which the arguments are declared and given."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in launch_file.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    return context


def list_command(launch_file, **arguments) -> list[str]:
    """Return what the launch file would run."""
    context = make_context(launch_file, **arguments)
    (process,) = launch_file.start_evaluation(context)
    return [''.join(part.perform(context) for part in word) for word in process.cmd]


def test_every_argument_is_described(launch_file):
    arguments = [
        entity
        for entity in launch_file.generate_launch_description().entities
        if isinstance(entity, DeclareLaunchArgument)
    ]
    assert {*launch_file.OPTIONS, 'bag', 'clock'} == {argument.name for argument in arguments}
    assert all(len(argument.description) > 20 for argument in arguments)


def test_the_command_is_one_that_evaluate_takes(launch_file, tmp_path):
    files = {name: str(tmp_path) for name in ('bag', 'labels', 'report')}
    given = {'rate': '2', 'limit': '5', 'model': '1', 'json': 'x.json', **files}
    command = list_command(launch_file, **given)
    assert command[:3] == [sys.executable, '-m', 'seg_perception']
    arguments = build_parser().parse_args(command[3:])
    assert (arguments.mode, arguments.clock, arguments.rate) == ('live', True, 2.0)
    assert (arguments.model, arguments.limit, arguments.labels) == ('1', 5, tmp_path)


def test_arguments_not_given_are_left_to_evaluate(launch_file, tmp_path):
    command = list_command(launch_file, bag=str(tmp_path), clock='false', report='')
    assert command[3:] == ['evaluate', str(tmp_path), '--mode', 'live', '--rate', '1.0']


@pytest.mark.parametrize('name', ['bag', 'params_file', 'labels'])
def test_a_missing_file_is_named(launch_file, tmp_path, name):
    context = make_context(launch_file, **{'bag': str(tmp_path), name: '/nowhere'})
    with pytest.raises(FileNotFoundError, match=f'{name}: there is no f.* /nowhere'):
        launch_file.start_evaluation(context)


@pytest.mark.parametrize(('code', 'expected'), [(0, 0), (1, 0), (2, 1)])
def test_launch_ends_with_the_evaluation_and_fails_with_it(launch_file, code, expected):
    # the second process would go on for a minute
    processes = [
        ExecuteProcess(cmd=['sh', '-c', f'exit {code}'], on_exit=launch_file.end_replay),
        ExecuteProcess(cmd=['sleep', '60']),
    ]
    service = LaunchService()
    service.include_launch_description(LaunchDescription(processes))
    assert service.run() == expected


def test_a_bag_is_played_and_judged_and_the_launch_ends(launch_file, tiny_model, tmp_path):
    write_sample_bag(tmp_path / 'bag', SampleBagConfig(9, 5, 96, 192))
    given = {
        'bag': tmp_path / 'bag',
        'model': tiny_model,
        'metrics': 'iou',
        'json': tmp_path / 'result.json',
        'report': tmp_path / 'report',
    }
    service = LaunchService()
    service.include_launch_description(launch_file.generate_launch_description())
    for name, value in given.items():
        service.context.launch_configurations[name] = str(value)
    assert service.run() == 0
    result = json.loads((tmp_path / 'result.json').read_text(encoding='utf-8'))
    assert result['setup']['mode'] == 'live'
    assert result['frames_in_bag'] == 5
    assert list((tmp_path / 'report').glob('*.html'))
