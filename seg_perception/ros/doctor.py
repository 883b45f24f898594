# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Checks of the ROS installation; this module imports nothing of ROS before it has looked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN, Finding
from seg_perception.ros.environment import (
    OLD_PROFILE_VARIABLE,
    PROFILE_VARIABLE,
    child_environment,
    find_transport_profile,
    has_transport_profile,
    name_profile_variable,
    prepare_this_process,
)
from seg_perception.ros.shared_memory import CURE, SHARED_MEMORY, find_leftovers

SECTION = 'ROS 2'
# rclpy's major version by distribution; and which of them the tests run on.
DISTRIBUTIONS = {3: 'humble', 5: 'iron', 7: 'jazzy', 9: 'kilted'}
EXPECTED = ('humble', 'jazzy', 'kilted')
FASTDDS = 'rmw_fastrtps'
REQUIRED_MESSAGES = (
    'sensor_msgs',
    'nav_msgs',
    'diagnostic_msgs',
    'lifecycle_msgs',
    'rcl_interfaces',
    'geometry_msgs',
)
# The segment of the shipped profile, and the copy that a subscriber may still hold.
NEEDED_SHARED_MEMORY_BYTES = 2 * 64 * 2**20
PROBE_TIMEOUT_S = 60.0
INSTALL_ROS = (
    'source /opt/ros/DISTRO/setup.bash in this shell; without a ROS install: pip install '
    'ros-kilted-rclpy ros-kilted-rmw-fastrtps-cpp and the message packages'
)


@dataclass(frozen=True)
class Companion:
    """A ROS package that the node uses where it is there.

    Attributes:
        module: Python module.
        probe: code that fails where the package is of no use.
        use: what the node does with it.
        level: where it is missing.
        instead: what happens without it.
    """

    module: str
    probe: str
    use: str
    level: str
    instead: str


COMPANIONS = (
    Companion(
        'tf2_ros',
        'from tf2_ros import Buffer, TransformListener',
        'the pose of the camera from tf',
        WARN,
        'the pose of the camera is taken from the parameters occupancy.camera_*',
    ),
    Companion(
        'vision_msgs',
        'from vision_msgs.msg import LabelInfo, VisionClass',
        'the names of the classes on ~/label_info',
        WARN,
        '~/label_info is not published, and the semantic costmap layer waits for it',
    ),
    Companion(
        'cv_bridge',
        'from cv_bridge import CvBridge; CvBridge()',
        'encodings that this package does not know itself',
        OK,
        'the usual encodings need none',
    ),
    Companion(
        'launch_ros',
        'import launch_ros',
        'ros2 launch',
        WARN,
        'start the node by "segmentation_node --ros-args"',
    ),
)


def has_rclpy() -> bool:
    """Tell whether a module rclpy can be found."""
    return importlib.util.find_spec('rclpy') is not None


def check_rclpy() -> Iterator[Finding]:
    """Import rclpy and the messages of the node; say of which distribution they are."""
    try:
        import rclpy
    except ImportError as error:
        if has_rclpy():
            text = f'rclpy is there, but not for this Python ({sys.executable}): {error}'
            cure = "use the Python of the ROS install, or the ROS of this Python's version"
        else:
            text, cure = f'not installed ({error}): there is no node without it', INSTALL_ROS
        yield Finding(SECTION, 'rclpy', FAIL, text, cure)
        return
    yield Finding(SECTION, 'rclpy', OK, f'{read_rclpy_version()}, {Path(rclpy.__file__).parent}')
    yield describe_distribution(read_rclpy_version(), os.environ.get('ROS_DISTRO', ''))
    missing = {}
    for name in REQUIRED_MESSAGES:
        try:
            import_module(f'{name}.msg')
        except ImportError as error:
            missing[name] = str(error)
    if missing:
        packages = ' '.join(name.replace('_', '-') for name in missing)
        yield Finding(
            SECTION,
            'messages',
            FAIL,
            'cannot be imported: ' + '; '.join(f'{name} ({missing[name]})' for name in missing),
            f'rosdep install --from-paths src --ignore-src (packages: {packages})',
        )
    else:
        yield Finding(SECTION, 'messages', OK, ', '.join(REQUIRED_MESSAGES))


def read_rclpy_version() -> str:
    """Return rclpy's version, 'unknown version' where it does not say."""
    try:
        return version('rclpy')
    except PackageNotFoundError:
        return 'unknown version'


def describe_distribution(rclpy_version: str, ros_distro: str) -> Finding:
    """Name the distribution by the environment or else by rclpy's version."""
    major = rclpy_version.partition('.')[0]
    by_version = DISTRIBUTIONS.get(int(major), '') if major.isdigit() else ''
    name = ros_distro or by_version
    if not name:
        text = f'not known from rclpy {rclpy_version}, and ROS_DISTRO is not set'
        cure = f'if something fails, use one of: {", ".join(EXPECTED)}'
        return Finding(SECTION, 'distribution', WARN, text, cure)
    if by_version and ros_distro and by_version != ros_distro:
        text = f'ROS_DISTRO is {ros_distro}, but this rclpy is that of {by_version}'
        cure = 'source only one setup.bash, in a new shell'
        return Finding(SECTION, 'distribution', WARN, text, cure)
    if name not in EXPECTED:
        cure = f'if something fails, use one of: {", ".join(EXPECTED)}'
        return Finding(SECTION, 'distribution', WARN, f'{name}: not tested', cure)
    return Finding(SECTION, 'distribution', OK, name)


def check_middleware(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Load the middleware; say in which domain it talks, and with which profile."""
    if not has_rclpy():
        yield Finding(SECTION, 'middleware', SKIPPED, 'there is no rclpy')
        return
    prepare_this_process()
    import rclpy

    try:
        name = rclpy.get_rmw_implementation_identifier()
    except (RuntimeError, ImportError) as error:
        asked = environment.get('RMW_IMPLEMENTATION', 'not set')
        text = f'does not load (RMW_IMPLEMENTATION is {asked}): {error}'
        cure = 'install that middleware, or unset RMW_IMPLEMENTATION'
        yield Finding(SECTION, 'middleware', FAIL, text, cure)
        return
    domain = environment.get('ROS_DOMAIN_ID') or '0'
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if environment.get('ROS_LOCALHOST_ONLY') == '1':
        reach = 'this machine only (ROS_LOCALHOST_ONLY)'
    text = f'{name}, ROS_DOMAIN_ID {domain}, discovery range {reach or "as it comes"}'
    yield Finding(SECTION, 'middleware', OK, text)
    yield check_profile(environment, name)


def check_profile(environment: Mapping[str, str], middleware: str) -> Finding:
    """Check the Fast DDS profile that the environment names."""
    name = 'transport profile'
    if FASTDDS not in middleware:
        return Finding(SECTION, name, SKIPPED, f'it is for Fast DDS; this is {middleware}')
    variable = name_profile_variable()
    export = f'export {variable}={find_transport_profile()}'
    if not has_transport_profile(environment):
        text = (
            f'{variable} is not set here: launch files set it for the node, but a camera driver '
            'that is started like this loses large images'
        )
        if environment.get(PROFILE_VARIABLE):
            text = f'{PROFILE_VARIABLE} is set, but this ROS release reads {variable}'
        return Finding(SECTION, name, WARN, text, f'for camera drivers too: {export}')
    used = variable if environment.get(variable) else OLD_PROFILE_VARIABLE
    path = Path(environment[used])
    try:
        xml.etree.ElementTree.parse(path)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        text = f'{used} names {path}, which cannot be read: {error}'
        return Finding(SECTION, name, FAIL, text, export)
    return Finding(SECTION, name, OK, f'{used}={path}')


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Iterator[Finding]:
    """Check the room for images between processes, and what killed processes left there."""
    name = 'shared memory'
    if not folder.is_dir():
        text = f'there is no {folder}: images go over the network interface'
        yield Finding(SECTION, name, WARN, text, 'mount a tmpfs there')
        return
    facts = os.statvfs(folder)
    free, size = facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
    segments = len(list(folder.glob('fastdds_*')) + list(folder.glob('fastrtps_*')))
    leftovers = find_leftovers(folder)
    text = (
        f'{folder}: {free / 2**20:.0f} of {size / 2**20:.0f} MB free, {segments} files of Fast DDS'
    )
    if leftovers.segments:
        text += f'; {leftovers.describe()}'
    if free < NEEDED_SHARED_MEMORY_BYTES:
        cure = (
            f'{CURE} (frees what killed processes left); in a container: docker run '
            '--shm-size=1g, or --ipc=host'
        )
        yield Finding(SECTION, name, WARN, text, cure)
    elif leftovers.are_large:
        yield Finding(SECTION, name, WARN, text, CURE)
    else:
        yield Finding(SECTION, name, OK, text)


def check_companion(companion: Companion) -> Iterator[Finding]:
    """Import a ROS package in a process of its own: one for another NumPy may crash it."""
    name = companion.module
    if importlib.util.find_spec(companion.module) is None:
        text = f'not installed (for {companion.use}): {companion.instead}'
        cure = ''
        if companion.level != OK:
            cure = f'sudo apt install ros-$ROS_DISTRO-{name.replace("_", "-")}, with a ROS install'
        yield Finding(SECTION, name, companion.level, text, cure)
        return
    try:
        result = subprocess.run(
            [sys.executable, '-c', companion.probe],
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        problem = f'its import took more than {PROBE_TIMEOUT_S:.0f} s'
    else:
        lines = result.stderr.strip().splitlines()
        problem = (lines[-1] if lines else 'no message') if result.returncode else ''
        if result.returncode < 0:
            problem = f'its import ends Python with signal {-result.returncode}'
    if problem:
        yield Finding(
            SECTION,
            name,
            WARN,
            f'installed, but of no use (for {companion.use}): {problem}; {companion.instead}',
            f'install the {name} of this ROS distribution; NumPy 1 for one that wants it',
        )
    else:
        yield Finding(SECTION, name, OK, f'for {companion.use}')
