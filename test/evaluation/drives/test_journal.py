# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Records survive the end of the process, and only those of the same evaluation are taken up."""

import os
import signal
import subprocess
import sys

import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.journal import Journal

HEADER = {'bag': 'street', 'sizes': [1, 2]}
RECORDS = [FrameRecord(i, 10 * i, 'scored', '', {'confusion': [[0, 0, i]]}) for i in range(4)]


def write(path, records=RECORDS, header=HEADER):
    with Journal(path, header) as journal:
        for record in records:
            journal.add(record)


def test_records_are_read_back_as_they_were(tmp_path):
    path = tmp_path / 'folder' / 'part.jsonl'
    write(path)
    with Journal(path, HEADER) as journal:
        assert (journal.taken_up, list(journal.records)) == (4, RECORDS)


@pytest.mark.parametrize('cut_bytes', [1, 20, 45])
def test_a_line_that_was_cut_off_is_done_again(tmp_path, cut_bytes):
    path = tmp_path / 'part.jsonl'
    write(path)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    with Journal(path, HEADER) as journal:
        assert list(journal.records) == RECORDS[:3]
        journal.add(RECORDS[3])
    with Journal(path, HEADER) as journal:
        assert list(journal.records) == RECORDS


@pytest.mark.parametrize('content', [b'', b'\xff\xfe', b'{"header": 3}\n', b'no json\n'])
def test_a_file_of_something_else_is_begun_anew(tmp_path, content):
    path = tmp_path / 'part.jsonl'
    path.write_bytes(content)
    write(path)
    with Journal(path, HEADER) as journal:
        assert list(journal.records) == RECORDS


def test_records_of_another_evaluation_are_not_taken(tmp_path):
    path = tmp_path / 'part.jsonl'
    write(path)
    with Journal(path, HEADER | {'bag': 'other'}) as journal:
        assert journal.taken_up == 0


def test_what_was_added_survives_a_kill(tmp_path):
    path = tmp_path / 'part.jsonl'
    program = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'from seg_perception.evaluation.drives.frame_record import FrameRecord\n'
        'from seg_perception.evaluation.drives.journal import Journal\n'
        'journal = Journal(Path(sys.argv[1]), {})\n'
        'for index in range(3):\n'
        '    journal.add(FrameRecord(index, 0, "scored"))\n'
        'print("added", flush=True)\n'
        'time.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == 'added\n'
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Journal(path, {}) as journal:
        assert [record.index for record in journal.records] == [0, 1, 2]


def test_a_journal_without_a_file_keeps_records_in_memory():
    with Journal(None, HEADER) as journal:
        journal.add(RECORDS[0])
        assert list(journal.records) == RECORDS[:1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write .*part.jsonl'):
        Journal(tmp_path / 'file' / 'part.jsonl', HEADER)
