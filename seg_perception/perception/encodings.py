# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""From the pixel formats of sensor_msgs/Image to 8-bit colour, by OpenCV into reused buffers.

The results are those of cv_bridge 3 and 4, which use the same OpenCV conversions. Three of their
rules are not obvious:

- ROS names a Bayer pattern by its first row from the left corner, OpenCV by the second row from
  the second column: bayer_rggb8 is OpenCV's BayerBG.
- YUV is BT.601 with the studio range: Y 16..235, U and V 16..240.
- 16 bits become 8 by rounding value / 257, after the colours were interpolated: 65535 is 255.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from seg_perception.perception.frame_error import FrameError

_DEEP_SCALE = 255.0 / 65535.0


@dataclass(frozen=True)
class Encoding:
    """How the pixels of one encoding lie in memory and become colours.

    Attributes:
        channels: samples of a pixel in its row.
        to_rgb: OpenCV's conversion to RGB; None where the pixels are RGB.
        to_bgr: the same to BGR.
        channel_order: of the image that a raw message gives, 'rgb' or 'bgr'.
        sample_bytes: 1 or 2.
        block_hw: (height, width) px of which the size must be a multiple: those share colours.
        smallest_px: least height and width.
        chroma_rows: rows of colour that follow behind the rows of the image, per row.
    """

    channels: int
    to_rgb: int | None
    to_bgr: int | None
    channel_order: str = 'rgb'
    sample_bytes: int = 1
    block_hw: tuple[int, int] = (1, 1)
    smallest_px: int = 1
    chroma_rows: float = 0.0

    def count_rows(self, height_px: int) -> int:
        """Return how many rows of data an image has."""
        return height_px + int(height_px * self.chroma_rows)

    def count_pixel_rows(self, rows: int) -> int:
        """Return the height of an image that has so many rows of data, px."""
        return round(rows / (1.0 + self.chroma_rows))


def _bayer(to_rgb: int, to_bgr: int) -> Encoding:
    # OpenCV fills the border from its neighbours and leaves an image without an inside black.
    return Encoding(1, to_rgb, to_bgr, smallest_px=3)


_EIGHT_BITS = {
    'rgb8': Encoding(3, None, cv2.COLOR_RGB2BGR),
    'bgr8': Encoding(3, cv2.COLOR_BGR2RGB, None, channel_order='bgr'),
    'rgba8': Encoding(4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGBA2BGR),
    'bgra8': Encoding(4, cv2.COLOR_BGRA2RGB, cv2.COLOR_BGRA2BGR),
    'mono8': Encoding(1, cv2.COLOR_GRAY2RGB, cv2.COLOR_GRAY2BGR),
    'bayer_rggb8': _bayer(cv2.COLOR_BayerBG2RGB, cv2.COLOR_BayerBG2BGR),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerRG2RGB, cv2.COLOR_BayerRG2BGR),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGR2RGB, cv2.COLOR_BayerGR2BGR),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGB2RGB, cv2.COLOR_BayerGB2BGR),
}
_SIXTEEN_BITS = {
    f'{name[:-1]}16': replace(encoding, sample_bytes=2) for name, encoding in _EIGHT_BITS.items()
}
_UYVY = Encoding(2, cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2BGR_UYVY, block_hw=(1, 2))
_YUYV = Encoding(2, cv2.COLOR_YUV2RGB_YUY2, cv2.COLOR_YUV2BGR_YUY2, block_hw=(1, 2))
_NV12 = Encoding(
    1, cv2.COLOR_YUV2RGB_NV12, cv2.COLOR_YUV2BGR_NV12, block_hw=(2, 2), chroma_rows=0.5
)
_NV21 = replace(_NV12, to_rgb=cv2.COLOR_YUV2RGB_NV21, to_bgr=cv2.COLOR_YUV2BGR_NV21)

# By the names of sensor_msgs/image_encodings.hpp, old (humble: yuv422) and new (uyvy).
ENCODINGS: dict[str, Encoding] = {
    **_EIGHT_BITS,
    **_SIXTEEN_BITS,
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': _NV12,
    'nv21': _NV21,
    # Types of OpenCV without a meaning; an OpenCV image that was published as it is.
    '8UC1': _EIGHT_BITS['mono8'],
    '8UC3': _EIGHT_BITS['bgr8'],
    '8UC4': _EIGHT_BITS['bgra8'],
}


class ImageBuffers:
    """Arrays that are kept from image to image and made anew where the size changes."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
        """Return the array of this name; its content is that of its last use."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array


def view_bytes(data: Any) -> np.ndarray:
    """View message data (array.array, bytes, memoryview or uint8 ndarray) as (n,) uint8."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return np.frombuffer(data, np.uint8)


def view_pixels(message: Any, encoding: Encoding) -> np.ndarray:
    """View the samples of a sensor_msgs/Image.

    Returns:
        (rows, width) or, with several channels, (rows, width, channels) of uint8, or uint16 of
        the message's byte order; strided where rows are padded, and then perhaps not aligned.

    Raises:
        FrameError: impossible size, wrong step, missing or surplus data.
    """
    _check_size(message, encoding)
    width, step = message.width, message.step
    row_bytes = width * encoding.channels * encoding.sample_bytes
    if step < row_bytes:
        raise FrameError(
            'step',
            f'image step is {step} bytes, expected at least {row_bytes} '
            f'({width} pixels of {message.encoding})',
        )
    rows = encoding.count_rows(message.height)
    data = view_bytes(message.data)
    _check_data_size(message, data.size, rows)
    item = encoding.sample_bytes
    dtype = f'{">" if message.is_bigendian else "<"}u{item}'
    shape: tuple[int, ...] = (rows, width)
    strides: tuple[int, ...] = (step, encoding.channels * item)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, item)
    # not by reshape, which would copy padded rows, nor by view, which NumPy before 1.23 refuses
    return np.ndarray(shape, dtype, data, 0, strides)


def convert_pixels(
    pixels: np.ndarray, encoding: Encoding, channel_order: str, buffers: ImageBuffers
) -> np.ndarray:
    """Return samples of an encoding as a C-contiguous (height, width, 3) uint8 image.

    Args:
        pixels: as `view_pixels` gives them, or an image of OpenCV of the same layout.
        encoding: what they mean.
        channel_order: order of the result, 'rgb' or 'bgr'.
        buffers: hold the result, unless the pixels are a contiguous image of that order: it is
            returned itself.
    """
    code = encoding.to_rgb if channel_order == 'rgb' else encoding.to_bgr
    if code is None and encoding.sample_bytes == 1 and pixels.flags.c_contiguous:
        return pixels
    image = buffers.take('image', (encoding.count_pixel_rows(len(pixels)), pixels.shape[1], 3))
    if encoding.sample_bytes == 2:
        return _convert_deep(_align(pixels, buffers), code, image, buffers)
    if code is not None:
        return cv2.cvtColor(pixels, code, dst=image)
    np.copyto(image, pixels)
    return image


def _check_size(message: Any, encoding: Encoding) -> None:
    height, width, least = message.height, message.width, encoding.smallest_px
    if height < least or width < least:
        what = f' of {message.encoding}' if least > 1 else ''
        raise FrameError(
            'size', f'image is {width}x{height} pixels{what}, expected at least {least}x{least}'
        )
    block_height, block_width = encoding.block_hw
    if height % block_height or width % block_width:
        expected = 'width and height' if block_height > 1 else 'width'
        raise FrameError(
            'size',
            f'image is {width}x{height} pixels of {message.encoding} (width x height), expected '
            f'an even {expected}: {block_width}x{block_height} pixels share one colour',
        )


def _check_data_size(message: Any, size: int, rows: int) -> None:
    expected = message.step * rows
    if size == expected:
        return
    planes = f' = {rows} rows of brightness and colour' if rows != message.height else ''
    counted = f'(step {message.step} x height {message.height}{planes})'
    if size < expected:
        raise FrameError(
            'truncated',
            f'image data has {size} bytes, expected {expected} {counted}: the message is '
            'incomplete',
        )
    raise FrameError(
        'step',
        f'image data has {size} bytes, expected {expected} {counted}: step or height does not '
        'belong to this data',
    )


def _align(pixels: np.ndarray, buffers: ImageBuffers) -> np.ndarray:
    """Return uint16 samples as OpenCV takes them: in this machine's byte order, at even bytes."""
    if pixels.dtype.isnative and pixels.flags.aligned:
        return pixels
    aligned = buffers.take('aligned', pixels.shape, np.uint16)
    np.copyto(aligned, pixels)
    return aligned


def _convert_deep(
    pixels: np.ndarray, code: int | None, image: np.ndarray, buffers: ImageBuffers
) -> np.ndarray:
    if code is not None:
        pixels = cv2.cvtColor(pixels, code, dst=buffers.take('deep', image.shape, np.uint16))
    return cv2.convertScaleAbs(pixels, dst=image, alpha=_DEEP_SCALE)
