# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The models command says what there is, what is broken, and brings what is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from web_server import make_checkpoint

from seg_perception.cli import main
from seg_perception.resources import DEFAULT_MODEL_NAME, find_model_folder, find_model_folders


@pytest.fixture(autouse=True)
def user_directory(tmp_path, monkeypatch) -> Path:
    """Return the user's folder, empty."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    return tmp_path / 'data' / 'seg_perception'


@pytest.fixture
def own_model(user_directory) -> Path:
    """Return the folder of a user's model, a renamed copy of the default one."""
    folder = user_directory / 'models' / 'mine'
    shutil.copytree(find_model_folder(DEFAULT_MODEL_NAME), folder)
    card = yaml.safe_load((folder / 'card.yaml').read_text())
    card['licence']['word'] = 'mine alone'
    (folder / 'card.yaml').write_text(yaml.safe_dump({**card, 'name': 'mine'}))
    return folder


def write_catalogue(path: Path, url: str, sha256: str = '') -> Path:
    entry = {
        'name': 'net',
        'kind': 'network',
        'summary': 'a network',
        'variant': 's',
        'rank': 16,
        'label_space': 'ade20k',
        'classes': 150,
        'height_px': 512,
        'width_px': 512,
        'url': url,
        'file': 'net.pth',
        'terms': 'research',
        'sha256': sha256,
    }
    terms = {'research': {'word': 'non-commercial', 'notes': 'for research alone'}}
    path.write_text(yaml.safe_dump({'terms': terms, 'checkpoints': [entry]}))
    return path


def test_list_has_shipped_and_own_models(own_model, capsys):
    assert main(['models', 'list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['model', 'input', 'labels', 'main', 'score', 'licence', 'from']
    assert [line.split()[0] for line in lines[1:]] == list(find_model_folders())
    by_name = {line.split()[0]: line for line in lines}
    assert 'package, default' in by_name[DEFAULT_MODEL_NAME]
    assert by_name['mine'].endswith('mine alone      yours')


def test_list_goes_on_after_a_card_with_a_fault(own_model, capsys):
    (own_model / 'card.yaml').write_text('name: mine\n')
    assert main(['models', 'list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ['mine', '-', '-', '-', '-', 'yours'] for line in lines)
    assert lines[-1].startswith(f"warning: model card {own_model}/card.yaml: key 'summary' is mis")


def test_show_has_the_licence_and_the_scores(capsys):
    assert main(['models', 'show', DEFAULT_MODEL_NAME]) == 0
    shown = capsys.readouterr().out
    card = yaml.safe_load((find_model_folder(DEFAULT_MODEL_NAME) / 'card.yaml').read_text())
    assert f'licence       {card["licence"]["word"]}. ' in shown
    assert f'{card["scores"][card["main_score"]]["value"]:.3f} {card["main_score"]}' in shown


def test_show_of_an_unknown_model_lists_the_known_ones(capsys):
    assert main(['models', 'show', 'nothing']) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: no model named nothing; there are ')
    assert DEFAULT_MODEL_NAME in error


def test_verify_passes_whole_models(own_model, capsys):
    assert main(['models', 'verify']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'mine: ok'


def test_verify_exits_with_2_and_names_the_file(own_model, capsys):
    with (own_model / 'weights.safetensors').open('ab') as file:
        file.write(b'x')
    assert main(['models', 'verify', 'mine']) == 2
    output = capsys.readouterr()
    assert output.out == 'mine: FAILED\n'
    assert output.err.startswith(f'error: {own_model}/weights.safetensors has sha256 ')
    assert main(['models', 'verify', DEFAULT_MODEL_NAME]) == 0


def test_fetch_without_a_name_lists_checkpoints_and_terms(capsys):
    assert main(['models', 'fetch']) == 0
    shown = capsys.readouterr().out
    assert 'segnext_b_cityscapes  SegNeXt-B' in shown
    assert 'mscan_l_imagenet' in shown
    assert 'ade20k        non-commercial.' in shown


def test_fetch_verifies_says_the_terms_and_what_to_do_next(
    make_server, tmp_path, user_directory, capsys
):
    server = make_server(make_checkpoint())
    digits = hashlib.sha256(server.content).hexdigest()[:8]
    catalogue = write_catalogue(tmp_path / 'catalogue.yaml', server.url, digits)
    assert main(['models', 'fetch', 'net', '--catalogue', str(catalogue)]) == 0
    path = user_directory / 'checkpoints' / 'net.pth'
    assert path.read_bytes() == server.content
    shown = capsys.readouterr().out
    assert 'non-commercial. for research alone' in shown
    assert f'seg_perception export --checkpoint {path} --variant s --rank 16' in shown
    assert main(['models', 'verify', 'net']) == 0
    path.write_bytes(b'')
    assert main(['models', 'verify']) == 2
    assert f'{path} has sha256' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'status': 404}, 'the server answers 404 Not Found'),
        ({'content': make_checkpoint()}, 'its publisher says 0123abcd'),
    ],
)
def test_fetch_that_fails_exits_with_2_and_one_line(
    make_server, tmp_path, capsys, options, message
):
    server = make_server(**options)
    catalogue = write_catalogue(tmp_path / 'catalogue.yaml', server.url, '0123abcd')
    assert main(['models', 'fetch', 'net', '--catalogue', str(catalogue)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: net was not fetched: ')
    assert message in error
    assert error.count('\n') == 1


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_fetch_that_was_ended_goes_on(make_server, tmp_path, user_directory, number):
    server = make_server(make_checkpoint(2_000_000), pause_s=0.05)
    catalogue = write_catalogue(tmp_path / 'catalogue.yaml', server.url)
    command = [sys.executable, '-m', 'seg_perception', 'models', 'fetch', 'net']
    command += ['--catalogue', str(catalogue)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ)
    part = user_directory / 'checkpoints' / 'net.pth.part'
    deadline_s = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 200_000):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    kept = part.stat().st_size
    assert kept < len(server.content)
    server.pause_s = 0.0
    assert main(['models', 'fetch', 'net', '--catalogue', str(catalogue)]) == 0
    assert part.with_name('net.pth').read_bytes() == server.content
    assert server.ranges() == ['', f'bytes={kept}-']
    assert not part.exists()
