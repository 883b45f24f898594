# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Missing, broken, old and untested packages are told apart."""

import sys

import pytest

from seg_perception.doctor.finding import FAIL, OK, WARN
from seg_perception.doctor.packages import (
    REQUIREMENTS,
    Requirement,
    check_python,
    check_requirement,
)

MODULE = 'package_of_the_doctor_test'
BROKEN = "raise RuntimeError('compiled for another NumPy')"


@pytest.mark.parametrize('requirement', REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_what_is_installed_here_is_supported(requirement):
    (finding,) = check_requirement(requirement)
    assert finding.level == OK, finding


@pytest.mark.parametrize(
    ('source', 'level', 'expected'),
    [
        (None, FAIL, 'not installed'),
        (BROKEN, FAIL, 'cannot be imported: RuntimeError: compiled for another NumPy'),
        ("__version__ = '1.21.9'", FAIL, '1.21.9, expected 1.22 or newer'),
        ("__version__ = '1.22.0'", OK, '1.22.0'),
        ("__version__ = '2.9.0-dev'", OK, '2.9.0-dev'),
        ("__version__ = '3.0.0'", WARN, 'newer than what was tested'),
    ],
)
def test_a_package_is_judged_by_its_import_and_version(
    source, level, expected, tmp_path, monkeypatch
):
    if source is not None:
        (tmp_path / f'{MODULE}.py').write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    (finding,) = check_requirement(Requirement('Thing', MODULE, (1, 22), 2, 'pip install thing'))
    sys.modules.pop(MODULE, None)
    assert finding.level == level and expected in finding.text
    assert bool(finding.cure) == (level != OK)


@pytest.mark.parametrize(
    ('version', 'level'),
    [((3, 9), FAIL), ((3, 10), OK), ((3, 12), OK), ((3, 13), WARN), ((4, 0), WARN)],
)
def test_python_is_judged_by_its_version(version, level):
    (finding,) = check_python(version)
    assert finding.level == level
