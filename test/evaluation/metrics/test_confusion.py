# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scores against the official Cityscapes scripts and against counts done by hand."""

from __future__ import annotations

import importlib

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.metrics.confusion import (
    ConfusionMatrix,
    iou,
    mean_iou,
    pixel_accuracy,
)


@pytest.fixture(name='official')
def load_official(monkeypatch):
    """Return the module with the official evaluation, which expects NumPy before 2.4."""
    monkeypatch.setattr(np, 'in1d', np.isin, raising=False)
    pytest.importorskip('cityscapesscripts')
    return importlib.import_module('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')


def make_maps(seed, prediction_is_void=False):
    """Return truth and prediction as train ids, with void truth and two classes absent."""
    random = np.random.default_rng(seed)
    truth = random.choice([*range(17), 255], (60, 80)).astype(np.uint8)
    guesses = [*range(1, 17), 255] if prediction_is_void else range(18)
    prediction = random.choice(guesses, truth.shape).astype(np.uint8)
    agree = random.random(truth.shape) < 0.6
    if not prediction_is_void:
        agree &= truth != 255
    return truth, np.where(agree, truth, prediction).astype(np.uint8)


@pytest.mark.parametrize('prediction_is_void', [False, True])
def test_scores_equal_the_official_ones(official, tmp_path, prediction_is_void):
    label_id = np.zeros(256, np.uint8)  # void is label id 0, "unlabeled"
    for label in official.labels:
        if 0 <= label.trainId < 255:
            label_id[label.trainId] = label.id
    official.args.evalInstLevelScore = official.args.evalPixelAccuracy = False
    official_matrix = official.generateMatrix(official.args)
    matrix = ConfusionMatrix(19)
    for seed in range(3):
        truth, prediction = make_maps(seed, prediction_is_void)
        matrix.add(truth, prediction)
        files = [str(tmp_path / name) for name in ('prediction.png', 'truth_labelIds.png')]
        for file, ids in zip(files, (prediction, truth), strict=True):
            cv2.imwrite(file, label_id[ids])
        official.evaluatePair(*files, official_matrix, {}, {}, official.args)
    scores = {
        label.name: official.getIouScoreForLabel(label.id, official_matrix, official.args)
        for label in official.labels
        if 0 <= label.trainId < 255
    }
    expected = [
        scores[label.name]
        for label in sorted(official.labels, key=lambda label: label.trainId)
        if 0 <= label.trainId < 255
    ]
    np.testing.assert_allclose(matrix.iou(), expected, rtol=1e-12)
    assert np.isnan(expected[18]) and np.isnan(matrix.iou()[18])
    average = official.getScoreAverage(scores, official.args)
    assert matrix.mean_iou() == pytest.approx(average, rel=1e-12)


def count_example():
    matrix = ConfusionMatrix(3)
    truth = np.uint8([0, 0, 0, 1, 1, 2, 255])
    prediction = np.uint8([0, 0, 1, 1, 255, 0, 2])
    matrix.add(truth, prediction)
    return matrix


def test_counts_by_hand():
    matrix = count_example()
    assert matrix.counts.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert matrix.counts.dtype == np.int64
    assert matrix.missed.tolist() == [0, 1, 0]
    assert matrix.labelled_pixels == 6
    assert matrix.iou().tolist() == [2 / 4, 1 / 3, 0.0]
    assert matrix.mean_iou() == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert matrix.pixel_accuracy() == 0.5
    assert matrix.shares().tolist() == [3 / 6, 2 / 6, 1 / 6]


@pytest.mark.parametrize(
    ('min_share', 'expected'),
    [(0.0, (1 / 2 + 1 / 3) / 3), (0.2, (1 / 2 + 1 / 3) / 2), (0.5, 1 / 2), (0.51, np.nan)],
)
def test_rare_classes_can_be_left_out(min_share, expected):
    assert count_example().mean_iou(min_share) == pytest.approx(expected, nan_ok=True)


def test_functions_work_on_bare_counts():
    counts = np.array([[3, 1], [0, 4]])
    assert iou(counts).tolist() == [3 / 4, 4 / 5]
    assert mean_iou(counts) == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert pixel_accuracy(counts) == 7 / 8


def test_no_pixels_give_no_score():
    matrix = ConfusionMatrix(2)
    matrix.add(np.full((3, 3), 255, np.uint8), np.zeros((3, 3), np.uint8))
    assert np.isnan(matrix.iou()).all()
    assert np.isnan(matrix.mean_iou()) and np.isnan(matrix.pixel_accuracy())


def test_both_the_ignore_id_and_255_are_unlabelled():
    matrix = ConfusionMatrix(11, ignore_id=11)
    matrix.add(np.uint8([11, 255, 3, 3, 3]), np.uint8([0, 0, 3, 11, 255]))
    assert matrix.counts.sum() == 1 and matrix.missed[3] == 2


def test_merge_adds_the_counts():
    merged = count_example()
    merged.merge(count_example())
    assert (merged.counts == 2 * count_example().counts).all()
    assert (merged.missed == 2 * count_example().missed).all()
    with pytest.raises(ValueError, match='of 2 classes into 3'):
        merged.merge(ConfusionMatrix(2))


@pytest.mark.parametrize(
    ('truth', 'prediction', 'message'),
    [
        (np.uint8([0]), np.uint8([0, 1]), r'shape \(1,\) and prediction \(2,\)'),
        (np.int32([0]), np.uint8([0]), 'truth is int32, expected uint8'),
        (np.uint8([0]), np.float32([0]), 'prediction is float32'),
        (np.uint8([0, 3]), np.uint8([0, 0]), r'truth holds id 3, expected 0\.\.2, 255'),
        (np.uint8([0, 255]), np.uint8([0, 18]), 'prediction holds id 18'),
    ],
)
def test_maps_that_do_not_fit_are_refused(truth, prediction, message):
    matrix = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=message):
        matrix.add(truth, prediction)
    assert not matrix.counts.any()


@pytest.mark.parametrize(('num_classes', 'ignore_id'), [(0, 255), (256, 255), (11, 10), (11, 256)])
def test_settings_out_of_range_are_refused(num_classes, ignore_id):
    with pytest.raises(ValueError, match='expected'):
        ConfusionMatrix(num_classes, ignore_id)
