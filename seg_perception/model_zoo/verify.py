# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Whether the files on the disk are those that cards and records speak of."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import CARD_FILE, MODEL_FILE, list_disagreements, load_card


def compute_sha256(path: str | os.PathLike[str]) -> str:
    """Hash a file; returns 64 hexadecimal digits. UserError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror or error}') from error
    return digest.hexdigest()


def check_file(path: Path, sha256: str) -> str:
    """Return '' when the file has that hash, else what is wrong with it, naming the file."""
    if not path.is_file():
        return f'{path} is missing'
    try:
        found = compute_sha256(path)
    except UserError as error:
        return str(error)
    if found != sha256:
        return f'{path} has sha256 {found}, expected {sha256}'
    return ''


def check_model(folder: Path) -> list[str]:
    """Return all that is wrong with a model's folder: its card, its files, their agreement."""
    from seg_perception.engines.model_file import load_model_file

    try:
        card = load_card(folder)
    except UserError as error:
        return [str(error)]
    checks = (check_file(folder / name, entry.sha256) for name, entry in card.files.items())
    faults = [fault for fault in checks if fault]
    if faults:
        return faults
    try:
        metadata = load_model_file(folder / MODEL_FILE).metadata
    except UserError as error:
        return [str(error)]
    return [f'{folder / CARD_FILE}: {line}' for line in list_disagreements(card, metadata)]
