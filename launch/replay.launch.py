# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag to the segmentation node and evaluates what comes back; ends when the bag does.

`seg_perception evaluate --mode live` does all three, as the judge has to know each image that was
played: a player of its own and a node of its own, in /seg_perception_evaluation, beside whatever
else runs on the robot.
"""

import os
import sys

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

NONE = ''
# Launch argument: option of `seg_perception evaluate`, given where the argument is.
OPTIONS = {
    'rate': '--rate',
    'params_file': '--config',
    'model': '--model',
    'backend': '--backend',
    'precision': '--precision',
    'image_topic': '--image-topic',
    'label_topic': '--label-topic',
    'labels': '--labels',
    'label_space': '--label-space',
    'metrics': '--metrics',
    'limit': '--limit',
    'json': '--json',
    'report': '--report',
}
FILES = ('params_file',)
FOLDERS = ('labels',)


def declare_arguments() -> list:
    """Return the arguments in the order in which --show-args lists them."""
    return [
        DeclareLaunchArgument(
            'bag', description='Recording to play: a rosbag2 folder, or one .mcap or .db3 file.'
        ),
        DeclareLaunchArgument(
            'rate', default_value='1.0', description='Speed of the replay; 1.0 is as recorded.'
        ),
        DeclareLaunchArgument(
            'clock',
            default_value='true',
            choices=['true', 'false'],
            description='Publish /clock from the recording, with use_sim_time in the node; false '
            'where another /clock is published.',
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=NONE,
            description='YAML file with the parameters of the node. Empty: its defaults.',
        ),
        DeclareLaunchArgument(
            'model',
            default_value=NONE,
            description='Name of a model (see seg_perception models list) or path of an exported '
            '.onnx file. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'backend',
            default_value=NONE,
            choices=[NONE, 'auto', 'tensorrt', 'tensorrt_rtx', 'openvino', 'torch'],
            description='Inference library. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'precision',
            default_value=NONE,
            choices=[NONE, 'auto', 'f32', 'bf16', 'f16', 'int8'],
            description='Arithmetic of the network. Empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'image_topic',
            default_value=NONE,
            description='Camera topic in the bag. Empty: the only one there is.',
        ),
        DeclareLaunchArgument(
            'label_topic',
            default_value=NONE,
            description='Topic of the true labels in the bag. Empty: /ground_truth/label.',
        ),
        DeclareLaunchArgument(
            'labels',
            default_value=NONE,
            description='Folder of label images, found by stamp, in place of a label topic.',
        ),
        DeclareLaunchArgument(
            'label_space',
            default_value=NONE,
            description='Label space of the labels, such as camvid. Empty: as recorded.',
        ),
        DeclareLaunchArgument(
            'metrics',
            default_value=NONE,
            description='Metrics with commas between, see seg_perception evaluate --help. Empty: '
            'all of them.',
        ),
        DeclareLaunchArgument(
            'limit', default_value=NONE, description='Play only the first images. Empty: all.'
        ),
        DeclareLaunchArgument(
            'json',
            default_value=NONE,
            description='File of the result, for seg_perception compare. Empty: none.',
        ),
        DeclareLaunchArgument(
            'report',
            default_value='evaluation_report',
            description='Folder of the HTML report. Empty: none, figures are printed.',
        ),
    ]


def start_evaluation(context) -> list:
    """Return the process that plays and judges; the launch ends with it."""
    bag = LaunchConfiguration('bag').perform(context)
    if not os.path.exists(bag):
        raise FileNotFoundError(f'bag: there is no file or folder {bag}')
    command = [sys.executable, '-m', 'seg_perception', 'evaluate', bag, '--mode', 'live']
    for argument, option in OPTIONS.items():
        value = LaunchConfiguration(argument).perform(context)
        if value == NONE:
            continue
        if argument in FILES and not os.path.isfile(value):
            raise FileNotFoundError(f'{argument}: there is no file {value}')
        if argument in FOLDERS and not os.path.isdir(value):
            raise FileNotFoundError(f'{argument}: there is no folder {value}')
        command += [option, value]
    if LaunchConfiguration('clock').perform(context) == 'true':
        command.append('--clock')
    return [
        # no terminal: a progress bar would not get through launch's lines
        ExecuteProcess(cmd=command, name='evaluate', output='screen', on_exit=end_replay)
    ]


def end_replay(event, context) -> list:
    """End the launch; fail it where nothing was evaluated, as launch takes no notice of codes."""
    if context.is_shutdown:
        return []  # interrupted by the user
    if event.returncode not in (0, 1):
        raise RuntimeError(f'replay: nothing was evaluated (exit code {event.returncode})')
    return [Shutdown(reason='the bag is over')]


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch seg_perception replay.launch.py` starts."""
    return LaunchDescription([*declare_arguments(), OpaqueFunction(function=start_evaluation)])
