# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Records of confusion and calibration hold what counting all pixels at once gives."""

import numpy as np
import pytest

from seg_perception.evaluation.metrics.calibration_error import CalibrationError
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.pixel_metrics import CalibrationMetric, ConfusionMetric
from seg_perception.perception.labels import load_label_space

LABELS = load_label_space('camvid')
COUNT = LABELS.num_classes


def make_frames(count=5, hw=(37, 53), seed=3):
    generator = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        truth = generator.integers(0, COUNT, hw).astype(np.uint8)
        folded = np.where(generator.random(hw) < 0.7, truth, generator.integers(0, COUNT, hw))
        folded = folded.astype(np.uint8)
        truth[generator.random(hw) < 0.1] = 255
        folded[generator.random(hw) < 0.05] = 255
        confidence = generator.integers(0, 256, hw).astype(np.uint8)
        image = np.zeros((*hw, 3), np.uint8)
        frames.append(JudgedFrame(index, index, image, 'rgb', folded, confidence, truth, folded))
    return frames


def test_confusion_of_records_is_that_of_all_pixels():
    frames, metric = make_frames(), ConfusionMetric(LABELS)
    whole = ConfusionMatrix(COUNT)
    for frame in frames:
        whole.add(frame.truth, frame.folded)
    merged = metric.merge([metric.measure(frame) for frame in frames])
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_array_equal(merged.missed, whole.missed)
    figures = metric.summarize([metric.measure(frame) for frame in frames])
    assert figures['miou'] == pytest.approx(whole.mean_iou(0.001), abs=0)
    assert figures['pixel_accuracy'] == whole.pixel_accuracy()
    assert list(figures['per_class_iou'].values()) == whole.iou().tolist()


def test_rare_classes_are_scored_but_not_in_the_headline():
    truth = np.zeros((100, 100), np.uint8)
    truth[0, :5] = 1  # 0.05 %
    frame = JudgedFrame(0, 0, truth, 'rgb', truth, None, truth, np.zeros_like(truth))
    figures = ConfusionMetric(LABELS).summarize([ConfusionMetric(LABELS).measure(frame)])
    assert figures['classes_in_headline'] == [LABELS.class_names[0]]
    assert figures['per_class_iou'][LABELS.class_names[1]] == 0.0
    assert figures['miou'] == pytest.approx(0.9995)


def test_calibration_of_records_is_that_of_all_pixels():
    frames, metric = make_frames(), CalibrationMetric()
    whole = CalibrationError()
    for frame in frames:
        labelled = frame.truth != 255
        is_right = frame.truth[labelled] == frame.folded[labelled]
        whole.add(frame.confidence[labelled], is_right)
    figures = metric.summarize([metric.measure(frame) for frame in frames])
    assert figures['ece'] == whole.error()
    assert [entry['pixels'] for entry in figures['confidence_bins']] == [
        entry.pixels for entry in whole.bins()
    ]


def test_without_labels_there_is_nothing_to_count_and_no_figure():
    frame = make_frames(1)[0]
    bare = JudgedFrame(0, 0, frame.image, 'rgb', frame.mask, frame.confidence)
    assert ConfusionMetric(LABELS).measure(bare) is None
    assert CalibrationMetric().measure(bare) is None
    assert ConfusionMetric(LABELS).summarize([])['miou'] is None
    assert CalibrationMetric().summarize([])['ece'] is None


def test_ids_of_another_label_space_are_named():
    truth = np.full((4, 4), COUNT, np.uint8)
    frame = JudgedFrame(0, 0, truth, 'rgb', truth, None, truth, np.zeros_like(truth))
    with pytest.raises(ValueError, match=f'truth holds id {COUNT}'):
        ConfusionMetric(LABELS).measure(frame)
