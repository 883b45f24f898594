# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Each convention in docs/conventions.md names a test that is there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
TEXT = (CHECKOUT / 'docs' / 'conventions.md').read_text(encoding='utf-8')
NAMED = sorted(set(re.findall(r'`(test/[\w/]+\.py)(?:::(\w+))?`', TEXT)))


@pytest.mark.parametrize(('path', 'name'), NAMED, ids=lambda value: value or 'file')
def test_every_named_test_exists(path, name):
    source = (CHECKOUT / path).read_text(encoding='utf-8')
    assert not name or re.search(rf'^def {name}\(', source, re.MULTILINE)


def test_every_convention_names_a_test_or_says_why_not():
    served, _, refused = TEXT.partition('## Not served')
    rows = [line for line in served.splitlines() if line.startswith('| ')]
    rows = [row for row in rows if not row.endswith(('held by |', '---|'))]
    assert len(rows) > 25
    assert all(re.search(r'`test/', row) for row in rows)
    assert len([line for line in refused.splitlines() if line.startswith('| ')]) > 3
