# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instances in an evaluation: their figures, where they come from, and runs that are resumed."""

import json

import numpy as np
import pytest
from color_model import CENTER_COLOR, write_color_model
from recordings import PERIOD_NS, START_NS

from seg_perception import cli
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_topics import make_label_space_entries
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    INSTANCES_TRACKED_KEY,
    LABEL_TOPIC,
    PANOPTIC_TOPIC,
)
from seg_perception.evaluation.drives.drive_judge import METRICS
from seg_perception.evaluation.drives.drive_result import build_result
from seg_perception.evaluation.drives.evaluate import DriveConfig, evaluate_drive
from seg_perception.evaluation.drives.journal import Journal
from seg_perception.evaluation.metrics import id_switches
from seg_perception.perception.labels import LabelSpace, load_label_space
from seg_perception.perception.tracks import TrackConfig
from seg_perception.pipeline import SegmentationPipeline

CITYSCAPES = load_label_space('cityscapes')
SIZE = (64, 96)
ROAD, BUILDING, CAR = (CITYSCAPES.find_id(name) for name in ('road', 'building', 'car'))
ALL = tuple(METRICS)
FRAMES = 8


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    """A panoptic model that sees colours, and a centre in each block of one colour."""
    path = tmp_path_factory.mktemp('model') / 'cars.onnx'
    return write_color_model(path, CITYSCAPES, *SIZE, is_panoptic=True)


@pytest.fixture(scope='module')
def pipeline(model_path):
    """The chain on that model, which follows its instances."""
    engine = load_engine(EngineConfig(str(model_path), backend='openvino', precision='f32'))
    chain = SegmentationPipeline(engine, tracks=TrackConfig())
    yield chain
    chain.close()


def make_street(index):
    """Return picture and panoptic truth: two cars, one standing, one driving to the right."""
    panoptic = np.full(SIZE, ROAD * 1000, np.int32)
    panoptic[:24] = BUILDING * 1000
    # blocks of the network's input are 8 px wide
    columns = {17: 8, 4: 40 + 8 * (index // 2)}
    for number, column in columns.items():
        panoptic[32:48, column : column + 24] = CAR * 1000 + number
    picture = CITYSCAPES.palette_array('rgb')[panoptic // 1000]
    for column in columns.values():
        picture[32:40, column + 8 : column + 16] = CENTER_COLOR
    return np.ascontiguousarray(picture), panoptic


def keep(index, panoptic):
    return panoptic


def write_bag(path, frames=FRAMES, custom_data=None, with_labels=True, change=keep):
    """Write pictures, labels and instances."""
    data = make_label_space_entries(CITYSCAPES) if custom_data is None else custom_data
    with BagWriter(path, data) as writer:
        for topic in (IMAGE_TOPIC, LABEL_TOPIC, PANOPTIC_TOPIC)[:: 1 if with_labels else 2]:
            writer.add_topic(topic, IMAGE_TYPE)
        for index in range(frames):
            stamp_ns = START_NS + index * PERIOD_NS
            picture, panoptic = make_street(index)
            label = (panoptic // 1000).astype(np.uint8)
            messages = {
                IMAGE_TOPIC: make_image(picture, 'rgb8', stamp_ns, 'c'),
                LABEL_TOPIC: make_image(label, 'mono8', stamp_ns, 'c'),
                PANOPTIC_TOPIC: make_image(change(index, panoptic), '32SC1', stamp_ns, 'c'),
            }
            for topic, message in messages.items():
                if with_labels or topic != LABEL_TOPIC:
                    writer.write(topic, message, stamp_ns)
    return path


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_bag(tmp_path_factory.mktemp('bags') / 'street')


def evaluate(pipeline, bag, names=ALL, journal=lambda topic: Journal(None, {})):
    drive = evaluate_drive(pipeline, DriveConfig(bag), names, journal)
    return drive, build_result([drive], names, {'mode': 'offline'})


def test_known_instances_have_known_quality_and_keep_their_ids(pipeline, bag):
    drive, result = evaluate(pipeline, bag)
    assert result['rq'] == 1.0
    assert 0.8 < result['sq'] == result['pq'] <= 1.0
    found = {name for name, value in result['pq_per_class'].items() if value is not None}
    assert found == {'road', 'building', 'car'}
    assert result['id_switches_per_100'] == 0.0
    assert result['instance_frames'] == 2 * FRAMES
    assert {'panoptic', 'tracks'} <= set(drive.records[0].times_ms)


def test_instances_that_are_numbered_anew_in_each_image_are_switches(pipeline, bag, monkeypatch):
    process = pipeline.process

    def restart(*arguments):
        # the numbers go on, so no object keeps its own
        for follower in pipeline._followers.values():
            follower._tracker.forget_objects()
        return process(*arguments)

    monkeypatch.setattr(pipeline, 'process', restart)
    _, result = evaluate(pipeline, bag)
    assert result['id_switches_per_100'] == 100 * (FRAMES - 1) / FRAMES
    assert result['rq'] == 1.0


def swap_after_gap(index, panoptic):
    """Hide the cars in two images; after that each has the true id of the other."""
    first, second = CAR * 1000 + 17, CAR * 1000 + 4
    if index < 2:
        return panoptic
    if index < 4:
        return np.where(panoptic > CAR * 1000, -1, panoptic).astype(np.int32)
    swapped = np.where(panoptic == first, second, panoptic)
    return np.where(panoptic == second, first, swapped).astype(np.int32)


@pytest.mark.parametrize('done', [1, 3, 4, 6, 7, FRAMES])
def test_an_interrupted_run_gives_the_same_ids_and_figures(pipeline, tmp_path, monkeypatch, done):
    monkeypatch.setattr(id_switches, 'STRETCH_IMAGES', 6)
    bag = write_bag(tmp_path / 'bag', change=swap_after_gap)
    whole, expected = evaluate(pipeline, bag)
    assert expected['id_switches_per_100'] == 100 * 2 / expected['instance_frames']
    path = tmp_path / 'part.jsonl'
    with Journal(path, {'bag': 1}) as journal:
        for record in whole.records[:done]:
            journal.add(record)
    resumed, result = evaluate(pipeline, bag, journal=lambda topic: Journal(path, {'bag': 1}))
    assert [r.metrics for r in resumed.records] == [r.metrics for r in whole.records]
    figures = ('pq', 'pq_per_class', 'sq', 'rq', 'id_switches_per_100', 'instance_frames')
    assert [result[key] for key in figures] == [expected[key] for key in figures]


def test_ids_are_not_compared_across_stretches(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(id_switches, 'STRETCH_IMAGES', 4)
    bag = write_bag(tmp_path / 'bag', change=swap_after_gap)
    assert evaluate(pipeline, bag)[1]['id_switches_per_100'] == 0.0


def test_recordings_do_not_share_tracks(pipeline, bag):
    first, _ = evaluate(pipeline, bag)
    again, _ = evaluate(pipeline, bag)
    assert [r.metrics for r in again.records] == [r.metrics for r in first.records]


def test_true_ids_of_single_images_are_scored_but_not_compared(pipeline, tmp_path):
    data = {**make_label_space_entries(CITYSCAPES), INSTANCES_TRACKED_KEY: 'false'}
    _, result = evaluate(pipeline, write_bag(tmp_path / 'bag', 2, data))
    assert result['rq'] == 1.0
    assert result['id_switches_per_100'] is None


def test_instances_without_labels_are_scored_in_the_recorded_classes(pipeline, tmp_path):
    _, result = evaluate(pipeline, write_bag(tmp_path / 'bag', 2, with_labels=False))
    assert (result['rq'], result['miou']) == (1.0, None)


def test_crowds_and_void_are_nothing_to_find(pipeline, tmp_path):
    def hide(index, panoptic):
        changed = np.where(panoptic == CAR * 1000 + 4, -2 - CAR, panoptic)
        return np.where(panoptic == BUILDING * 1000, -1, changed).astype(np.int32)

    _, result = evaluate(pipeline, write_bag(tmp_path / 'bag', 2, change=hide))
    assert result['rq'] == 1.0
    assert result['pq_per_class']['building'] is None
    assert result['instance_frames'] == 2


def test_instances_of_other_classes_than_the_labels_are_named(pipeline, tmp_path):
    other = LabelSpace('other', ('road', 'sky', 'car'), ((0, 0, 0),) * 3, thing_ids=(2,))
    bag = write_bag(tmp_path / 'bag', 2, make_label_space_entries(other))
    truth = DriveConfig(bag).truth.__class__(label_space='cityscapes')
    drive = evaluate_drive(pipeline, DriveConfig(bag, truth=truth), ALL)
    result = build_result([drive], ALL, {})
    assert result['pq'] is None and result['miou'] > 0.8
    assert 'instances are not scored: /ground_truth/panoptic has classes of other' in str(
        result['faults']
    )


def test_command_shows_the_figures(model_path, bag, tmp_path, capsys):
    files = {name: tmp_path / name for name in ('score.json', 'report')}
    status = cli.main(
        ['evaluate', str(bag), '--model', str(model_path), '--precision', 'f32']
        + ['--json', str(files['score.json']), '--report', str(files['report'])]
    )
    assert status == 0
    result = json.loads(files['score.json'].read_text())
    assert result['rq'] == 1.0 and result['id_switches_per_100'] == 0.0
    assert result['pq_per_class']['car'] > 0.8
    text = capsys.readouterr().out
    assert f'{result["pq"]:.3f}, SQ {result["sq"]:.3f}, RQ 1.000' in text
    assert f'0.00 per 100, objects found {2 * FRAMES} times' in text
    page = (files['report'] / 'report.html').read_text()
    assert 'data-figure="pq"' in page and 'data-figure="id_switches_per_100"' in page


def test_metrics_of_instances_are_refused_for_a_model_without_any(bag, tmp_path, capsys):
    path = write_color_model(tmp_path / 'classes.onnx', CITYSCAPES, *SIZE)
    arguments = ['evaluate', str(bag), '--model', str(path), '--precision', 'f32', '--metrics']
    assert cli.main([*arguments, 'iou,id_switches']) == 2
    assert 'gives classes alone, no instances' in capsys.readouterr().err
    files = ['--json', str(tmp_path / 'score.json')]
    assert cli.main([*arguments, 'all', *files]) == 0
    assert json.loads((tmp_path / 'score.json').read_text())['pq'] is None
