# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The environment variables that ROS 2 processes need, also where ROS comes from pip."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seg_perception.resources import find_share_directory

PROFILE_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
# The name up to jazzy. Kilted warns of it at every node, so only one of the two is set.
OLD_PROFILE_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
KILTED_RCLPY_MAJOR = 9
# The start-up hook of the ROS wheels executes Python again with its library path; a child that
# inherits its mark and path would load the libraries of the wrong environment.
WHEELS_MARK = '_ROS_WHEELS_BOOTSTRAP_COMPLETE'


def find_transport_profile() -> Path:
    """Return the shipped Fast DDS profile."""
    return find_share_directory() / 'config' / 'fastdds.xml'


def name_profile_variable() -> str:
    """Return the variable from which this ROS release reads a Fast DDS profile."""
    try:
        major = int(version('rclpy').partition('.')[0])
    except (PackageNotFoundError, ValueError):
        return PROFILE_VARIABLE
    return PROFILE_VARIABLE if major >= KILTED_RCLPY_MAJOR else OLD_PROFILE_VARIABLE


def has_transport_profile(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the user or a launch file has set a Fast DDS profile that is read here.

    Every release reads the old name; the new one means nothing before kilted.
    """
    names = (name_profile_variable(), OLD_PROFILE_VARIABLE)
    return any(environment.get(name) for name in names)


def complete_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return a copy of an environment that is complete for a ROS process of this Python.

    Adds what is missing and overrides nothing that is set: the transport profile, which is the
    shipped one or that of the variable of another release, and where ROS comes from pip the prefix
    for the ament index.
    """
    environment = dict(base)
    if not has_transport_profile(environment):
        chosen = environment.get(PROFILE_VARIABLE) or str(find_transport_profile())
        environment[name_profile_variable()] = chosen
    if not environment.get('AMENT_PREFIX_PATH'):
        environment['AMENT_PREFIX_PATH'] = sys.prefix
    return environment


def child_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a ROS process that this one starts."""
    environment = complete_environment(base)
    if environment.pop(WHEELS_MARK, None):
        folders = environment.pop('LD_LIBRARY_PATH', '').split(os.pathsep)
        own = [folder for folder in folders if not folder.startswith(sys.prefix)]
        if any(own):
            environment['LD_LIBRARY_PATH'] = os.pathsep.join(own)
    # the same code as here, also when it runs from a checkout that is not installed
    folders = [str(Path(__file__).resolve().parents[2]), environment.get('PYTHONPATH', '')]
    environment['PYTHONPATH'] = os.pathsep.join(filter(None, folders))
    # so that the log can be read while the process runs
    environment['PYTHONUNBUFFERED'] = '1'
    return environment


def prepare_this_process() -> None:
    """Complete the environment of this process; call before rclpy.init()."""
    os.environ.update(complete_environment())
