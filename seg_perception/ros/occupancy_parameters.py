# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parameters `occupancy.*`: their table, and the configuration that they make."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from seg_perception.errors import UserError
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.fusion import FusionConfig
from seg_perception.perception.occupancy_config import (
    DEFAULT_RULES,
    ClassRule,
    GridConfig,
    OccupancyConfig,
)
from seg_perception.ros.parameter_spec import UNCONFIGURED, ParameterSpec

PREFIX = 'occupancy.'
DEFAULT_CLASSES = list(OccupancyConfig(tuple(DEFAULT_RULES)).grid_classes)
DEFAULT_COSTS = [f'{name}={rule.cost}' for name, rule in DEFAULT_RULES.items()]
_GRID = GridConfig()
_POSE = CameraPose()


def _number(
    name: str, default: float, minimum: float, maximum: float, description: str
) -> ParameterSpec:
    return ParameterSpec(
        f'{PREFIX}{name}', default, description, UNCONFIGURED, minimum=minimum, maximum=maximum
    )


OCCUPANCY_SPECS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        f'{PREFIX}enabled',
        True,
        'Offer ~/occupancy/<class>, ~/costmap, ~/points, ~/obstacle_points and ~/class_coverage. '
        'Each is computed only while somebody listens. Needs camera_info beside the image topic, '
        'and the pose of the camera on the vehicle.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}classes',
        DEFAULT_CLASSES,
        'Classes that get a grid of their own, ~/occupancy/<class> (traffic light becomes '
        'traffic_light).',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}costs',
        DEFAULT_COSTS,
        'Cost of each class in ~/costmap: class=0 (free) to 100 (lethal), -1 unknown.',
        UNCONFIGURED,
    ),
    _number('resolution_m', _GRID.resolution_m, 0.01, 10.0, 'Edge of a cell.'),
    _number('x_min_m', _GRID.x_min_m, -200.0, 200.0, 'Rear edge of the grid in base_frame.'),
    _number('x_max_m', _GRID.x_max_m, -200.0, 200.0, 'Front edge of the grid.'),
    _number('y_min_m', _GRID.y_min_m, -200.0, 200.0, 'Right edge of the grid.'),
    _number('y_max_m', _GRID.y_max_m, -200.0, 200.0, 'Left edge of the grid.'),
    _number(
        'min_confidence', 0.5, 0.01, 1.0, 'What pixels below this probability show is unknown.'
    ),
    _number(
        'max_age_s',
        1.0,
        0.05,
        3600.0,
        'Without a valid image for longer, all cells become unknown, once.',
    ),
    ParameterSpec(
        f'{PREFIX}latched',
        True,
        "Publish grids and costmap transient local, as Nav2's StaticLayer wants them; volatile "
        'subscribers match too.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}base_frame',
        'base_link',
        'Frame of the vehicle, on the ground: x forward, y left, z up. The ground is its z = 0.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}camera_pose',
        'auto',
        'Where the camera is on the vehicle: from tf at the stamp of the image, or from '
        'camera_x_m and so on. auto takes tf where tf2_ros is installed.',
        UNCONFIGURED,
        choices=('auto', 'tf', 'parameters'),
    ),
    _number('camera_x_m', _POSE.x_m, -50.0, 50.0, 'Camera ahead of the origin of base_frame.'),
    _number('camera_y_m', _POSE.y_m, -50.0, 50.0, 'Camera to the left of it.'),
    _number('camera_z_m', _POSE.z_m, -50.0, 50.0, 'Camera above the ground.'),
    _number(
        'camera_roll_rad',
        _POSE.roll_rad,
        -3.15,
        3.15,
        'Roll of the camera body (x along the view), fixed axes as in URDF.',
    ),
    _number('camera_pitch_rad', _POSE.pitch_rad, -1.58, 1.58, 'Pitch; above 0 it looks down.'),
    _number('camera_yaw_rad', _POSE.yaw_rad, -3.15, 3.15, 'Yaw; above 0 it looks left.'),
    ParameterSpec(
        f'{PREFIX}tilt_from',
        'none',
        'none: base_frame is level with the ground. imu: it pitches and rolls over level ground '
        'as sensor_msgs/Imu on the topic imu says, of a sensor with the axes of base_frame; wrong '
        'on slopes.',
        UNCONFIGURED,
        choices=('none', 'imu'),
    ),
    ParameterSpec(
        f'{PREFIX}rectified',
        'auto',
        'Whether the images are rectified, so that P of camera_info holds and not K and D. auto: '
        'where the name of the image topic begins with image_rect.',
        UNCONFIGURED,
        choices=('auto', 'yes', 'no'),
    ),
    ParameterSpec(
        f'{PREFIX}fusion',
        False,
        'Fuse the grids of successive images in odom_frame. Needs ego motion. false: each grid '
        'shows one image, in base_frame.',
        UNCONFIGURED,
    ),
    _number(
        'fusion_size_m', FusionConfig().size_m, 1.0, 400.0, 'Edge of the fused, square grid.'
    ),
    ParameterSpec(
        f'{PREFIX}ego_motion',
        'odometry',
        'Where ego motion comes from: nav_msgs/Odometry on the topic odom, or tf.',
        UNCONFIGURED,
        choices=('odometry', 'tf'),
    ),
    ParameterSpec(
        f'{PREFIX}odom_frame', 'odom', 'Frame of the fused grids and of odometry.', UNCONFIGURED
    ),
    _number(
        'odometry_max_gap_s',
        0.3,
        0.001,
        10.0,
        'Longest time between two messages of odometry or IMU, and from the newest to the image.',
    ),
    ParameterSpec(
        f'{PREFIX}points_from',
        'ground',
        'Where the points of ~/points and ~/obstacle_points lie: on the ground, or in a depth '
        'image registered to the camera (topic depth, 16UC1 mm or 32FC1 m, same size).',
        UNCONFIGURED,
        choices=('ground', 'depth'),
    ),
    _number(
        'obstacle_height_m',
        0.5,
        0.0,
        10.0,
        'Height given to ~/obstacle_points on the ground: obstacle layers cut by height.',
    ),
)


@dataclass(frozen=True)
class GroundSettings:
    """What the parameters ask for.

    Attributes:
        config: classes, rules and extent.
        fusion: None where frames are not fused.
        pose: camera on the vehicle; None to take it from tf.
        tilt_from: 'none' or 'imu'.
        rectified: 'auto', 'yes' or 'no'.
        ego_motion: 'odometry' or 'tf'; read only with fusion.
        points_from: 'ground' or 'depth'.
    """

    config: OccupancyConfig
    fusion: FusionConfig | None
    pose: CameraPose | None
    max_age_s: float
    latched: bool
    base_frame: str
    odom_frame: str
    tilt_from: str
    rectified: str
    ego_motion: str
    odometry_max_gap_s: float
    points_from: str
    obstacle_height_m: float

    @property
    def grid_frame(self) -> str:
        """Frame of the grids and the costmap."""
        return self.odom_frame if self.fusion else self.base_frame


def read_ground_settings(
    get_parameter: Callable[[str], Any], class_names: tuple[str, ...], has_tf: bool
) -> GroundSettings:
    """Return the settings of a node's parameters.

    Args:
        get_parameter: value by full name.
        class_names: classes of the model.
        has_tf: tf2_ros is installed.

    Raises:
        UserError: values that do not go together, or a class that the model does not have.
    """

    def get(name: str) -> Any:
        return get_parameter(f'{PREFIX}{name}')

    for name in ('base_frame', 'odom_frame'):
        if not get(name):
            raise UserError(f'{PREFIX}{name} is empty, expected the name of a frame')
    ego_motion = get('ego_motion')
    needs_tf = get('camera_pose') == 'tf' or (get('fusion') and ego_motion == 'tf')
    if needs_tf and not has_tf:
        raise UserError(
            'occupancy.camera_pose or occupancy.ego_motion is tf, but tf2_ros is not installed; '
            'install it (a ROS install has it) or set them to parameters and odometry'
        )
    from_tf = get('camera_pose') == 'tf' or (get('camera_pose') == 'auto' and has_tf)
    axes = ('x_m', 'y_m', 'z_m', 'roll_rad', 'pitch_rad', 'yaw_rad')
    return GroundSettings(
        config=OccupancyConfig(
            class_names,
            GridConfig(
                *(get(k) for k in ('resolution_m', 'x_min_m', 'x_max_m', 'y_min_m', 'y_max_m'))
            ),
            read_costs(list(get('costs')), class_names),
            choose_classes(list(get('classes')), class_names),
            get('min_confidence'),
        ),
        fusion=FusionConfig(size_m=get('fusion_size_m')) if get('fusion') else None,
        pose=None if from_tf else CameraPose(**{axis: get(f'camera_{axis}') for axis in axes}),
        max_age_s=get('max_age_s'),
        latched=get('latched'),
        base_frame=get('base_frame'),
        odom_frame=get('odom_frame'),
        tilt_from=get('tilt_from'),
        rectified=get('rectified'),
        ego_motion=ego_motion,
        odometry_max_gap_s=get('odometry_max_gap_s'),
        points_from=get('points_from'),
        obstacle_height_m=get('obstacle_height_m'),
    )


def choose_classes(names: list[str], class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes with a grid; of the default ones those that the model has."""
    if names == DEFAULT_CLASSES:
        return tuple(name for name in names if name in class_names)
    return tuple(names)


def read_costs(entries: list[str], class_names: tuple[str, ...]) -> dict[str, ClassRule]:
    """Return the rules of the model's classes with the costs of 'class=cost' entries.

    Raises:
        UserError: an entry of another form, or of a class that the model does not have.
    """
    rules = {name: rule for name, rule in DEFAULT_RULES.items() if name in class_names}
    for entry in entries:
        name, separator, cost = entry.partition('=')
        name = name.strip()
        if not separator or not re.fullmatch(r'\s*-?\d{1,3}\s*', cost):
            raise UserError(f"occupancy.costs has '{entry}', expected such as 'road=0'")
        if name in class_names:
            rules[name] = replace(rules.get(name, ClassRule()), cost=int(cost))
        elif entries != DEFAULT_COSTS:
            raise UserError(
                f"occupancy.costs names the class '{name}', but the model has only: "
                f'{", ".join(class_names)}'
            )
    return rules


def name_class_topic(class_name: str) -> str:
    """Return the topic of a class: '~/occupancy/traffic_light'; no name begins with a digit."""
    name = re.sub(r'[^a-z0-9]+', '_', class_name.strip().lower())
    return '~/occupancy/' + (f'class_{name}' if name[:1].isdigit() else name)
