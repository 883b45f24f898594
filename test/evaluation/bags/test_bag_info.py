# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a recording holds is told, and what is wrong with it too."""

import os

import pytest
from bag_variants import join_split, write_bag
from recordings import PERIOD_NS, START_NS, make_pixels, write_labelled_bag
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_info import format_bag_info, inspect_bag
from seg_perception.evaluation.bags.bag_messages import (
    get_message_store,
    get_message_type,
    make_image,
)
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC, IMAGE_TYPE


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_intact_bag(tmp_path, storage):
    write_labelled_bag(tmp_path / 'bag', frames=4, storage=storage)
    info = inspect_bag(tmp_path / 'bag')
    assert (info.storage_name, info.file_count, info.damage, info.masks) == (storage, 1, '', '')
    assert [topic.message_count for topic in info.topics] == [4, 4]
    assert [topic.rate_hz for topic in info.topics] == pytest.approx([10.0, 10.0])
    assert [topic.content for topic in info.topics] == ['24x32 rgb8', '24x32 mono8']
    text = format_bag_info(info)
    assert f'{storage}, one file' in text
    assert 'damage' not in text


def test_stamps_out_of_order_are_counted(tmp_path):
    offsets = [0, 1, 2, 2, 5, 4, 6, 3]
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        for index, offset in enumerate(offsets):
            stamp_ns = START_NS + offset * PERIOD_NS if offset else 0
            image = make_image(make_pixels(), 'rgb8', stamp_ns, 'c')
            writer.write(IMAGE_TOPIC, image, START_NS + index * PERIOD_NS)
    (topic,) = inspect_bag(tmp_path / 'bag').topics
    assert topic.stamp_faults == '1 zero, 1 repeated, 2 going back'


def test_damage_is_told_and_the_rest_counted(tmp_path):
    write_bag(tmp_path / 'bag', frames=10)
    file = tmp_path / 'bag' / 'bag.mcap'
    os.truncate(file, file.stat().st_size // 2)
    info = inspect_bag(tmp_path / 'bag')
    (topic,) = info.topics
    assert (topic.message_count, topic.content) == (5, '400x480 rgb8')
    assert 'middle of a chunk' in info.damage
    assert 'middle of a chunk' in format_bag_info(info)


def test_split_recording_tells_its_files(tmp_path):
    join_split(tmp_path / 'bag', 3)
    assert 'mcap, 3 files' in format_bag_info(inspect_bag(tmp_path / 'bag'))


def test_topic_of_two_types_has_a_line_for_each(tmp_path):
    store = get_message_store()
    text_type = 'std_msgs/msg/String'
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        texts = writer.add_connection('/camera', text_type, typestore=store)
        images = writer.add_connection('/camera', IMAGE_TYPE, typestore=store)
        text = get_message_type(text_type)(data='hello, world')
        writer.write(texts, START_NS, store.serialize_cdr(text, text_type))
        image = make_image(make_pixels(), 'rgb8', START_NS, 'c')
        for _ in range(2):
            writer.write(images, START_NS, store.serialize_cdr(image, IMAGE_TYPE))
    info = inspect_bag(tmp_path / 'bag')
    lines = {topic.type_name: (topic.message_count, topic.content) for topic in info.topics}
    assert lines == {text_type: (1, ''), IMAGE_TYPE: (2, '24x32 rgb8')}
    assert 'topic /camera has 2 types' in info.damage


def test_missing_bag_is_an_error(tmp_path):
    with pytest.raises(UserError, match='no such file or folder'):
        inspect_bag(tmp_path / 'none')
