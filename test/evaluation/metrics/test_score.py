# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scores are those of closed form, in the labels' own space."""

import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import LABEL_SPACE_KEY, LABEL_TOPIC
from seg_perception.evaluation.metrics import score
from seg_perception.perception.labels import LabelSpace, load_label_space

CITYSCAPES = load_label_space('cityscapes')
CAMVID = load_label_space('camvid')


def test_iou_of_halved_overlap_is_a_third():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    truth = np.zeros((10, 20), np.uint8)
    truth[:, 10:] = 13
    mask = np.roll(truth, 5, axis=1)
    assert scorer.add(truth, mask)
    result = scorer.summarize()
    # each class: 50 of 100 pixels right, union 150
    assert result.per_class_iou()['road'] == pytest.approx(1 / 3)
    assert result.per_class_iou()['car'] == pytest.approx(1 / 3)
    assert result.per_class_iou()['train'] is None
    assert result.miou == pytest.approx(1 / 3)
    assert result.pixel_accuracy == pytest.approx(0.5)


def test_unlabelled_truth_counts_nowhere():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    truth = np.zeros((4, 4), np.uint8)
    truth[0] = 255
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 5
    scorer.add(truth, mask)
    assert scorer.summarize().miou == 1.0
    assert scorer.summarize().per_class_iou()['pole'] is None


def test_unlabelled_mask_is_wrong():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 255
    scorer.add(np.zeros((4, 4), np.uint8), mask)
    assert scorer.summarize().per_class_iou()['road'] == 0.75
    assert scorer.summarize().pixel_accuracy == 0.75


def test_rare_classes_are_listed_but_not_in_the_headline():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    truth = np.zeros((40, 50), np.uint8)
    truth[0, 0] = 5  # 1 of 2000 pixels: 0.05 %
    truth[1, :2] = 7  # 0.1 %
    scorer.add(truth, np.zeros_like(truth))
    result = scorer.summarize()
    assert result.per_class_iou()['pole'] == 0.0
    assert [c.name for c in result.classes if c.in_headline] == ['road', 'traffic sign']
    assert result.miou == pytest.approx((1997 / 2000 + 0.0) / 2)


def test_finer_model_is_folded_to_the_labels():
    scorer = score.MaskScorer(CAMVID, CITYSCAPES)
    names = ('car', 'truck', 'bus', 'wall', 'terrain', 'motorcycle', 'traffic light')
    mask = np.array([[CITYSCAPES.find_id(name) for name in names]], np.uint8)
    expected = ('car', 'car', 'car', 'building', 'tree', 'bicyclist', 'sign_symbol')
    truth = np.array([[CAMVID.find_id(name) for name in expected]], np.uint8)
    assert np.array_equal(scorer.fold(mask), truth)
    scorer.add(truth, mask)
    assert scorer.summarize().miou == 1.0
    assert scorer.summarize().label_space == 'camvid'
    assert scorer.fold(np.array([255], np.uint8))[0] == 255


def test_truth_is_drawn_in_the_models_classes():
    scorer = score.MaskScorer(CAMVID, CITYSCAPES)
    truth = np.array([CAMVID.find_id('pavement'), CAMVID.find_id('tree'), 255], np.uint8)
    drawn = scorer.to_model_space(truth)
    assert drawn.tolist() == [
        CITYSCAPES.find_id('sidewalk'),
        CITYSCAPES.find_id('vegetation'),
        255,
    ]


def test_coarser_model_has_no_mapping():
    with pytest.raises(UserError, match="no mapping from label space 'cityscapes' to 'camvid'"):
        score.MaskScorer(CITYSCAPES, CAMVID)


def test_own_label_space_needs_no_mapping():
    space = LabelSpace('farm', ('crop', 'soil'), ((0, 255, 0), (99, 66, 33)))
    scorer = score.MaskScorer(space, space)
    scorer.add(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    assert scorer.summarize().miou == pytest.approx(0.25)


def test_size_difference_is_named():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    with pytest.raises(UserError, match='mask is 2x4, its label is 4x4'):
        scorer.add(np.zeros((4, 4), np.uint8), np.zeros((2, 4), np.uint8))


def test_id_that_the_label_space_lacks_is_named():
    scorer = score.MaskScorer(CAMVID, CITYSCAPES)
    with pytest.raises(UserError, match='truth holds id 17, expected 0..10'):
        scorer.add(np.full((2, 2), 17, np.uint8), np.zeros((2, 2), np.uint8))


def test_nothing_scored_has_no_figures():
    scorer = score.MaskScorer(CITYSCAPES, CITYSCAPES)
    assert not scorer.add(None, np.zeros((4, 4), np.uint8))
    result = scorer.summarize()
    assert (result.miou, result.pixel_accuracy) == (None, None)
    assert (result.frames_scored, result.frames_without_label) == (0, 1)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_labels_are_found_by_the_stamp_of_their_image(tmp_path, storage):
    content = write_labelled_bag(tmp_path / 'bag', frames=8, storage=storage)
    truth = score.BagTruth(tmp_path / 'bag')
    scorer = score.BagScorer(truth, CITYSCAPES)
    assert len(truth) == 8
    # as live masks may come: late, out of order, and one of an image that has no label
    for stamp_ns in reversed(content):
        assert np.array_equal(truth.read(stamp_ns), content[stamp_ns][1])
        assert scorer.add(stamp_ns, content[stamp_ns][1])
    assert not scorer.add(START_NS + PERIOD_NS // 2, content[START_NS][1])
    result = scorer.summarize()
    assert result.miou == 1.0
    assert (result.frames_scored, result.frames_without_label) == (8, 1)
    truth.close()


def test_labels_with_equal_log_times_are_told_apart(tmp_path):
    with BagWriter(tmp_path / 'bag', {LABEL_SPACE_KEY: 'cityscapes'}) as writer:
        writer.add_topic(LABEL_TOPIC, 'sensor_msgs/msg/Image')
        for index in range(3):
            label = np.full((2, 2), index, np.uint8)
            message = make_image(label, 'mono8', START_NS + index, 'c')
            writer.write(LABEL_TOPIC, message, START_NS)
    truth = score.BagTruth(tmp_path / 'bag')
    assert [int(truth.read(START_NS + index)[0, 0]) for index in range(3)] == [0, 1, 2]
    truth.close()


def test_unlabelled_id_of_the_label_space_becomes_255(tmp_path):
    with BagWriter(tmp_path / 'bag', {LABEL_SPACE_KEY: 'camvid'}) as writer:
        writer.add_topic(LABEL_TOPIC, 'sensor_msgs/msg/Image')
        label = np.array([[0, 11, 255, 10]], np.uint8)
        writer.write(LABEL_TOPIC, make_image(label, 'mono8', START_NS, 'c'), START_NS)
    truth = score.BagTruth(tmp_path / 'bag')
    assert truth.read(START_NS).tolist() == [[0, 255, 255, 10]]
    truth.close()


def test_bag_without_labels_or_space_is_an_error(tmp_path):
    write_labelled_bag(tmp_path / 'bag', label_space='')
    with pytest.raises(UserError, match='does not say which label space.*--label-space'):
        score.BagTruth(tmp_path / 'bag')
    with BagWriter(tmp_path / 'empty') as writer:
        writer.add_topic('/camera/image_raw', 'sensor_msgs/msg/Image')
    with pytest.raises(UserError, match='no labels to score against.*--label-topic'):
        score.BagTruth(tmp_path / 'empty')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'encoding': 'rgb8'}, "encoding 'rgb8'; expected mono8"),
        ({'step': 3}, 'step 3 has 16 bytes'),
        ({'height': 5}, '5x4 with step 4 has 16 bytes'),
        ({'width': 0}, '4x0 with step 4'),
    ],
)
def test_damaged_label_is_named(changes, message):
    label = make_image(np.zeros((4, 4), np.uint8), 'mono8', START_NS, 'c')
    for name, value in changes.items():
        setattr(label, name, value)
    with pytest.raises(UserError, match=message):
        score.read_label_message(label)


def test_padded_rows_of_a_label_are_cut():
    label = make_image(np.arange(16, dtype=np.uint8).reshape(4, 4), 'mono8', START_NS, 'c')
    label.width = 3
    assert score.read_label_message(label).tolist() == [
        [4 * r + c for c in range(3)] for r in range(4)
    ]
