# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From the JPEG or PNG of a sensor_msgs/CompressedImage to 8-bit colour.

compressed_image_transport writes `format` as '<encoding>; <codec> compressed <target>', other
publishers just 'jpeg' or 'png'. What the data is, is read from the data. The format tells two
things more: that the image is no picture (depth), and that a grey one is a Bayer mosaic. That
transport makes grey or colour of a mosaic before JPEG (target mono8 or bgr8) and writes it as it
is into PNG (no target).

A target 'rgb8' would mean, to that transport's subscriber, a file with red and blue exchanged. No
such files are known: publishers that write it hold ordinary JPEGs, and so they are read.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from seg_perception.perception.encodings import ENCODINGS, ImageBuffers, convert_pixels
from seg_perception.perception.frame_error import FrameError, quote

KNOWN_COMPRESSIONS = ('jpeg', 'png')
# A few kB of PNG can declare 2 GB of pixels: 2^27 is twice an 8192x8192 image.
MAX_COMPRESSED_PIXELS = 2**27

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND\xaeB`\x82'
_PNG_HEADER_BYTES = 33
_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_START_OF_SCAN = 0xDA
# Start-of-frame markers; 0xC4, 0xC8 and 0xCC in their midst are tables, not frames.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What OpenCV decodes to, by channels and bytes of a sample.
_DECODED = {
    (1, 1): 'mono8',
    (3, 1): 'bgr8',
    (4, 1): 'bgra8',
    (1, 2): 'mono16',
    (3, 2): 'bgr16',
    (4, 2): 'bgra16',
}


def decode_compressed(data: np.ndarray, text: str, buffers: ImageBuffers) -> np.ndarray:
    """Return the (height, width, 3) uint8 BGR image of a JPEG or PNG.

    The rotation tag of a photo is ignored, since camera_info describes the sensor as it is.

    Args:
        data: (n,) uint8, the file.
        text: the message's format.
        buffers: hold the result, unless the file holds 8-bit colour.

    Raises:
        FrameError: another compression, incomplete or corrupt data, zero or enormous size.
    """
    encoding, target = split_format(text)
    height, width = _check_compressed(data, text)
    if height < 1 or width < 1 or height * width > MAX_COMPRESSED_PIXELS:
        raise FrameError(
            'size',
            f'compressed image declares {width}x{height} pixels, expected at least 1x1 and '
            f'at most {MAX_COMPRESSED_PIXELS} pixels in all',
        )
    pixels = _decode(data, text, (height, width))
    name = _DECODED[1 if pixels.ndim == 2 else pixels.shape[2], pixels.itemsize]
    if pixels.ndim == 2 and encoding.startswith('bayer_') and not target.startswith('mono'):
        name = _name_mosaic(encoding, pixels)
    return convert_pixels(pixels, ENCODINGS[name], 'bgr', buffers)


def split_format(text: str) -> tuple[str, str]:
    """Return what a format says: encoding of the image before, and target of the codec, or ''.

    Raises:
        FrameError: the image is no picture, such as compressed depth.
    """
    encoding, separator, codec = text.partition(';')
    encoding = encoding.strip()
    if 'compressedDepth' in text or (separator and encoding not in ENCODINGS):
        raise FrameError(
            'encoding',
            f'compressed image format is {quote(text)}, expected a '
            f'{" or ".join(KNOWN_COMPRESSIONS)} of one of: {", ".join(ENCODINGS)}',
        )
    if not separator:
        return '', ''
    return encoding, codec.partition('compressed')[2].strip()


def _decode(data: np.ndarray, text: str, size_hw: tuple[int, int]) -> np.ndarray:
    try:
        # unchanged: without this OpenCV drops the lower byte of 16 bits, and what is a mosaic
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise FrameError('corrupt', f'compressed image cannot be decoded: {error}') from error
    if pixels is None or pixels.shape[:2] != size_hw:
        raise FrameError(
            'corrupt',
            f'compressed image (format {quote(text)}, {data.size} bytes) cannot be decoded: the '
            'data is corrupt; check the link to the camera',
        )
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _name_mosaic(encoding: str, pixels: np.ndarray) -> str:
    name = f'{encoding.rstrip("0123456789")}{8 * pixels.itemsize}'
    least = ENCODINGS[name].smallest_px
    if min(pixels.shape) < least:
        height, width = pixels.shape
        raise FrameError(
            'size',
            f'image is {width}x{height} pixels of {name}, expected at least {least}x{least}',
        )
    return name


def _check_compressed(data: np.ndarray, text: str) -> tuple[int, int]:
    """Check that a JPEG or PNG is complete and return the (height, width) it declares.

    OpenCV before 5 decodes a JPEG that breaks off and paints what is missing grey.
    """
    content = data.tobytes()
    if not content:
        raise FrameError('truncated', 'compressed image has no data')
    if content.startswith(_PNG_SIGNATURE):
        return _check_png(content)
    if content.startswith(_JPEG_START):
        return _check_jpeg(content)
    raise FrameError(
        'encoding',
        f'compressed image with format {quote(text)} starts with bytes {content[:8].hex(" ")}, '
        f'expected one of: {", ".join(KNOWN_COMPRESSIONS)}',
    )


def _check_png(content: bytes) -> tuple[int, int]:
    if len(content) < _PNG_HEADER_BYTES or _PNG_END not in content[-1024:]:
        raise FrameError(
            'truncated',
            f'PNG of {len(content)} bytes has no end chunk: the message is incomplete',
        )
    width, height = struct.unpack_from('>II', content, 16)
    return height, width


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
