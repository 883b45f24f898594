# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Finds the files installed with the package: models, configuration, launch files."""

from __future__ import annotations

import os
from pathlib import Path

from seg_perception.errors import UserError

DEFAULT_MODEL_NAME = 'segnext_t_street'


def find_share_directory() -> Path:
    """Return the folder that holds models/, config/ and launch/.

    A checkout is its own share folder; an installed package has share/seg_perception below the
    prefix of a colcon workspace, a ROS install or a Python environment.

    Raises:
        UserError: nothing is found, which means that the install is broken.

    """
    package_directory = Path(__file__).resolve().parent
    candidates = [package_directory.parent]
    candidates += [
        parent / 'share' / 'seg_perception' for parent in package_directory.parents
    ]
    candidates += [
        Path(prefix) / 'share' / 'seg_perception'
        for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
        if prefix
    ]
    for candidate in candidates:
        if (candidate / 'package.xml').is_file() and (candidate / 'models').is_dir():
            return candidate
    raise UserError(
        'the files of seg_perception (models, config) are not installed; looked in '
        + ', '.join(str(candidate) for candidate in candidates)
        + '; install with "pip install ." or "colcon build" and source the workspace'
    )


def find_model(name_or_path: str = '') -> Path:
    """Return the ONNX file of a shipped model's name, or of a path; '' is the default model.

    Raises:
        UserError: no such model; the message lists those there are.

    """
    path = Path(name_or_path).expanduser()
    if name_or_path and (path.suffix == '.onnx' or path.is_file()):
        if not path.is_file():
            raise UserError(
                f'model file {name_or_path} does not exist; give the path of an exported .onnx '
                f'file or the name of a shipped model ({", ".join(list_models()) or "none"})'
            )
        return path
    models_directory = find_share_directory() / 'models'
    name = name_or_path or DEFAULT_MODEL_NAME
    model_path = models_directory / name / 'model.onnx'
    if not model_path.is_file():
        raise UserError(
            f'no model named {name} in {models_directory}; shipped models: '
            f'{", ".join(list_models()) or "none"}; or give the path of an exported .onnx file'
        )
    return model_path


def list_models() -> list[str]:
    """Return the names of the shipped models."""
    models_directory = find_share_directory() / 'models'
    return sorted(path.parent.name for path in models_directory.glob('*/model.onnx'))
