# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all."""

import os

import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file


def test_file_is_replaced_and_readable_by_others(tmp_path):
    path = tmp_path / 'made' / 'a.txt'
    for text in ('old', 'new'):
        replace_file(path, lambda temporary, text=text: temporary.write_text(text))
    assert path.read_text() == 'new'
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ['a.txt']


def test_failed_write_keeps_the_earlier_file(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def fail(temporary):
        temporary.write_text('ha')
        raise RuntimeError('disk on fire')

    with pytest.raises(RuntimeError, match='on fire'):
        replace_file(path, fail)
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write'):
        replace_file(tmp_path / 'file' / 'a.txt', lambda temporary: None)
