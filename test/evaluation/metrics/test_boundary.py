# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The boundary F-score against distances of all pairs of pixels, and by hand."""

import math

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.metrics.boundary import (
    BoundaryScore,
    find_boundary,
    score_boundaries,
)


def find_boundary_slowly(ids, class_id, num_classes):
    """Return (N, 2) positions of the class with a neighbour of another class."""
    height, width = ids.shape
    found = []
    for row, column in zip(*np.nonzero(ids == class_id), strict=True):
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = row + down, column + across
            inside = 0 <= y < height and 0 <= x < width
            if inside and ids[y, x] != class_id and ids[y, x] < num_classes:
                found.append((row, column))
                break
    return np.array(found, np.float64).reshape(-1, 2)


def score_slowly(truth, prediction, num_classes, tolerance_px):
    """Compute precision, recall and F of each class from all distances."""
    prediction = np.where(truth >= num_classes, 255, prediction)
    scores = np.full(num_classes, np.nan)
    for class_id in range(num_classes):
        true = find_boundary_slowly(truth, class_id, num_classes)
        guessed = find_boundary_slowly(prediction, class_id, num_classes)
        if len(true) and len(guessed):
            distances = np.hypot(*(true[:, None] - guessed[None]).transpose(2, 0, 1))
            recall = (distances.min(axis=1) <= tolerance_px).mean()
            precision = (distances.min(axis=0) <= tolerance_px).mean()
            both = precision + recall
            scores[class_id] = 2 * precision * recall / both if both else 0.0
        elif len(true) or len(guessed):
            scores[class_id] = 0.0
    return scores


def draw_maps(seed, num_classes, size=(50, 70)):
    """Return truth with unlabelled parts, and a prediction that is shifted and spotted."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, num_classes, (5, 6)).astype(np.uint8)
    truth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
    prediction = np.roll(truth, random.integers(-4, 5, 2), (0, 1))
    for ids, value in ((truth, 255), (truth, 255), (prediction, 0), (prediction, 255)):
        row, column = random.integers(0, size[0] - 9), random.integers(0, size[1] - 9)
        ids[row : row + 9, column : column + 5] = value
    return truth, prediction


@pytest.mark.parametrize('num_classes', [1, 4, 11, 40])
@pytest.mark.parametrize('tolerance_px', [0.5, 2.0, 4.5])
def test_scores_are_those_of_all_distances(num_classes, tolerance_px):
    for seed in range(3):
        truth, prediction = draw_maps(seed, num_classes)
        found = score_boundaries(truth, prediction, num_classes, tolerance_px)
        expected = score_slowly(truth, prediction, num_classes, tolerance_px)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    if num_classes > 1:
        assert 0 < np.nanmean(expected) < 1


@pytest.mark.parametrize('tolerance_px', [0.0, 1.0, 1.5, 4.5, 5.0, 30.0])
def test_tolerance_is_a_euclidean_distance(tolerance_px):
    """A dot of class 1 in the truth and one in the prediction: near is within a disc."""
    for row, column in np.ndindex(12, 9):
        truth, prediction = np.zeros((2, 20, 15), np.uint8)
        truth[4, 3] = prediction[4 + row, 3 + column] = 1
        score = score_boundaries(truth, prediction, 2, tolerance_px)[1]
        assert score == float(row**2 + column**2 <= tolerance_px**2)


def test_image_edges_and_unlabelled_pixels_are_no_boundary():
    ids = np.full((6, 6), 3, np.uint8)
    ids[:, 3:] = 255
    ids[5] = 7
    assert (find_boundary(ids, 7) == 255).all()
    edges = find_boundary(ids, 8)
    boundary = edges != 255
    assert (edges[boundary] == ids[boundary]).all()
    assert boundary[:, :3].any(axis=1).tolist() == [False, False, False, False, True, True]
    assert not boundary[:5, 3:].any()


def split_at(column, size=(60, 80)):
    ids = np.zeros(size, np.uint8)
    ids[:, column:] = 1
    return ids


@pytest.mark.parametrize(('shift_px', 'expected'), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_tolerance_is_a_share_of_the_diagonal(shift_px, expected):
    score = BoundaryScore(3, tolerance_share=1.9 / math.hypot(60, 80))
    score.add(split_at(40), split_at(40 + shift_px))
    assert score.per_class()[:2].tolist() == [expected, expected]
    assert np.isnan(score.per_class()[2])
    assert score.mean() == expected


def test_class_is_averaged_over_the_images_that_have_it():
    score = BoundaryScore(3)
    score.add(split_at(40), split_at(40))
    score.add(split_at(40), split_at(40) * 2)  # class 1 lost, class 2 made up
    score.add(split_at(80), split_at(80))  # no boundary at all
    assert score.per_class().tolist() == [1.0, 0.5, 0.0]
    assert score.mean() == 0.5


def test_no_boundary_gives_no_score():
    score = BoundaryScore(2)
    score.add(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    assert np.isnan(score.mean())


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match=r'shape \(4, 4\) and prediction \(4, 5\)'):
        BoundaryScore(2).add(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match='number of classes is 0'):
        BoundaryScore(0)
    with pytest.raises(ValueError, match='tolerance is 0'):
        BoundaryScore(2, 0)
