# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A result is read back as it was counted, or refused with the reason."""

import json

import numpy as np
import pytest
from result_files import make_record, make_result, write_result

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.saved_result import (
    count_classes,
    count_confidence,
    load_result,
    read_latencies_ms,
    read_rows,
    sum_boundaries,
    sum_confusion,
)
from seg_perception.evaluation.metrics.calibration_error import CalibrationError
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix, iou
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.pixel_metrics import CalibrationMetric


def make_counted_frame(generator):
    """Return a record of random labels, and its confusion."""
    truth, mask = (generator.integers(0, 4, 500).astype(np.uint8) for _ in range(2))
    mask[:20] = 255
    confusion = ConfusionMatrix(4)
    confusion.add(truth, mask)
    counts = confusion.counts
    rows = [[int(t), int(p), int(counts[t, p])] for t, p in np.argwhere(counts)]
    rows += [[int(t), -1, int(confusion.missed[t])] for t in np.flatnonzero(confusion.missed)]
    return FrameRecord(0, 0, 'scored', metrics={'confusion': rows}), confusion


def test_counts_of_classes_are_those_of_the_confusion():
    generator = np.random.default_rng(0)
    frames = [make_counted_frame(generator) for _ in range(5)]
    records = [record for record, _ in frames]
    right, true, predicted = count_classes(records, 4).sum(axis=0)
    total = ConfusionMatrix(4)
    for _, confusion in frames:
        total.merge(confusion)
    assert right / (true + predicted - right) == pytest.approx(iou(total.counts, total.missed))
    assert np.array_equal(
        sum_confusion(records, 4), np.column_stack([total.counts, total.missed])
    )


def test_confidence_has_the_bins_of_the_calibration_error():
    generator = np.random.default_rng(0)
    confidence = generator.integers(0, 256, 1000).astype(np.uint8)
    is_right = generator.random(1000) < 0.7
    error = CalibrationError()
    error.add(confidence, is_right)
    truth = np.zeros((1, 1000), np.uint8)
    mask = np.where(is_right, 0, 1).astype(np.uint8)[None]
    frame = JudgedFrame(0, 0, np.zeros((1, 1000, 3), np.uint8), 'rgb', mask, confidence[None],
                        truth, mask)  # fmt: skip
    rows = CalibrationMetric().measure(frame)
    record = FrameRecord(0, 0, 'scored', metrics={'calibration': rows})
    pixels, confidences, right = count_confidence([record])[0]
    assert np.abs(right - confidences).sum() / pixels.sum() == pytest.approx(error.error())


def test_boundaries_are_summed_where_there_are_any():
    record = FrameRecord(0, 0, 'scored', metrics={'boundary': [[2, 0.5], [0, 0.0]]})
    assert sum_boundaries([record], 3)[0].tolist() == [[0, 0, 0.5], [1, 0, 1]]


def test_latency_is_that_of_live_mode_where_there_is_one():
    times = ({'total': 5.0}, {'total': 5.0, 'latency': 9.0}, {})
    records = [FrameRecord(0, 0, 'unlabelled', times_ms=t) for t in times]
    assert read_latencies_ms(records) == pytest.approx([5.0, 9.0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    'rows', [[[0, 0]], [[4, 0, 1]], [[-1, 0, 1]], [[0, 4, 1]], [[0, -2, 1]], [[0, 0, 1], [0]]]
    + [[['a', 0, 1]], [[0, 0, None]], 'abc', {'a': 1}],
)  # fmt: skip
def test_damaged_rows_are_refused(rows):
    record = FrameRecord(7, 0, 'scored', metrics={'confusion': rows})
    with pytest.raises(UserError, match='image 7'):
        read_rows(record, 'confusion', 3, 4)


def test_a_result_is_read(tmp_path):
    result = load_result(write_result(tmp_path / 'a.json', make_result([make_record(0)])))
    assert result.label_space == 'street' and len(result.class_names) == 4
    assert [record.index for record in result.list_records()] == [0]
    assert result.figures['miou'] == 0.75 and 'bags' not in result.figures


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"miou": 0.', 'no whole JSON file'),
        ('[1]', 'it holds a list'),
        ('{"miou": 0.5}', 'its schema is None'),
        (json.dumps({**make_result([]), 'setup': {}}), 'no label_space'),
        (json.dumps({**make_result([]), 'bags': {}}), 'no list of bags'),
        (json.dumps(make_result([{'index': 0}])), 'the stamp_ns of an image is None'),
        (json.dumps(make_result([make_record(0, status='fine')])), "status is 'fine'"),
        (json.dumps(make_result([make_record(0, extra=1)])), 'not the record of a frame'),
        (json.dumps(make_result([make_record(0, times_ms={'total': 'x'})])), 'the time total'),
        (json.dumps(make_result([make_record(0, times_ms={'total': float('nan')})])), 'NaN'),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, message, tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load_result(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match='cannot read .*none.json: No such file'):
        load_result(tmp_path / 'none.json')
