# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Documentation written from the table of parameters: the parameter file and the README table.

`python -m seg_perception.ros.parameter_docs yaml` prints config/segnext.yaml, `... markdown` the
table.
"""

from __future__ import annotations

import sys
import textwrap

from seg_perception.ros.parameter_spec import ParameterSpec
from seg_perception.ros.parameter_table import SPECS

YAML_HEADER = """\
# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
#
# Every parameter of the node segnext with its default. Copy the file, change what you need, and
# start it with
#   ros2 launch seg_perception segnext.launch.py params_file:=/path/to/your.yaml
# Keys that the node does not know are refused, so a typing error cannot go unnoticed.
#
# Quality of service is overridden per topic (history, depth, reliability), for example
#   qos_overrides:
#     /camera/image_raw:
#       subscription:
#         reliability: reliable
#
# With several cameras, image_transport, camera, output and occupancy can be set for one of them:
#   cameras: ["front", "left"]
#   front:
#     image_transport: compressed
/**:
  ros__parameters:
"""
COLUMNS = 99


def format_parameter_file() -> str:
    """Return the text of config/segnext.yaml."""
    lines = [YAML_HEADER.rstrip('\n')]
    open_group: tuple[str, ...] = ()
    for spec in SPECS:
        *group, key = spec.name.split('.')
        lines.append('')
        if group and tuple(group) != open_group:
            lines.append(f'{"  " * (1 + len(group))}{group[-1]}:')
        open_group = tuple(group)
        indent = '  ' * (2 + len(group))
        lines += textwrap.wrap(
            describe_for_yaml(spec),
            COLUMNS,
            initial_indent=f'{indent}# ',
            subsequent_indent=f'{indent}# ',
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += textwrap.wrap(
            f'{indent}{key}: {format_default(spec)}',
            COLUMNS,
            subsequent_indent=f'{indent}  ',
            break_long_words=False,
            break_on_hyphens=False,
        )
    return '\n'.join(lines) + '\n'


def describe_for_yaml(spec: ParameterSpec) -> str:
    """Return meaning, limits and when a parameter can be changed."""
    limits = f' {spec.limits[0].upper()}{spec.limits[1:]}.' if spec.limits else ''
    return f'{spec.description}{limits} Can be changed: {spec.change}.'


def format_default(spec: ParameterSpec) -> str:
    """Return a default as YAML of the right type."""
    if isinstance(spec.default, str):
        return f'"{spec.default}"'
    if isinstance(spec.default, list):
        return '[' + ', '.join(f'"{entry}"' for entry in spec.default) + ']'
    return str(spec.default).lower()


def format_markdown_table() -> str:
    """Return the table of parameters for the README."""
    lines = ['| parameter | type | default | can be changed | meaning |', '|---|---|---|---|---|']
    for spec in SPECS:
        type_name = f'{spec.type_name}, {spec.limits}' if spec.limits else spec.type_name
        description = spec.description.replace('<', '&lt;').replace('>', '&gt;')
        lines.append(
            f'| `{spec.name}` | {type_name} | `{format_default(spec)}` | {spec.change} '
            f'| {description} |'
        )
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    sys.stdout.write(
        format_markdown_table() if sys.argv[1:] == ['markdown'] else format_parameter_file()
    )
