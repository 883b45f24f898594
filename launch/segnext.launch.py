# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Starts the segmentation node on a camera topic."""

import os
import re
from difflib import get_close_matches

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

PACKAGE = 'seg_perception'
PROFILE_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
# The name up to jazzy. Kilted warns of it at every node, so only one of the two is set.
OLD_PROFILE_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
OLD_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')
FROM_FILE = ''

# Launch argument: node parameter. They overrule params_file where they are given.
TEXT_ARGUMENTS = {
    'image_transport': 'image_transport',
    'model': 'model.path',
    'backend': 'model.backend',
}
FLAG_ARGUMENTS = {
    'use_sim_time': 'use_sim_time',
    'autostart': 'autostart',
    'build_only': 'build_only',
}


def declare_arguments(share_directory: str) -> list:
    """Return the arguments in the order in which --show-args lists them."""
    return [
        DeclareLaunchArgument(
            'image_topic',
            default_value='image',
            description='Camera topic to segment, without /compressed. Relative names get the '
            'namespace in front. With cameras, {camera} in it stands for the name of each.',
        ),
        DeclareLaunchArgument(
            'cameras',
            default_value=FROM_FILE,
            description='Names of several cameras, such as front,left: each subscribes to '
            '<name>/image, or to image_topic such as /{camera}/image_raw, and its products are '
            '<namespace>/<node>/<name>/mask and so on. Empty: as in params_file, else one camera.',
        ),
        DeclareLaunchArgument(
            'image_transport',
            default_value=FROM_FILE,
            choices=[FROM_FILE, 'raw', 'compressed'],
            description='raw: sensor_msgs/Image on image_topic; compressed: CompressedImage on '
            'image_topic/compressed. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'model',
            default_value=FROM_FILE,
            description='Name of a model (see seg_perception models list) or path of an exported '
            '.onnx file. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'backend',
            default_value=FROM_FILE,
            choices=[FROM_FILE, 'auto', 'tensorrt', 'tensorrt_rtx', 'openvino', 'torch'],
            description='Inference library. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=os.path.join(share_directory, 'config', 'segnext.yaml'),
            description='YAML file with the parameters of the node; the default one explains all.',
        ),
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and its topics.'
        ),
        DeclareLaunchArgument(
            'name',
            default_value='segnext',
            description='Name of the node; its products are <namespace>/<name>/mask and so on.',
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value=FROM_FILE,
            choices=[FROM_FILE, 'true', 'false'],
            description='Take time from /clock: simulation, or "ros2 bag play --clock". Empty: as '
            'in params_file, else false.',
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value=FROM_FILE,
            choices=[FROM_FILE, 'true', 'false'],
            description='Configure and activate by itself; false leaves that to a lifecycle '
            'manager or to "ros2 lifecycle set". Empty: as in params_file, else true.',
        ),
        DeclareLaunchArgument(
            'build_only',
            default_value=FROM_FILE,
            choices=[FROM_FILE, 'true', 'false'],
            description='Build the engine for the parameters and end; true here also fails the '
            'launch where it is not ready then. Empty: as in params_file, else false.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='Lowest severity that the node logs.',
        ),
        DeclareLaunchArgument(
            'fastdds_profile',
            default_value=os.path.join(share_directory, 'config', 'fastdds.xml'),
            description='Fast DDS profile for the node, with shared memory that holds camera '
            'images; the camera driver needs it too. Not used where '
            f'{PROFILE_VARIABLE} or {OLD_PROFILE_VARIABLE} is set already. none: stock transport.',
        ),
        DeclareLaunchArgument(
            'rviz',
            default_value='false',
            choices=['true', 'false'],
            description='Also start RViz (package rviz2), with overlay, costmap, obstacles and '
            'class grids; all but the overlay need occupancy.enabled, as it is by default. Of '
            'several cameras, given by the argument cameras, it shows the first.',
        ),
    ]


def choose_transport(context) -> list:
    """Return the actions that give the node its Fast DDS profile."""
    profile = LaunchConfiguration('fastdds_profile').perform(context)
    is_old = os.environ.get('ROS_DISTRO', '') in OLD_DISTRIBUTIONS
    chosen = os.environ.get(PROFILE_VARIABLE) or os.environ.get(OLD_PROFILE_VARIABLE)
    if chosen:
        actions = [LogInfo(msg=f'Fast DDS profile from the environment: {chosen}')]
        if is_old and not os.environ.get(OLD_PROFILE_VARIABLE):
            actions.append(SetEnvironmentVariable(OLD_PROFILE_VARIABLE, chosen))
        return actions
    if profile == 'none':
        return []
    if not os.path.isfile(profile):
        raise FileNotFoundError(f'fastdds_profile: there is no file {profile}')
    return [SetEnvironmentVariable(OLD_PROFILE_VARIABLE if is_old else PROFILE_VARIABLE, profile)]


def list_cameras(context) -> list:
    """Return the names of several cameras, none where the argument is not given."""
    names = LaunchConfiguration('cameras').perform(context)
    return [name.strip() for name in names.split(',')] if names.strip() else []


def list_remappings(context) -> list:
    """Return the new name of each camera's image topic."""
    topic = LaunchConfiguration('image_topic').perform(context)
    cameras = list_cameras(context)
    if not cameras:
        return [('image', topic)]
    if topic == 'image':
        return []
    if '{camera}' not in topic:
        raise ValueError(
            f'image_topic: {topic} is one topic for {len(cameras)} cameras; expected {{camera}} '
            'in it, which stands for the name of each'
        )
    return [(f'{camera}/image', topic.replace('{camera}', camera)) for camera in cameras]


def start_node(context) -> list:
    """Return the node with its parameters: the file, overruled by the arguments given."""
    params_file = LaunchConfiguration('params_file').perform(context)
    if not os.path.isfile(params_file):
        raise FileNotFoundError(f'params_file: there is no file {params_file}')
    overrules: dict = {}
    for argument, parameter in {**TEXT_ARGUMENTS, **FLAG_ARGUMENTS}.items():
        value = LaunchConfiguration(argument).perform(context)
        if value != FROM_FILE:
            # values, not substitutions: launch_ros would read a model named 1 as a number
            overrules[parameter] = value if argument in TEXT_ARGUMENTS else value == 'true'
    if list_cameras(context):
        overrules['cameras'] = list_cameras(context)
    is_build = overrules.get('build_only', False)
    log_level = LaunchConfiguration('log_level').perform(context)
    return [
        Node(
            package=PACKAGE,
            executable='segmentation_node',
            name=LaunchConfiguration('name'),
            namespace=LaunchConfiguration('namespace'),
            parameters=[params_file, overrules],
            remappings=list_remappings(context),
            arguments=['--ros-args', '--log-level', log_level],
            output='screen',
            emulate_tty=True,
            on_exit=end_build if is_build else None,
        )
    ]


def start_rviz(context) -> list:
    """Return RViz where it was asked for, on the topics of the node whatever its name."""
    if LaunchConfiguration('rviz').perform(context) == 'false':
        return []
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError as error:
        raise RuntimeError(
            'rviz: the package rviz2 is not installed (apt install ros-$ROS_DISTRO-rviz2); leave '
            'rviz:=true away, or run RViz on another machine'
        ) from error
    config = os.path.join(get_package_share_directory(PACKAGE), 'config', 'segnext.rviz')
    namespace = LaunchConfiguration('namespace').perform(context).strip('/')
    name = LaunchConfiguration('name').perform(context)
    node = '/'.join(['', *filter(None, [namespace, name, *list_cameras(context)[:1]])])
    with open(config, encoding='utf-8') as file:
        topics = sorted(set(re.findall(r'/segnext/[a-z_/]+', file.read())))
    is_simulated = LaunchConfiguration('use_sim_time').perform(context) == 'true'
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            name='segnext_rviz',
            arguments=['-d', config],
            parameters=[{'use_sim_time': is_simulated}],
            remappings=[(topic, node + topic[len('/segnext') :]) for topic in topics],
            output='screen',
        )
    ]


def end_build(event, context) -> None:
    """Fail where the node could not build: launch itself takes no notice of exit codes."""
    if event.returncode != 0 and not context.is_shutdown:  # else the user interrupted it
        raise RuntimeError(f'build_only: no engine is ready (exit code {event.returncode})')


def name_misspelt(context) -> list:
    """Return a line for each argument that nobody reads and that resembles one of ours.

    ros2 launch takes any name without a word. It is no error: a launch file that includes this one
    has arguments of its own.
    """
    share_directory = get_package_share_directory(PACKAGE)
    known = [argument.name for argument in declare_arguments(share_directory)]
    given = [word.partition(':=')[0] for word in context.argv if ':=' in word]
    lines = []
    for name in given:
        matches = get_close_matches(name, known, n=1)
        if name not in known and matches:
            lines.append(f'{name}:= is no argument of segnext.launch.py: is {matches[0]}:= meant?')
    return [LogInfo(msg=line) for line in lines]


def start_all(context) -> list:
    """Return everything to start: what is wrong is found before the first process runs.

    A launch that fails between two processes leaves the first one behind.
    """
    return [
        *name_misspelt(context),
        *choose_transport(context),
        *start_node(context),
        *start_rviz(context),
    ]


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch seg_perception segnext.launch.py` starts."""
    share_directory = get_package_share_directory(PACKAGE)
    return LaunchDescription(
        [*declare_arguments(share_directory), OpaqueFunction(function=start_all)]
    )
