# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Images of a recording found by the stamp in their header: labels, instances, depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader, RawMessage, read_header_stamp_ns
from seg_perception.evaluation.bags.bag_topics import format_names
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE

# sensor_msgs/image_encodings of one channel
_DTYPES = {
    'mono8': 'u1',
    '8UC1': 'u1',
    '8SC1': 'i1',
    'mono16': 'u2',
    '16UC1': 'u2',
    '16SC1': 'i2',
    '32SC1': 'i4',
    '32FC1': 'f4',
    '64FC1': 'f8',
}


class StampedMessages:
    """The messages of one topic with a header, found by its stamp.

    Asked for in the order of recording, as an evaluation does, each message is read once. Any
    other question reads the topic through once for its stamps; data are never kept. Of several
    messages with one stamp the first counts.

    Args:
        reader: The recording; nobody else may iterate over it.
        topic: A topic whose messages begin with a std_msgs/Header.
    """

    def __init__(self, reader: BagReader, topic: str) -> None:
        self._reader = reader
        self._topic = topic
        self._log_times_ns: dict[int, int] = {}
        self._unread = reader.iterate_raw_messages([topic])
        self._last: tuple[int, RawMessage] | None = None

    def __len__(self) -> int:
        self._read_to_end()
        return len(self._log_times_ns)

    def __contains__(self, stamp_ns: int) -> bool:
        if stamp_ns not in self._log_times_ns:
            self._read_to_end()
        return stamp_ns in self._log_times_ns

    def find(self, stamp_ns: int) -> RawMessage | None:
        """Return the message of a stamp, None when there is none.

        Raises:
            UserError: The recording is damaged and damage is not tolerated.
        """
        if self._last is not None and self._last[0] == stamp_ns:
            return self._last[1]
        if stamp_ns in self._log_times_ns:
            return self._read_again(stamp_ns)
        for raw in self._unread:
            found_ns = self._add(raw)
            if found_ns == stamp_ns:
                self._last = (stamp_ns, raw)
                return raw
        return None

    def _read_again(self, stamp_ns: int) -> RawMessage | None:
        # two iterations at once would move each other's place in a file without an index
        self._read_to_end()
        log_time_ns = self._log_times_ns[stamp_ns]
        for raw in self._reader.iterate_raw_messages([self._topic], log_time_ns, log_time_ns + 1):
            if read_header_stamp_ns(raw.data) == stamp_ns:
                self._last = (stamp_ns, raw)
                return raw
        return None

    def _read_to_end(self) -> None:
        for raw in self._unread:
            self._add(raw)

    def _add(self, raw: RawMessage) -> int:
        if len(raw.data) < 12:
            return -1
        stamp_ns = read_header_stamp_ns(raw.data)
        self._log_times_ns.setdefault(stamp_ns, raw.log_time_ns)
        return stamp_ns


class BagImages:
    """The one-channel images of a topic, such as instances or depth, found by their stamp.

    Has its own file handle and keeps no image.

    Args:
        path: The recording.
        topic: Topic of sensor_msgs/Image, or of CompressedImage with PNG data.
        tolerate_damage: Of a damaged recording, find what can be read.

    Raises:
        UserError: The recording cannot be read, or has no such image topic.
    """

    def __init__(self, path: str | Path, topic: str, tolerate_damage: bool = False) -> None:
        self._reader = BagReader(path, tolerate_damage)
        self.topic = topic
        if self._reader.get_type_name(topic) not in (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE):
            topics = format_names(t.name for t in self._reader.topics)
            self._reader.close()
            raise UserError(f'{path} has no image topic {topic}; its topics: {topics}')
        self._messages = StampedMessages(self._reader, topic)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, stamp_ns: int) -> bool:
        return stamp_ns in self._messages

    def read(self, stamp_ns: int) -> npt.NDArray[Any] | None:
        """Return the (H, W) image of a stamp in the dtype of its encoding, None without one.

        Raises:
            UserError: The message is damaged or has more than one channel.
        """
        raw = self._messages.find(stamp_ns)
        if raw is None:
            return None
        return read_channel(self._reader.decode(raw), raw.type_name, self.topic)

    def close(self) -> None:
        """Close the recording."""
        self._reader.close()


class BagDepth(BagImages):
    """Depth images in metres, found by their stamp (REP-118)."""

    def read(self, stamp_ns: int) -> npt.NDArray[np.float32] | None:
        """Return the (H, W) float32 depth in m of a stamp, NaN where there is none.

        Raises:
            UserError: The message is damaged, or neither 32FC1 (m) nor 16UC1 (mm).
        """
        image = super().read(stamp_ns)
        return None if image is None else convert_depth(image, self.topic)


def open_images(
    path: str | Path, topic: str, tolerate_damage: bool = False
) -> BagImages | None:
    """Return the images of a topic, None when the recording does not have it."""
    with BagReader(path, tolerate_damage) as reader:
        if not reader.count_messages(topic):
            return None
    return BagImages(path, topic, tolerate_damage)


def read_channel(message: Any, type_name: str, topic: str) -> npt.NDArray[Any]:
    """Return the (H, W) pixels of a one-channel Image or PNG CompressedImage.

    The array shares memory with the message where bytes are in the machine's order.

    Raises:
        UserError: Several channels, a lossy format, or less data than the size needs.
    """
    if type_name == COMPRESSED_IMAGE_TYPE:
        return decode_png_channel(message, topic)
    height_px, width_px, step = message.height, message.width, message.step
    if message.encoding not in _DTYPES:
        raise UserError(
            f'an image of {topic} has encoding {message.encoding!r}; expected one channel: '
            f'{", ".join(_DTYPES)}'
        )
    dtype = np.dtype(_DTYPES[message.encoding]).newbyteorder('>' if message.is_bigendian else '<')
    data = np.frombuffer(message.data, dtype=np.uint8)
    row_bytes = width_px * dtype.itemsize
    if height_px < 1 or width_px < 1 or step < row_bytes or data.size < step * height_px:
        raise UserError(
            f'an image of {topic}, {height_px}x{width_px} {message.encoding} with step {step}, '
            f'has {data.size} bytes; expected a step of at least {row_bytes} and step x height '
            'bytes'
        )
    # no view of rows of bytes: before NumPy 1.23 it refuses padding between them
    pixels = np.ndarray((height_px, width_px), dtype, data, strides=(step, dtype.itemsize))
    return pixels if dtype.isnative else pixels.astype(dtype.newbyteorder('='))


def decode_png_channel(message: Any, topic: str) -> npt.NDArray[Any]:
    """Return the (H, W) pixels of a one-channel PNG in a CompressedImage; raises UserError."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    if bytes(data[:8]) != b'\x89PNG\r\n\x1a\n':
        raise UserError(
            f'an image of {topic} has format {message.format!r}; expected PNG, since other '
            'compressions change class ids and depths'
        )
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        found = 'damaged' if image is None else f'of shape {image.shape}'
        raise UserError(f'a PNG image of {topic} is {found}; expected one channel')
    return np.asarray(image)


def convert_depth(image: npt.NDArray[Any], topic: str) -> npt.NDArray[np.float32]:
    """Return depth in m, NaN where there is none, of 32FC1 (m) or 16UC1 (mm, 0 is none)."""
    if image.dtype == np.uint16:
        depth_m = image.astype(np.float32) * np.float32(1e-3)
        depth_m[image == 0] = np.nan
        return depth_m
    if image.dtype != np.float32:
        raise UserError(
            f'depth images of {topic} have {image.dtype} pixels; expected 32FC1 (m) or 16UC1 (mm)'
        )
    return np.where(np.isfinite(image) & (image > 0), image, np.float32(np.nan))
