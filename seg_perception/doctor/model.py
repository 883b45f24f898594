# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The model file, its card, and the folder in which engines are kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN, Finding
from seg_perception.engines.engine_cache import PLAN_SUFFIX, find_engine_directory
from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import CARD_FILE, MODEL_FILE
from seg_perception.model_zoo.verify import check_model
from seg_perception.resources import find_model

SECTION = 'Model'


def check_model_file(model: str) -> Iterator[Finding]:
    """Read a model file and the card beside it.

    Args:
        model: name of a model or path of an .onnx file, '' for the default model.
    """
    try:
        path = find_model(model).absolute()
    except UserError as error:
        cure = 'list the models: seg_perception models list'
        yield Finding(SECTION, 'model file', FAIL, str(error), cure)
        return
    try:
        metadata = load_model_file(path).metadata
    except UserError as error:
        yield Finding(SECTION, 'model file', FAIL, str(error), name_cure(path))
        return
    size = metadata.input
    yield Finding(
        SECTION,
        'model file',
        OK,
        f'{path} ({path.stat().st_size / 1e6:.1f} MB): {metadata.name or path.stem}, input '
        f'{size.height_px}x{size.width_px} {size.fit}',
    )
    space = metadata.label_space
    yield Finding(
        SECTION,
        'label space',
        OK,
        f'{space.name}, {space.num_classes} classes: {", ".join(space.class_names)}',
    )
    yield check_card(path)


def check_card(path: Path) -> Finding:
    """Compare a model file with the card in its folder."""
    if path.name != MODEL_FILE or not (path.parent / CARD_FILE).is_file():
        text = f'no {CARD_FILE} beside the file, so nothing to compare its hash with'
        return Finding(SECTION, 'card, hashes', SKIPPED, text)
    faults = check_model(path.parent)
    if faults:
        return Finding(SECTION, 'card, hashes', FAIL, '; '.join(faults), name_cure(path))
    return Finding(SECTION, 'card, hashes', OK, f'{path.parent / CARD_FILE} and files agree')


def name_cure(path: Path) -> str:
    """Say how to get a whole model file."""
    return (
        f'install the package anew if {path.parent.name} came with it, else export the model '
        'again with "seg_perception export"'
    )


def check_engine_folder() -> Iterator[Finding]:
    """Check that engines can be kept, and count those that are."""
    try:
        folder = find_engine_directory()
    except UserError as error:
        yield Finding(
            SECTION,
            'engine folder',
            WARN,
            f'{error}; TensorRT engines are built at every start',
            'export XDG_CACHE_HOME=FOLDER, one that this user can write to',
        )
        return
    problem = find_write_problem(folder)
    if problem:
        yield Finding(
            SECTION,
            'engine folder',
            WARN,
            f'{problem}: TensorRT engines are built at every start, for minutes',
            f'make {folder} writable for this user, or export XDG_CACHE_HOME=FOLDER',
        )
        return
    count = len(list(folder.glob(f'*{PLAN_SUFFIX}'))) if folder.is_dir() else 0
    yield Finding(SECTION, 'engine folder', OK, f'{folder} is writable; engines kept: {count}')


def find_write_problem(folder: Path) -> str:
    """Return why no file can be made in a folder, '' where one can; makes no folder.

    A folder that is not there yet is judged by the nearest one above it that is.
    """
    try:
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            return f'{folder} is no folder'
        descriptor, name = tempfile.mkstemp(prefix='.seg_perception_doctor_', dir=folder)
    except OSError as error:
        return f'{folder} cannot be written ({error.strerror or error})'
    os.close(descriptor)
    Path(name).unlink()
    return ''
