# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The command as a shell sees it: exit codes and what it writes."""

from __future__ import annotations

import subprocess
import sys

MAIN = 'import sys; from seg_perception.cli import main; sys.exit(main(sys.argv[1:]))'


def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-c', MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_goes_away_is_no_fault():
    process = start('models', 'list')
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait(timeout=60) == 141  # 128 + SIGPIPE, as of any command


def test_a_request_that_cannot_be_carried_out_is_one_line():
    process = start('evaluate', 'nowhere')
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and output == ''
    assert errors.startswith('error: ') and errors.count('\n') == 1 and 'nowhere' in errors
