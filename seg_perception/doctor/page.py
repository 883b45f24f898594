# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Findings as text for a terminal and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from seg_perception import __version__
from seg_perception.doctor.finding import FAIL, WARN, Finding, find_exit_status
from seg_perception.evaluation.files import replace_file

WIDTH = 99  # characters
LEVEL_WIDTH = 8
NAME_WIDTH = 20


def format_section(findings: Sequence[Finding]) -> str:
    """Return the heading and lines of findings of one section, '' where there are none."""
    if not findings:
        return ''
    return '\n'.join([findings[0].section, *map(format_finding, findings)])


def format_finding(finding: Finding) -> str:
    """Return level, name and text in columns, and the cure below."""
    start = f'  {finding.level:<{LEVEL_WIDTH}} {finding.name:<{NAME_WIDTH}} '
    indent = ' ' * (LEVEL_WIDTH + NAME_WIDTH + 4)
    if len(finding.name) > NAME_WIDTH:  # a topic: its text begins on the next line
        paragraphs = [start.rstrip(), wrap(finding.text, indent, indent)]
    else:
        paragraphs = [wrap(finding.text, start, indent)]
    if finding.cure:
        paragraphs.append(wrap(finding.cure, f'{indent}-> ', f'{indent}   '))
    return '\n'.join(paragraphs)


def wrap(text: str, start: str, indent: str) -> str:
    """Set a paragraph; paths and commands are not broken."""
    return textwrap.fill(
        ' '.join(text.split()),
        WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def format_verdict(findings: Sequence[Finding]) -> str:
    """Return the last line: how many lines are wrong, and what that means."""
    failed = sum(finding.level == FAIL for finding in findings)
    warned = sum(finding.level == WARN for finding in findings)
    verdict = 'the node will not run as it is here' if failed else 'the node will run here'
    return f'{failed} FAIL, {warned} WARN: {verdict}'


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """Write the page as JSON; raises UserError when the file cannot be written."""
    content = {
        'seg_perception': __version__,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'exit_status': find_exit_status(findings),
        'findings': [asdict(finding) for finding in findings],
    }
    text = json.dumps(content, indent=2) + '\n'
    replace_file(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))
