# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Training checkpoints: everything a run needs to go on, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

REQUIRED_KEYS = frozenset(
    {'network', 'auxiliary', 'average', 'average_steps', 'optimizer', 'iteration'}
)


class CheckpointError(UserError):
    """A checkpoint that cannot be written or read; the message names the file and the fix."""


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint beside the old one, then put it in its place.

    Raises CheckpointError (disk full, no permission); the old checkpoint is intact then.
    """

    def write(temporary: Path) -> None:
        with temporary.open('wb') as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())  # renamed before its bytes are on the disk, power could cut it

    try:
        replace_file(Path(path), write)
    except (UserError, RuntimeError) as error:  # torch's own writer raises the latter
        raise CheckpointError(
            f'{error}; free space or choose another output folder (an earlier checkpoint {path} '
            'is intact)'
        ) from error


def load_training_state(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this trainer, on the CPU and without running anything it brings.

    Raises CheckpointError when it is missing, damaged or no training checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'no checkpoint {path}')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split('\n')[0]
        raise CheckpointError(f'checkpoint {path} cannot be read: {reason}') from error
    missing = REQUIRED_KEYS - set(state) if isinstance(state, dict) else REQUIRED_KEYS
    if missing:
        raise CheckpointError(
            f'{path} is no training checkpoint: it lacks {", ".join(sorted(missing))} '
            '(weights alone go into network.initial_weights)'
        )
    return state
