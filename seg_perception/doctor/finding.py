# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a check found, and how checks are run so that none of them can end the doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK = 'OK'
WARN = 'WARN'
FAIL = 'FAIL'
SKIPPED = 'skipped'


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes:
        section: heading that it stands under.
        name: what was looked at, in a few words.
        level: OK; WARN: something will be missing or slow; FAIL: the node will not run, or not
            with what was asked for; SKIPPED: not looked at, the text says why.
        text: what was found.
        cure: how to mend it; '' where nothing is to be done.
    """

    section: str
    name: str
    level: str
    text: str
    cure: str = ''


Check = Callable[[], Iterable[Finding]]


def run_check(section: str, name: str, check: Check) -> list[Finding]:
    """Return the findings of a check; if it breaks, those up to there and one that says so."""
    findings: list[Finding] = []
    try:
        for finding in check():
            findings.append(finding)
    except ModuleNotFoundError as error:
        text = f'it needs {error.name}, which is not installed'
        findings.append(Finding(section, name, SKIPPED, text, 'see above'))
    # Checks touch foreign libraries on machines in unknown states: whatever they raise is a
    # finding, with the error in it, and the other checks go on.
    except Exception as error:
        findings.append(
            Finding(
                section,
                name,
                FAIL,
                f'this check itself broke: {type(error).__name__}: {error}',
                'report it to the maintainers of seg_perception with this page',
            )
        )
    return findings


def find_exit_status(findings: Iterable[Finding]) -> int:
    """Return 0 where nothing failed, else 1."""
    return int(any(finding.level == FAIL for finding in findings))
