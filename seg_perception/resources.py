# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Finds the files installed with the package: models, configuration, launch files."""

from __future__ import annotations

import contextlib
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
    candidates += [parent / 'share' / 'seg_perception' for parent in package_directory.parents]
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


def find_user_directory() -> Path:
    """Return the user's folder for models and checkpoints, which may not be there yet.

    It is seg_perception in $XDG_DATA_HOME, by default in ~/.local/share.

    Raises:
        UserError: this user has no home folder.

    """
    data_home = Path(os.environ.get('XDG_DATA_HOME', ''))
    if not data_home.is_absolute():  # the XDG specification: relative ones are to be ignored
        data_home = Path('~/.local/share')
        try:
            data_home = data_home.expanduser()
        except RuntimeError as error:
            raise UserError(
                'this user has no home folder to keep models in; set XDG_DATA_HOME to a folder'
            ) from error
    return data_home / 'seg_perception'


def find_model_folders() -> dict[str, Path]:
    """Return the folders of all models by name: the shipped ones, then those of the user.

    A user's model with a shipped model's name is not found, so that a shipped name always means
    the shipped file.
    """
    paths = sorted((find_share_directory() / 'models').glob('*/model.onnx'))
    # a node may run without a home, or with somebody else's: it has the shipped models then
    with contextlib.suppress(UserError, PermissionError):
        paths += sorted((find_user_directory() / 'models').glob('*/model.onnx'))
    folders: dict[str, Path] = {}
    for path in paths:
        folders.setdefault(path.parent.name, path.parent)
    return folders


def find_model_folder(name: str) -> Path:
    """Return the folder of a model by name, shipped or the user's.

    The full name of a network, such as segnext_t, means the model that has its weights, where
    there is one and no model of that very name.

    Raises:
        UserError: no such model, or several of that network; the message lists those there are.

    """
    folders = find_model_folders()
    if name in folders:
        return folders[name]
    from seg_perception.networks.registry import list_full_names, suggest

    networks = list_full_names()
    if name in networks:
        return folders[find_model_of_network(name, folders)]
    raise UserError(
        f'no model named {name}; there are {", ".join(folders) or "none"}; or give the path '
        'of an exported .onnx file ("seg_perception models fetch" lists published checkpoints)'
        f'{suggest(name, [*folders, *networks])}'
    )


def find_model_of_network(network: str, folders: dict[str, Path]) -> str:
    """Return the name of the only model whose card names a network, such as 'segvit_s'.

    Raises:
        UserError: there are several, or none; the message says how to make one.

    """
    from seg_perception.model_zoo.cards import load_card
    from seg_perception.networks.registry import format_name

    fitting = []
    for name, folder in folders.items():
        with contextlib.suppress(UserError):  # without a card, nobody knows what it holds
            card = load_card(folder)
            if format_name(card.network.name, card.network.variant) == network:
                fitting.append(name)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(
            f'{network} is a network, and several models are of it: {", ".join(fitting)}; give '
            'the name of one of them'
        )
    raise UserError(
        f'{network} is a network, and no model here has weights of it. Train it: "seg_perception '
        f'train CONFIG.yaml --network {network}", then export it: "seg_perception export '
        f'--checkpoint OUTPUT/best.safetensors --name {network}". Models with weights: '
        f'{", ".join(folders) or "none"}'
    )


def find_model(name_or_path: str = '') -> Path:
    """Return the ONNX file of a model's name, or of a path; '' is the default shipped model.

    Raises:
        UserError: no such model; the message lists those there are.

    """
    path = Path(name_or_path).expanduser()
    if name_or_path and (path.suffix == '.onnx' or path.is_file()):
        if not path.is_file():
            raise UserError(
                f'model file {name_or_path} does not exist; give the path of an exported .onnx '
                f'file or the name of a model ({", ".join(find_model_folders()) or "none"})'
            )
        return path
    return find_model_folder(name_or_path or DEFAULT_MODEL_NAME) / 'model.onnx'
