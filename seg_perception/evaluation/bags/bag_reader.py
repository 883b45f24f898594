# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading rosbag2 recordings, whatever is in them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_files import (
    STORAGE_SUFFIXES,
    ZSTD_MAGIC,
    check_readable,
    describe,
    open_bag_files,
    zstd,
)
from seg_perception.evaluation.bags.bag_messages import NANOSECONDS_PER_SECOND
from seg_perception.evaluation.bags.bag_types import MessageTypes
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE


@dataclass(frozen=True)
class RawMessage:
    """One message as recorded: `data` is CDR, which rclpy publishes and rosbags decodes."""

    topic: str
    type_name: str
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class BagMessage:
    """One decoded message; `message` is a rosbags object with the fields of its ROS type."""

    topic: str
    type_name: str
    log_time_ns: int
    message: Any


@dataclass(frozen=True)
class Topic:
    """A topic of a recording."""

    name: str
    type_name: str
    message_count: int


class BagReader:
    """Context manager that reads one rosbag2 recording (mcap or sqlite3).

    Split recordings, zstd compression of files and messages, zstd and lz4 compression of mcap
    chunks are read. Files compressed as a whole are decompressed into a temporary folder first.
    Message types are taken from the recording's own definitions when it has them, and only for
    the topics that are decoded: types unknown here do no harm.

    Args:
        path: Folder of the recording, or a single .mcap or .db3 file.
        tolerate_damage: Read what can be read of a damaged recording and tell of the rest in
            `damage`, instead of raising UserError.

    Raises:
        UserError: The recording is missing or of an unknown kind; damaged, when damage is not
            tolerated; or nothing of it can be read.
    """

    def __init__(self, path: str | Path, tolerate_damage: bool = False) -> None:
        self.path = Path(path)
        check_readable(self.path)
        self._files = open_bag_files(self.path, tolerate_damage)
        connections = [connection for _, connection in self._files.find_connections()]
        self._types = MessageTypes(connections, self._files.metadata)
        self._lost_messages = 0
        # by topic its types in the order of recording, images before others
        self._type_names: dict[str, list[str]] = {}
        for connection in connections:
            names = self._type_names.setdefault(connection.topic, [])
            if connection.msgtype not in names:
                names.append(connection.msgtype)
        for names in self._type_names.values():
            names.sort(key=lambda name: name not in (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE))

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the recording's files."""
        self._files.close()

    @property
    def damage(self) -> str:
        """What is wrong with the recording, as far as it was read; '' when nothing is.

        A missing metadata.yaml and topics of several types are named here too. Ask after
        reading: damage inside of files shows only then.
        """
        faults = self._files.list_faults()
        for topic, names in self._type_names.items():
            if len(names) > 1:
                faults.append(
                    f'topic {topic} has {len(names)} types ({", ".join(names)}); the messages '
                    f'of {names[0]} are used'
                )
        if self._lost_messages:
            faults.append(f'{self._lost_messages} compressed messages are damaged')
        return '; '.join(faults)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """All topics, by name; a topic of several types has one entry for each."""
        counts: dict[tuple[str, str], int] = {}
        for _, connection in self._files.find_connections():
            key = (connection.topic, connection.msgtype)
            counts[key] = counts.get(key, 0) + connection.msgcount
        return tuple(Topic(name, type_, count) for (name, type_), count in sorted(counts.items()))

    @property
    def connections(self) -> tuple[Any, ...]:
        """The rosbags connections (topic, type, quality of service) of the recording."""
        return tuple(connection for _, connection in self._files.find_connections())

    @property
    def types(self) -> MessageTypes:
        """The message types of the recording."""
        return self._types

    @property
    def custom_data(self) -> dict[str, str]:
        """The `custom_data` of metadata.yaml, or of its copy in the files when it is missing."""
        return dict(self._files.metadata.get('custom_data') or {})

    @property
    def start_ns(self) -> int:
        """Log time of the first message; 0 without messages."""
        return min((f.reader.start_time for f in self._filled_files()), default=0)

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last message."""
        # rosbags counts to one nanosecond past the last message
        end_ns = max((f.reader.end_time - 1 for f in self._filled_files()), default=0)
        return max(0, end_ns - self.start_ns)

    @property
    def storage_name(self) -> str:
        """Name of the storage plugin that wrote the recording."""
        return STORAGE_SUFFIXES[self._files.files[0].path.suffix]

    def get_type_name(self, topic: str) -> str:
        """Return the type of a topic's messages, '' when it is not in the recording.

        Of several types it is the first recorded, or the first image type.
        """
        return self._type_names.get(topic, [''])[0]

    def count_messages(self, topic: str) -> int:
        """Return the number of messages of a topic; 0 when it is not in the recording."""
        type_name = self.get_type_name(topic)
        return sum(
            entry.message_count
            for entry in self.topics
            if (entry.name, entry.type_name) == (topic, type_name)
        )

    def iterate_raw_messages(
        self,
        topics: Iterable[str] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[RawMessage]:
        """Yield undecoded messages in the order of their log times.

        Args:
            topics: Names to yield, of a topic with several types only `get_type_name`; None for
                all topics and types.
            start_ns: First log time to yield.
            stop_ns: First log time not to yield any more.

        Raises:
            UserError: The recording is damaged and damage is not tolerated.
        """
        if topics is None:
            wanted = {(topic.name, topic.type_name) for topic in self.topics}
        else:
            wanted = {(name, self.get_type_name(name)) for name in topics}
        for connection, log_time_ns, data in self._files.iterate(wanted, start_ns, stop_ns):
            if data[:4] == ZSTD_MAGIC:
                try:
                    data = zstd.decompress(data)
                except zstd.ZstdError as error:
                    if not self._files.tolerate_damage:
                        raise UserError(
                            f'the bag {self.path} is damaged: a message of {connection.topic} '
                            f'cannot be decompressed: {describe(error)}'
                        ) from error
                    self._lost_messages += 1
                    continue
            yield RawMessage(connection.topic, connection.msgtype, log_time_ns, data)

    def iterate_messages(
        self,
        topics: Iterable[str],
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """Yield decoded messages in the order of their log times.

        Raises:
            UserError: The recording is damaged, or a type cannot be decoded.
        """
        for raw in self.iterate_raw_messages(topics, start_ns, stop_ns):
            yield BagMessage(raw.topic, raw.type_name, raw.log_time_ns, self.decode(raw))

    def decode(self, raw: RawMessage) -> Any:
        """Decode one message to a rosbags object.

        Raises:
            UserError: Its type has no usable definition, or its bytes are damaged.
        """
        try:
            return self._types.decode(raw.type_name, raw.data)
        except ValueError as error:
            raise UserError(
                f'a message of {raw.topic} at {raw.log_time_ns} ns is {error}'
            ) from error

    def has_header(self, type_name: str) -> bool:
        """Tell whether messages of a type begin with a std_msgs/Header."""
        try:
            _, fields = self._types.get_store(type_name).fielddefs[type_name]
        except UserError:
            return False
        return bool(fields) and fields[0][1][1] == 'std_msgs/msg/Header'

    def _filled_files(self) -> list[Any]:
        return [f for f in self._files.files if f.reader.end_time > f.reader.start_time]


def read_header_stamp_ns(cdr: bytes | bytearray | memoryview) -> int:
    """Return the stamp of a message that begins with a std_msgs/Header, from its CDR bytes.

    The four bytes before it are the encapsulation; its second tells the byte order.

    Raises:
        ValueError: Fewer than 12 bytes.
    """
    if len(cdr) < 12:
        raise ValueError(f'{len(cdr)} bytes are too few for a message with a header')
    seconds, nanoseconds = struct.unpack_from('<iI' if cdr[1] & 1 else '>iI', cdr, 4)
    return seconds * NANOSECONDS_PER_SECOND + nanoseconds
