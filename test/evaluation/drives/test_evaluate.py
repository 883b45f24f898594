# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation through the real engine and decoder, on pictures whose masks are known."""

import json

import cv2
import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, write_labelled_bag

from seg_perception import cli
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
)
from seg_perception.evaluation.drives.drive_judge import METRICS
from seg_perception.evaluation.drives.drive_result import build_result
from seg_perception.evaluation.drives.evaluate import DriveConfig, evaluate_drive
from seg_perception.evaluation.drives.journal import Journal
from seg_perception.evaluation.drives.offline_run import OfflineConfig, OfflineRun
from seg_perception.perception.labels import load_label_mapping, load_label_space

CITYSCAPES = load_label_space('cityscapes')
SIZE = (64, 96)


def make_street(index, label_space=CITYSCAPES, classes=(10, 2, 0, 13)):
    """Return picture and label: bands of classes whose borders lie between logits' centres.

    Between two rows of logits the mask changes half-way, where the label changes too.
    """
    label = np.repeat(np.array(classes, np.uint8), SIZE[0] // len(classes))[:, None]
    label = np.ascontiguousarray(np.broadcast_to(label, SIZE))
    if index % 2:
        label = np.ascontiguousarray(label[::-1])
    return label_space.palette_array('rgb')[label], label


def write_street_bag(path, frames=4, label_space='cityscapes', fold=None, faults=()):
    """Write pictures and (folded) labels; the frames in `faults` are truncated."""
    with BagWriter(path, {LABEL_SPACE_KEY: label_space}) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.add_topic(LABEL_TOPIC, IMAGE_TYPE)
        for index in range(frames):
            stamp_ns = START_NS + index * PERIOD_NS
            picture, label = make_street(index)
            image = make_image(picture, 'rgb8', stamp_ns, 'c')
            if index in faults:
                image.data = image.data[:-7]
            truth = label if fold is None else fold(label)
            writer.write(IMAGE_TOPIC, image, stamp_ns)
            writer.write(LABEL_TOPIC, make_image(truth, 'mono8', stamp_ns, 'c'), stamp_ns)
    return path


def evaluate(pipeline, bag, **options):
    """Return the evaluation of a bag and its figures."""
    journal = options.pop('journal', lambda topic: Journal(None, {}))
    names = options.pop('metrics', ('iou', 'ece'))
    drive = evaluate_drive(pipeline, DriveConfig(bag, **options), names, journal)
    return drive, build_result([drive], names, {'mode': 'offline'})


def test_known_masks_have_known_score(pipeline, tmp_path):
    drive, result = evaluate(pipeline, write_street_bag(tmp_path / 'bag'))
    assert result['classes_in_headline'] == ['road', 'building', 'sky', 'car']
    # the exact masks but for ties on the half-way rows, which go to the lower class id
    assert result['miou'] > 0.9
    assert (result['frames_in_bag'], result['frames_scored']) == (4, 4)
    assert all(set(r.times_ms) == {'read', 'inference', 'decode', 'total'} for r in drive.records)
    assert result['seconds_inference'] == pytest.approx(
        sum(record.times_ms['inference'] for record in drive.records) * 1e-3
    )


def test_finer_model_is_scored_in_the_labels_space(pipeline, tmp_path):
    fold = load_label_mapping('camvid', 'cityscapes').fold
    bag = write_street_bag(tmp_path / 'bag', label_space='camvid', fold=fold)
    _, result = evaluate(pipeline, bag)
    assert result['setup']['label_space'] == 'camvid'
    assert result['miou'] > 0.9


def test_bad_images_are_counted_and_told_of(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag', faults=(0, 2))
    drive, result = evaluate(pipeline, bag)
    assert [record.status for record in drive.records] == [
        'unreadable', 'scored', 'unreadable', 'scored'
    ]  # fmt: skip
    assert (result['frames_unreadable'], result['frames_scored']) == (2, 2)
    assert 'image 1: ' in result['faults'][0]
    assert 'the message is incomplete' in result['faults'][0]


def test_bag_without_labels_is_timed(pipeline, tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_street(0)[0], 'rgb8', START_NS, 'c'), START_NS)
    drive, result = evaluate(pipeline, tmp_path / 'bag')
    assert drive.records[0].status == 'unlabelled'
    assert result['miou'] is None
    assert result['latency_p50_ms'] > 0.0


def test_a_label_of_another_size_is_named_and_the_next_one_scored(pipeline, tmp_path):
    with BagWriter(tmp_path / 'bag', {LABEL_SPACE_KEY: 'cityscapes'}) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.add_topic(LABEL_TOPIC, IMAGE_TYPE)
        for index in range(2):
            stamp_ns = START_NS + index * PERIOD_NS
            picture, label = make_street(index)
            label = label[:32] if index == 0 else label
            writer.write(IMAGE_TOPIC, make_image(picture, 'rgb8', stamp_ns, 'c'), stamp_ns)
            writer.write(LABEL_TOPIC, make_image(label, 'mono8', stamp_ns, 'c'), stamp_ns)
    drive, result = evaluate(pipeline, tmp_path / 'bag')
    assert [record.status for record in drive.records] == ['mismatched', 'scored']
    assert 'the label is 32x96, the image 64x96' in result['faults'][0]


def test_limit_ends_early(pipeline, tmp_path):
    drive, result = evaluate(pipeline, write_street_bag(tmp_path / 'bag'), limit=3)
    assert len(drive.records) == result['frames_in_bag'] == 3


def test_the_same_bag_gives_the_same_counts(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag')
    first, second = (evaluate(pipeline, bag, metrics=tuple(METRICS))[0] for _ in range(2))
    assert [r.metrics for r in first.records] == [r.metrics for r in second.records]


@pytest.mark.parametrize('done', [0, 1, 3, 6])
def test_an_interrupted_run_goes_on_and_counts_the_same(pipeline, tmp_path, done):
    bag = write_street_bag(tmp_path / 'bag', frames=6)
    names = tuple(METRICS)
    whole, _ = evaluate(pipeline, bag, metrics=names)
    path = tmp_path / 'part.jsonl'
    with Journal(path, {'bag': 1}) as journal:
        for record in whole.records[:done]:
            journal.add(record)
    with path.open('a', encoding='utf-8') as file:
        file.write('{"index": 99, "stamp_')  # cut off in the middle of a line
    resumed, _ = evaluate(
        pipeline, bag, metrics=names, journal=lambda topic: Journal(path, {'bag': 1})
    )
    assert resumed.taken_up == done
    assert [r.metrics for r in resumed.records] == [r.metrics for r in whole.records]
    assert [r.index for r in resumed.records] == list(range(6))


def test_records_of_a_longer_run_are_not_those_of_a_limited_one(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag')
    run = OfflineRun(pipeline, OfflineConfig(('iou',), journal_folder=tmp_path))
    paths = {run.find_journal(DriveConfig(bag, limit=limit), IMAGE_TOPIC) for limit in (0, 3)}
    assert len(paths) == 2


def test_camera_may_change_its_size(pipeline, tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        for index, size in enumerate(((64, 96), (33, 70), (1, 1), (64, 96))):
            stamp_ns = START_NS + index * PERIOD_NS
            image = np.full((*size, 3), CITYSCAPES.palette[13], np.uint8)
            writer.write(IMAGE_TOPIC, make_image(image, 'rgb8', stamp_ns, 'c'), stamp_ns)
    drive, _ = evaluate(pipeline, tmp_path / 'bag', metrics=tuple(METRICS))
    assert [record.status for record in drive.records] == ['unlabelled'] * 4
    assert all(record.times_ms for record in drive.records)


def test_command_writes_figures_video_and_sheet(model_path, tmp_path, capsys):
    bag = write_street_bag(tmp_path / 'bag')
    files = {name: tmp_path / name for name in ('score.json', 'overlay.mp4', 'sheet.png')}
    status = cli.main(
        ['evaluate', str(bag), '--model', str(model_path), '--backend', 'openvino']
        + ['--precision', 'f32', '--json', str(files['score.json'])]
        + ['--video', str(files['overlay.mp4']), '--contact-sheet', str(files['sheet.png'])]
    )
    assert status == 0
    text = capsys.readouterr().out
    assert 'mean of 4' in text
    assert '(train)' in text
    summary = json.loads(files['score.json'].read_text())
    assert summary['miou'] > 0.9
    assert summary['per_class_iou']['car'] > 0.9
    assert summary['per_class_iou']['train'] is None
    assert summary['setup']['backend'] == 'openvino'
    assert summary['frames_scored'] == 4
    assert summary['latency_p95_ms'] >= summary['latency_p50_ms']
    assert cv2.imread(str(files['sheet.png'])) is not None
    capture = cv2.VideoCapture(str(files['overlay.mp4']))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'no bag at nowhere'),
        (['BAG', '--image-topic', '/x'], 'no image topic /x'),
        (['BAG', '--label-topic', '/x'], 'no Image topic /x'),
        (['BAG', '--label-space', 'mars'], "unknown label space 'mars'"),
        (['BAG', '--limit', '-1'], 'limit of -1'),
    ],
)
def test_command_says_what_is_wrong(model_path, tmp_path, capsys, arguments, message):
    write_labelled_bag(tmp_path / 'bag')
    replaced = [str(tmp_path / 'bag') if text == 'BAG' else text for text in arguments]
    assert cli.main(['evaluate', '--model', str(model_path), *replaced]) == 2
    assert message in capsys.readouterr().err
