# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a recording holds: topics, rates, picture sizes, and whether its stamps are in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_files import is_storage_file
from seg_perception.evaluation.bags.bag_reader import BagReader, Topic, read_header_stamp_ns
from seg_perception.evaluation.bags.topics import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    MASK_MODEL_KEY,
    MASK_SPACE_KEY,
    MASK_TOPIC_KEY,
    SOURCE_KEY,
)
from seg_perception.evaluation.reports.tables import format_summary_table, format_table

OCCUPANCY_GRID_TYPE = 'nav_msgs/msg/OccupancyGrid'


@dataclass(frozen=True)
class TopicInfo:
    """One topic.

    Attributes:
        name: Topic name.
        type_name: Message type.
        message_count: Number of messages.
        rate_hz: Median rate by header stamp, else by log time; None with fewer than two.
        content: Size and format of the first picture or grid; '' for other types.
        stamp_faults: What is wrong with the header stamps; '' when in order or without header.
    """

    name: str
    type_name: str
    message_count: int
    rate_hz: float | None
    content: str
    stamp_faults: str


@dataclass(frozen=True)
class BagInfo:
    """A recording as `seg_perception bag info` shows it.

    Attributes:
        path: Folder or file.
        storage_name: mcap or sqlite3.
        duration_s: From the first to the last message.
        size_bytes: Of all its files.
        file_count: Number of its storage files.
        label_space: Name of the labels' space; '' when not recorded.
        masks: Topic, label space and model of masks that `bag label` wrote; '' without.
        source: What it was made from; '' when not recorded.
        damage: What is wrong with it; '' when nothing is.
        topics: Its topics.
    """

    path: Path
    storage_name: str
    duration_s: float
    size_bytes: int
    file_count: int
    label_space: str
    masks: str
    source: str
    damage: str
    topics: tuple[TopicInfo, ...]


def inspect_bag(path: str | Path) -> BagInfo:
    """Read through a recording and describe it; of a damaged one, what can be read.

    Raises:
        UserError: The recording is missing, or nothing of it can be read.
    """
    with BagReader(path, tolerate_damage=True) as reader:
        stamps = collect_stamps(reader)
        topics = tuple(
            inspect_topic(reader, topic, *stamps[topic.name, topic.type_name])
            for topic in reader.topics
        )
        custom_data = reader.custom_data
        files = [reader.path] if reader.path.is_file() else list(reader.path.iterdir())
        return BagInfo(
            path=reader.path,
            storage_name=reader.storage_name,
            duration_s=reader.duration_ns * 1e-9,
            size_bytes=sum(file.stat().st_size for file in files if file.is_file()),
            file_count=sum(is_storage_file(file) for file in files),
            label_space=custom_data.get(LABEL_SPACE_KEY, ''),
            masks=', '.join(
                custom_data[key]
                for key in (MASK_TOPIC_KEY, MASK_SPACE_KEY, MASK_MODEL_KEY)
                if custom_data.get(key)
            ),
            source=custom_data.get(SOURCE_KEY, ''),
            damage=reader.damage,
            topics=topics,
        )


def collect_stamps(reader: BagReader) -> dict[tuple[str, str], tuple[list[int], list[int]]]:
    """Return by topic and type (log times, header stamps) in ns; no stamps without header."""
    names = [(topic.name, topic.type_name) for topic in reader.topics]
    stamps: dict[tuple[str, str], tuple[list[int], list[int]]] = {key: ([], []) for key in names}
    with_header = {key: reader.has_header(key[1]) for key in names}
    for raw in reader.iterate_raw_messages():
        key = (raw.topic, raw.type_name)
        log_times_ns, header_stamps_ns = stamps[key]
        log_times_ns.append(raw.log_time_ns)
        if with_header[key] and len(raw.data) >= 12:
            header_stamps_ns.append(read_header_stamp_ns(raw.data))
    return stamps


def inspect_topic(
    reader: BagReader, topic: Topic, log_times_ns: list[int], header_stamps_ns: list[int]
) -> TopicInfo:
    """Describe one topic from its times and its first message."""
    times_ns = np.sort(np.array(header_stamps_ns or log_times_ns, dtype=np.int64))
    periods_ns = np.diff(times_ns)
    periods_ns = periods_ns[periods_ns > 0]
    return TopicInfo(
        name=topic.name,
        type_name=topic.type_name,
        message_count=topic.message_count,
        rate_hz=float(1e9 / np.median(periods_ns)) if periods_ns.size else None,
        content=describe_content(reader, topic),
        stamp_faults=describe_stamp_faults(header_stamps_ns),
    )


def describe_stamp_faults(stamps_ns: list[int]) -> str:
    """Return which header stamps are zero, repeated or go back; '' when all is in order."""
    stamps = np.array(stamps_ns, dtype=np.int64)
    steps_ns = np.diff(stamps)
    faults = [
        (int((stamps == 0).sum()), 'zero'),
        (int((steps_ns == 0).sum()), 'repeated'),
        (int((steps_ns < 0).sum()), 'going back'),
    ]
    return ', '.join(f'{count} {name}' for count, name in faults if count)


def describe_content(reader: BagReader, topic: Topic) -> str:
    """Return size and format of the first picture or grid of a topic, '' for other types."""
    describers = {
        IMAGE_TYPE: describe_image,
        COMPRESSED_IMAGE_TYPE: describe_compressed_image,
        OCCUPANCY_GRID_TYPE: describe_grid,
    }
    if topic.type_name not in describers or topic.type_name != reader.get_type_name(topic.name):
        return ''
    try:
        first = next(reader.iterate_messages([topic.name]), None)
    except UserError as error:
        return str(error)
    return '' if first is None else describers[topic.type_name](first.message)


def describe_image(message: Any) -> str:
    """Return height x width and encoding of a sensor_msgs/Image."""
    return f'{message.height}x{message.width} {message.encoding}'


def describe_compressed_image(message: Any) -> str:
    """Return height x width and format of a sensor_msgs/CompressedImage."""
    data = np.asarray(message.data, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        return f'not decodable: {message.format}'
    return f'{image.shape[0]}x{image.shape[1]} {message.format}'


def describe_grid(message: Any) -> str:
    """Return rows x columns and cell size of a nav_msgs/OccupancyGrid."""
    return f'{message.info.height}x{message.info.width} cells of {message.info.resolution:g} m'


def format_bag_info(info: BagInfo) -> str:
    """Return the text of `seg_perception bag info`."""
    files = 'one file' if info.file_count == 1 else f'{info.file_count} files'
    optional = {'masks': info.masks, 'damage': info.damage}
    head = format_summary_table(
        str(info.path),
        {
            'storage': f'{info.storage_name}, {files}, {info.size_bytes / 1e6:.1f} MB',
            'duration': f'{info.duration_s:.3f} s',
            'source': info.source or '-',
            'label space': info.label_space or '-',
            **{name: text for name, text in optional.items() if text},
        },
    )
    rows = [
        (
            topic.name,
            topic.type_name,
            str(topic.message_count),
            '-' if topic.rate_hz is None else f'{topic.rate_hz:.2f}',
            topic.stamp_faults or 'in order',
            topic.content,
        )
        for topic in info.topics
    ]
    headers = ('topic', 'type', 'messages', 'Hz', 'stamps', 'content')
    return head + '\n' + format_table(rows, headers, 'llrrll')
