# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""YAML files to frozen dataclasses, with errors that name the file and the key."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

from seg_perception.errors import UserError


class ConfigError(UserError, ValueError):
    """A YAML file that cannot be used; the message names file, key and fix."""


def load_dataclass(kind: type, path: str | Path, what: str) -> Any:
    """Read a YAML file as dataclass `kind`; `what` is the file's role, for messages.

    Raises:
        ConfigError: file missing, not YAML, an unknown or missing key, a wrong type or value.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'cannot read {what} {path}: {error}') from error
    except yaml.YAMLError as error:
        raise ConfigError(f'{what} {path} is not valid YAML: {error}') from error
    try:
        return parse_dataclass(kind, content, '')
    except ConfigError as error:
        raise ConfigError(f'{what} {path}: {error}') from error


def parse_dataclass(kind: type, content: Any, where: str) -> Any:
    """Build dataclass `kind` from a YAML mapping; `where` is its dotted place in the file."""
    if not isinstance(content, dict):
        raise ConfigError(
            f'{where or "the file"} is {type(content).__name__}, expected a mapping of keys'
        )
    known = {entry.name: entry for entry in dataclasses.fields(kind)}
    unknown = [key for key in content if key not in known]
    if unknown:
        raise ConfigError(
            f"unknown key '{_join(where, unknown[0])}'; known: {', '.join(sorted(known))}"
        )
    for name, entry in known.items():
        needs_value = (
            entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        )
        if needs_value and name not in content:
            raise ConfigError(f"key '{_join(where, name)}' is missing")
    hints = typing.get_type_hints(kind)
    values = {
        key: parse_value(hints[key], value, _join(where, key)) for key, value in content.items()
    }
    try:
        return kind(**values)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"'{where}': {error}" if where else str(error)) from error


def parse_value(hint: Any, value: Any, where: str) -> Any:
    """Check and convert one YAML value to the type a dataclass field declares.

    That is a dataclass, tuple[X, ...], dict[str, X], X | None (null in YAML) or a plain type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return parse_dataclass(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"'{where}' is {value!r}, expected a list")
        return tuple(parse_value(arguments[0], v, f'{where}[{i}]') for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"'{where}' is {value!r}, expected a mapping")
        return {str(k): parse_value(arguments[1], v, _join(where, k)) for k, v in value.items()}
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return parse_value(kind, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        hint_text = ' (write 1.0e-3, YAML reads 1e-3 as text)' if hint is float else ''
        raise ConfigError(f"'{where}' is {value!r}, expected {hint.__name__}{hint_text}")
    return value


def _join(where: str, key: Any) -> str:
    return f'{where}.{key}' if where else str(key)
