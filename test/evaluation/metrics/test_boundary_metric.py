# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Boundary scores through records are those of all images at once."""

import json

import numpy as np
import pytest

from seg_perception.evaluation.metrics.boundary import BoundaryScore
from seg_perception.evaluation.metrics.boundary_metric import BoundaryMetric
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.perception.labels import load_label_space

CAMVID = load_label_space('camvid')


def make_maps(seed, hw=(60, 80)):
    """Return blocks of some classes with void, and a prediction that is shifted."""
    random = np.random.default_rng(seed)
    classes = random.choice(CAMVID.num_classes - 1, 5, replace=False)  # the last never occurs
    truth = np.kron(random.choice([*classes, 255], (6, 8)), np.ones((10, 10))).astype(np.uint8)
    prediction = np.roll(truth, random.integers(-2, 3, 2), (0, 1))
    prediction[20:30, 5:25] = random.choice(classes)
    return truth[: hw[0], : hw[1]], prediction[: hw[0], : hw[1]]


def make_frame(truth, prediction):
    return JudgedFrame(
        0, 0, np.zeros((*prediction.shape, 3), np.uint8), 'rgb', prediction,
        truth=truth, folded=prediction,
    )  # fmt: skip


def test_figures_are_those_of_all_images():
    whole, metric, rows = BoundaryScore(CAMVID.num_classes), BoundaryMetric(CAMVID), []
    for seed in range(6):
        truth, prediction = make_maps(seed)
        whole.add(truth, prediction)
        rows.append(json.loads(json.dumps(metric.measure(make_frame(truth, prediction)))))
    figures = metric.summarize(rows)
    assert figures['boundary_f'] == pytest.approx(whole.mean(), abs=1e-12)
    assert 0.1 < whole.mean() < 0.95
    for name, expected in zip(CAMVID.class_names, whole.per_class(), strict=True):
        score = figures['per_class_boundary_f'][name]
        assert score is None if np.isnan(expected) else score == pytest.approx(expected, abs=1e-12)
    assert figures['per_class_boundary_f'][CAMVID.class_names[-1]] is None
    assert metric.summarize(rows[::-1]) == figures


def test_no_labels_and_no_boundaries_give_no_score():
    metric = BoundaryMetric(CAMVID)
    plain = np.zeros((20, 20), np.uint8)
    assert metric.measure(make_frame(None, plain)) is None
    assert metric.measure(make_frame(plain, plain)) == []
    assert metric.summarize([[]])['boundary_f'] is None
