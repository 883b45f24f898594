# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scores of categories against the official Cityscapes scripts, through records."""

import importlib
import json

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.metrics.category_iou import score_categories
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.pixel_metrics import ConfusionMetric
from seg_perception.perception.labels import LabelSpace, load_label_space

CITYSCAPES = load_label_space('cityscapes')


@pytest.fixture(name='official')
def load_official(monkeypatch):
    """Return the module with the official evaluation, which expects NumPy before 2.4."""
    monkeypatch.setattr(np, 'in1d', np.isin, raising=False)
    pytest.importorskip('cityscapesscripts')
    module = importlib.import_module('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')
    module.args.evalInstLevelScore = module.args.evalPixelAccuracy = False
    return module


def make_maps(random, hw=(60, 80)):
    """Return truth and prediction of some classes only, both with void."""
    classes = random.choice(19, random.integers(3, 12), replace=False)
    truth = random.choice([*classes, 255], hw)
    guesses = random.choice([*classes, *random.choice(19, 3), 255], hw)
    prediction = np.where(random.random(hw) < random.uniform(0.2, 0.9), truth, guesses)
    return truth.astype(np.uint8), prediction.astype(np.uint8)


@pytest.mark.parametrize('seed', range(10))
def test_classes_and_categories_score_as_the_official_ones(official, tmp_path, seed):
    random = np.random.default_rng(seed)
    label_id = np.zeros(256, np.uint8)  # void is label id 0, "unlabeled"
    for label in official.labels:
        if 0 <= label.trainId < 255:
            label_id[label.trainId] = label.id
    matrix = official.generateMatrix(official.args)
    metric, rows = ConfusionMetric(CITYSCAPES), []
    for index in range(2):
        truth, prediction = make_maps(random)
        image = np.zeros((*truth.shape, 3), np.uint8)
        frame = JudgedFrame(index, 0, image, 'rgb', prediction, None, truth, prediction)
        rows.append(json.loads(json.dumps(metric.measure(frame))))
        files = [str(tmp_path / name) for name in ('prediction.png', 'truth_labelIds.png')]
        for file, ids in zip(files, (prediction, truth), strict=True):
            cv2.imwrite(file, label_id[ids])
        official.evaluatePair(*files, matrix, {}, {}, official.args)
    by_class = metric.summarize(rows)['per_class_iou']
    ids = {label.name: label.id for label in official.labels}
    for name, score in by_class.items():
        assert_same(score, official.getIouScoreForLabel(ids[name], matrix, official.args))
    by_category = score_categories(metric.merge(rows), CITYSCAPES)
    assert set(by_category) == set(official.category2labels) - {'void'}
    for name, score in by_category.items():
        assert_same(score, official.getIouScoreForCategory(name, matrix, official.args))


def assert_same(score, expected):
    if np.isnan(expected):
        assert score is None
    else:
        assert score == pytest.approx(expected, abs=1e-12)


def test_absent_categories_have_no_score():
    confusion = ConfusionMatrix(19)
    confusion.add(np.uint8([13, 13, 0]), np.uint8([14, 0, 0]))  # car as truck, car as road
    expected = dict.fromkeys(('construction', 'object', 'nature', 'sky', 'human'))
    assert score_categories(confusion, CITYSCAPES) == {**expected, 'flat': 0.5, 'vehicle': 0.5}


def test_classes_of_camvid_are_in_the_same_categories():
    camvid = load_label_space('camvid')
    confusion = ConfusionMatrix(camvid.num_classes)
    everything = np.arange(camvid.num_classes, dtype=np.uint8)
    confusion.add(everything, everything)
    scores = score_categories(confusion, camvid)
    assert set(scores) == set(score_categories(ConfusionMatrix(19), CITYSCAPES))
    assert set(scores.values()) == {1.0}


def test_label_spaces_without_categories_have_no_scores():
    ade20k = load_label_space('ade20k')
    assert score_categories(ConfusionMatrix(ade20k.num_classes), ade20k) is None
    own = LabelSpace('cityscapes', ('road', 'lawn'), ((0, 0, 0),) * 2)
    assert score_categories(ConfusionMatrix(2), own) is None
