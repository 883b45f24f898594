# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is known about one parameter."""

from __future__ import annotations

from dataclasses import dataclass

# When a parameter may be changed.
AT_START = 'at start'
UNCONFIGURED = 'while unconfigured'
LIVE = 'any time'

TYPE_NAMES = {bool: 'bool', int: 'integer', float: 'double', str: 'string', list: 'string array'}
TYPE_EXAMPLES = {
    bool: 'true',
    int: '2',
    float: '2.0',
    str: '"auto"',
    list: '["road", "car"]',
}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its default (which fixes the type), its limits, and what it is for."""

    name: str
    default: bool | int | float | str | list[str]
    description: str
    change: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        """The ROS name of the type."""
        return TYPE_NAMES[type(self.default)]

    @property
    def limits(self) -> str:
        """The allowed values in words; '' when any value of the type will do."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if self.minimum is not None and self.minimum == self.maximum:
            return f'only {self.minimum}'
        if self.minimum is not None:
            return f'{self.minimum} to {self.maximum}'
        return ''
