# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a run shows and records: a bar with the time left, curves, when things are due."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

REPORT_EVERY_S = 30.0
SMOOTHING = 0.98  # of the loss that is shown
Report = Callable[[str], None]


class Timetable:
    """Says when periodic work is due."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def is_due(self, what: str, every_s: float) -> bool:
        """Whether `every_s` have gone by since the last time this said so for `what`."""
        now = time.monotonic()
        if now - self._last.get(what, self._start) < every_s:
            return False
        self._last[what] = now
        return True


class Curve:
    """A CSV file that grows by a row at a time; columns are those of the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self) -> None:
        """Remove the rows of an earlier run."""
        self.path.unlink(missing_ok=True)

    def append(self, row: Mapping[str, float | str]) -> None:
        """Add a row, with the header where the file is new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open('a', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


class SmoothedLoss:
    """Exponential mean of the losses; the first one counts fully."""

    def __init__(self) -> None:
        self.value = math.nan

    def add(self, loss: float) -> float:
        """Take in a loss and return the mean."""
        known = not math.isnan(self.value)
        self.value = SMOOTHING * self.value + (1 - SMOOTHING) * loss if known else loss
        return self.value


class ProgressBar:
    """Iterations done, speed and time left: a bar on a terminal, lines in a log."""

    def __init__(self, total: int, start: int, report: Report) -> None:
        from tqdm import tqdm

        self._report = report
        self._bar = tqdm(total=total, initial=start, unit='step', disable=not sys.stderr.isatty())
        self._seen = (time.monotonic(), start)
        self._total = total

    def show(self, iteration: int, stage: str, loss: float, rate: float, images: int) -> None:
        """Report a line; images: crops per iteration."""
        now = time.monotonic()
        steps_per_s = (iteration - self._seen[1]) / max(now - self._seen[0], 1e-9)
        self._seen = (now, iteration)
        left_min = (self._total - iteration) / max(steps_per_s, 1e-9) / 60
        if self._bar.disable:
            self._report(
                f'{stage}: iteration {iteration}/{self._total}, loss {loss:.4f}, '
                f'learning rate {rate:.2e}, {steps_per_s * images:.1f} images/s, '
                f'{left_min:.0f} min left'
            )

    def move(self, iteration: int, stage: str, loss: float) -> None:
        """Move the bar."""
        if not self._bar.disable:
            self._bar.set_description(f'{stage}, loss {loss:.3f}', refresh=False)
            self._bar.update(iteration - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
