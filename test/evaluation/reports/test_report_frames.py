# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The frames that are shown are the right ones, and their pictures what they are called."""

import base64

import cv2
import numpy as np
import pytest
from result_files import CLASS_NAMES, PALETTE, make_confusion, make_record

from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.reports.report_frames import (
    KEPT_WIDTH_PX,
    choose_spaced,
    choose_worst,
    draw_errors_bgr,
    encode_tiles,
    find_fold_lut,
    make_report_frame,
    score_frames,
)
from seg_perception.perception.labels import LabelSpace, load_label_space

SPACE = LabelSpace('street', CLASS_NAMES, PALETTE)
SAME = np.arange(256, dtype=np.uint8)


def make_records(shares):
    """Return records of which so many of 1000 road pixels are right."""
    return [
        FrameRecord.from_json(make_record(index, metrics={'confusion': make_confusion(share)}))
        for index, share in enumerate(shares)
    ]


def read_jpeg(uri):
    kind, _, data = uri.partition(',')
    assert kind == 'data:image/jpeg;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_scores_of_a_frame_are_those_of_closed_form():
    scores = score_frames(make_records([800, 1000]), 4)
    assert scores.accuracy == pytest.approx([0.9, 1.0])
    assert scores.miou == pytest.approx([(0.8 + 1000 / 1200) / 2, 1.0])


def test_classes_of_few_pixels_do_not_count_in_a_frame():
    rows = [[0, 0, 100_000], [2, 0, 50]]
    record = FrameRecord(0, 0, 'scored', metrics={'confusion': rows})
    assert score_frames([record], 4).miou == pytest.approx([100_000 / 100_050])


def test_a_frame_without_labels_has_no_score():
    scores = score_frames([FrameRecord(0, 0, 'unlabelled')], 4)
    assert np.isnan(scores.accuracy).all() and np.isnan(scores.miou).all()


def test_the_worst_are_a_second_apart():
    shares = np.full(100, 900)
    shares[[50, 51, 52, 80]] = 100, 110, 120, 500
    assert choose_worst(make_records(shares), 4, 2) == [50, 80]


def test_of_a_short_drive_the_worst_are_neighbours():
    assert choose_worst(make_records([900, 500, 700, 600]), 4, 3) == [1, 3, 2]


@pytest.mark.parametrize(
    ('count', 'most', 'expected'),
    [(0, 5, []), (1, 5, [0]), (3, 5, [0, 1, 2]), (101, 5, [0, 25, 50, 75, 100])],
)
def test_spaced_frames_are_even(count, most, expected):
    assert choose_spaced(count, most) == expected


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_a_kept_frame_is_small_bgr_and_its_own(order):
    image = np.full((500, 1440, 3), (10, 20, 30), np.uint8)
    mask = np.zeros((500, 1440), np.uint8)
    mask[:, 720:] = 255
    frame = make_report_frame(JudgedFrame(3, 70, image, order, mask), mask, SPACE, 'street')
    image[:], mask[:] = 0, 0
    assert frame.image.shape == (250, KEPT_WIDTH_PX, 3)
    assert frame.image[0, 0].tolist() == ([30, 20, 10] if order == 'rgb' else [10, 20, 30])
    assert set(np.unique(frame.mask)) == {0, 255} and (frame.mask[:, 360:] == 255).all()
    assert (frame.index, frame.stamp_ns, frame.bag) == (3, 70, 'street')


def test_a_small_frame_is_kept_as_it_is_and_its_own():
    image, mask = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    frame = make_report_frame(JudgedFrame(0, 0, image, 'bgr', mask), None, SPACE)
    image[:], mask[:] = 9, 9
    assert not frame.image.any() and not frame.mask.any() and frame.truth is None


def test_errors_are_red_and_unlabelled_is_dark():
    image = np.full((1, 3, 3), 100, np.uint8)
    truth = np.array([[0, 1, 255]], np.uint8)
    right, wrong, unlabelled = draw_errors_bgr(image, np.zeros((1, 3), np.uint8), truth)[0]
    assert right.tolist() == [120, 120, 120]
    assert wrong[2] > 200 and wrong[0] < 80
    assert unlabelled.tolist() == [40, 40, 40]


def test_errors_are_those_that_the_score_counts():
    """Labels of CamVid do not tell trucks from cars; Cityscapes' mask may."""
    camvid, cityscapes = (load_label_space(name) for name in ('camvid', 'cityscapes'))
    lut = find_fold_lut('camvid', camvid.class_names, cityscapes)
    car, truck, road = (cityscapes.find_id(name) for name in ('car', 'truck', 'road'))
    assert lut[car] == lut[truck] == camvid.find_id('car') != lut[road]
    assert lut[255] == 255
    assert np.array_equal(find_fold_lut('x', CLASS_NAMES, SPACE), SAME)


def test_tiles_are_jpeg_of_the_size_asked_for():
    image = np.full((100, 200, 3), 90, np.uint8)
    mask = np.zeros((100, 200), np.uint8)
    judged = JudgedFrame(0, 0, image, 'bgr', mask)
    frame = make_report_frame(judged, mask, SPACE)
    tiles = {name: read_jpeg(uri) for name, uri in encode_tiles(frame, 100, SAME).items()}
    assert list(tiles) == ['image', 'overlay', 'truth', 'error']
    assert {tile.shape for tile in tiles.values()} == {(50, 100, 3)}
    road_bgr = np.array(PALETTE[0])[::-1]
    assert np.abs(tiles['overlay'][25, 50] - (90 + road_bgr) / 2).max() <= 4
    unlabelled = make_report_frame(judged, None, SPACE)
    assert list(encode_tiles(unlabelled, 100, SAME)) == ['image', 'overlay']


def test_instances_are_outlined_found_ones_and_true_ones():
    image = np.full((40, 60, 3), 90, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    panoptic, true_panoptic = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32)
    panoptic[10:30, 5:25], true_panoptic[10:30, 35:55] = 1001, 1001
    judged = JudgedFrame(
        0, 0, image, 'bgr', mask, panoptic=panoptic, true_panoptic=true_panoptic
    )
    tiles = encode_tiles(make_report_frame(judged, mask, SPACE), 60, SAME)
    overlay, truth = (read_jpeg(tiles[name]).astype(int) for name in ('overlay', 'truth'))
    assert overlay[10:30, 5].mean() > 200 > 160 > overlay[10:30, 35].mean()
    assert truth[10:30, 35].mean() > 200 > 160 > truth[10:30, 5].mean()
