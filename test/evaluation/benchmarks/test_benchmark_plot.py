# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The picture of a benchmark is a PNG with a bar per figure, as long as its time."""

import cv2
import numpy as np
import pytest
from benchmark_runs import make_run

from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_plot import (
    BAR_BGR,
    PICTURE_HW,
    STAGES,
    draw_benchmark,
    write_benchmark_plot,
)


def measure_bars(picture: np.ndarray) -> list[int]:
    """Return the longest run of bar colour in each group of rows that has some, px."""
    lengths = (picture == BAR_BGR).all(axis=2).sum(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lengths > 0, [0]])))
    return [
        int(lengths[start:end].max()) for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def test_file_is_a_png_of_the_stated_size(tmp_path):
    path = tmp_path / 'plot.png'
    write_benchmark_plot(path, make_run())
    assert path.read_bytes().startswith(b'\x89PNG\r\n\x1a\n')
    assert cv2.imread(str(path)).shape == (*PICTURE_HW, 3)


def test_bars_are_as_long_as_their_times():
    bare_px, eager_px = measure_bars(draw_benchmark(make_run(bare_ms=100.0, eager_ms=600.0)))
    assert eager_px / bare_px == pytest.approx(6.0, rel=0.05)


def test_every_stage_has_its_colour():
    picture = draw_benchmark(make_run())
    for _, name, color in STAGES:
        assert (picture == color).all(axis=2).any(), name


def test_without_pytorch_there_is_no_bar_for_it():
    figures = {name: value for name, value in make_run().items() if 'eager' not in name}
    assert len(measure_bars(draw_benchmark(figures))) == 1


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(UserError, match='plot.svg is no picture file name'):
        write_benchmark_plot(tmp_path / 'plot.svg', make_run())
