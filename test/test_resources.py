# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Models are found by name: shipped ones, then those in the user's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import load_card, write_card
from seg_perception.resources import (
    DEFAULT_MODEL_NAME,
    find_model,
    find_model_folders,
    find_share_directory,
    find_user_directory,
)

SHIPPED = find_share_directory() / 'models'
SHIPPED_NAMES = sorted(path.parent.name for path in SHIPPED.glob('*/model.onnx'))


@pytest.fixture
def user_models(tmp_path, monkeypatch) -> Path:
    """Return an empty folder of the user's models."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    models = tmp_path / 'seg_perception' / 'models'
    models.mkdir(parents=True)
    return models


def add_model(models: Path, name: str) -> Path:
    (models / name).mkdir()
    path = models / name / 'model.onnx'
    path.write_bytes(b'')
    return path


def test_users_model_is_found_by_name(user_models):
    path = add_model(user_models, 'mine')
    assert find_model('mine') == path
    assert list(find_model_folders()) == [*SHIPPED_NAMES, 'mine']


def test_shipped_name_means_the_shipped_model(user_models):
    add_model(user_models, DEFAULT_MODEL_NAME)
    assert find_model(DEFAULT_MODEL_NAME) == SHIPPED / DEFAULT_MODEL_NAME / 'model.onnx'
    assert find_model() == find_model(DEFAULT_MODEL_NAME)


def test_folder_without_a_model_file_is_no_model(user_models):
    (user_models / 'half').mkdir()
    with pytest.raises(UserError, match='no model named half; there are '):
        find_model('half')


def test_path_of_a_file_is_taken_as_it_is(user_models):
    path = add_model(user_models, 'mine')
    assert find_model(str(path)) == path
    with pytest.raises(UserError, match='model file none.onnx does not exist'):
        find_model('none.onnx')


@pytest.mark.parametrize('data_home', ['', 'relative/folder'])
def test_without_an_absolute_data_home_it_is_below_the_home(monkeypatch, tmp_path, data_home):
    monkeypatch.setenv('XDG_DATA_HOME', data_home)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert find_user_directory() == tmp_path / '.local' / 'share' / 'seg_perception'


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become a user without a home')
@pytest.mark.parametrize('home', [None, 'closed'])
def test_user_without_a_home_has_the_shipped_models(tmp_path, home):
    if not all(folder.stat().st_mode & 0o005 == 0o005 for folder in [SHIPPED, *SHIPPED.parents]):
        pytest.skip('other users cannot read this checkout')
    closed = tmp_path / 'closed'
    closed.mkdir(mode=0o700)
    environment = {key: os.environ[key] for key in ('PATH', 'PYTHONPATH') if key in os.environ}
    if home:
        environment['HOME'] = str(closed)
    code = (
        'import os; from seg_perception import resources; os.setuid(64321);'
        'print(*resources.find_model_folders())'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=SHIPPED.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.split() == SHIPPED_NAMES, result.stderr


def add_card(models: Path, name: str, variant: str) -> None:
    """Put a model with a card of SegViT into a folder of models."""
    path = add_model(models, name)
    card = load_card(SHIPPED / DEFAULT_MODEL_NAME)
    network = replace(card.network, name='segvit', variant=variant, rank=0)
    write_card(replace(card, name=name, network=network), path.parent)


def test_name_of_a_network_means_the_only_model_of_it(user_models):
    add_model(user_models, 'without_card')
    assert find_model('segnext_t') == find_model(DEFAULT_MODEL_NAME)
    add_card(user_models, 'forest', 's')
    add_card(user_models, 'shrunk', 's_shrunk')
    assert find_model('segvit_s') == user_models / 'forest' / 'model.onnx'
    add_card(user_models, 'field', 's')
    with pytest.raises(UserError, match='several models are of it: field, forest; give the name'):
        find_model('segvit_s')
    add_model(user_models, 'segvit_s')
    assert find_model('segvit_s') == user_models / 'segvit_s' / 'model.onnx'


def test_network_without_weights_says_how_to_get_them(user_models):
    with pytest.raises(UserError, match='no model here has weights of it') as error:
        find_model('sanet_r50')
    assert '"seg_perception train CONFIG.yaml --network sanet_r50"' in str(error.value)
    assert '--name sanet_r50"' in str(error.value)


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [('segnxt_t_street', DEFAULT_MODEL_NAME), ('sanet_r5', 'sanet_r50'), ('SegViT_s', 'segvit_s')],
)
def test_nearest_model_or_network_is_suggested(user_models, name, nearest):
    with pytest.raises(UserError, match=rf'no model named {name}; .*; did you mean {nearest}\?'):
        find_model(name)
