# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation through the real engine and decoder, on pictures whose masks are known."""

import json

import cv2
import numpy as np
import pytest
from color_model import write_color_model
from recordings import PERIOD_NS, START_NS, write_labelled_bag

from seg_perception import cli
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.evaluation.bag_messages import make_image
from seg_perception.evaluation.bag_writer import BagWriter
from seg_perception.evaluation.evaluate import EvaluationConfig, evaluate_bag
from seg_perception.evaluation.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
)
from seg_perception.perception.labels import load_label_mapping, load_label_space
from seg_perception.pipeline import SegmentationPipeline

CITYSCAPES = load_label_space('cityscapes')
SIZE = (64, 96)


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    """A 19-class model that gives each block the class of the nearest palette colour."""
    path = tmp_path_factory.mktemp('model') / 'color.onnx'
    return write_color_model(path, CITYSCAPES, *SIZE)


@pytest.fixture(scope='module')
def pipeline(model_path):
    """The chain on that model."""
    engine = load_engine(EngineConfig(str(model_path), backend='openvino', precision='f32'))
    chain = SegmentationPipeline(engine)
    yield chain
    chain.close()


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


def test_known_masks_have_known_score(pipeline, tmp_path):
    result = evaluate_bag(pipeline, EvaluationConfig(write_street_bag(tmp_path / 'bag')))
    score = result.score
    assert [c.name for c in score.classes if c.in_headline] == ['road', 'building', 'sky', 'car']
    # the exact masks but for ties on the half-way rows, which go to the lower class id
    assert score.miou > 0.9
    assert (result.frames_received, result.frames_used, result.frames_bad) == (4, 4, 0)
    assert score.frames_scored == 4
    assert {len(values) for values in result.times_ms.values()} == {4}
    assert set(result.times_ms) == {'read', 'inference', 'decode', 'total'}


def test_finer_model_is_scored_in_the_labels_space(pipeline, tmp_path):
    fold = load_label_mapping('camvid', 'cityscapes').fold
    bag = write_street_bag(tmp_path / 'bag', label_space='camvid', fold=fold)
    result = evaluate_bag(pipeline, EvaluationConfig(bag))
    assert result.score.label_space == 'camvid'
    assert result.score.miou > 0.9
    # on the sheet, truth and mask have the model's classes
    assert set(np.unique(result.sheet_frames[0].truth)) == {0, 2, 10, 13}


def test_bad_images_are_counted_and_told_of(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag', faults=(0, 2))
    result = evaluate_bag(pipeline, EvaluationConfig(bag))
    assert (result.frames_received, result.frames_used, result.frames_bad) == (4, 2, 2)
    assert 'the message is incomplete' in result.faults[0]
    assert result.score.frames_scored == 2


def test_bag_of_bad_images_is_an_error(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag', frames=2, faults=(0, 1))
    with pytest.raises(UserError, match='no image of /camera/image_raw .*incomplete'):
        evaluate_bag(pipeline, EvaluationConfig(bag))


def test_bag_without_labels_is_timed(pipeline, tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_street(0)[0], 'rgb8', START_NS, 'c'), START_NS)
    result = evaluate_bag(pipeline, EvaluationConfig(tmp_path / 'bag'))
    assert result.score is None
    summary = result.summarize()
    assert summary['miou'] is None
    assert summary['latency_p50_ms'] > 0.0


def test_limit_ends_early(pipeline, tmp_path):
    bag = write_street_bag(tmp_path / 'bag')
    result = evaluate_bag(pipeline, EvaluationConfig(bag, limit=3))
    assert result.frames_received == 3
    assert 1 <= len(result.sheet_frames) <= 3


def test_camera_may_change_its_size(pipeline, tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        for index, size in enumerate(((64, 96), (33, 70), (1, 1), (64, 96))):
            stamp_ns = START_NS + index * PERIOD_NS
            image = np.full((*size, 3), CITYSCAPES.palette[13], np.uint8)
            writer.write(IMAGE_TOPIC, make_image(image, 'rgb8', stamp_ns, 'c'), stamp_ns)
    result = evaluate_bag(pipeline, EvaluationConfig(tmp_path / 'bag'))
    assert result.frames_used == 4


def test_command_writes_figures_video_and_sheet(model_path, tmp_path, capsys):
    bag = write_street_bag(tmp_path / 'bag')
    files = {name: tmp_path / name for name in ('score.json', 'overlay.mp4', 'sheet.png')}
    status = cli.main(
        ['evaluate', '--bag', str(bag), '--model', str(model_path), '--backend', 'openvino']
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
    assert summary['backend'] == 'openvino'
    assert summary['frames_used'] == 4
    assert summary['latency_p95_ms'] >= summary['latency_p50_ms']
    assert cv2.imread(str(files['sheet.png'])) is not None
    capture = cv2.VideoCapture(str(files['overlay.mp4']))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--bag', 'nowhere'], 'no bag at nowhere'),
        (['--bag', 'BAG', '--image-topic', '/x'], 'no image topic /x'),
        (['--bag', 'BAG', '--label-topic', '/x'], 'no Image topic /x'),
        (['--bag', 'BAG', '--label-space', 'mars'], "unknown label space 'mars'"),
        (['--bag', 'BAG', '--limit', '-1'], 'limit of -1'),
    ],
)
def test_command_says_what_is_wrong(model_path, tmp_path, capsys, arguments, message):
    write_labelled_bag(tmp_path / 'bag')
    replaced = [str(tmp_path / 'bag') if text == 'BAG' else text for text in arguments]
    assert cli.main(['evaluate', '--model', str(model_path), *replaced]) == 2
    assert message in capsys.readouterr().err
