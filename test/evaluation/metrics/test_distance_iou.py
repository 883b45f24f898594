# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""IoU by distance against counting the pixels of each bin alone."""

import json
from dataclasses import replace

import numpy as np
import pytest

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.metrics.distance_iou import BIN_NAMES, DistanceIou
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.perception.labels import load_label_space

CAMVID = load_label_space('camvid')
COUNT = CAMVID.num_classes
LIMITS_M = ((0, 10), (10, 20), (20, 40), (40, 80), (80, np.inf))


def make_frame(seed, hw=(47, 61)):
    random = np.random.default_rng(seed)
    truth = random.integers(0, COUNT, hw).astype(np.uint8)
    right = random.random(hw) < 0.6
    folded = np.where(right, truth, random.integers(0, COUNT, hw)).astype(np.uint8)
    truth[random.random(hw) < 0.1] = 255
    folded[random.random(hw) < 0.1] = 255
    depth_m = random.exponential(40, hw).astype(np.float32)
    for value in (0, -1, np.nan, np.inf, 10, 20, 80):
        depth_m[random.random(hw) < 0.05] = value
    image = np.zeros((*hw, 3), np.uint8)
    return JudgedFrame(0, 0, image, 'rgb', folded, None, truth, folded, depth_m=depth_m)


def test_figures_are_those_of_the_pixels_of_each_bin():
    metric, rows = DistanceIou(CAMVID), []
    expected = [ConfusionMatrix(COUNT) for _ in LIMITS_M]
    for seed in range(4):
        frame = make_frame(seed)
        rows.append(json.loads(json.dumps(metric.measure(frame))))
        depth_m = frame.depth_m
        for confusion, (low_m, high_m) in zip(expected, LIMITS_M, strict=True):
            inside = (depth_m >= low_m) & (depth_m < high_m) & (depth_m > 0)
            confusion.add(frame.truth[inside], frame.folded[inside])
    figures = metric.summarize(rows)['iou_by_distance']
    assert list(figures) == list(BIN_NAMES)
    for confusion, figure in zip(expected, figures.values(), strict=True):
        assert figure['pixels'] == confusion.labelled_pixels > 100
        assert figure['miou'] == pytest.approx(confusion.mean_iou(0.001), abs=1e-12)
    assert metric.summarize(rows[::-1])['iou_by_distance'] == figures


def test_empty_bins_have_no_score():
    frame = make_frame(0)
    near = replace(frame, depth_m=np.full_like(frame.depth_m, 5))
    figures = DistanceIou(CAMVID).summarize([DistanceIou(CAMVID).measure(near)])
    assert figures['iou_by_distance']['0-10 m']['miou'] > 0
    assert figures['iou_by_distance']['80+ m'] == {'miou': None, 'pixels': 0}


def test_without_depth_or_labels_there_is_nothing_to_count_and_no_figure():
    metric, frame = DistanceIou(CAMVID), make_frame(0)
    assert metric.measure(replace(frame, depth_m=None)) is None
    assert metric.measure(replace(frame, truth=None, folded=None)) is None
    nowhere = metric.measure(replace(frame, depth_m=np.zeros_like(frame.depth_m)))
    assert metric.summarize([nowhere]) == metric.summarize([]) == {'iou_by_distance': None}


def test_unusable_input_is_refused():
    metric, frame = DistanceIou(CAMVID), make_frame(0)
    with pytest.raises(ValueError, match='depth is float64'):
        metric.measure(replace(frame, depth_m=frame.depth_m.astype(np.float64)))
    with pytest.raises(ValueError, match=f'truth holds id {COUNT}, expected 0..{COUNT - 1}'):
        metric.measure(replace(frame, truth=np.full_like(frame.truth, COUNT)))
