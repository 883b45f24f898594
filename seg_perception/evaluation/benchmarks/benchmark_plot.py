# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The figures of a benchmark as a picture: where the time goes, and how much it varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg_perception.evaluation.benchmarks.benchmark_figures import PERCENTILES
from seg_perception.evaluation.reports.pictures import (
    BACKGROUND_BGR,
    QUIET_TEXT_BGR,
    TEXT_BGR,
    Picture,
    draw_text,
    measure_text,
    write_picture,
)

PICTURE_HW = (640, 1280)
MARGIN_PX = 40
NAME_PX = 190
BAR_PX = 44
ROW_PX = 70
TEXT_SCALE = 0.5
# Name of the figure, what it is, colour: stages of the first bar.
STAGES = (
    ('transport_p50_ms', 'transport', (110, 110, 110)),
    ('node_queue_p50_ms', 'queue', (90, 170, 230)),
    ('node_read_p50_ms', 'read', (80, 200, 200)),
    ('node_inference_p50_ms', 'inference', (200, 150, 40)),
    ('node_decode_p50_ms', 'decode', (110, 190, 90)),
    ('node_publish_p50_ms', 'publish', (170, 110, 200)),
)
# The bars: figures in front of _p50_ms, and what they are.
BARS = (('e2e', 'end to end'), ('bare', 'bare engine'), ('eager', 'PyTorch eager'))
BAR_BGR = (150, 125, 90)
MARK_BGR = (235, 235, 235)
ROUND_BGR = (80, 200, 255)


def draw_benchmark(figures: Mapping[str, Any]) -> Picture:
    """Draw the figures of `ros.benchmark.run_benchmark` as a BGR picture of PICTURE_HW.

    Above a bar for each of end to end, bare engine and reference chain: medians, that of end to
    end by stage, with lines at p95 and p99 and a dot for the median of each round. Below the
    stages alone, enlarged, without inference, which is most of the time.
    """
    picture = np.full((*PICTURE_HW, 3), BACKGROUND_BGR, np.uint8)
    title = f'{figures["model"]}, network {figures["size"]}, camera {figures["camera"]}'
    draw_text(picture, title, MARGIN_PX, 44, 0.75)
    machine = figures['machine']
    line = f'{figures["engine"].split(";")[0]}; {machine["cores"]} cores; {machine["date"][:10]}'
    draw_text(picture, line, MARGIN_PX, 72, TEXT_SCALE, QUIET_TEXT_BGR)
    bars = [(name, what) for name, what in BARS if f'{name}_p50_ms' in figures]
    longest_ms = max(figures[f'{name}_p99_ms'] for name, _ in bars)
    scale = Scale(longest_ms)
    for index, (name, what) in enumerate(bars):
        draw_bar(picture, figures, name, what, 100 + index * ROW_PX, scale)
    top_px = 100 + len(BARS) * ROW_PX + 10
    scale.draw_axis(picture, top_px)
    draw_overhead(picture, figures, top_px + 70)
    return picture


class Scale:
    """Maps milliseconds to columns of the picture.

    Args:
        longest_ms: what reaches the right end.

    """

    def __init__(self, longest_ms: float) -> None:
        self.left_px = MARGIN_PX + NAME_PX
        right_px = PICTURE_HW[1] - MARGIN_PX - 60
        self.px_per_ms = (right_px - self.left_px) / max(longest_ms, 1e-3)
        self.longest_ms = longest_ms

    def column(self, time_ms: float) -> int:
        """Return the column of a time."""
        return round(self.left_px + max(0.0, time_ms) * self.px_per_ms)

    def draw_axis(self, picture: Picture, top_px: int) -> None:
        """Draw ticks at round numbers of milliseconds."""
        step_ms = 10.0 ** np.floor(np.log10(max(self.longest_ms, 1e-3)))
        if self.longest_ms / step_ms < 4:
            step_ms /= 4
        for time_ms in np.arange(0.0, self.longest_ms + step_ms / 2, step_ms):
            column = self.column(time_ms)
            cv2.line(picture, (column, top_px), (column, top_px + 6), QUIET_TEXT_BGR, 1)
            text = f'{time_ms:g}'
            left_px = column - measure_text(text, 0.42)[0] // 2
            draw_text(picture, text, left_px, top_px + 22, 0.42, QUIET_TEXT_BGR)
        draw_text(picture, 'ms', MARGIN_PX, top_px + 22, 0.42, QUIET_TEXT_BGR)


def draw_bar(
    picture: Picture, figures: Mapping[str, Any], name: str, what: str, top_px: int, scale: Scale
) -> None:
    """Draw one bar in place, with its percentiles and the medians of its rounds."""
    median_ms = figures[f'{name}_p50_ms']
    draw_text(picture, what, MARGIN_PX, top_px + 20, 0.55)
    draw_text(picture, f'{median_ms:.1f} ms', MARGIN_PX, top_px + 40, TEXT_SCALE, QUIET_TEXT_BGR)
    if name == 'e2e':
        draw_stages(picture, list_stages(figures), top_px, scale)
    else:
        fill(picture, scale.column(0.0), scale.column(median_ms), top_px, BAR_BGR)
    for line, percent in enumerate(PERCENTILES[1:]):
        column = scale.column(figures[f'{name}_p{percent}_ms'])
        cv2.line(picture, (column, top_px), (column, top_px + BAR_PX), MARK_BGR, 1)
        # below each other: the two are often closer than a text is wide
        baseline_px = top_px + 12 + 16 * line
        draw_text(picture, f'p{percent}', column + 3, baseline_px, 0.36, QUIET_TEXT_BGR)
    for round_ms in figures['rounds'].get(f'{name}_p50_ms', ()):
        centre_px = (scale.column(round_ms), top_px + BAR_PX - 8)
        cv2.circle(picture, centre_px, 4, ROUND_BGR, cv2.FILLED, cv2.LINE_AA)


def draw_overhead(picture: Picture, figures: Mapping[str, Any], top_px: int) -> None:
    """Draw what comes on top of inference, in place, with a legend of all stages."""
    stages = list_stages(figures)
    shown = [stage for stage in stages if stage[1] != 'inference']
    total_ms = sum(time_ms for time_ms, _, _ in shown)
    draw_text(picture, 'all but inference', MARGIN_PX, top_px + 20, 0.55)
    draw_text(picture, f'{total_ms:.2f} ms', MARGIN_PX, top_px + 40, TEXT_SCALE, QUIET_TEXT_BGR)
    scale = Scale(total_ms)
    draw_stages(picture, shown, top_px, scale)
    scale.draw_axis(picture, top_px + BAR_PX + 10)
    left_px, baseline_px = MARGIN_PX + NAME_PX, top_px + BAR_PX + 70
    for time_ms, name, color in stages:
        corner_px = (left_px + 14, baseline_px)
        cv2.rectangle(picture, (left_px, baseline_px - 12), corner_px, color, cv2.FILLED)
        text = f'{name} {time_ms:.2f}'
        draw_text(picture, text, left_px + 20, baseline_px, 0.45)
        left_px += 20 + measure_text(text, 0.45)[0] + 26
    lines = list_facts(figures)
    for index, line in enumerate(lines):
        draw_text(picture, line, MARGIN_PX, baseline_px + 44 + 24 * index, TEXT_SCALE, TEXT_BGR)


def list_stages(figures: Mapping[str, Any]) -> list[tuple[float, str, tuple[int, int, int]]]:
    """Return time in ms, name and colour of each stage; none is below zero."""
    return [(max(0.0, figures[key]), name, color) for key, name, color in STAGES if key in figures]


def draw_stages(
    picture: Picture,
    stages: Sequence[tuple[float, str, tuple[int, int, int]]],
    top_px: int,
    scale: Scale,
) -> None:
    """Draw stages one after the other in place."""
    start_ms = 0.0
    for time_ms, _, color in stages:
        fill(picture, scale.column(start_ms), scale.column(start_ms + time_ms), top_px, color)
        start_ms += time_ms


def fill(
    picture: Picture, left_px: int, right_px: int, top_px: int, color: tuple[int, int, int]
) -> None:
    """Fill a part of a bar in place; one that has no width is not drawn."""
    picture[top_px : top_px + BAR_PX, left_px:right_px] = color


def list_facts(figures: Mapping[str, Any]) -> list[str]:
    """Return the lines below the bars."""
    facts = []
    if 'eager_vs_e2e' in figures:
        facts.append(f'{figures["eager_vs_e2e"]:.1f} times as fast as PyTorch eager')
    facts.append(f'{figures["e2e_vs_bare"]:.3f} times the bare engine')
    if 'fps' in figures:
        facts.append(f'{figures["fps"]:.1f} masks per second')
    if 'overload_age_p95_vs_inference' in figures:
        ratio = figures['overload_age_p95_vs_inference']
        facts.append(f'at overload masks are {ratio:.2f} inference times old (p95)')
    lines = ['; '.join(facts)]
    if 'cuda_fps_1024x2048' in figures:
        lines.append(
            f'GPU: {figures["cuda_fps_768x1536"]:.0f} fps at 768x1536, '
            f'{figures["cuda_fps_1024x2048"]:.0f} fps at 1024x2048'
        )
    lines.append('bars: medians; lines: p95, p99; dots: median of each round')
    return lines


def write_benchmark_plot(path: Path, figures: Mapping[str, Any]) -> None:
    """Write draw_benchmark as a PNG or JPEG file that appears only when whole.

    Raises:
        UserError: the suffix is no picture format, or the file cannot be written.

    """
    write_picture(path, draw_benchmark(figures))
