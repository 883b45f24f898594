# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parameter `cameras`, and the parameters that each camera may have of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from seg_perception.errors import UserError
from seg_perception.ros.parameter_spec import AT_START, ParameterSpec

CAMERAS = 'cameras'
MAX_CAMERAS = 16
# A camera may have a value of its own for what begins so; engine and input are for all.
OWN_PREFIXES = ('image_transport', 'camera.', 'output.', 'occupancy.')

CAMERAS_SPEC = ParameterSpec(
    CAMERAS,
    # ROS 2 has no empty array in a parameter file: [] there is a parameter without type or value.
    [''],
    'Names of several cameras, such as ["front", "left"]: each subscribes to <name>/image and '
    'publishes ~/<name>/mask and so on; all share one network, in turns, newest image first. '
    'image_transport, camera.*, output.* and occupancy.* may be given for one of them alone, as '
    '<name>.image_transport. Without names there is one camera, on image.',
    AT_START,
)


def read_camera_names(value: Sequence[str] | None, reserved: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the cameras; ('',) for the one without a name.

    Args:
        value: of the parameter; None, [] and [''] name no camera.
        reserved: names that would make a camera's parameters look like others.

    Raises:
        UserError: a name that is no part of a topic, is taken or comes twice; or too many.
    """
    names = tuple(value or ('',))
    if names == ('',):
        return names
    if len(names) > MAX_CAMERAS:
        raise UserError(f'{CAMERAS} has {len(names)} names, expected at most {MAX_CAMERAS}')
    for index, name in enumerate(names):
        if not re.fullmatch('[A-Za-z](_?[A-Za-z0-9])*_?', name):
            raise UserError(
                f'{CAMERAS} has "{name}", expected names that can be part of a topic: a letter, '
                'then letters, digits and single underscores'
            )
        if name in reserved:
            raise UserError(
                f'{CAMERAS} has "{name}", which is the name of parameters of the node; give the '
                f'camera another name, such as {name}_1'
            )
        if name in names[:index]:
            raise UserError(f'{CAMERAS} has "{name}" twice, expected each name once')
    return names


def list_camera_specs(
    cameras: Iterable[str], specs: Iterable[ParameterSpec]
) -> list[ParameterSpec]:
    """Return what the named cameras may have of their own: '<name>.<parameter>'."""
    common = [spec for spec in specs if spec.name.startswith(OWN_PREFIXES)]
    return [
        replace(
            spec,
            name=f'{camera}.{spec.name}',
            description=f'{spec.name} of the camera {camera} alone; the common one where this is '
            f'not set. {spec.description}',
        )
        for camera in cameras
        if camera
        for spec in common
    ]


class CameraParameters:
    """Values for one camera: its own where they are set, else those for all."""

    def __init__(self, node: Any, camera: str) -> None:
        """Read from a node on which the parameters are declared."""
        self._node = node
        self._camera = camera

    def get(self, name: str) -> Any:
        """Return the value of a parameter by its common name."""
        if self._camera:
            # of one that is not declared or not set the value is None
            own = self._node.get_parameter_or(f'{self._camera}.{name}').value
            if own is not None:
                return own
        return self._node.get_parameter(name).value


def is_unset(value: Any) -> bool:
    """Tell whether a parameter file leaves a value open; `ros2 param dump` writes null."""
    return value is None or value == 'null'
