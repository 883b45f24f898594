# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The score of a grid, on small grids counted by hand."""

import numpy as np
import pytest

from seg_perception.evaluation.metrics.occupancy_score import OccupancyScorer
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, GroundView
from seg_perception.perception.occupancy_config import ClassRule, GridConfig, OccupancyConfig

NAMES = ('road', 'car', 'person')
ROAD, CAR, PERSON = range(3)
RULES = {
    'road': ClassRule('ground'),
    'car': ClassRule('standing'),
    'person': ClassRule('standing'),
}
CONFIG = OccupancyConfig(NAMES, GridConfig(0.2, 4.0, 14.0, -2.0, 2.0), RULES, ('road',))
VIEW = GroundView(CameraModel(400, 800, (400.0, 400.0), (399.5, 99.5)), CameraPose(z_m=1.5))
SEES_ALL = np.zeros((400, 800), np.uint8)  # the image truly shows road everywhere


def make_truth(*cells):
    truth = np.zeros((20, 50), np.int8)
    for rows, columns, class_id in cells:
        truth[rows, columns] = class_id
    return truth


def score(label, truth, mask=SEES_ALL):
    scorer = OccupancyScorer(CONFIG, VIEW)
    scorer.add(label, truth, mask)
    return scorer.counts.summarize()


CAR_BOX = (slice(5, 14), slice(20, 30), CAR)


def test_a_right_grid_is_right_in_every_figure():
    truth = make_truth(CAR_BOX)
    figures = score(truth, truth)
    assert figures['road_iou'] == 1.0
    assert figures['contact_f1']['vehicles'] == 1.0
    assert figures['occupied_reported_free'] == {'car': 0.0, 'person': None}
    assert figures['free_reported_free'] == {'road': 1.0}


def test_free_over_a_car_counts_against_the_car():
    truth = make_truth(CAR_BOX)
    label = make_truth((slice(5, 14), slice(22, 30), CAR))  # two of ten columns are free
    figures = score(label, truth)
    assert figures['occupied_reported_free']['car'] == pytest.approx(0.2)
    assert figures['contact_reported_free']['car'] > 0.5
    assert figures['road_iou'] == pytest.approx(910 / 928)


def test_unknown_is_not_free():
    truth = make_truth(CAR_BOX)
    figures = score(np.full_like(truth, -1), truth)
    assert figures['occupied_reported_free']['car'] == 0.0
    assert figures['free_reported_free']['road'] == 0.0
    assert figures['road_iou'] == 0.0
    assert figures['contact_f1']['vehicles'] == 0.0


@pytest.mark.parametrize(('shift', 'is_match'), [(0, True), (1, True), (3, False)])
def test_a_contact_matches_within_half_a_cell_of_the_true_cell(shift, is_match):
    # at 8 m a pixel is 0.1 m long on the ground, so that half a cell is the limit
    truth = make_truth((slice(8, 12), slice(20, 22), PERSON))
    label = make_truth((slice(8, 12), slice(20 + shift, 22 + shift), PERSON))
    assert score(label, truth)['contact_f1']['persons'] == float(is_match)


def test_cells_that_the_image_does_not_show_are_not_asked_to_be_free():
    truth = make_truth()
    figures = score(np.full_like(truth, -1), truth, np.full_like(SEES_ALL, CAR))
    assert figures['free_reported_free']['road'] is None


def test_a_contact_at_the_limit_matches_one_just_beyond_it():
    truth = make_truth((slice(9, 11), slice(30, 34), PERSON))  # from 10.0 m
    label = make_truth((slice(9, 11), slice(29, 33), PERSON))  # from 9.8 m
    scorer = OccupancyScorer(CONFIG, VIEW, reach_m=9.95)
    scorer.add(label, truth, SEES_ALL)
    assert scorer.counts.summarize()['contact_precision']['persons'] == 1.0
