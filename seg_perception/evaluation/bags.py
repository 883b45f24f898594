# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading rosbag2 recordings: a camera, its labels, and whatever else is in them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.serde import SerdeError
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)

from seg_perception.errors import UserError
from seg_perception.evaluation.bag_messages import NANOSECONDS_PER_SECOND, get_message_store
from seg_perception.evaluation.topics import (
    COMPRESSED_IMAGE_TYPE,
    GROUND_TRUTH_NAMESPACE,
    IMAGE_TYPE,
    LABEL_SPACE_JSON_KEY,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
)
from seg_perception.perception.labels import LabelSpace, load_label_space

# Pixel formats that come from a camera's light, as opposed to depth, ids or masks with a dtype
_CAMERA_ENCODING_PREFIXES = ('rgb', 'bgr', 'mono', 'bayer', 'yuv', 'yuyv', 'uyvy', 'nv', '8UC')


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

    Message types are taken from the recording's own definitions when it has them, and only for
    the topics that are decoded: types unknown here do no harm.

    Args:
        path: Folder with a metadata.yaml, or a single .mcap or .db3 file.

    Raises:
        UserError: The recording is missing, damaged, or of an unknown kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_readable(self.path)
        self._stores: dict[str, Any] = {}
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        # A damaged file surfaces in rosbags as anything from ReaderError to struct.error,
        # IndexError or sqlite3.DatabaseError; each means the same to the user.
        except Exception as error:
            raise UserError(f'cannot read the bag {self.path}: {describe(error)}') from error

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
        if self._reader.is_open:
            self._reader.close()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """All topics, by name."""
        counts: dict[tuple[str, str], int] = {}
        for connection in self._reader.connections:
            key = (connection.topic, connection.msgtype)
            counts[key] = counts.get(key, 0) + connection.msgcount
        return tuple(Topic(name, type_, count) for (name, type_), count in sorted(counts.items()))

    @property
    def custom_data(self) -> dict[str, str]:
        """The `custom_data` of metadata.yaml (empty for a single file)."""
        return dict(self._reader.storage.metadata.custom or {})

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last message."""
        # rosbags counts to one nanosecond past the last message
        return max(0, self._reader.duration - 1)

    @property
    def storage_name(self) -> str:
        """Name of the storage plugin that wrote the recording."""
        files = [self.path] if self.path.is_file() else list(self.path.iterdir())
        return 'sqlite3' if any('.db3' in file.name for file in files) else 'mcap'

    def count_messages(self, topic: str) -> int:
        """Return the number of messages of a topic; 0 when it is not in the recording."""
        return sum(entry.message_count for entry in self.topics if entry.name == topic)

    def iterate_raw_messages(
        self,
        topics: Iterable[str] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[RawMessage]:
        """Yield undecoded messages in the order of their log times.

        Args:
            topics: Names to yield; None for all.
            start_ns: First log time to yield.
            stop_ns: First log time not to yield any more.

        Raises:
            UserError: The recording is damaged.
        """
        wanted = None if topics is None else set(topics)
        connections = [c for c in self._reader.connections if wanted is None or c.topic in wanted]
        if not connections:
            return
        try:
            for connection, log_time_ns, data in self._reader.messages(
                connections, start_ns, stop_ns
            ):
                yield RawMessage(connection.topic, connection.msgtype, log_time_ns, data)
        except GeneratorExit:
            raise
        except Exception as error:
            raise UserError(f'the bag {self.path} is damaged: {describe(error)}') from error

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
        store = self._get_store(raw.type_name)
        try:
            return store.deserialize_cdr(raw.data, raw.type_name)
        except (SerdeError, ValueError, IndexError, struct.error, AssertionError) as error:
            raise UserError(
                f'a message of {raw.topic} at {raw.log_time_ns} ns is no valid {raw.type_name}: '
                f'{describe(error)}'
            ) from error

    def has_header(self, type_name: str) -> bool:
        """Tell whether messages of a type begin with a std_msgs/Header."""
        try:
            _, fields = self._get_store(type_name).fielddefs[type_name]
        except UserError:
            return False
        return bool(fields) and fields[0][1][1] == 'std_msgs/msg/Header'

    def _get_store(self, type_name: str) -> Any:
        """Return the type store that decodes a type: the recording's definition first."""
        if type_name not in self._stores:
            self._stores[type_name] = self._build_store(type_name)
        return self._stores[type_name]

    def _build_store(self, type_name: str) -> Any:
        definition = next(
            (c.msgdef for c in self._reader.connections if c.msgtype == type_name), None
        )
        reason = 'the recording has no definition of it'
        if definition is not None and definition.format != MessageDefinitionFormat.NONE:
            try:
                return build_store_from_definition(type_name, definition)
            # the parser of definitions raises whatever its input leads it to
            except Exception as error:
                reason = f'its definition in the recording is not readable ({describe(error)})'
        if type_name in get_message_store().fielddefs:
            return get_message_store()
        raise UserError(f'cannot decode messages of type {type_name}: {reason}')


def build_store_from_definition(type_name: str, definition: Any) -> Any:
    """Build a type store from the message definition text of a recording.

    Raises:
        TypesysError: The text does not define the type.
    """
    store = get_typestore(Stores.EMPTY)
    if definition.format == MessageDefinitionFormat.MSG:
        store.register(get_types_from_msg(definition.data, type_name))
    else:
        separator = '=' * 80 + '\nIDL: '
        for part in definition.data.split(separator):
            text = part.split('\n', 1)[1] if separator in definition.data and part else part
            if text.strip():
                store.register(get_types_from_idl(text))
    if type_name not in store.fielddefs:
        raise TypesysError(f'no {type_name} in its own definition')
    return store


def check_readable(path: Path) -> None:
    """Raise UserError when a path cannot be a recording; says what is there instead."""
    if not path.exists():
        raise UserError(f'no bag at {path}: no such file or folder')
    if path.is_dir() and not (path / 'metadata.yaml').is_file():
        files = sorted(p.name for p in path.iterdir() if p.suffix in ('.mcap', '.db3'))
        hint = (
            f'it was not closed properly: run `ros2 bag reindex {path}` or give {path / files[0]}'
            if files
            else 'give the folder that `ros2 bag record` made'
        )
        raise UserError(f'{path} has no metadata.yaml; {hint}')
    if path.is_file() and path.suffix not in ('.mcap', '.db3'):
        raise UserError(
            f'{path} is no rosbag2 recording: expected a folder with metadata.yaml, or a file '
            'that ends in .mcap or .db3'
        )


def describe(error: BaseException) -> str:
    """Return an error's text, with its kind where the text alone says little."""
    text = str(error).strip()
    return text if len(text) > 12 and ' ' in text else f'{type(error).__name__} {text}'.strip()


def read_header_stamp_ns(cdr: bytes) -> int:
    """Return the stamp of a message that begins with a std_msgs/Header, from its CDR bytes.

    The four bytes before it are the encapsulation; its second tells the byte order.

    Raises:
        ValueError: Fewer than 12 bytes.
    """
    if len(cdr) < 12:
        raise ValueError(f'{len(cdr)} bytes are too few for a message with a header')
    seconds, nanoseconds = struct.unpack_from('<iI' if cdr[1] & 1 else '>iI', cdr, 4)
    return seconds * NANOSECONDS_PER_SECOND + nanoseconds


def find_image_topic(reader: BagReader, requested: str = '') -> str:
    """Return the topic of the camera: the one asked for, or the only one there is.

    Depth, id and label images are no candidates; of a raw topic and its own compressed copy the
    raw one is taken.

    Raises:
        UserError: None or several candidates, or the one asked for is no image.
    """
    images = {
        topic.name: topic
        for topic in reader.topics
        if topic.type_name in (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
    }
    if requested:
        if requested not in images:
            raise UserError(
                f'{reader.path} has no image topic {requested}; its image topics: '
                f'{format_names(images)}'
            )
        return requested
    candidates = [
        name
        for name, topic in images.items()
        if topic.message_count
        and not name.startswith(GROUND_TRUTH_NAMESPACE)
        and is_camera_topic(reader, topic)
    ]
    candidates = [name for name in candidates if name.rpartition('/')[0] not in candidates]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UserError(
            f'no camera images in {reader.path}; its topics: '
            f'{format_names(topic.name for topic in reader.topics)}'
        )
    raise UserError(
        f'{reader.path} has several cameras; choose one with --image-topic: '
        f'{format_names(candidates)}'
    )


def is_camera_topic(reader: BagReader, topic: Topic) -> bool:
    """Tell from its first message whether an image topic carries colour or grey pictures."""
    first = next(reader.iterate_messages([topic.name]), None)
    if first is None:
        return False
    if topic.type_name == COMPRESSED_IMAGE_TYPE:
        # compressed_depth_image_transport says so in its format and topic name
        return 'compressedDepth' not in first.message.format
    return first.message.encoding.startswith(_CAMERA_ENCODING_PREFIXES)


def find_label_topic(reader: BagReader, requested: str = '') -> str:
    """Return the topic of the true label images, '' when the recording has none.

    Raises:
        UserError: The topic asked for is not there or is no Image.
    """
    images = [topic.name for topic in reader.topics if topic.type_name == IMAGE_TYPE]
    name = requested or LABEL_TOPIC
    if name in images:
        return name
    if requested:
        raise UserError(
            f'{reader.path} has no Image topic {requested}; its Image topics: '
            f'{format_names(images)}'
        )
    return ''


def find_label_space(reader: BagReader, requested: str = '') -> LabelSpace | None:
    """Return the label space of a recording's labels: the one asked for, or the recorded one.

    A recording made here carries the whole space, one of other tools perhaps only its name.

    Raises:
        LabelError: The name is not known here, or the recorded space is damaged.
    """
    custom_data = reader.custom_data
    if not requested and LABEL_SPACE_JSON_KEY in custom_data:
        return LabelSpace.from_json(custom_data[LABEL_SPACE_JSON_KEY])
    name = requested or custom_data.get(LABEL_SPACE_KEY, '')
    return load_label_space(name) if name else None


def make_label_space_entries(label_space: LabelSpace) -> dict[str, str]:
    """Return the custom_data entries that tell readers what the labels' ids mean."""
    return {LABEL_SPACE_KEY: label_space.name, LABEL_SPACE_JSON_KEY: label_space.to_json()}


def format_names(names: Iterable[str]) -> str:
    """Return names as one readable list."""
    return ', '.join(sorted(names)) or 'none'
