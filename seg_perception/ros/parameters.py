# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the node: their declaration and their checks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from seg_perception.errors import UserError
from seg_perception.ros.camera_parameters import (
    CAMERAS,
    CAMERAS_SPEC,
    is_unset,
    list_camera_specs,
    read_camera_names,
)
from seg_perception.ros.parameter_spec import (
    AT_START,
    TYPE_EXAMPLES,
    TYPE_NAMES,
    UNCONFIGURED,
    ParameterSpec,
)
from seg_perception.ros.parameter_table import SPEC_BY_NAME, SPECS

# Declared by rclpy itself in every node.
ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service')
QOS_PREFIX = 'qos_overrides.'
# How a parameter without a value is declared.
ROS_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list: Parameter.Type.STRING_ARRAY,
}


def list_specs(cameras: Iterable[str]) -> dict[str, ParameterSpec]:
    """Return all parameters by name, those that the cameras may have of their own last."""
    return {**SPEC_BY_NAME, **{s.name: s for s in list_camera_specs(cameras, SPECS)}}


def find_problem(spec: ParameterSpec, value: Any) -> str:
    """Return why a value cannot be taken, '' when it can.

    The type has to match exactly, as everywhere in ROS 2: an integer is no double.
    """
    is_list_of_others = isinstance(value, list) and not all(isinstance(v, str) for v in value)
    if type(value) is not type(spec.default) or is_list_of_others:
        return (
            f'{spec.name}: expected {spec.type_name} such as '
            f'{TYPE_EXAMPLES[type(spec.default)]}, got {describe_value(value)}'
        )
    if spec.choices and value not in spec.choices:
        return f'{spec.name}: expected {spec.limits}, got {describe_value(value)}'
    # "not (a <= x <= b)" also catches NaN
    is_bounded = spec.minimum is not None and spec.maximum is not None
    if is_bounded and not spec.minimum <= value <= spec.maximum:  # type: ignore[operator]
        return f'{spec.name}: expected {spec.limits}, got {value}'
    return ''


def describe_value(value: Any) -> str:
    """Return a value with the ROS name of its type: 'integer 50'."""
    if isinstance(value, list):
        return f'list {value}'
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    return f'{TYPE_NAMES.get(type(value), type(value).__name__)} {shown}'


def find_override_problems(
    overrides: Mapping[str, Any],
    known_topics: Iterable[str] = (),
    specs: Mapping[str, ParameterSpec] = SPEC_BY_NAME,
) -> list[str]:
    """Return one line per unknown key and per bad value of a parameter file or command line.

    Args:
        overrides: value by full parameter name.
        known_topics: resolved topics whose quality of service can be overridden.
        specs: the parameters by name.

    """
    problems = []
    for name, value in overrides.items():
        spec = specs.get(name)
        if spec is not None and may_be_unset(name) and is_unset(value):
            problem = ''
        elif spec is not None:
            problem = find_problem(spec, value)
        elif name.startswith(QOS_PREFIX):
            problem = find_qos_override_problem(name, known_topics)
        elif name in ROS_PARAMETERS:
            problem = ''
        else:
            problem = f'{name}: no such parameter{suggest_name(name, specs)}'
        if problem:
            problems.append(problem)
    return problems


def find_qos_override_problem(name: str, known_topics: Iterable[str]) -> str:
    """Return why a qos_overrides.<topic>.<publisher|subscription>.<policy> key does nothing."""
    topics = sorted(known_topics)
    topic = name[len(QOS_PREFIX) :].split('.')[0]
    if topic in topics:
        return ''
    return f'{name}: this node has no topic {topic}; its topics are {", ".join(topics)}'


def may_be_unset(name: str) -> bool:
    """Tell whether a parameter may be without a value: names of cameras, what is one's own."""
    return name == CAMERAS or name not in SPEC_BY_NAME


def suggest_name(name: str, specs: Mapping[str, ParameterSpec] = SPEC_BY_NAME) -> str:
    """Return '; did you mean ...?' for a name close to a parameter's, else the list of all."""
    close = difflib.get_close_matches(name, specs, n=1, cutoff=0.6)
    if not close:
        ending = name.rpartition('.')[2]
        close = [known for known in SPEC_BY_NAME if known.rpartition('.')[2] == ending][:1]
    if close:
        return f'; did you mean {close[0]}?'
    return '; parameters are ' + ', '.join(SPEC_BY_NAME)


def read_overrides(node: Node) -> dict[str, Any]:
    """Return what the parameter file and the command line set, by full name."""
    # rclpy has no public view of the overrides of parameters that are not declared
    return {name: parameter.value for name, parameter in node._parameter_overrides.items()}


def read_cameras(node: Node) -> tuple[str, ...]:
    """Return the names of the cameras, before any parameter is declared; ('',) for one without.

    Raises:
        UserError: names that cannot be used; the message says which.

    """
    value = read_overrides(node).get(CAMERAS)
    reserved = {spec.name.partition('.')[0] for spec in SPECS}
    try:
        problem = '' if is_unset(value) else find_problem(CAMERAS_SPEC, value)
        if problem:
            raise UserError(problem)
        return read_camera_names(None if is_unset(value) else value, reserved)
    except UserError as error:
        raise UserError(f'bad parameters for {node.get_fully_qualified_name()}: {error}') from None


def declare_parameters(
    node: Node, known_topics: Iterable[str] = (), cameras: Iterable[str] = ()
) -> None:
    """Declare the table on a node, and what the named cameras may have of their own, unset.

    Raises:
        UserError: the parameter file or the command line has an unknown key or a bad value; the
            message names all of them.

    """
    overrides, specs = read_overrides(node), list_specs(cameras)
    problems = find_override_problems(overrides, known_topics, specs)
    if problems:
        raise UserError(
            f'bad parameters for {node.get_fully_qualified_name()}: ' + '; '.join(problems)
        )
    for name, spec in specs.items():
        default = spec.default if name in SPEC_BY_NAME else ROS_TYPES[type(spec.default)]
        is_open = may_be_unset(name) and is_unset(overrides.get(name))
        node.declare_parameter(name, default, build_descriptor(spec), ignore_override=is_open)


def build_descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return what `ros2 param describe` shows."""
    descriptor = ParameterDescriptor(
        description=f'{spec.description} Can be changed: {spec.change}.',
        additional_constraints=spec.limits if spec.choices else '',
        read_only=spec.change == AT_START,
    )
    if spec.minimum is not None and spec.maximum is not None:
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.minimum), to_value=float(spec.maximum))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
            ]
    return descriptor


def check_change(
    parameters: Iterable[Parameter],
    state: str,
    specs: Mapping[str, ParameterSpec] = SPEC_BY_NAME,
) -> SetParametersResult:
    """Say whether the node takes a change in its lifecycle state, and why not.

    Parameters that are not in the table (use_sim_time, qos_overrides) are left to rclpy.
    """
    for parameter in parameters:
        spec = specs.get(parameter.name)
        if spec is None:
            continue
        problem = find_problem(spec, parameter.value)
        if not problem and spec.change == UNCONFIGURED and state != 'unconfigured':
            problem = (
                f'{spec.name} can only be changed while the node is unconfigured, and it is '
                f'{state}: deactivate and clean it up first (ros2 lifecycle set)'
            )
        if problem:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)
