# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings of every storage, compression and distribution give the same messages."""

import shutil

import numpy as np
import pytest
import yaml
from bag_variants import SUFFIXES, join_split, run_in_process, write_bag
from recordings import PERIOD_NS, START_NS, make_pixels
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import bag_reader as bags
from seg_perception.evaluation.bags.bag_messages import (
    get_message_store,
    get_message_type,
    make_image,
    stamp_to_ns,
)
from seg_perception.evaluation.bags.bag_topics import find_image_topic, find_label_space
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC, IMAGE_TYPE

VARIANTS = [
    ('mcap', 'none'),
    ('mcap', 'zstd'),
    ('mcap', 'lz4'),
    ('mcap', 'file'),
    ('mcap', 'message'),
    ('sqlite3', 'none'),
    ('sqlite3', 'file'),
    ('sqlite3', 'message'),
]


def check_images(reader, stamps):
    """Check that the images of these stamps come, in order, with their pixels."""
    found = []
    for item in reader.iterate_messages([IMAGE_TOPIC]):
        stamp_ns = stamp_to_ns(item.message.header.stamp)
        index = (stamp_ns - START_NS) // PERIOD_NS
        pixels = make_pixels(index, 400, 480)
        assert np.array_equal(item.message.data, pixels.reshape(-1))
        found.append(stamp_ns)
    assert found == list(stamps)


@pytest.mark.parametrize('distribution', ['humble', 'jazzy', 'kilted'])
@pytest.mark.parametrize(('storage', 'compression'), VARIANTS)
def test_every_compression_of_every_distribution_is_read(
    tmp_path, storage, compression, distribution
):
    stamps = write_bag(tmp_path / 'bag', storage, compression, distribution)
    if compression == 'lz4':
        assert b'lz4' in (tmp_path / 'bag' / 'bag.mcap').read_bytes()[-2000:]
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert reader.storage_name == storage
        assert reader.count_messages(IMAGE_TOPIC) == 6
        assert reader.duration_ns == 5 * PERIOD_NS
        check_images(reader, stamps)
        assert reader.damage == ''


@pytest.mark.parametrize('distribution', ['humble', 'kilted'])
def test_compressed_images_are_read(tmp_path, distribution):
    stamps = write_bag(tmp_path / 'bag', distribution=distribution, compressed_images=True)
    with bags.BagReader(tmp_path / 'bag') as reader:
        messages = [item.message for item in reader.iterate_messages([IMAGE_TOPIC])]
    assert [stamp_to_ns(message.header.stamp) for message in messages] == stamps
    assert all(bytes(message.data[:3]) == b'\xff\xd8\xff' for message in messages)


@pytest.mark.parametrize(('storage', 'compression'), VARIANTS)
def test_single_files_are_read_without_metadata(tmp_path, storage, compression):
    stamps = write_bag(tmp_path / 'bag', storage, compression)
    (file,) = (tmp_path / 'bag').glob(f'*{SUFFIXES[storage]}*')
    alone = tmp_path / file.name
    shutil.copy(file, alone)
    with bags.BagReader(alone) as reader:
        check_images(reader, stamps)
        assert find_label_space(reader).name == 'cityscapes'
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    with bags.BagReader(tmp_path / 'bag') as reader:
        check_images(reader, stamps)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('shuffle', [False, True])
def test_split_recording_is_one_in_the_order_of_time(tmp_path, storage, shuffle):
    stamps = join_split(tmp_path / 'bag', 3, storage, shuffle)
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert reader.count_messages(IMAGE_TOPIC) == 12
        assert reader.duration_ns == 11 * PERIOD_NS
        check_images(reader, stamps)
        within = reader.iterate_raw_messages([IMAGE_TOPIC], stamps[3], stamps[9])
        assert [raw.log_time_ns for raw in within] == stamps[3:9]
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    with bags.BagReader(tmp_path / 'bag') as reader:
        check_images(reader, stamps)


def test_missing_part_of_a_split_recording_is_named(tmp_path):
    stamps = join_split(tmp_path / 'bag', 3)
    (tmp_path / 'bag' / 'bag_1.mcap').unlink()
    with pytest.raises(UserError, match='names bag_1.mcap, which is missing'):
        bags.BagReader(tmp_path / 'bag')
    with bags.BagReader(tmp_path / 'bag', tolerate_damage=True) as reader:
        check_images(reader, stamps[:4] + stamps[8:])
        assert reader.damage == 'bag_1.mcap is missing'


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_recorded_out_of_order_come_by_log_time(tmp_path, storage):
    with BagWriter(tmp_path / 'bag', storage=storage) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        for index in (0, 3, 1, 2, 5, 4):
            time_ns = START_NS + index * PERIOD_NS
            image = make_image(make_pixels(index, 400, 480), 'rgb8', time_ns, 'c')
            writer.write(IMAGE_TOPIC, image, time_ns)
    with bags.BagReader(tmp_path / 'bag') as reader:
        check_images(reader, [START_NS + index * PERIOD_NS for index in range(6)])


def test_other_compression_of_files_says_what_to_do(tmp_path):
    write_bag(tmp_path / 'bag', compression='message')
    file = tmp_path / 'bag' / 'metadata.yaml'
    text = file.read_text()
    file.write_text(text.replace('compression_format: zstd', 'compression_format: lz4'))
    with pytest.raises(UserError, match="compressed with 'lz4', expected zstd.*bag convert"):
        bags.BagReader(tmp_path / 'bag')


def test_unknown_storage_says_what_to_do(tmp_path):
    write_bag(tmp_path / 'bag')
    file = tmp_path / 'bag' / 'metadata.yaml'
    file.write_text(file.read_text().replace('identifier: mcap', 'identifier: rosbag_v2'))
    with pytest.raises(UserError, match="its storage is 'rosbag_v2', expected mcap or sqlite3"):
        bags.BagReader(tmp_path / 'bag')


def test_newer_metadata_version_is_read(tmp_path):
    stamps = write_bag(tmp_path / 'bag')
    file = tmp_path / 'bag' / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    content['rosbag2_bagfile_information']['version'] = 11
    file.write_text(yaml.safe_dump(content))
    with bags.BagReader(tmp_path / 'bag') as reader:
        check_images(reader, stamps)


def test_unknown_definition_format_of_another_topic_does_no_harm(tmp_path):
    stamps = write_bag(tmp_path / 'bag')
    file = tmp_path / 'bag' / 'bag.mcap'
    # rosbags stops at a format that it does not know; the type itself is known here
    data = file.read_bytes()
    assert data.count(b'ros2msg') == 2
    file.write_bytes(data.replace(b'ros2msg', b'ros9msg'))
    with bags.BagReader(tmp_path / 'bag') as reader:
        check_images(reader, stamps)
        assert reader.damage == ''


def test_camera_is_found_behind_damaged_messages(tmp_path):
    store = get_message_store()
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection(IMAGE_TOPIC, IMAGE_TYPE, typestore=store)
        data = store.serialize_cdr(make_image(make_pixels(), 'rgb8', START_NS, 'c'), IMAGE_TYPE)
        writer.write(images, START_NS, bytes(data)[:40])
        writer.write(images, START_NS + 1, data)
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert find_image_topic(reader) == IMAGE_TOPIC


def test_topic_of_two_types_is_named_and_its_images_used(tmp_path):
    store = get_message_store()
    text_type = 'std_msgs/msg/String'
    text = store.serialize_cdr(get_message_type(text_type)(data='hello, world'), text_type)
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        texts = writer.add_connection(IMAGE_TOPIC, text_type, typestore=store)
        images = writer.add_connection(IMAGE_TOPIC, IMAGE_TYPE, typestore=store)
        for index in range(3):
            time_ns = START_NS + index * PERIOD_NS
            writer.write(texts, time_ns, text)
            message = make_image(make_pixels(index, 400, 480), 'rgb8', time_ns, 'c')
            writer.write(images, time_ns, store.serialize_cdr(message, IMAGE_TYPE))
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert find_image_topic(reader) == IMAGE_TOPIC
        assert reader.get_type_name(IMAGE_TOPIC) == IMAGE_TYPE
        assert reader.count_messages(IMAGE_TOPIC) == 3
        check_images(reader, [START_NS + index * PERIOD_NS for index in range(3)])
        assert f'topic {IMAGE_TOPIC} has 2 types' in reader.damage
        assert f'the messages of {IMAGE_TYPE} are used' in reader.damage
        assert len(list(reader.iterate_raw_messages())) == 6


def test_unpacked_copies_of_compressed_files_are_removed(tmp_path):
    write_bag(tmp_path / 'bag', compression='file')
    code = (
        'import os, sys, tempfile\n'
        'tempfile.tempdir = sys.argv[2]\n'
        'from seg_perception.evaluation.bags.bag_reader import BagReader\n'
        'with BagReader(sys.argv[1]):\n'
        '    print(len(os.listdir(sys.argv[2])))\n'
        'print(len(os.listdir(sys.argv[2])))\n'
    )
    (tmp_path / 'temporary').mkdir()
    assert run_in_process(code, tmp_path / 'bag', tmp_path / 'temporary').split() == ['1', '0']
