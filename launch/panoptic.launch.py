# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Starts the segmentation node with a panoptic model: segnext.launch.py with other defaults."""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch seg_perception panoptic.launch.py` starts.

    What is declared here is not declared again by the file that is included: its own defaults do
    not count then. All its other arguments may be given as well.
    """
    share_directory = get_package_share_directory('seg_perception')
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value=os.path.join(share_directory, 'config', 'panoptic.yaml'),
                description='YAML file with the parameters of the node; segnext.yaml beside the '
                'default one explains all.',
            ),
            DeclareLaunchArgument(
                'name',
                default_value='panoptic',
                description='Name of the node; its products are <namespace>/<name>/panoptic, '
                '<namespace>/<name>/instances, <namespace>/<name>/mask and so on.',
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    os.path.join(share_directory, 'launch', 'segnext.launch.py')
                )
            ),
        ]
    )
