# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings as the recorders of different ROS distributions leave them, for the tests here."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import lz4.frame
import yaml
from recordings import PERIOD_NS, START_NS, make_pixels
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from seg_perception.evaluation.bags.bag_messages import make_compressed_image, make_image
from seg_perception.evaluation.bags.recording import encode_jpeg
from seg_perception.evaluation.bags.topics import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
)

PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
SUFFIXES = {'mcap': '.mcap', 'sqlite3': '.db3'}


def write_bag(
    path,
    storage='mcap',
    compression='none',
    distribution='jazzy',
    frames=6,
    first=0,
    compressed_images=False,
):
    """Write `frames` images from number `first` on; returns their stamps."""
    version = 9 if distribution in ('jazzy', 'kilted') else 8
    store = get_typestore(Stores(f'ros2_{distribution}'))
    type_name = COMPRESSED_IMAGE_TYPE if compressed_images else IMAGE_TYPE
    writer = Writer(path, version=version, storage_plugin=PLUGINS[storage])
    modes = {'file': CompressionMode.FILE, 'message': CompressionMode.MESSAGE}
    if compression in modes:
        writer.set_compression(modes[compression], CompressionFormat.ZSTD)
    elif compression == 'zstd':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    writer.set_custom_data(LABEL_SPACE_KEY, 'cityscapes')
    with writer:
        if compression == 'lz4':
            # rosbags writes no lz4; rosbag2 does with its storage preset fastwrite and others
            writer.storage.compression = 'lz4'
            writer.storage.compressor = lz4.frame.compress
        connection = writer.add_connection(IMAGE_TOPIC, type_name, typestore=store)
        stamps = []
        for index in range(first, first + frames):
            stamp_ns = START_NS + index * PERIOD_NS
            # 576 kB each: a chunk of mcap (1 MiB) is full after two
            pixels = make_pixels(index, 400, 480)
            if compressed_images:
                encoded = encode_jpeg(pixels, 90)
                message = make_compressed_image(encoded, 'jpeg', stamp_ns, 'c')
            else:
                message = make_image(pixels, 'rgb8', stamp_ns, 'c')
            writer.write(connection, stamp_ns, store.serialize_cdr(message, type_name))
            stamps.append(stamp_ns)
    if distribution == 'humble':
        make_humble(path)
    return stamps


def make_humble(path):
    """Turn a bag of metadata version 8 into what Humble's recorder writes."""
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    information = content['rosbag2_bagfile_information']
    information['version'] = 5
    for key in ('custom_data', 'ros_distro'):
        del information[key]
    for entry in information['topics_with_message_count']:
        del entry['topic_metadata']['type_description_hash']
    file.write_text(yaml.safe_dump(content))
    for database_file in path.glob('*.db3'):
        database = sqlite3.connect(database_file)
        database.executescript(
            'DROP TABLE message_definitions; DROP TABLE metadata;'
            'ALTER TABLE topics DROP COLUMN type_description_hash;'
            'UPDATE schema SET schema_version = 3;'
        )
        database.close()


def join_split(path, parts, storage='mcap', shuffle=False):
    """Write one split recording of several parts; returns their stamps."""
    path.mkdir()
    information, stamps = None, []
    for number in range(parts):
        part = path.parent / f'{path.name}_part_{number}'
        stamps += write_bag(part, storage=storage, frames=4, first=4 * number)
        suffix = SUFFIXES[storage]
        (part / f'{part.name}{suffix}').rename(path / f'{path.name}_{number}{suffix}')
        loaded = yaml.safe_load((part / 'metadata.yaml').read_text())
        information = information or loaded
    names = [f'{path.name}_{number}{SUFFIXES[storage]}' for number in range(parts)]
    if shuffle:
        names.reverse()
    information['rosbag2_bagfile_information']['relative_file_paths'] = names
    (path / 'metadata.yaml').write_text(yaml.safe_dump(information))
    return stamps


def run_in_process(code, *arguments):
    """Run Python code in a process of its own; returns what it prints."""
    command = [sys.executable, '-c', code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
