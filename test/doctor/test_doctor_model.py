# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model files that are missing, damaged or not those of their card; the folder of engines."""

import shutil

import pytest

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN
from seg_perception.doctor.model import check_engine_folder, check_model_file
from seg_perception.resources import DEFAULT_MODEL_NAME, find_model_folder


@pytest.fixture
def copied_model(tmp_path):
    folder = tmp_path / DEFAULT_MODEL_NAME
    shutil.copytree(find_model_folder(DEFAULT_MODEL_NAME), folder)
    return folder / 'model.onnx'


def test_the_shipped_model_agrees_with_its_card():
    file, labels, card = check_model_file('')
    assert [file.level, labels.level, card.level] == [OK, OK, OK]
    assert 'input 384x768 letterbox' in file.text
    assert labels.text.startswith('cityscapes, 19 classes: road, ')


@pytest.mark.parametrize('model', ['no_such_model', '/nowhere/model.onnx'])
def test_a_missing_model_is_named_with_what_there_is(model):
    (finding,) = check_model_file(model)
    assert finding.level == FAIL and model in finding.text
    assert DEFAULT_MODEL_NAME in finding.text and finding.cure


def test_a_truncated_model_fails(copied_model):
    copied_model.write_bytes(copied_model.read_bytes()[:100_000])
    (finding,) = check_model_file(str(copied_model))
    assert finding.level == FAIL and str(copied_model) in finding.text


def test_a_file_that_is_not_that_of_its_card_fails(copied_model):
    # more metadata at the end: still a model, with another hash
    with copied_model.open('ab') as file:
        file.write(b'\x72\x06\x0a\x01a\x12\x01b')
    file, labels, card = check_model_file(str(copied_model))
    assert [file.level, labels.level, card.level] == [OK, OK, FAIL]
    assert 'expected' in card.text and 'sha256' in card.text


def test_a_model_without_card_is_looked_at_and_its_hash_is_not(tiny_model):
    file, labels, card = check_model_file(str(tiny_model))
    assert [file.level, labels.level, card.level] == [OK, OK, SKIPPED]


def test_engines_can_be_kept_in_a_new_folder_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (finding,) = check_engine_folder()
    assert finding.level == OK and 'engines kept: 0' in finding.text
    assert not (tmp_path / 'cache').exists()


def test_kept_engines_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    folder = tmp_path / 'seg_perception' / 'engines'
    folder.mkdir(parents=True)
    for name in ('a.engine', 'a.engine.json', 'b.engine'):
        (folder / name).touch()
    (finding,) = check_engine_folder()
    assert 'engines kept: 2' in finding.text


def test_a_folder_that_cannot_be_written_is_a_warning_with_its_cure(tmp_path, monkeypatch):
    # not by permissions, which do not bind root
    (tmp_path / 'file').touch()
    for place in ('/proc', str(tmp_path / 'file')):
        monkeypatch.setenv('XDG_CACHE_HOME', place)
        (finding,) = check_engine_folder()
        assert finding.level == WARN and place in finding.text
        assert 'XDG_CACHE_HOME' in finding.cure
