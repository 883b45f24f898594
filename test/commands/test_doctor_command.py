# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception doctor` as a shell sees it: the whole page, its exit status, no traceback."""

import argparse
import json
import os
import subprocess
import sys

import pytest

from seg_perception.commands.doctor import parse_seconds

MAIN = 'import sys; {before}from seg_perception.cli import main; sys.exit(main(sys.argv[1:]))'
WITHOUT_ROS = "sys.modules['rclpy'] = None; "
SECTIONS = ['Python', 'ROS 2', 'Transport', 'Processor and GPU', 'Model', 'Engine', 'Topics']


def run_doctor(*arguments, before='', **environment):
    # away from a robot, and from other test runs on this machine
    domain = {'ROS_DOMAIN_ID': str(1 + os.getpid() % 100)}
    return subprocess.run(
        [sys.executable, '-c', MAIN.format(before=before), 'doctor', *map(str, arguments)],
        env={**os.environ, **domain, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def read_sections(output):
    return [line for line in output.splitlines()[:-1] if line and not line.startswith(' ')]


def test_where_the_node_runs_the_page_is_whole_and_the_status_is_0(tmp_path):
    pytest.importorskip('rclpy')
    path = tmp_path / 'page.json'
    result = run_doctor('--seconds', 0.5, '--json', path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert read_sections(result.stdout) == SECTIONS
    assert result.stdout.splitlines()[-1].endswith('the node will run here')
    findings = json.loads(path.read_text())['findings']
    levels = {finding['name']: finding['level'] for finding in findings}
    assert levels['against reference'] == levels['rclpy'] == levels['model file'] == 'OK'
    # what is not right can be mended
    assert all(each['cure'] for each in findings if each['level'] in ('WARN', 'FAIL'))


def test_without_ros_and_model_the_page_is_whole_and_the_status_is_1(tmp_path):
    path = tmp_path / 'page.json'
    result = run_doctor('--model', 'no_such_model', '--json', path, before=WITHOUT_ROS)
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout + result.stderr
    assert read_sections(result.stdout) == SECTIONS
    assert result.stdout.splitlines()[-1].startswith('2 FAIL, ')
    content = json.loads(path.read_text())
    assert content['exit_status'] == 1
    failed = [each['name'] for each in content['findings'] if each['level'] == 'FAIL']
    assert failed == ['rclpy', 'model file']


def test_a_file_that_cannot_be_written_is_refused_before_the_examination(tmp_path):
    result = run_doctor('--json', tmp_path / 'nowhere' / 'page.json')
    assert result.returncode == 2 and result.stdout == ''
    assert result.stderr.startswith('error: cannot write')


@pytest.mark.parametrize('seconds', ['0', '-1', 'nan', 'inf', 'soon'])
def test_a_duration_that_makes_no_sense_is_refused(seconds):
    with pytest.raises(argparse.ArgumentTypeError, match='no duration from 0.1 to 600 seconds'):
        parse_seconds(seconds)
