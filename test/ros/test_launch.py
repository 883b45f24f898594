# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files start; needs launch and launch_ros, which a ROS install has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

# with the dot: the folder launch/ of a checkout is no substitute for the package
pytest.importorskip('launch.actions')
pytest.importorskip('launch_ros.actions')

from launch.actions import DeclareLaunchArgument, ExecuteProcess, SetEnvironmentVariable

from launch import LaunchContext, LaunchDescription, LaunchService

CHECKOUT = Path(__file__).resolve().parents[2]
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


@pytest.fixture
def launch_file(tmp_path, monkeypatch):
    """Return the launch file as a module, with the package in an ament index."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package in ('seg_perception', 'rviz2'):
        (index / package).touch()
    (tmp_path / 'share' / 'seg_perception').symlink_to(CHECKOUT)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return load_launch_file('segnext')


def load_launch_file(name: str):
    """Return launch/<name>.launch.py as a module."""
    path = CHECKOUT / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
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


def perform(substitutions, context) -> str:
    """Return the text of one substitution or of several."""
    from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

    return perform_substitutions(context, normalize_to_list_of_substitutions(substitutions))


def read_overrules(node, context) -> dict:
    """Return the parameters that the launch file adds to the parameter file."""
    from launch_ros.utilities import evaluate_parameters

    return evaluate_parameters(context, node._Node__parameters)[1]


def test_every_argument_is_described(launch_file):
    arguments = [
        entity
        for entity in launch_file.generate_launch_description().entities
        if isinstance(entity, DeclareLaunchArgument)
    ]
    assert {'namespace', 'params_file', 'image_topic', 'use_sim_time', 'log_level'} <= {
        argument.name for argument in arguments
    }
    assert all(len(argument.description) > 20 for argument in arguments)


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ({}, {}),
        ({'model': '1', 'backend': 'torch'}, {'model.path': '1', 'model.backend': 'torch'}),
        (
            {'autostart': 'false', 'use_sim_time': 'true'},
            {'autostart': False, 'use_sim_time': True},
        ),
        ({'image_transport': 'compressed'}, {'image_transport': 'compressed'}),
        ({'build_only': 'true'}, {'build_only': True}),
        ({'cameras': 'front, left'}, {'cameras': ('front', 'left')}),
    ],
)
def test_only_given_arguments_overrule_the_parameter_file(launch_file, arguments, expected):
    context = make_context(launch_file, **arguments)
    (node,) = launch_file.start_node(context)
    assert read_overrules(node, context) == expected


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ({}, [('image', 'image')]),
        ({'image_topic': '/camera/image_raw'}, [('image', '/camera/image_raw')]),
        ({'cameras': 'front,left'}, []),
        (
            {'cameras': 'front,left', 'image_topic': '/{camera}/image_raw'},
            [('front/image', '/front/image_raw'), ('left/image', '/left/image_raw')],
        ),
    ],
)
def test_image_topics_are_remapped_for_each_camera(launch_file, arguments, expected):
    assert launch_file.list_remappings(make_context(launch_file, **arguments)) == expected


def test_one_topic_for_several_cameras_is_refused(launch_file):
    context = make_context(launch_file, cameras='front,left', image_topic='/image_raw')
    with pytest.raises(ValueError, match='image_topic: /image_raw is one topic for 2 cameras'):
        launch_file.start_node(context)


def test_the_shipped_transport_profile_is_set_unless_the_user_has_one(launch_file, monkeypatch):
    (action,) = launch_file.choose_transport(make_context(launch_file))
    assert isinstance(action, SetEnvironmentVariable)
    assert launch_file.choose_transport(make_context(launch_file, fastdds_profile='none')) == []
    monkeypatch.setenv(VARIABLES[0], '/my/profile.xml')
    (action,) = launch_file.choose_transport(make_context(launch_file))
    assert not isinstance(action, SetEnvironmentVariable)


def test_a_profile_under_a_name_that_jazzy_does_not_read_is_handed_on(launch_file, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    monkeypatch.setenv(VARIABLES[0], '/my/profile.xml')
    _, action = launch_file.choose_transport(make_context(launch_file))
    assert isinstance(action, SetEnvironmentVariable)
    assert action.name[0].text == VARIABLES[1] and action.value[0].text == '/my/profile.xml'


def test_rviz_starts_only_when_asked_for(launch_file):
    assert launch_file.start_rviz(make_context(launch_file)) == []
    context = make_context(launch_file, rviz='true')
    (node,) = launch_file.start_rviz(context)
    assert node.node_package == 'rviz2'
    option, config = (perform(part, context) for part in node._Node__arguments)
    assert option == '-d'
    assert Path(config).samefile(CHECKOUT / 'config' / 'segnext.rviz')


def test_without_rviz2_nothing_is_started_and_what_to_install_is_said(launch_file, tmp_path):
    (tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rviz2').unlink()
    context = make_context(launch_file, rviz='true')
    with pytest.raises(RuntimeError, match='rviz: the package rviz2 is not installed'):
        launch_file.start_all(context)


def test_a_misspelt_argument_is_named_with_the_one_meant(launch_file):
    arguments = ['modle:=x', 'camera:=front', 'model:=y', 'unlike_any:=z']
    context = LaunchContext(argv=arguments)
    lines = [perform(action.msg, context) for action in launch_file.name_misspelt(context)]
    assert lines == [
        'modle:= is no argument of segnext.launch.py: is model:= meant?',
        'camera:= is no argument of segnext.launch.py: is cameras:= meant?',
    ]


@pytest.mark.parametrize(
    ('arguments', 'node_name'),
    [
        ({}, '/segnext'),
        ({'name': 'rear'}, '/rear'),
        ({'namespace': '/robot1/', 'name': 'rear'}, '/robot1/rear'),
        ({'cameras': 'front,left'}, '/segnext/front'),
    ],
)
def test_rviz_shows_the_topics_of_the_node_whatever_its_name(launch_file, arguments, node_name):
    context = make_context(launch_file, rviz='true', **arguments)
    (node,) = launch_file.start_rviz(context)
    remappings = {
        perform(old, context): perform(new, context) for old, new in node._Node__remappings
    }
    assert remappings['/segnext/overlay'] == f'{node_name}/overlay'
    assert remappings['/segnext/occupancy/person'] == f'{node_name}/occupancy/person'
    assert remappings['/segnext/costmap_updates'] == f'{node_name}/costmap_updates'


def test_the_panoptic_launch_takes_the_same_arguments_with_defaults_of_its_own(launch_file):
    panoptic = load_launch_file('panoptic')
    of_panoptic, of_segnext = (
        {argument.name: argument for argument in module.generate_launch_description()
         .get_launch_arguments()}
        for module in (panoptic, launch_file)
    )  # fmt: skip
    assert set(of_panoptic) == set(of_segnext)
    assert len(of_panoptic['name'].description) > 20
    context = make_context(panoptic)
    for argument in of_segnext.values():
        argument.execute(context)
    (node,) = launch_file.start_node(context)
    assert perform(node._Node__node_name, context) == 'panoptic'
    file = perform(node._Node__parameters[0].param_file, context)
    assert Path(file).samefile(CHECKOUT / 'config' / 'panoptic.yaml')


@pytest.mark.parametrize('code', [0, 1])
def test_build_that_fails_fails_the_launch(launch_file, code):
    process = ExecuteProcess(cmd=['sh', '-c', f'exit {code}'], on_exit=launch_file.end_build)
    service = LaunchService()
    service.include_launch_description(LaunchDescription([process]))
    assert service.run() == code


@pytest.mark.parametrize('name', ['params_file', 'fastdds_profile'])
def test_a_missing_file_is_named(launch_file, name):
    context = make_context(launch_file, **{name: '/nowhere'})
    function = launch_file.start_node if name == 'params_file' else launch_file.choose_transport
    with pytest.raises(FileNotFoundError, match=f'{name}: there is no file /nowhere'):
        function(context)
