# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag over DDS to the real node gives masks and instances, so the counts, of the offline run."""

import json

import pytest

from seg_perception import cli
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC

FRAMES = 8


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Return a sample drive, one image of which is cut short."""
    folder = tmp_path_factory.mktemp('live')
    write_sample_bag(folder / 'whole', SampleBagConfig(9, FRAMES, 96, 192))
    with BagReader(folder / 'whole') as reader, BagWriter(folder / 'bag', reader.custom_data) as w:
        for topic in reader.topics:
            w.add_topic(topic.name, topic.type_name, latched=topic.name == '/tf_static')
        images = 0
        for entry in reader.iterate_messages([topic.name for topic in reader.topics]):
            message = entry.message
            if entry.topic == IMAGE_TOPIC:
                images += 1
                if images == 3:
                    message.data = message.data[:-50]
            w.write(entry.topic, message, entry.log_time_ns)
    return folder / 'bag'


@pytest.fixture(scope='module')
def results(bag, tiny_panoptic_model, tmp_path_factory):
    """Return the results of an offline and of a live run."""
    folder = tmp_path_factory.mktemp('results')
    metrics = 'iou,ece,temporal,panoptic,id_switches'
    common = [str(bag), '--model', str(tiny_panoptic_model), '--metrics', metrics]
    out = {}
    for mode in ('offline', 'live'):
        path = folder / f'{mode}.json'
        # one image cannot be read
        assert cli.main(['evaluate', *common, '--mode', mode, '--json', str(path)]) == 1
        out[mode] = json.loads(path.read_text(encoding='utf-8'))
    return out


def list_frames(result, status):
    return [f for f in result['bags'][0]['frames'] if f['status'] == status]


def test_both_modes_count_the_same_in_the_frames_that_both_saw(results):
    live = {f['stamp_ns']: f for f in list_frames(results['live'], 'scored')}
    offline = {f['stamp_ns']: f for f in list_frames(results['offline'], 'scored')}
    assert len(offline) == FRAMES - 1
    assert len(live) >= 3
    for stamp_ns, frame in live.items():
        for metric in ('confusion', 'calibration', 'panoptic'):
            assert frame['metrics'][metric] == offline[stamp_ns]['metrics'][metric]
        assert 'id_switches' in frame['metrics']
    for result in results.values():
        assert 0 <= result['ece'] <= 1
        assert result['pq'] is not None and result['pq_per_class']['road'] is not None


def test_every_image_of_the_bag_has_its_record(results):
    for result in results.values():
        frames = result['bags'][0]['frames']
        assert [frame['index'] for frame in frames] == list(range(FRAMES))
        assert result['frames_unreadable'] == 1
        assert (
            result['frames_scored'] + result['frames_dropped'] + result['frames_unreadable']
            == result['frames_in_bag'] == FRAMES
        )  # fmt: skip
    assert results['offline']['frames_dropped'] == 0


def test_live_has_latency_and_use_of_the_machine(results):
    live = results['live']
    assert 0.0 < live['latency_p50_ms'] <= live['latency_p95_ms']
    assert live['setup']['mode'] == 'live'
    assert live['setup']['backend'] == 'openvino'
    assert all(entry['rss_mb'] > 50 for entry in live['timeline'])
