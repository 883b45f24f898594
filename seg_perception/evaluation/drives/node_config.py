# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameter file, read without ROS: what of it decides masks and instances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seg_perception.errors import UserError
from seg_perception.perception.panoptic_reference import MergeConfig
from seg_perception.perception.tracks import TrackConfig

# as segnext.launch.py and panoptic.launch.py name it
NODE_NAMES = ('/**', 'segnext', '/segnext', 'panoptic', '/panoptic')
# Argument of `load_pipeline`: parameter of the node.
ENGINE_PARAMETERS = {
    'model': 'model.path',
    'backend': 'model.backend',
    'precision': 'model.precision',
    'threads': 'model.threads',
    'fit': 'input.fit',
}
PANOPTIC_PREFIX = 'panoptic.'
MERGE_FIELDS = (
    'center_threshold', 'center_kernel_px', 'top_k', 'stuff_area_share', 'label_divisor',
)  # fmt: skip
TRACK_FIELDS = ('tracks', 'max_missed')


def read_node_parameters(path: Path) -> dict[str, Any]:
    """Return parameters by full name ('model.path') of a ROS parameter file.

    Raises:
        UserError: it cannot be read, or has no parameters for this node.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no YAML file: {error}') from error
    parameters: dict[str, Any] = {}
    is_found = False
    for name in NODE_NAMES:
        section = content.get(name) if isinstance(content, dict) else None
        if isinstance(section, dict) and isinstance(section.get('ros__parameters'), dict):
            parameters |= _flatten(section['ros__parameters'])
            is_found = True
    if not is_found:
        raise UserError(
            f'{path} has no ros__parameters under {" or ".join(NODE_NAMES)}; expected a file as '
            'config/segnext.yaml or config/panoptic.yaml'
        )
    return parameters


def list_engine_arguments(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `load_pipeline` that the parameters name."""
    out = {
        argument: parameters[name]
        for argument, name in ENGINE_PARAMETERS.items()
        if name in parameters
    }
    if out.get('fit') == 'model':
        out['fit'] = ''
    height_px, width_px = parameters.get('input.height', 0), parameters.get('input.width', 0)
    if height_px or width_px:  # 0 is the model's own, for each alone
        out['input_size'] = (height_px, width_px)
    return out


def read_instance_configs(
    parameters: Mapping[str, Any],
) -> tuple[MergeConfig, TrackConfig | None]:
    """Return how the node makes instances and follows them, None where it does not.

    Raises:
        UserError: a value that it would refuse.
    """
    given = {
        name.removeprefix(PANOPTIC_PREFIX): value
        for name, value in parameters.items()
        if name.startswith(PANOPTIC_PREFIX)
    }
    try:
        merge = MergeConfig(**{name: given[name] for name in MERGE_FIELDS if name in given})
        tracks = TrackConfig(**{name: given[name] for name in ('max_missed',) if name in given})
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f'{PANOPTIC_PREFIX}{error}') from error
    return merge, tracks if given.get('tracks', True) else None


def _flatten(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat
