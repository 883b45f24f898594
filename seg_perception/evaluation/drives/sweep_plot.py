# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The points of a sweep as a picture: accuracy against latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from seg_perception.evaluation.drives.sweep import SCORE_NAMES, SweepPoint, list_pareto
from seg_perception.evaluation.reports.pictures import (
    BACKGROUND_BGR,
    QUIET_TEXT_BGR,
    TEXT_BGR,
    Picture,
    draw_text,
    measure_text,
    write_picture,
)

PICTURE_HW = (720, 1280)
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 110, 1230, 110, 630
GRID_BGR = (60, 54, 50)
POINT_BGR = (150, 125, 90)
FRONT_BGR = (90, 170, 230)
BEST_BGR = (110, 190, 90)
NAME_SCALE = 0.42
STEPS = (1.0, 2.0, 5.0, 10.0)


class Axis:
    """Maps values to px, with a margin around them and ticks at round numbers."""

    def __init__(self, values: Sequence[float], first_px: int, last_px: int) -> None:
        low, high = min(values), max(values)
        # one point alone, or all alike: a range around it
        margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
        self.low, self.high = max(0.0, low - margin), high + margin
        self._first_px = first_px
        self._px_per_unit = (last_px - first_px) / (self.high - self.low)

    def place(self, value: float) -> int:
        """Return the column or row of a value."""
        return round(self._first_px + (value - self.low) * self._px_per_unit)

    def list_ticks(self) -> list[float]:
        """Return 4 to 10 round numbers."""
        rough = (self.high - self.low) / 8
        power = 10.0 ** np.floor(np.log10(rough))
        step = power * next(step for step in STEPS if step * power >= rough)
        first = np.ceil(self.low / step)
        return [float(round(i * step, 9)) for i in np.arange(first, self.high / step + 1e-9)]


def draw_sweep(points: Sequence[SweepPoint], best: SweepPoint, title: str) -> Picture:
    """Draw measured points as a BGR picture of PICTURE_HW.

    The Pareto front is a line, the best point is green, those beside the front are blue.
    """
    picture = np.full((*PICTURE_HW, 3), BACKGROUND_BGR, np.uint8)
    measured = [point for point in points if point.is_measured]
    columns = Axis([p.latency_ms or 0.0 for p in measured], LEFT_PX, RIGHT_PX)
    rows = Axis([p.score or 0.0 for p in measured], BOTTOM_PX, TOP_PX)
    draw_text(picture, title, LEFT_PX, 44, 0.75)
    legend = 'line: Pareto front; green: best; up is more accurate, left is faster'
    draw_text(picture, legend, LEFT_PX, 72, 0.5, QUIET_TEXT_BGR)
    draw_axes(picture, columns, rows, SCORE_NAMES[best.ranked_by])
    front = list_pareto(points)
    places = {
        id(p): (columns.place(p.latency_ms or 0.0), rows.place(p.score or 0.0)) for p in measured
    }
    for point, after in zip(front, front[1:], strict=False):
        cv2.line(picture, places[id(point)], places[id(after)], FRONT_BGR, 2, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    # the best one last, on top of others in the same place
    for point in sorted(measured, key=lambda p: p == best):
        on_front = any(point is other for other in front)
        color = BEST_BGR if point == best else FRONT_BGR if on_front else POINT_BGR
        size_px = 9 if point == best else 6
        cv2.circle(picture, places[id(point)], size_px, color, cv2.FILLED, cv2.LINE_AA)
        column, row = places[id(point)]
        taken.append((column - 10, row - 10, column + 10, row + 10))
    named = sorted(measured, key=lambda p: (p != best, not any(p is f for f in front)))
    for point in named:
        color = TEXT_BGR if any(point is other for other in front) else QUIET_TEXT_BGR
        draw_name(picture, point.name, places[id(point)], color, taken)
    return picture


def draw_axes(picture: Picture, columns: Axis, rows: Axis, score: str) -> None:
    """Draw grid, numbers and names of the axes in place."""
    for value in columns.list_ticks():
        column, text = columns.place(value), f'{value:g}'
        cv2.line(picture, (column, TOP_PX), (column, BOTTOM_PX), GRID_BGR, 1)
        left_px = column - measure_text(text, 0.45)[0] // 2
        draw_text(picture, text, left_px, BOTTOM_PX + 24, 0.45, QUIET_TEXT_BGR)
    for value in rows.list_ticks():
        row, text = rows.place(value), f'{value:g}'
        cv2.line(picture, (LEFT_PX, row), (RIGHT_PX, row), GRID_BGR, 1)
        left_px = LEFT_PX - 10 - measure_text(text, 0.45)[0]
        draw_text(picture, text, left_px, row + 5, 0.45, QUIET_TEXT_BGR)
    draw_text(picture, 'latency p50, image bytes to mask, ms', LEFT_PX, BOTTOM_PX + 58, 0.5)
    draw_text(picture, score, 20, TOP_PX - 14, 0.5)


def draw_name(
    picture: Picture,
    name: str,
    place: tuple[int, int],
    color: tuple[int, int, int],
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Write a point's name beside it in place, where nothing else is; nowhere if there is not."""
    width_px, height_px = measure_text(name, NAME_SCALE)
    column, row = place
    for left_px, baseline_px in (
        (column + 14, row + 5),
        (column - 14 - width_px, row + 5),
        (column + 8, row + 24),
        (column + 8, row - 14),
        (column - 8 - width_px, row - 14),
        (column - 8 - width_px, row + 24),
    ):
        box = (left_px, baseline_px - height_px, left_px + width_px, baseline_px + 4)
        is_inside = box[0] >= LEFT_PX and box[2] <= PICTURE_HW[1] - 4
        if is_inside and not any(_overlap(box, other) for other in taken):
            draw_text(picture, name, left_px, baseline_px, NAME_SCALE, color)
            taken.append(box)
            return


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return (
        one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    )


def write_sweep_plot(
    path: Path, points: Sequence[SweepPoint], best: SweepPoint, title: str
) -> None:
    """Write `draw_sweep` as a PNG file that appears only when whole; raises UserError."""
    write_picture(path, draw_sweep(points, best, title))
