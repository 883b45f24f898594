# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""ID switches, counted by hand."""

import json

import numpy as np
import pytest

from seg_perception.evaluation.metrics.id_switches import IdSwitches
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.perception.labels import LabelSpace

SPACE = LabelSpace('small', ('road', 'car', 'rider'), ((0, 0, 0),) * 3, thing_ids=(1, 2))
HW = (40, 60)


def draw(*squares):
    """Return a map of road with squares (id, row, column, side)."""
    ids = np.zeros(HW, np.int32)
    for id_, row, column, side in squares:
        ids[row : row + side, column : column + side] = id_
    return ids


def judge(metric, truth, prediction):
    frame = JudgedFrame(
        0, 0, np.zeros((*HW, 3), np.uint8), 'rgb', np.zeros(HW, np.uint8),
        panoptic=prediction, true_panoptic=truth)  # fmt: skip
    rows = metric.measure(frame)
    return None if rows is None else json.loads(json.dumps(rows))


def count(pairs):
    """Return the figures of a recording of (truth, prediction)."""
    metric = IdSwitches(SPACE)
    return metric.summarize([judge(metric, *pair) for pair in pairs])


def test_ids_need_not_be_the_true_ones_but_stay():
    figures = count([(draw((1007, 5, 5, 10)), draw((1001, 5, 5, 10)))] * 4)
    assert figures['id_switches_per_100'] == 0.0 and figures['instance_frames'] == 4


def test_a_change_is_one_switch():
    truth = draw((1007, 5, 5, 10), (1008, 5, 30, 10))
    kept = draw((1001, 5, 5, 10), (1002, 5, 30, 10))
    changed = draw((1003, 5, 5, 10), (1002, 5, 30, 10))
    figures = count([(truth, kept), (truth, changed), (truth, changed)])
    assert figures['id_switches_per_100'] == pytest.approx(100 / 6)


def test_two_objects_that_swap_ids_are_two_switches():
    truth = draw((1007, 5, 5, 10), (1008, 5, 30, 10))
    first = draw((1001, 5, 5, 10), (1002, 5, 30, 10))
    second = draw((1002, 5, 5, 10), (1001, 5, 30, 10))
    assert count([(truth, first), (truth, second)])['id_switches_per_100'] == 50.0


@pytest.mark.parametrize(('gap', 'switches', 'after_gap'), [(2, 50.0, 0.0), (3, 0.0, 50.0)])
def test_a_change_after_more_than_two_images_is_another_figure(gap, switches, after_gap):
    truth = draw((1007, 5, 5, 10))
    hidden = [(draw(), draw())] * gap
    figures = count(
        [(truth, draw((1001, 5, 5, 10))), *hidden, (truth, draw((1002, 5, 5, 10)))]
    )
    assert figures['id_switches_per_100'] == switches
    assert figures['id_changes_after_gap_per_100'] == after_gap


def test_an_object_that_is_not_found_is_no_switch():
    truth = draw((1007, 5, 5, 10))
    kept, beside = draw((1001, 5, 5, 10)), draw((1002, 5, 9, 10))
    figures = count([(truth, kept), (truth, beside), (truth, kept)])
    assert figures['id_switches_per_100'] == 0.0 and figures['instance_frames'] == 2


def test_another_class_does_not_find_an_object():
    figures = count([(draw((1007, 5, 5, 10)), draw((2001, 5, 5, 10)))])
    assert figures['id_switches_per_100'] is None and figures['instance_frames'] == 0


def test_void_is_not_part_of_the_union():
    truth = draw((1007, 5, 5, 10))
    truth[5:15, 15:30] = -1
    prediction = draw((1001, 5, 5, 10))
    prediction[5:15, 15:30] = 1001
    assert count([(truth, prediction)])['instance_frames'] == 1


def test_distant_objects_count_in_a_figure_of_their_own(monkeypatch):
    # 100 px at 1024x2048 are a ninth of a pixel here, so the limit is set for this size.
    limit = 'seg_perception.evaluation.metrics.id_switches.LEAST_AREA_SHARE'
    monkeypatch.setattr(limit, 50 / (40 * 60))
    truth = draw((1007, 5, 5, 10), (1008, 5, 30, 4))
    first = draw((1001, 5, 5, 10), (1002, 5, 30, 4))
    second = draw((1001, 5, 5, 10), (1003, 5, 30, 4))
    figures = count([(truth, first), (truth, second)])
    assert figures['id_switches_per_100'] == 0.0
    assert figures['id_switches_per_100_any_size'] == 25.0


def test_predicted_classes_are_folded_into_the_truths():
    lut = np.full(256, 255, np.uint8)
    lut[[0, 5, 6]] = (0, 1, 1)
    metric = IdSwitches(SPACE, lut)
    truth = draw((1007, 5, 5, 10))
    rows = [judge(metric, truth, draw((id_, 5, 5, 10))) for id_ in (5001, 5001, 6001)]
    assert metric.summarize(rows)['id_switches_per_100'] == pytest.approx(100 / 3)


def test_images_without_panoptic_maps_have_no_rows():
    frame = JudgedFrame(0, 0, np.zeros((*HW, 3), np.uint8), 'rgb', np.zeros(HW, np.uint8))
    assert IdSwitches(SPACE).measure(frame) is None


@pytest.mark.parametrize(
    ('prediction', 'message'),
    [
        (np.zeros((40, 59), np.int32), r'prediction is int32 of shape \(40, 59\)'),
        (np.zeros(HW, np.uint16), 'prediction is uint16'),
        (np.full(HW, 300_000, np.int32), 'prediction holds id 300000'),
    ],
)
def test_maps_that_do_not_fit_are_refused(prediction, message):
    with pytest.raises(ValueError, match=message):
        judge(IdSwitches(SPACE), draw(), prediction)


def draw_randomly(random, class_of):
    """Return a map with void, a crowd and squares of the given ids, some of them missing."""
    squares = [(id_, *random.integers(0, 34, 2), 12) for id_ in class_of if random.random() < 0.8]
    ids = draw(*squares)
    ids[random.integers(0, 30) :, :4] = -1
    ids[:3, random.integers(0, 50) :] = -3
    return ids


def find_naively(truth, prediction):
    """Return the predicted id by the true one, from sets of pixels."""
    pixels = [
        {id_: set(np.flatnonzero(ids == id_)) for id_ in np.unique(ids)}
        for ids in (truth, prediction)
    ]
    void = pixels[0].get(-1, set())
    return {
        int(true_id): int(predicted_id)
        for true_id, true in pixels[0].items()
        for predicted_id, predicted in pixels[1].items()
        if true_id > 1000 and predicted_id > 1000 and true_id // 1000 == predicted_id // 1000
        and len(true & predicted) > len((true | predicted) - (void - true)) / 2
    }  # fmt: skip


def test_figures_equal_those_of_sets_of_pixels_on_random_maps():
    random = np.random.default_rng(3)
    metric, rows, found, switched, after_gap, last = IdSwitches(SPACE), [], 0, 0, 0, {}
    for index in range(60):
        truth = draw_randomly(random, (1007, 1008, 2003))
        prediction = truth.copy()
        prediction[prediction < 0] = 0
        for id_ in (1007, 1008, 2003):
            # a third of the objects is shifted too far, another third has another id
            place = np.roll(truth == id_, int(random.choice([0, 2, 9])), axis=1)
            prediction[prediction == id_] = 0
            prediction[place] = id_ + random.integers(0, 2)
        rows.append(judge(metric, truth, prediction))
        for true_id, predicted_id in find_naively(truth, prediction).items():
            before, when = last.get(true_id, (predicted_id, index))
            found += 1
            switched += before != predicted_id and index - when <= 3
            after_gap += before != predicted_id and index - when > 3
            last[true_id] = (predicted_id, index)
    figures = metric.summarize(rows)
    assert (found, switched, after_gap) >= (60, 20, 1)
    assert figures['instance_frames'] == found
    assert figures['id_switches_per_100'] == pytest.approx(100 * switched / found)
    assert figures['id_changes_after_gap_per_100'] == pytest.approx(100 * after_gap / found)


def test_crowds_are_no_objects():
    figures = count([(draw((-3, 5, 5, 10)), draw((1001, 5, 5, 10)))] * 2)
    assert figures['instance_frames'] == 0
