# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Plots show every value, in a drawing whose size does not grow with the drive."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from seg_perception.evaluation.reports.report_charts import (
    Axes,
    Series,
    draw_histogram,
    draw_line,
    draw_reliability,
    draw_timeline,
    list_ticks,
)


def parse(svg):
    return ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 9.9, [0, 2.5, 5, 7.5]),
        (80, 163, [100, 125, 150]),
        (0, 0.002, [0, 0.0005, 0.001, 0.0015, 0.002]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert list_ticks(low, high, 4) == pytest.approx(expected)


def test_histogram_counts_every_frame_once():
    times_ms = np.array([*np.linspace(40, 60, 199), 5000.0, np.nan])
    svg = parse(draw_histogram(times_ms, {'p50': 50.0, 'p95': None}))
    titles = [title.text for title in svg.iter('title')]
    assert sum(int(title.split()[0]) for title in titles) == 200
    assert titles[-1].endswith('ms and more')
    assert any(text.text == 'p50 50.0 ms' for text in svg.iter('text'))


@pytest.mark.parametrize('times_ms', [[42.0], [42.0] * 50])
def test_histogram_of_equal_times(times_ms):
    titles = [title.text for title in parse(draw_histogram(np.array(times_ms), {})).iter('title')]
    assert sum(int(title.split()[0]) for title in titles) == len(times_ms)


def test_reliability_has_a_bar_per_bin_with_pixels():
    pixels = np.array([0.0, 100.0, 300.0])
    titles = [
        title.text for title in parse(
            draw_reliability(pixels, np.array([0, 50.0, 270.0]), np.array([0, 60.0, 240.0]))
        ).iter('title')
    ]  # fmt: skip
    assert titles == [
        'confidence 0.500, right 0.600, 25.0 % of the pixels',
        'confidence 0.900, right 0.800, 75.0 % of the pixels',
    ]


def test_lines_have_gaps_and_dots():
    axes = Axes((0, 10), (0, 1), 100)
    path = draw_line(np.arange(5.0), np.array([0.1, 0.2, np.nan, 0.3, np.nan]), axes)
    assert re.findall('[MLh]', path) == ['M', 'h', 'L', 'M', 'h']


def test_a_long_line_keeps_its_extremes():
    values = np.random.default_rng(0).uniform(0.4, 0.6, 50_000)
    values[12_345], values[40_000] = 0.0, 1.0
    axes = Axes((0, 50_000), (0, 1), 100)
    path = draw_line(np.arange(50_000.0), values, axes)
    heights_px = [float(y) for y in re.findall(r'[ML][\d.]+ ([\d.]+)', path)]
    assert len(heights_px) < 2000
    assert max(heights_px) == axes.place_y(0) and min(heights_px) == axes.place_y(1)


def test_a_long_gap_stays_a_gap():
    values = np.full(50_000, np.nan)
    values[:100] = 0.5
    path = draw_line(np.arange(50_000.0), values, Axes((0, 50_000), (0, 1), 100))
    assert path.count('M') == 1


@pytest.mark.parametrize('times_s', [[], [0.0], [0.0, 0.0], [0.0, 1.0]])
def test_a_timeline_of_any_length_is_a_drawing(times_s):
    times_s = np.array(times_s)
    series = [Series('miou', np.full(len(times_s), 0.5))]
    svg = parse(draw_timeline(times_s, series, (0, 1), 'a & b', {'dropped': times_s[:1]}))
    assert svg.attrib['aria-label'] == 'a & b'
    assert sum(path.attrib['class'] == 'cursor' for path in svg.iter('path')) == 1
