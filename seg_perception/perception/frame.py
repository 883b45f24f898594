# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to images, without a copy where possible.

Messages are read by their attributes only, so those of rclpy and those of a bag reader both work.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# sensor_msgs/image_encodings names: channels in a pixel, and the order of the image that results.
_ENCODINGS = {'rgb8': (3, 'rgb'), 'bgr8': (3, 'bgr'), 'mono8': (1, 'rgb')}
KNOWN_ENCODINGS = tuple(_ENCODINGS)
KNOWN_COMPRESSIONS = ('jpeg', 'png')
# A few kB of PNG can declare 2 GB of pixels: 2^27 is twice an 8192x8192 image.
MAX_COMPRESSED_PIXELS = 2**27

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND\xaeB`\x82'
_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_START_OF_SCAN = 0xDA
# Start-of-frame markers; 0xC4, 0xC8 and 0xCC in their midst are tables, not frames.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class FrameError(ValueError):
    """A camera message that cannot be used.

    Attributes:
        kind: 'truncated', 'step', 'size', 'encoding', 'corrupt' or 'stamp', for counting.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        image: (height, width, 3) uint8, C-contiguous. Shares memory with the message for rgb8
            and bgr8 without row padding; else valid until the same reader's next read.
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
    """

    def __init__(self) -> None:
        self._buffer = np.empty((0, 0, 3), np.uint8)

    def read_image(self, message: Any) -> Frame:
        """Return the frame of a sensor_msgs/Image with encoding rgb8, bgr8 or mono8.

        Raises:
            FrameError: unknown encoding, zero size, wrong step or missing data.
        """
        if message.encoding not in _ENCODINGS:
            raise FrameError(
                'encoding',
                f"image encoding is '{message.encoding}', expected one of: "
                f'{", ".join(KNOWN_ENCODINGS)}; convert the image first (image_proc)',
            )
        channels, channel_order = _ENCODINGS[message.encoding]
        rows = _view_rows(message, channels)
        if channels == 1:
            image = cv2.cvtColor(rows[..., 0], cv2.COLOR_GRAY2RGB, dst=self._reserve(rows.shape))
        elif rows.flags.c_contiguous:
            image = rows
        else:
            image = self._reserve(rows.shape)
            np.copyto(image, rows)
        return _make_frame(image, channel_order, message.header)

    def read_compressed(self, message: Any) -> Frame:
        """Return the frame of a sensor_msgs/CompressedImage holding a JPEG or PNG.

        What the data is, is read from the data; `format` only refuses images that are no colour
        or grey pictures, such as compressed depth. The rotation tag of a photo is ignored, since
        camera_info describes the sensor as it is.

        Raises:
            FrameError: another compression, incomplete or corrupt data, zero or enormous size.
        """
        _check_format(message.format)
        data = _view_bytes(message.data)
        height, width = _check_compressed(data, message.format)
        if height < 1 or width < 1 or height * width > MAX_COMPRESSED_PIXELS:
            raise FrameError(
                'size',
                f'compressed image declares {width}x{height} pixels, expected at least 1x1 and '
                f'at most {MAX_COMPRESSED_PIXELS} pixels in all',
            )
        try:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            raise FrameError('corrupt', f'compressed image cannot be decoded: {error}') from error
        if image is None or image.shape[:2] != (height, width):
            raise FrameError(
                'corrupt',
                f"compressed image (format '{message.format}', {data.size} bytes) cannot be "
                'decoded: the data is corrupt; check the link to the camera',
            )
        return _make_frame(image, 'bgr', message.header)

    def _reserve(self, shape: tuple[int, ...]) -> np.ndarray:
        if self._buffer.shape[:2] != shape[:2]:
            self._buffer = np.empty((shape[0], shape[1], 3), np.uint8)
        return self._buffer


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


def _view_bytes(data: Any) -> np.ndarray:
    """View message data (array.array, bytes, memoryview or uint8 ndarray) as (n,) uint8."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return np.frombuffer(data, np.uint8)


def _view_rows(message: Any, channels: int) -> np.ndarray:
    """View the data of an Image as (height, width, channels), strided where rows are padded."""
    height, width, step = message.height, message.width, message.step
    if height < 1 or width < 1:
        raise FrameError('size', f'image is {width}x{height} pixels, expected at least 1x1')
    row_bytes = width * channels
    if step < row_bytes:
        raise FrameError(
            'step',
            f'image step is {step} bytes, expected at least {row_bytes} '
            f'({width} pixels of {message.encoding})',
        )
    data = _view_bytes(message.data)
    expected = step * height
    if data.size < expected:
        raise FrameError(
            'truncated',
            f'image data has {data.size} bytes, expected {expected} '
            f'(step {step} x height {height}): the message is incomplete',
        )
    if data.size > expected:
        raise FrameError(
            'step',
            f'image data has {data.size} bytes, expected {expected} (step {step} x height '
            f'{height}): step or height does not belong to this data',
        )
    rows = data.reshape(height, step)[:, :row_bytes]
    return rows.reshape(height, width, channels) if step == row_bytes else _split_rows(rows, width)


def _split_rows(rows: np.ndarray, width: int) -> np.ndarray:
    channels = rows.shape[1] // width
    return np.lib.stride_tricks.as_strided(
        rows, (rows.shape[0], width, channels), (rows.strides[0], channels, 1), writeable=False
    )


def _check_format(text: str) -> None:
    # image_transport writes 'rgb8; jpeg compressed bgr8'; other publishers just 'jpeg' or 'png'.
    encoding, separator, _ = text.partition(';')
    known = (*KNOWN_ENCODINGS, 'rgba8', 'bgra8', '8UC1', '8UC3', '8UC4')
    if 'compressedDepth' in text or (separator and encoding.strip() not in known):
        raise FrameError(
            'encoding',
            f"compressed image format is '{text}', expected a {' or '.join(KNOWN_COMPRESSIONS)} "
            f'of one of: {", ".join(known)}',
        )


def _check_compressed(data: np.ndarray, text: str) -> tuple[int, int]:
    """Check that a JPEG or PNG is complete and return the (height, width) it declares.

    OpenCV before 5 decodes a JPEG that breaks off and paints what is missing grey.
    """
    content = data.tobytes()
    if not content:
        raise FrameError('truncated', 'compressed image has no data')
    if content.startswith(_PNG_SIGNATURE):
        if _PNG_END not in content[-1024:]:
            raise FrameError(
                'truncated',
                f'PNG of {len(content)} bytes has no end chunk: the message is incomplete',
            )
        width, height = struct.unpack_from('>II', content, 16)
        return height, width
    if content.startswith(_JPEG_START):
        return _check_jpeg(content)
    raise FrameError(
        'encoding',
        f"compressed image with format '{text}' starts with bytes {content[:8].hex(' ')}, "
        f'expected one of: {", ".join(KNOWN_COMPRESSIONS)}',
    )


def _check_jpeg(content: bytes) -> tuple[int, int]:
    """Walk the JPEG segments (ITU-T T.81, annex B) up to the scan, then look for the end."""
    size_hw: tuple[int, int] | None = None
    position = 2
    while position + 4 <= len(content):
        marker, length = content[position + 1], struct.unpack_from('>H', content, position + 2)[0]
        if content[position] != 0xFF:
            raise FrameError(
                'corrupt', f'JPEG is corrupt: no marker at byte {position} of {len(content)}'
            )
        if marker == 0xFF:  # fill byte before a marker
            position += 1
            continue
        if marker in _JPEG_FRAMES and position + 9 <= len(content):
            size_hw = struct.unpack_from('>HH', content, position + 5)
        if marker == _JPEG_START_OF_SCAN:
            break
        position += 2 + length
    # Inside the scan 0xFF is always stuffed, and a thumbnail's own end lies before the scan.
    if content.rfind(_JPEG_END, position) < 0:
        raise FrameError(
            'truncated',
            f'JPEG of {len(content)} bytes has no end marker: the message is incomplete',
        )
    if size_hw is None:
        raise FrameError('corrupt', 'JPEG is corrupt: it has no frame header')
    return size_hw
