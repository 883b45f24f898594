# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings are read back by value, and what cannot be read says why."""

import os
import shutil

import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, make_pixels, write_labelled_bag
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import bag_reader as bags
from seg_perception.evaluation.bags.bag_messages import (
    get_message_store,
    make_image,
    stamp_to_ns,
)
from seg_perception.evaluation.bags.bag_topics import find_image_topic, find_label_space
from seg_perception.evaluation.bags.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_TOPIC,
)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_come_back_by_value(tmp_path, storage):
    content = write_labelled_bag(tmp_path / 'bag', storage=storage)
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert reader.storage_name == storage
        assert reader.duration_ns == 2 * PERIOD_NS + 2_000_000
        items = list(reader.iterate_messages([IMAGE_TOPIC, LABEL_TOPIC]))
    assert [item.log_time_ns for item in items] == sorted(item.log_time_ns for item in items)
    assert len(items) == 6
    for item in items:
        pixels, label = content[stamp_to_ns(item.message.header.stamp)]
        expected = pixels if item.topic == IMAGE_TOPIC else label
        assert np.array_equal(item.message.data.reshape(expected.shape), expected)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_rclpy_reads_recorded_bytes(tmp_path, storage):
    serialization = pytest.importorskip('rclpy.serialization')
    ros_image = pytest.importorskip('sensor_msgs.msg').Image
    content = write_labelled_bag(tmp_path / 'bag', storage=storage)
    with bags.BagReader(tmp_path / 'bag') as reader:
        raws = list(reader.iterate_raw_messages([IMAGE_TOPIC]))
    assert len(raws) == len(content)
    for raw in raws:
        image = serialization.deserialize_message(raw.data, ros_image)
        stamp_ns = stamp_to_ns(image.header.stamp)
        assert stamp_ns == bags.read_header_stamp_ns(raw.data)
        assert np.array_equal(
            np.frombuffer(image.data, np.uint8), content[stamp_ns][0].reshape(-1)
        )


def test_single_mcap_file_is_read(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    with bags.BagReader(tmp_path / 'bag' / 'bag.mcap') as reader:
        assert find_image_topic(reader) == IMAGE_TOPIC
        assert reader.count_messages(IMAGE_TOPIC) == 3
        # from the copy of metadata.yaml in the file
        assert find_label_space(reader).name == 'cityscapes'
        assert find_label_space(reader, 'camvid').name == 'camvid'


def test_type_of_no_distribution_does_no_harm(tmp_path):
    store = get_message_store()
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection(IMAGE_TOPIC, IMAGE_TYPE, typestore=store)
        odd = writer.add_connection(
            '/odd', 'odd_msgs/msg/Odd', msgdef='no such: grammar [', rihs01='RIHS01_' + '0' * 64
        )
        custom = writer.add_connection(
            '/custom',
            'custom_msgs/msg/Pair',
            msgdef='int32 left\nint32 right\n',
            rihs01='RIHS01_' + '1' * 64,
        )
        writer.write(odd, START_NS, b'\x00\x01\x00\x00abcd')
        writer.write(custom, START_NS, b'\x00\x01\x00\x00\x07\x00\x00\x00\x09\x00\x00\x00')
        message = make_image(make_pixels(), 'rgb8', START_NS, 'c')
        writer.write(image, START_NS, store.serialize_cdr(message, IMAGE_TYPE))
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert find_image_topic(reader) == IMAGE_TOPIC
        assert len(list(reader.iterate_messages([IMAGE_TOPIC]))) == 1
        (pair,) = reader.iterate_messages(['/custom'])
        assert (pair.message.left, pair.message.right) == (7, 9)
        assert not reader.has_header('odd_msgs/msg/Odd')
        with pytest.raises(UserError, match='cannot decode messages of type odd_msgs/msg/Odd'):
            list(reader.iterate_messages(['/odd']))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: None, 'no such file or folder'),
        (lambda path: path.mkdir(), 'no metadata.yaml; give the folder'),
        (lambda path: path.write_bytes(b'x'), 'is no rosbag2 recording'),
    ],
)
def test_missing_bag_is_named(tmp_path, make, message):
    path = tmp_path / 'bag'
    make(path)
    with pytest.raises(UserError, match=message):
        bags.BagReader(path)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_bag_without_metadata_is_read_from_its_files(tmp_path, storage):
    write_labelled_bag(tmp_path / 'bag', storage=storage)
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert reader.storage_name == storage
        assert find_label_space(reader).name == 'cityscapes'
        assert len(list(reader.iterate_messages([IMAGE_TOPIC]))) == 3
        assert 'no metadata.yaml' in reader.damage


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('keep_share', [0.0, 0.3, 0.95])
def test_truncated_bag_is_an_error(tmp_path, storage, keep_share):
    write_labelled_bag(tmp_path / 'bag', storage=storage, frames=20)
    (file,) = (p for p in (tmp_path / 'bag').iterdir() if p.name != 'metadata.yaml')
    os.truncate(file, int(file.stat().st_size * keep_share))
    with pytest.raises(UserError, match='bag'), bags.BagReader(tmp_path / 'bag') as reader:
        list(reader.iterate_messages([IMAGE_TOPIC, LABEL_TOPIC]))


def test_damaged_metadata_is_an_error(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').write_text('rosbag2_bagfile_information: [1, 2')
    with pytest.raises(UserError, match='cannot read the bag'):
        bags.BagReader(tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').write_text('just text')
    with pytest.raises(UserError, match='cannot read the bag'):
        bags.BagReader(tmp_path / 'bag')


def test_missing_data_file_is_named(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    shutil.move(tmp_path / 'bag' / 'bag.mcap', tmp_path / 'elsewhere.mcap')
    with pytest.raises(UserError, match='bag.mcap'):
        bags.BagReader(tmp_path / 'bag')


def test_damaged_message_names_topic_and_type(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    with bags.BagReader(tmp_path / 'bag') as reader:
        raw = next(reader.iterate_raw_messages([IMAGE_TOPIC]))
        broken = bags.RawMessage(raw.topic, raw.type_name, raw.log_time_ns, raw.data[:40])
        with pytest.raises(UserError, match='/camera/image_raw at .* no valid sensor_msgs/msg/Im'):
            reader.decode(broken)


def test_stamp_of_either_byte_order():
    little = b'\x00\x01\x00\x00' + (7).to_bytes(4, 'little') + (9).to_bytes(4, 'little')
    big = b'\x00\x00\x00\x00' + (7).to_bytes(4, 'big') + (9).to_bytes(4, 'big')
    assert bags.read_header_stamp_ns(little) == bags.read_header_stamp_ns(big) == 7_000_000_009
    with pytest.raises(ValueError, match='too few'):
        bags.read_header_stamp_ns(little[:11])
