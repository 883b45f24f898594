# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The exit status of `compare` is what a CI job needs."""

from __future__ import annotations

import json

import pytest
from result_files import make_drive, make_result, write_result

from seg_perception.cli import main


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """Return paths of an evaluation, a worse, a slower and a damaged one, and one of camvid."""
    results = {
        'good': make_result(make_drive()),
        'worse': make_result(make_drive(right_pixels=900)),
        'slower': make_result(make_drive(ms=60.0)),
        'camvid': make_result(make_drive()),
    }
    results['camvid']['setup']['label_space'] = 'camvid'
    paths = {name: write_result(tmp_path / f'{name}.json', r) for name, r in results.items()}
    paths['damaged'] = tmp_path / 'damaged.json'
    paths['damaged'].write_bytes(paths['good'].read_bytes()[:5000])
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    ('a', 'b', 'options', 'status'),
    [
        ('good', 'good', [], 0),
        ('good', 'worse', [], 1),
        ('worse', 'good', [], 0),
        ('good', 'worse', ['--threshold', '10'], 0),
        ('good', 'slower', [], 1),
        ('good', 'slower', ['--latency-threshold', '50'], 0),
    ],
)
def test_exit_status_tells_a_regression(files, a, b, options, status, capsys):
    assert main(['compare', files[a], files[b], *options]) == status
    output = capsys.readouterr().out
    assert ('regression: ' in output) == bool(status)
    assert ('no regression' in output) == (not status)


@pytest.mark.parametrize(
    ('a', 'b', 'options', 'message'),
    [
        ('good', 'damaged', [], 'damaged.json is no whole JSON file'),
        ('good', 'camvid', [], 'evaluate both against the same labels'),
        ('good', 'worse', ['--threshold', '-1'], 'expected 0 or more'),
    ],
)
def test_unusable_input_is_one_line_and_status_2(files, a, b, options, message, capsys):
    assert main(['compare', files[a], files[b], *options]) == 2
    output, errors = capsys.readouterr()
    assert output == '' and errors.count('\n') == 1 and message in errors


def test_differences_are_written(files, tmp_path):
    path = tmp_path / 'difference.json'
    assert main(['compare', files['good'], files['worse'], '--json', str(path)]) == 1
    content = json.loads(path.read_text())
    assert content['schema'] == 'seg_perception/comparison/1'
    assert 'miou' in content['regressions'] and content['frames_in_common'] == 100
    entry = content['figures']['miou']
    assert entry['interval'][0] <= entry['difference'] <= entry['interval'][1] < 0


def test_help_tells_how_to_use_it_in_ci(capsys):
    with pytest.raises(SystemExit):
        main(['compare', '--help'])
    text = capsys.readouterr().out
    assert 'exit status:' in text and 'blocks of 1 s' in text and 'CI job' in text
