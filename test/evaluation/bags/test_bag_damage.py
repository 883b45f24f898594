# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Of damaged recordings all is read that can be, and the rest is told."""

import os
import sqlite3
import struct

import numpy as np
import pytest
from bag_variants import SUFFIXES, join_split, write_bag
from recordings import PERIOD_NS, START_NS, make_pixels, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import bag_reader as bags
from seg_perception.evaluation.bags.bag_messages import make_image, stamp_to_ns
from seg_perception.evaluation.bags.bag_topics import find_label_space
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.mcap_scan import McapScan
from seg_perception.evaluation.bags.sqlite_scan import SqliteScan
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC, IMAGE_TYPE
from seg_perception.evaluation.metrics.score import BagTruth


def find_storage_file(folder, storage):
    """Return the one storage file of a recording."""
    (file,) = folder.glob(f'*{SUFFIXES[storage]}*')
    return file


def read_numbers(path, **options):
    """Return the numbers of the images that come, each with its pixels checked, and damage."""
    numbers = []
    with bags.BagReader(path, tolerate_damage=True, **options) as reader:
        for item in reader.iterate_messages([IMAGE_TOPIC]):
            index = (stamp_to_ns(item.message.header.stamp) - START_NS) // PERIOD_NS
            assert np.array_equal(item.message.data, make_pixels(index, 400, 480).reshape(-1))
            numbers.append(index)
        return numbers, reader.damage


@pytest.mark.parametrize(
    ('storage', 'compression'),
    [('mcap', 'none'), ('mcap', 'zstd'), ('mcap', 'lz4'), ('sqlite3', 'none')],
)
@pytest.mark.parametrize('keep_share', [0.3, 0.6, 0.97])
def test_truncated_bag_is_read_up_to_the_damage(tmp_path, storage, compression, keep_share):
    write_bag(tmp_path / 'bag', storage, compression, frames=20)
    file = find_storage_file(tmp_path / 'bag', storage)
    os.truncate(file, int(file.stat().st_size * keep_share))
    numbers, damage = read_numbers(tmp_path / 'bag')
    assert numbers == list(range(len(numbers)))
    # a chunk holds two images, and what of a compressed one can be told from its part
    assert len(numbers) >= int(20 * keep_share) - 2
    assert len(numbers) < 20 or keep_share > 0.95
    assert file.name in damage
    with (
        pytest.raises(UserError, match=f'cannot read the bag|is damaged.*{file.name}'),
        bags.BagReader(tmp_path / 'bag') as reader,
    ):
        list(reader.iterate_raw_messages())


def test_truncated_bag_without_metadata_is_read(tmp_path):
    write_bag(tmp_path / 'bag', frames=10)
    file = find_storage_file(tmp_path / 'bag', 'mcap')
    os.truncate(file, file.stat().st_size // 2)
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    numbers, damage = read_numbers(tmp_path / 'bag')
    assert numbers == [0, 1, 2, 3, 4]
    assert 'no metadata.yaml' in damage
    assert 'middle of a chunk' in damage


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_empty_file_leaves_nothing_to_read(tmp_path, storage):
    write_bag(tmp_path / 'bag', storage)
    os.truncate(find_storage_file(tmp_path / 'bag', storage), 0)
    with pytest.raises(UserError, match='cannot read the bag'):
        bags.BagReader(tmp_path / 'bag', tolerate_damage=True)


def test_damaged_chunk_is_left_out_and_the_next_ones_read(tmp_path):
    write_bag(tmp_path / 'bag', compression='zstd', frames=20)
    file = find_storage_file(tmp_path / 'bag', 'mcap')
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    numbers, damage = read_numbers(tmp_path / 'bag')
    # two images to a chunk
    lost = sorted(set(range(20)) - set(numbers))
    assert lost == [lost[0], lost[0] + 1]
    assert 0 < lost[0] < 18
    assert numbers == sorted(set(numbers))
    assert 'is damaged and left out' in damage


def test_damaged_rows_end_or_are_skipped(tmp_path):
    write_bag(tmp_path / 'bag', storage='sqlite3', frames=20)
    file = find_storage_file(tmp_path / 'bag', 'sqlite3')
    data = bytearray(file.read_bytes())
    begin = len(data) // 2 // 4096 * 4096
    data[begin : begin + 4096] = b'\xff' * 4096
    file.write_bytes(data)
    with bags.BagReader(tmp_path / 'bag', tolerate_damage=True) as reader:
        count = sum(1 for _ in reader.iterate_raw_messages([IMAGE_TOPIC]))
        assert count >= 9
        assert count == 20 or reader.damage


def test_truncated_file_of_a_compressed_bag_is_read(tmp_path):
    write_bag(tmp_path / 'bag', compression='file', frames=20)
    file = find_storage_file(tmp_path / 'bag', 'mcap')
    os.truncate(file, file.stat().st_size // 2)
    numbers, damage = read_numbers(tmp_path / 'bag')
    assert len(numbers) >= 8
    assert numbers == list(range(len(numbers)))
    assert 'cut off or damaged' in damage


def test_damaged_compressed_message_is_left_out(tmp_path):
    write_bag(tmp_path / 'bag', storage='sqlite3', compression='message')
    database = sqlite3.connect(find_storage_file(tmp_path / 'bag', 'sqlite3'))
    database.execute('UPDATE messages SET data = substr(data, 1, 60) WHERE id = 3')
    database.commit()
    database.close()
    numbers, damage = read_numbers(tmp_path / 'bag')
    assert numbers == [0, 1, 3, 4, 5]
    assert damage == '1 compressed messages are damaged'
    with (
        bags.BagReader(tmp_path / 'bag') as reader,
        pytest.raises(UserError, match='image_raw cannot be decompressed'),
    ):
        list(reader.iterate_raw_messages())


def test_damaged_part_of_a_split_bag_leaves_the_others(tmp_path):
    join_split(tmp_path / 'bag', 3)
    os.truncate(tmp_path / 'bag' / 'bag_1.mcap', 1_300_000)
    numbers, damage = read_numbers(tmp_path / 'bag')
    assert numbers == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert damage.startswith('bag_1.mcap: it ends at byte 1300000')


def test_damaged_metadata_is_replaced_by_its_copy(tmp_path):
    write_bag(tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').write_text('rosbag2_bagfile_information: [1, 2')
    with bags.BagReader(tmp_path / 'bag', tolerate_damage=True) as reader:
        assert reader.count_messages(IMAGE_TOPIC) == 6
        assert find_label_space(reader).name == 'cityscapes'
        assert reader.damage.startswith('metadata.yaml is damaged')


def test_messages_left_in_the_log_of_a_crashed_recorder_are_read(tmp_path):
    write_bag(tmp_path / 'bag', storage='sqlite3')
    file = find_storage_file(tmp_path / 'bag', 'sqlite3')
    database = sqlite3.connect(file)
    database.execute('PRAGMA journal_mode = WAL')
    database.execute('PRAGMA wal_autocheckpoint = 0')
    database.execute(
        'INSERT INTO messages SELECT 7, topic_id, timestamp + 9, data FROM messages WHERE id = 6'
    )
    database.commit()
    # as after kill -9: copied while the log is still there
    for suffix in ('', '-wal'):
        source = file.with_name(file.name + suffix)
        (tmp_path / f'crashed.db3{suffix}').write_bytes(source.read_bytes())
    database.close()
    scan = SqliteScan(tmp_path / 'crashed.db3')
    assert [connection.msgcount for connection in scan.connections] == [7]
    scan.close()
    with bags.BagReader(tmp_path / 'crashed.db3') as reader:
        assert reader.count_messages(IMAGE_TOPIC) == 7


def test_scan_reads_mcap_files_without_chunks(tmp_path):
    def record(opcode, content):
        return struct.pack('<BQ', opcode, len(content)) + content

    def text(value):
        return struct.pack('<I', len(value)) + value

    parts = [b'\x89MCAP0\r\n', record(1, text(b'ros2') + text(b''))]
    schema = struct.pack('<H', 1) + text(b'a_msgs/msg/A') + text(b'odd') + text(b'')
    channel = struct.pack('<HH', 1, 1) + text(b'/a') + text(b'cdr') + text(b'')
    parts += [record(3, schema), record(4, channel)]
    for time_ns in (30, 10, 20):
        head = struct.pack('<HIQQ', 1, 0, time_ns, time_ns)
        parts.append(record(5, head + bytes([time_ns] * 9)))
    file = tmp_path / 'plain.mcap'
    file.write_bytes(b''.join(parts))
    scan = McapScan(file)
    found = [(time_ns, data[0]) for _, time_ns, data in scan.messages(scan.connections)]
    assert found == [(10, 10), (20, 20), (30, 30)]
    assert 'without its index' in scan.damage
    scan.close()


def test_truth_of_a_truncated_bag_is_found_up_to_the_damage(tmp_path):
    content = write_labelled_bag(tmp_path / 'bag', frames=20, height_px=200, width_px=300)
    file = find_storage_file(tmp_path / 'bag', 'mcap')
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(UserError, match='cannot read the bag'):
        BagTruth(tmp_path / 'bag')
    truth = BagTruth(tmp_path / 'bag', tolerate_damage=True)
    stamps = list(content)
    assert np.array_equal(truth.read(stamps[3]), content[stamps[3]][1])
    assert truth.read(stamps[-1]) is None
    assert 8 <= len(truth) <= 11
    truth.close()


def test_images_with_stamps_out_of_order_stay_in_log_order(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        for number, index in enumerate((0, 2, 1)):
            image = make_image(make_pixels(), 'rgb8', START_NS + index, 'c')
            writer.write(IMAGE_TOPIC, image, START_NS + number * PERIOD_NS)
    with bags.BagReader(tmp_path / 'bag') as reader:
        raws = list(reader.iterate_raw_messages([IMAGE_TOPIC]))
    assert [bags.read_header_stamp_ns(raw.data) - START_NS for raw in raws] == [0, 2, 1]
