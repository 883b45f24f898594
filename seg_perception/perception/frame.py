# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to images, without a copy where possible.

Messages are read by their attributes only, so those of rclpy and those of a bag reader both work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg_perception.perception.compressed import decode_compressed
from seg_perception.perception.encodings import (
    ENCODINGS,
    ImageBuffers,
    convert_pixels,
    view_bytes,
    view_pixels,
)
from seg_perception.perception.frame_error import FrameError, quote


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        image: (height, width, 3) uint8, C-contiguous. Shares memory with the message for rgb8,
            bgr8 and 8UC3 without row padding; else valid until the same reader's next read.
        channel_order: 'rgb' or 'bgr'.
        stamp_ns: time of the header since the epoch of its clock.
        frame_id: optical frame of the camera.
        header: the message's header itself, to be copied to what is made from the image.
    """

    image: np.ndarray
    channel_order: str
    stamp_ns: int
    frame_id: str
    header: Any


class FrameReader:
    """Reads sensor_msgs/Image and sensor_msgs/CompressedImage messages of one camera.

    One reader serves one thread: its buffers are reused from read to read.

    Args:
        convert_unknown: makes a (height, width, 3) uint8 RGB image of a sensor_msgs/Image whose
            encoding is not in ENCODINGS; raises ValueError saying why it cannot.
    """

    def __init__(self, convert_unknown: Callable[[Any], np.ndarray] | None = None) -> None:
        self._convert_unknown = convert_unknown
        self._buffers = ImageBuffers()

    def read_image(self, message: Any) -> Frame:
        """Return the frame of a sensor_msgs/Image of any encoding in ENCODINGS.

        bgr8, bgr16 and 8UC3 give a BGR image, all others an RGB one.

        Raises:
            FrameError: unknown encoding, impossible size, wrong step or missing data.
        """
        encoding = ENCODINGS.get(message.encoding)
        if encoding is None:
            return _make_frame(self._read_unknown(message), 'rgb', message.header)
        pixels = view_pixels(message, encoding)
        image = convert_pixels(pixels, encoding, encoding.channel_order, self._buffers)
        return _make_frame(image, encoding.channel_order, message.header)

    def read_compressed(self, message: Any) -> Frame:
        """Return the BGR frame of a sensor_msgs/CompressedImage holding a JPEG or PNG.

        What the data is, is read from the data; see perception/compressed.py for `format`.

        Raises:
            FrameError: another compression, incomplete or corrupt data, zero or enormous size.
        """
        image = decode_compressed(view_bytes(message.data), message.format, self._buffers)
        return _make_frame(image, 'bgr', message.header)

    def _read_unknown(self, message: Any) -> np.ndarray:
        reason = ''
        if self._convert_unknown is not None:
            try:
                return self._convert_unknown(message)
            except ValueError as error:
                reason = f' ({error})'
        raise FrameError(
            'encoding',
            f'image encoding is {quote(message.encoding)}, expected one of: '
            f'{", ".join(ENCODINGS)}{reason}; convert the image first (image_proc)',
        )


class StampMonitor:
    """Watches that the stamps of one camera are set and grow. The images stay usable."""

    def __init__(self) -> None:
        self._last_ns = 0

    def check(self, stamp_ns: int) -> FrameError | None:
        """Return what is wrong with the stamp of the next frame, None where it is right.

        A jump back is reported once: the stamps that follow are compared with the new time, as
        after a simulation or a bag replay that starts again.
        """
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if stamp_ns == 0:
            return FrameError(
                'stamp',
                'stamp of the image is zero, expected the time of exposure: transforms and '
                'synchronisation with other topics will fail; set header.stamp in the driver',
            )
        if stamp_ns <= last_ns:
            return FrameError(
                'stamp',
                f'stamp of the image is {stamp_ns} ns, not after the one before ({last_ns} ns): '
                'two publishers on one topic, a repeated image, or the clock was set back',
            )
        return None


def _make_frame(image: np.ndarray, channel_order: str, header: Any) -> Frame:
    stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    return Frame(image, channel_order, stamp_ns, header.frame_id, header)
