# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a camera message that cannot be used."""

from __future__ import annotations

# A message may hold a text of any length, and the fault goes to the log and to /diagnostics.
_LONGEST_QUOTE = 80


class FrameError(ValueError):
    """A camera message that cannot be used.

    Attributes:
        kind: 'truncated', 'step', 'size', 'encoding', 'corrupt' or 'stamp', for counting.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def quote(text: str) -> str:
    """Return a text of a message in quotes, cut to 80 characters, control characters escaped."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f'{text[:_LONGEST_QUOTE]}...')
