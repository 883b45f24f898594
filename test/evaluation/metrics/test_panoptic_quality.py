# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Panoptic quality against the official Cityscapes scripts, and by hand."""

import importlib
import json

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.panoptic_quality import PanopticQuality, crowd_id
from seg_perception.evaluation.metrics.score import make_fold_lut
from seg_perception.perception.labels import LabelSpace, load_label_space

CITYSCAPES = load_label_space('cityscapes')
SMALL = LabelSpace('small', ('road', 'sky', 'car'), ((0, 0, 0),) * 3, thing_ids=(2,))


@pytest.fixture(name='official')
def load_official(monkeypatch):
    """Return the module with the official evaluation, which expects NumPy before 2.4."""
    monkeypatch.setattr(np, 'in1d', np.isin, raising=False)
    pytest.importorskip('cityscapesscripts')
    return importlib.import_module('cityscapesscripts.evaluation.evalPanopticSemanticLabeling')


def judge(metric, truth, prediction):
    """Return the rows of one image, as a record keeps them."""
    frame = JudgedFrame(
        0, 0, np.zeros((*truth.shape, 3), np.uint8), 'rgb', np.zeros(truth.shape, np.uint8),
        panoptic=prediction.astype(np.int32), true_panoptic=truth.astype(np.int32),
    )  # fmt: skip
    return json.loads(json.dumps(metric.measure(frame)))


def draw_maps(seed, hw=(60, 80), rectangles=40):
    """Return truth with void and crowds, and a prediction that is often but not always right."""
    random = np.random.default_rng(seed)
    things = CITYSCAPES.thing_ids
    truth = np.full(hw, -1)
    prediction = np.full(hw, -1)
    for number in range(rectangles):
        class_id = int(random.integers(0, 17))  # 17 is made up alone, 18 does not occur
        row, column = random.integers(-10, hw[0]), random.integers(-10, hw[1])
        height, width = random.integers(5, 40, 2)
        is_thing = class_id in things
        segment = class_id * 1000 + (number if is_thing else 0)
        true_id = crowd_id(class_id) if is_thing and random.random() < 0.3 else segment
        true_id = true_id if random.random() < 0.9 else -1
        cover(truth, row, column, height, width, true_id)
        shift = random.integers(-2, 3, 2) if random.random() < 0.7 else random.integers(-9, 10, 2)
        other = int(random.choice(things[:-1])) * 1000 + number
        guess = segment if random.random() < 0.8 else other
        cover(prediction, row + shift[0], column + shift[1], height, width, guess)
    return truth, prediction


def cover(ids, row, column, height, width, value):
    ids[max(0, row) : max(0, row + height), max(0, column) : max(0, column + width)] = value


def write_official(folder, name, ids):
    """Write a panoptic PNG; return its annotation in the COCO format."""
    codes = np.where(ids >= 0, ids + 1000, np.where(ids == -1, 0, 500_000 - ids))
    bgr = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8)
    cv2.imwrite(str(folder / name), bgr)
    segments = [
        {
            'id': int(code),
            'category_id': int(value // 1000 if value >= 0 else crowd_id(value)),
            'iscrowd': int(value < -1),
            'area': int((ids == value).sum()),
        }
        for value, code in {(int(v), int(c)) for v, c in zip(ids.flat, codes.flat, strict=True)}
        if value != -1
    ]
    return {'file_name': name, 'segments_info': segments, 'image_id': name}


def test_figures_equal_the_official_ones(official, tmp_path):
    folders = tmp_path / 'truth', tmp_path / 'prediction'
    for folder in folders:
        folder.mkdir()
    metric, rows, pairs = PanopticQuality(CITYSCAPES), [], []
    excused = 0
    for seed in range(20):
        truth, prediction = draw_maps(seed)
        rows.append(judge(metric, truth, prediction))
        names = [f'{seed}.png'] * 2
        pairs.append(tuple(map(write_official, folders, names, (truth, prediction))))
        segments = len({int(id_) for id_ in np.unique(prediction) if id_ >= 0})
        excused += segments - sum(row[1] + row[2] for row in rows[-1])
    categories = {
        id_: {'isthing': int(id_ in CITYSCAPES.thing_ids)} for id_ in range(CITYSCAPES.num_classes)
    }
    counted = official.pq_compute_single_core(0, pairs, *map(str, folders), categories)
    expected = official.average_pq(counted, categories)
    figures = metric.summarize(rows)
    for figure in ('pq', 'sq', 'rq'):
        for suffix, group in (('', 'All'), ('_things', 'Things'), ('_stuff', 'Stuff')):
            assert figures[figure + suffix] == pytest.approx(expected[group][figure], abs=1e-12)
        for id_, name in enumerate(CITYSCAPES.class_names):
            value = figures[f'{figure}_per_class'][name]
            assert (value or 0.0) == pytest.approx(expected['per_class'][id_][figure], abs=1e-12)
            assert (value is None) == (id_ == 18)
    assert 0.2 < figures['pq'] < 0.8 and excused > 20


def test_order_and_split_of_the_frames_do_not_matter():
    metric = PanopticQuality(CITYSCAPES)
    rows = [judge(metric, *draw_maps(seed)) for seed in range(8)]
    assert metric.summarize(rows[::-1]) == metric.summarize(rows)


def test_quality_by_hand():
    truth = np.array([[2000] * 4 + [2001] * 4 + [0] * 8])
    prediction = np.array([[2007] * 3 + [2008] * 5 + [0] * 4 + [1000] * 4])
    metric = PanopticQuality(SMALL)
    rows = judge(metric, truth, prediction)
    # car: 3 of 4 and 4 of 5 match; road: 4 of 8 is not above a half; sky is made up
    assert rows == [[0, 0, 1, 1, 0.0], [1, 0, 1, 0, 0.0], [2, 2, 0, 0, 0.75 + 0.8]]
    figures = metric.summarize([rows])
    assert figures['pq_per_class'] == {'road': 0.0, 'sky': 0.0, 'car': 0.775}
    assert figures['pq'] == pytest.approx(0.775 / 3)
    assert (figures['pq_things'], figures['pq_stuff']) == (0.775, 0.0)


@pytest.mark.parametrize(('on_void', 'false_positives'), [(4, 1), (5, 0)])
@pytest.mark.parametrize('excuse', [-1, crowd_id(2)])
def test_segment_more_than_half_on_void_or_crowd_is_no_false_positive(
    excuse, on_void, false_positives
):
    truth = np.array([[excuse] * on_void + [0] * (20 - on_void)])
    prediction = np.array([[2000] * 8 + [0] * 12])
    rows = judge(PanopticQuality(SMALL), truth, prediction)
    assert [row[2] for row in rows if row[0] == 2] == [1] * false_positives


def test_crowd_of_another_class_excuses_nothing():
    space = LabelSpace('two', ('car', 'person'), ((0, 0, 0),) * 2, thing_ids=(0, 1))
    rows = judge(PanopticQuality(space), np.full((2, 4), crowd_id(1)), np.full((2, 4), 0))
    assert rows == [[0, 0, 1, 0, 0.0]]


def test_stuff_is_one_segment_for_each_class():
    truth = np.array([[0, 0, 0, 1000]])
    prediction = np.array([[1, 2, 3, 1004]])
    assert PanopticQuality(SMALL).summarize(
        [judge(PanopticQuality(SMALL), truth, prediction)]
    )['pq'] == 1.0  # fmt: skip


def test_finer_classes_fold_into_those_of_the_truth():
    camvid = load_label_space('camvid')
    car, building = camvid.find_id('car'), camvid.find_id('building')
    finer = {name: CITYSCAPES.find_id(name) for name in ('car', 'truck', 'building', 'wall')}
    truth = np.array([[car * 1000] * 4 + [car * 1000 + 1] * 4 + [building * 1000] * 4])
    prediction = np.array(
        [
            [finer['car'] * 1000 + 1] * 4
            + [finer['truck'] * 1000 + 1] * 4
            + [finer['building'] * 1000] * 2
            + [finer['wall'] * 1000] * 2
        ]
    )
    metric = PanopticQuality(camvid, make_fold_lut(camvid, CITYSCAPES))
    rows = judge(metric, truth, prediction)
    assert sorted(rows) == sorted([[car, 2, 0, 0, 2.0], [building, 1, 0, 0, 1.0]])


def test_without_both_maps_there_is_nothing_to_count_and_no_figure():
    mask = np.zeros((2, 2), np.uint8)
    frame = JudgedFrame(0, 0, np.zeros((2, 2, 3), np.uint8), 'rgb', mask)
    assert PanopticQuality(SMALL).measure(frame) is None
    figures = PanopticQuality(SMALL).summarize([])
    assert figures['pq'] is None and figures['rq_per_class']['car'] is None
    assert figures['sq_things'] is None


@pytest.mark.parametrize(
    ('truth', 'prediction', 'message'),
    [
        ([[3000]], [[0]], 'truth holds id 3000 of class 3, expected classes 0..2'),
        ([[0]], [[3000]], 'prediction holds id 3000'),
        ([[0]], [[-2]], 'prediction holds id -2, expected -1 or more'),
        ([[-5]], [[0]], 'truth holds id -5 of class 3'),
        ([[0]], [[255_000]], 'prediction holds id 255000, expected -256 to 254999'),
        ([[-257]], [[0]], 'truth holds id -257'),
        ([[0]], [[0, 0]], r'prediction is int32 of shape \(1, 2\)'),
    ],
)
def test_maps_that_do_not_fit_are_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        judge(PanopticQuality(SMALL), np.array(truth), np.array(prediction))


def test_noise_is_no_panoptic_map():
    space = LabelSpace('things', ('a',) + tuple('bcdefgh'), ((0, 0, 0),) * 8, thing_ids=range(8))
    noise = np.arange(80 * 80).reshape(80, 80)
    with pytest.raises(ValueError, match='too many to match'):
        judge(PanopticQuality(space), noise, noise)


def test_folded_random_maps_are_scored_as_maps_that_were_folded_before():
    camvid = load_label_space('camvid')
    lut = make_fold_lut(camvid, CITYSCAPES)
    folding, plain = PanopticQuality(camvid, lut), PanopticQuality(camvid)
    for seed in range(10):
        truth, prediction = draw_maps(seed)
        before = np.full(truth.shape, -1)
        for number, id_ in enumerate(np.unique(prediction[prediction >= 0])):
            folded = int(lut[id_ // 1000])
            if folded < camvid.num_classes:
                # each segment has a number of its own; stuff has one segment for each class
                is_thing = folded in camvid.thing_ids
                before[prediction == id_] = folded * 1000 + is_thing * (number + 1)
        classes = lut[np.where(truth >= 0, truth // 1000, 255)].astype(int)
        true = np.where(classes < camvid.num_classes, classes * 1000 + truth % 1000, -1)
        assert judge(folding, true, prediction) == judge(plain, true, before)
