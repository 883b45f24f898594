# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recording appears whole or not at all."""

import os

import pytest
import yaml
from recordings import START_NS, make_pixels, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC, IMAGE_TYPE


def write_interrupted(path, error, **options):
    """Begin a recording and leave it by an exception after one message."""
    with BagWriter(path, **options) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_pixels(), 'rgb8', START_NS, 'c'), START_NS)
        raise error


@pytest.mark.parametrize('error', [KeyboardInterrupt(), RuntimeError('renderer failed')])
def test_interrupted_run_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)):
        write_interrupted(tmp_path / 'bag', error)
    assert os.listdir(tmp_path) == []


def test_interrupted_replacement_keeps_earlier_bag(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    with pytest.raises(KeyboardInterrupt):
        write_interrupted(tmp_path / 'bag', KeyboardInterrupt(), overwrite=True)
    assert os.listdir(tmp_path) == ['bag']
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.count_messages(IMAGE_TOPIC) == 3


def test_existing_bag_is_refused_unless_overwritten(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    with pytest.raises(UserError, match='exists.*--overwrite'), BagWriter(tmp_path / 'bag'):
        pass
    with BagWriter(tmp_path / 'bag', overwrite=True) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_pixels(), 'rgb8', START_NS, 'c'), START_NS)
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.count_messages(IMAGE_TOPIC) == 1
    assert os.listdir(tmp_path) == ['bag']


def test_folder_that_is_no_bag_is_never_replaced(tmp_path):
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis' / 'chapter.tex').write_text('years of work')
    with (
        pytest.raises(UserError, match='not a rosbag2 folder'),
        BagWriter(tmp_path / 'thesis', overwrite=True),
    ):
        pass
    assert (tmp_path / 'thesis' / 'chapter.tex').read_text() == 'years of work'


def test_target_below_a_file_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write a bag'), BagWriter(tmp_path / 'file' / 'b'):
        pass


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_is_what_rosbag2_reads(tmp_path, storage):
    with BagWriter(tmp_path / 'bag', {'key': 'value'}, storage=storage) as writer:
        writer.add_topic('/tf_static', 'tf2_msgs/msg/TFMessage', latched=True)
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_pixels(), 'rgb8', START_NS, 'c'), START_NS)
    content = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    information = content['rosbag2_bagfile_information']
    assert information['version'] == 8
    assert information['storage_identifier'] == storage
    assert information['custom_data'] == {'key': 'value'}
    (file,) = information['relative_file_paths']
    assert (tmp_path / 'bag' / file).is_file()
    topics = {
        entry['topic_metadata']['name']: entry['topic_metadata']
        for entry in information['topics_with_message_count']
    }
    # as Humble's rosbag2 wants them: a YAML text with the numbers of rmw
    static_text = topics['/tf_static']['offered_qos_profiles']
    assert isinstance(static_text, str)
    (static_qos,) = yaml.safe_load(static_text)
    assert (static_qos['durability'], static_qos['depth']) == (1, 1)
    assert static_qos['reliability'] == 1
    (image_qos,) = yaml.safe_load(topics[IMAGE_TOPIC]['offered_qos_profiles'])
    assert (image_qos['durability'], image_qos['reliability']) == (2, 1)
    # RIHS01 of sensor_msgs/Image as in the interface packages of Jazzy and Kilted
    assert topics[IMAGE_TOPIC]['type_description_hash'] == (
        'RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47'
    )


def test_zstd_chunks_read_back(tmp_path):
    with BagWriter(tmp_path / 'bag', compress_chunks=True) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.write(IMAGE_TOPIC, make_image(make_pixels(), 'rgb8', START_NS, 'c'), START_NS)
    with BagReader(tmp_path / 'bag') as reader:
        (item,) = reader.iterate_messages([IMAGE_TOPIC])
    assert item.message.data.tobytes() == make_pixels().tobytes()
