# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A check that breaks is a finding itself; the page is readable and says whether to worry."""

import json

import pytest

from seg_perception.doctor.finding import (
    FAIL,
    OK,
    SKIPPED,
    WARN,
    Finding,
    find_exit_status,
    run_check,
)
from seg_perception.doctor.page import WIDTH, format_section, format_verdict, write_findings

FINE = Finding('Python', 'NumPy', OK, '2.4.6')
WANTING = Finding('ROS 2', 'tf2_ros', WARN, 'not installed', 'install it')
WRONG = Finding('Model', 'model file', FAIL, 'missing', 'get it')


def test_a_check_that_breaks_is_reported_with_its_error_after_what_it_found():
    def check():
        yield FINE
        raise KeyError('gpu')

    kept, broken = run_check('Python', 'packages', check)
    assert kept == FINE
    assert (broken.section, broken.name, broken.level) == ('Python', 'packages', FAIL)
    assert "this check itself broke: KeyError: 'gpu'" in broken.text and broken.cure


def test_a_check_without_its_package_is_skipped_and_names_the_package():
    def check():
        import no_such_package_anywhere

        yield no_such_package_anywhere

    (skipped,) = run_check('Model', 'model file', check)
    assert skipped.level == SKIPPED and 'no_such_package_anywhere' in skipped.text


@pytest.mark.parametrize(
    ('findings', 'status', 'verdict'),
    [
        ([FINE], 0, '0 FAIL, 0 WARN: the node will run here'),
        ([FINE, WANTING], 0, '0 FAIL, 1 WARN: the node will run here'),
        ([WRONG, WANTING, WRONG], 1, '2 FAIL, 1 WARN: the node will not run as it is here'),
    ],
)
def test_only_what_failed_is_an_error(findings, status, verdict):
    assert find_exit_status(findings) == status
    assert format_verdict(findings) == verdict


def test_lines_are_aligned_and_fit_a_terminal_of_100_columns():
    long = Finding('Topics', '/robot/front_left/camera/image_raw', WARN, 'word ' * 60, 'do ' * 60)
    heading, *lines = format_section([FINE, long, WANTING]).splitlines()
    assert heading == 'Python'
    assert max(map(len, lines)) <= WIDTH
    column = lines[0].index('2.4.6')
    assert lines[1].strip() == 'WARN     /robot/front_left/camera/image_raw'
    assert lines[2].index('word') == column  # the name is too long for its column
    assert lines[-1] == ' ' * column + '-> install it'


def test_json_holds_every_finding_and_the_exit_status(tmp_path):
    path = tmp_path / 'page.json'
    write_findings([FINE, WRONG], path)
    content = json.loads(path.read_text())
    assert content['exit_status'] == 1
    assert content['findings'][0] == {
        'section': 'Python',
        'name': 'NumPy',
        'level': 'OK',
        'text': '2.4.6',
        'cure': '',
    }
    assert content['findings'][1]['cure'] == 'get it'
