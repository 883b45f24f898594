# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Changed and missing files are found, and named."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import yaml

from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import CARD_FILE
from seg_perception.model_zoo.verify import check_file, check_model, compute_sha256
from seg_perception.resources import DEFAULT_MODEL_NAME, find_model_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a copy of the default model's folder."""
    return Path(
        shutil.copytree(find_model_folder(DEFAULT_MODEL_NAME), tmp_path / DEFAULT_MODEL_NAME)
    )


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / 'file').write_bytes(content)
    assert compute_sha256(tmp_path / 'file') == hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match=f'cannot read {tmp_path}: Is a directory'):
        compute_sha256(tmp_path)


def test_copied_model_is_right(folder):
    assert check_model(folder) == []


@pytest.mark.parametrize('name', ['model.onnx', 'weights.safetensors'])
def test_one_bit_is_noticed(folder, name):
    flip_bit(folder / name)
    (fault,) = check_model(folder)
    assert fault.startswith(f'{folder / name} has sha256 ')


def test_every_missing_file_is_named(folder):
    names = list(yaml.safe_load((folder / CARD_FILE).read_text())['files'])
    for name in names:
        (folder / name).unlink()
    assert check_model(folder) == [f'{folder / name} is missing' for name in names]


def test_model_without_a_card_is_said_so(folder):
    (folder / CARD_FILE).unlink()
    (fault,) = check_model(folder)
    assert fault.startswith(f'cannot read model card {folder / CARD_FILE}')


def test_card_of_another_input_is_noticed_though_hashes_are_right(folder):
    content = yaml.safe_load((folder / CARD_FILE).read_text())
    content['input']['width_px'] += 32
    (folder / CARD_FILE).write_text(yaml.safe_dump(content))
    (fault,) = check_model(folder)
    assert fault.startswith(f"{folder / CARD_FILE}: 'input.width_px' is ")


def test_file_with_the_right_hash_that_is_no_model_is_noticed(folder):
    (folder / 'model.onnx').write_bytes(b'nothing')
    content = yaml.safe_load((folder / CARD_FILE).read_text())
    content['files']['model.onnx']['sha256'] = hashlib.sha256(b'nothing').hexdigest()
    (folder / CARD_FILE).write_text(yaml.safe_dump(content))
    (fault,) = check_model(folder)
    assert 'is not an ONNX file' in fault


def test_right_file_has_no_fault(tmp_path):
    (tmp_path / 'a').write_bytes(b'a')
    assert check_file(tmp_path / 'a', hashlib.sha256(b'a').hexdigest()) == ''
