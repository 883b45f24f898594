# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Plots of a report as inline SVG; colours and fonts are in report_page/style.css."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH_PX = 1000
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 52, 12, 12, 28
# A line has at most two points in each of so many columns, whatever the length of the drive.
_COLUMNS = 900


@dataclass(frozen=True)
class Series:
    """A line of a plot.

    Attributes:
        name: in the legend, and the CSS class of its colour.
        values: (points,) float64, NaN where there is a gap.
    """

    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Axes:
    """Ranges of a plot and its size, in px of the drawing."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    height_px: int
    width_px: int = WIDTH_PX

    def place_x(self, value: float) -> float:
        """Return where a value lies, px from the left."""
        low, high = self.x_range
        inner_px = self.width_px - _LEFT_PX - _RIGHT_PX
        return _LEFT_PX + inner_px * (value - low) / (high - low)

    def place_y(self, value: float) -> float:
        """Return where a value lies, px from the top."""
        low, high = self.y_range
        inner_px = self.height_px - _TOP_PX - _BOTTOM_PX
        return _TOP_PX + inner_px * (high - value) / (high - low)

    def draw(self, content: str, label: str, x_unit: str = '', y_unit: str = '') -> str:
        """Return the drawing with its grid, the numbers of its axes and a name for readers."""
        parts = []
        base_px, right_px = self.height_px - _BOTTOM_PX, self.width_px - _RIGHT_PX
        for value in list_ticks(*self.y_range, 4):
            y_px = self.place_y(value)
            parts.append(f'<path class="grid" d="M{_LEFT_PX} {y_px:.1f}H{right_px}"/>')
            parts.append(_draw_number(_LEFT_PX - 6, y_px + 4, value, y_unit, 'end'))
        for value in list_ticks(*self.x_range, 8 if self.width_px == WIDTH_PX else 5):
            x_px = self.place_x(value)
            parts.append(f'<path class="grid" d="M{x_px:.1f} {base_px}v4"/>')
            parts.append(_draw_number(x_px, base_px + 18, value, x_unit, 'middle'))
        places = (self.place_x(self.x_range[0]), self.place_x(self.x_range[1]))
        return (
            f'<svg viewBox="0 0 {self.width_px} {self.height_px}" role="img" '
            f'aria-label="{escape(label)}" data-left="{places[0]:.1f}" '
            f'data-right="{places[1]:.1f}">{"".join(parts)}{content}</svg>'
        )


def list_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers from low to high, about `most` of them."""
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def draw_histogram(values_ms: np.ndarray, marks: Mapping[str, float | None]) -> str:
    """Return how often each latency occurs, with lines at the marks, in ms.

    The last hundredth of the times is drawn in the last bar: one outlier would leave the others
    no room.
    """
    values = values_ms[np.isfinite(values_ms)]
    low, high = float(values.min()), float(np.percentile(values, 99))
    high = high if high > low else low + 1.0
    low = max(0.0, low - 0.1 * (high - low))
    counts, edges = np.histogram(np.minimum(values, high), min(60, 10 + len(values) // 5),
                                 (low, high))  # fmt: skip
    # a quarter above the bars for the names of the marks
    axes = Axes((low, high), (0, 1.25 * float(counts.max())), 240, 560)
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        x_px, end_px, y_px = axes.place_x(left), axes.place_x(right), axes.place_y(float(count))
        is_last = right == edges[-1] and values.max() > high
        text = f'{count} frames, {left:.1f} ms {"and more" if is_last else f"to {right:.1f} ms"}'
        parts.append(
            f'<rect class="bar" x="{x_px:.1f}" y="{y_px:.1f}" width="{end_px - x_px - 0.6:.1f}" '
            f'height="{axes.place_y(0) - y_px:.1f}"><title>{text}</title></rect>'
        )
    top_px = _TOP_PX
    for name, value in marks.items():
        if value is not None and low <= value <= high:
            x_px = axes.place_x(value)
            parts.append(f'<path class="mark" d="M{x_px:.1f} {_TOP_PX}V{axes.place_y(0):.1f}"/>')
            text = f'{escape(name)} {value:.1f} ms'
            is_right = x_px > axes.width_px * 0.7
            shift_px, anchor = (-4, 'end') if is_right else (4, 'start')
            parts.append(f'<text x="{x_px + shift_px:.1f}" y="{top_px + 9}" '
                         f'text-anchor="{anchor}">{text}</text>')  # fmt: skip
            top_px += 15
    return axes.draw(''.join(parts), 'How often each latency occurs', ' ms')


def draw_reliability(pixels: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> str:
    """Return the share of right pixels by confidence; all of (bins,), sums over pixels."""
    axes = Axes((0, 1), (0, 1), 240, 560)
    bins, total = len(pixels), pixels.sum()
    parts = []
    for index in np.flatnonzero(pixels):
        left, end = axes.place_x(index / bins), axes.place_x((index + 1) / bins)
        accuracy, mean = right[index] / pixels[index], confidence[index] / pixels[index]
        y_px, mean_px = axes.place_y(accuracy), axes.place_y(mean)
        title = (
            f'confidence {mean:.3f}, right {accuracy:.3f}, {100 * pixels[index] / total:.1f} % '
            'of the pixels'
        )
        parts.append(
            f'<g><title>{title}</title>'
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{y_px:.1f}" width="{end - left - 1:.1f}" '
            f'height="{axes.place_y(0) - y_px:.1f}"/>'
            f'<rect class="gap" x="{left + 0.5:.1f}" y="{min(y_px, mean_px):.1f}" '
            f'width="{end - left - 1:.1f}" height="{abs(y_px - mean_px):.1f}"/></g>'
        )
    parts.append(f'<path class="diagonal" d="M{axes.place_x(0)} {axes.place_y(0)}'
                 f'L{axes.place_x(1)} {axes.place_y(1)}"/>')  # fmt: skip
    return axes.draw(''.join(parts), 'Share of right pixels by confidence')


def draw_timeline(
    times_s: np.ndarray,
    series: Sequence[Series],
    y_range: tuple[float, float],
    label: str,
    marks: Mapping[str, np.ndarray] | None = None,
    y_unit: str = '',
) -> str:
    """Return lines over the drive, with a cursor for the page's script.

    Args:
        times_s: (points,) float64, ascending.
        series: the lines.
        y_range: values shown; what is beyond lies on the edge.
        label: name of the plot.
        marks: times by CSS class, drawn as ticks on the axis.
        y_unit: behind the numbers of the axis.
    """
    end_s = max(float(times_s[-1]), 1e-3) if len(times_s) else 1.0
    axes = Axes((0.0, end_s), y_range, 170)
    parts = [
        f'<path class="line {entry.name}" d="{draw_line(times_s, entry.values, axes)}"/>'
        for entry in series
    ]
    base_px = axes.place_y(y_range[0])
    for name, mark_times_s in (marks or {}).items():
        path = ''.join(f'M{axes.place_x(t):.1f} {base_px - 9:.1f}v9' for t in mark_times_s)
        parts.append(f'<path class="tick {name}" d="{path}"/>')
    parts.append(f'<path class="cursor" d="M{_LEFT_PX} {_TOP_PX}V{base_px:.1f}"/>')
    return axes.draw(''.join(parts), label, ' s', y_unit)


def draw_line(times_s: np.ndarray, values: np.ndarray, axes: Axes) -> str:
    """Return the path of a line: smallest and largest value of each column, dots where alone."""
    x_px = np.array([axes.place_x(t) for t in times_s])
    low, high = axes.y_range
    y_px = np.array([axes.place_y(min(max(v, low), high)) for v in values])
    if len(x_px) > 2 * _COLUMNS:
        kept = _choose_extremes(x_px, y_px)
        x_px, y_px = x_px[kept], y_px[kept]
    parts, is_down = [], False
    for x, y in zip(x_px, y_px, strict=True):
        if math.isnan(y):
            is_down = False
            continue
        # a line of length 0 has round ends, so it is a dot
        parts.append(f'L{x:.1f} {y:.1f}' if is_down else f'M{x:.1f} {y:.1f}h0')
        is_down = True
    return ''.join(parts)


def _choose_extremes(x_px: np.ndarray, y_px: np.ndarray) -> np.ndarray:
    columns = (x_px - x_px[0]) // ((x_px[-1] - x_px[0]) / _COLUMNS)
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    kept = []
    for start, end in zip(starts, [*starts[1:], len(x_px)], strict=True):
        part = y_px[start:end]
        if np.isnan(part).all():
            kept.append(start)
        else:
            kept += sorted({start + int(np.nanargmin(part)), start + int(np.nanargmax(part))})
    return np.array(kept)


def _draw_number(x_px: float, y_px: float, value: float, unit: str, anchor: str) -> str:
    text = f'{value:g}{escape(unit)}'
    return f'<text x="{x_px:.1f}" y="{y_px:.1f}" text-anchor="{anchor}">{text}</text>'
