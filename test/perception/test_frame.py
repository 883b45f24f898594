# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading camera messages: exact pixels, no needless copy, and a named fault for bad input."""

from __future__ import annotations

import array
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg_perception.perception.frame import FrameError, FrameReader, StampMonitor

JPEG_BLOCKS = [cv2.IMWRITE_JPEG_QUALITY, 95]


def make_header(sec=12, nanosec=345, frame_id='camera_optical_frame'):
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id)


def make_image(pixels, encoding='rgb8', padding=0, container=bytes):
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        header=make_header(),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=container(rows.tobytes()),
    )


def make_compressed(data, text='jpeg', container=bytes):
    return SimpleNamespace(header=make_header(), format=text, data=container(data))


def random_pixels(*shape, seed=3):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth_pixels(height, width):
    ramp = np.arange(height)[:, None] * 100 // height + np.arange(width) * 100 // width
    return np.stack([ramp, 200 - ramp, ramp // 2 + 50], axis=-1).astype(np.uint8)


def encode(pixels, suffix):
    return cv2.imencode(suffix, pixels, JPEG_BLOCKS)[1].tobytes()


CONTAINERS = {
    'bytes': bytes,
    'bytearray': bytearray,
    'memoryview': memoryview,
    'array': lambda data: array.array('B', data),
    'ndarray': lambda data: np.frombuffer(data, np.uint8),
}


@pytest.mark.parametrize('container', CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_colour_image_is_a_view_of_the_message(container, encoding):
    pixels = random_pixels(5, 7, 3)
    message = make_image(pixels, encoding, container=container)
    frame = FrameReader().read_image(message)
    assert np.array_equal(frame.image, pixels)
    assert frame.channel_order == encoding[:3]
    assert np.shares_memory(frame.image, np.frombuffer(message.data, np.uint8))


def test_header_is_handed_on():
    message = make_image(random_pixels(2, 2, 3))
    frame = FrameReader().read_image(message)
    assert frame.header is message.header
    assert (frame.stamp_ns, frame.frame_id) == (12_000_000_345, 'camera_optical_frame')


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (5, 7)])
@pytest.mark.parametrize('encoding', ['rgb8', 'mono8'])
@pytest.mark.parametrize('padding', [0, 5])
def test_any_size_and_padding_gives_the_pixels(shape, encoding, padding):
    pixels = random_pixels(*shape, 3 if encoding == 'rgb8' else 1)
    frame = FrameReader().read_image(make_image(pixels, encoding, padding))
    assert np.array_equal(frame.image, np.broadcast_to(pixels, (*shape, 3)))
    assert frame.image.flags.c_contiguous


def test_an_8k_image_is_read():
    pixels = np.zeros((4320, 7680, 3), np.uint8)
    pixels[-1, -1] = (1, 2, 3)
    assert np.array_equal(FrameReader().read_image(make_image(pixels)).image, pixels)
    jpeg = make_compressed(encode(pixels, '.jpg'))
    assert FrameReader().read_compressed(jpeg).image.shape == (4320, 7680, 3)


def test_buffer_is_reused_and_follows_the_size():
    reader = FrameReader()
    first = reader.read_image(make_image(random_pixels(4, 6, 1), 'mono8')).image
    second = reader.read_image(make_image(random_pixels(4, 6, 1, seed=9), 'mono8')).image
    assert np.shares_memory(first, second)
    other = random_pixels(3, 5, 1)
    third = reader.read_image(make_image(other, 'mono8')).image
    assert np.array_equal(third[..., 1], other[..., 0])


@pytest.mark.parametrize(
    ('change', 'kind', 'message'),
    [
        ({'encoding': 'nv24'}, 'encoding', "'nv24', .*: rgb8, bgr8, rgba8"),
        ({'encoding': ''}, 'encoding', "is '', expected"),
        ({'height': 0}, 'size', '7x0 pixels, expected at least 1x1'),
        ({'width': 0}, 'size', '0x5'),
        ({'step': 0}, 'step', r'step is 0 bytes, expected at least 21 \(7 pixels of rgb8\)'),
        ({'step': 20}, 'step', 'step is 20'),
        ({'step': 22}, 'truncated', r'105 bytes, expected 110 \(step 22 x height 5\)'),
        ({'height': 4}, 'step', '105 bytes, expected 84'),
        ({'data': b''}, 'truncated', '0 bytes, expected 105'),
        ({'data': array.array('B')}, 'truncated', '0 bytes, expected 105'),
        ({'data': bytes(104)}, 'truncated', '104 bytes'),
        ({'data': bytes(106)}, 'step', '106 bytes'),
    ],
)
def test_a_faulty_image_is_refused_and_the_next_is_fine(change, kind, message):
    reader = FrameReader()
    good = make_image(random_pixels(5, 7, 3))
    bad = SimpleNamespace(**{**vars(good), **change})
    with pytest.raises(FrameError, match=message) as caught:
        reader.read_image(bad)
    assert caught.value.kind == kind
    assert reader.read_image(good).image.shape == (5, 7, 3)


@pytest.mark.parametrize('container', CONTAINERS.values(), ids=CONTAINERS)
def test_png_is_exact(container):
    pixels = random_pixels(20, 30, 3)
    message = make_compressed(encode(pixels, '.png'), 'bgr8; png compressed', container)
    frame = FrameReader().read_compressed(message)
    assert frame.channel_order == 'bgr' and np.array_equal(frame.image, pixels)


@pytest.mark.parametrize('shape', [(1, 1), (37, 61)])
@pytest.mark.parametrize('text', ['jpeg', 'jpg', '', 'rgb8; jpeg compressed bgr8'])
def test_jpeg_is_close(shape, text):
    pixels = smooth_pixels(*shape)
    frame = FrameReader().read_compressed(make_compressed(encode(pixels, '.jpg'), text))
    assert np.abs(frame.image.astype(int) - pixels).mean() < 3


def test_grey_jpeg_and_16_bit_png_give_three_channels():
    grey = random_pixels(8, 8)
    frame = FrameReader().read_compressed(make_compressed(encode(grey, '.png'), 'mono8; png'))
    assert np.array_equal(frame.image, np.repeat(grey[..., None], 3, axis=2))
    deep = make_compressed(encode(grey.astype(np.uint16) * 257, '.png'), 'png')
    assert np.array_equal(FrameReader().read_compressed(deep).image[..., 0], grey)


def test_rotation_tag_is_ignored():
    jpeg = encode(smooth_pixels(16, 48), '.jpg')
    # EXIF with one entry, orientation 6 (rotate by 90 degrees).
    tiff = b'II*\0\x08\0\0\0' + struct.pack('<HHHIHHI', 1, 0x0112, 3, 1, 6, 0, 0)
    body = b'Exif\0\0' + tiff
    tagged = jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body + jpeg[2:]
    assert FrameReader().read_compressed(make_compressed(tagged)).image.shape == (16, 48, 3)


def make_png(width, height):
    def chunk(name, body):
        return (
            struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        )

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    content = header + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + content


JPEG = encode(smooth_pixels(64, 96), '.jpg')
PNG = encode(smooth_pixels(64, 96), '.png')


@pytest.mark.parametrize(
    ('data', 'text', 'kind', 'message'),
    [
        (b'', 'jpeg', 'truncated', 'no data'),
        (JPEG[:1], 'jpeg', 'encoding', 'starts with bytes ff'),
        (JPEG[:100], 'jpeg', 'truncated', '100 bytes has no end marker'),
        (JPEG[: len(JPEG) // 2], 'jpeg', 'truncated', 'no end marker'),
        (JPEG[:-2], 'jpeg', 'truncated', 'no end marker'),
        (JPEG[:2] + bytes(50) + JPEG[52:], 'jpeg', 'corrupt', 'no marker at byte 2'),
        (JPEG[:2] + JPEG[-2:], 'jpeg', 'corrupt|truncated', 'JPEG'),
        (PNG[: len(PNG) // 2], 'png', 'truncated', 'no end chunk'),
        (PNG[:-4], 'png', 'truncated', 'no end chunk'),
        (PNG[:90] + bytes([PNG[90] ^ 255]) + PNG[91:], 'png', 'corrupt', 'cannot be decoded'),
        (make_png(30000, 30000), 'png', 'size', '30000x30000'),
        (make_png(0, 5), 'png', 'size', '0x5'),
        (b'RIFF....WEBPVP8 ', 'webp', 'encoding', "'webp' .* 52 49 46 46 .* jpeg, png"),
        (PNG, '16UC1; compressedDepth png', 'encoding', 'compressedDepth'),
        (PNG, '16UC1; png compressed', 'encoding', "'16UC1; png compressed'"),
    ],
)
def test_a_faulty_compressed_image_is_refused_and_the_next_is_fine(data, text, kind, message):
    reader = FrameReader()
    with pytest.raises(FrameError, match=message) as caught:
        reader.read_compressed(make_compressed(data, text))
    assert caught.value.kind in kind.split('|')
    assert reader.read_compressed(make_compressed(JPEG)).image.shape == (64, 96, 3)


@pytest.mark.parametrize('cut', range(3, len(JPEG) - 1, 97))
def test_a_jpeg_cut_anywhere_is_refused(cut):
    with pytest.raises(FrameError):
        FrameReader().read_compressed(make_compressed(JPEG[:cut]))


def test_bytes_after_the_end_of_a_jpeg_are_allowed():
    frame = FrameReader().read_compressed(make_compressed(JPEG + bytes(64)))
    assert frame.image.shape == (64, 96, 3)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image():
    body = b'Exif\0\0' + JPEG
    tagged = JPEG[:2] + b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body + JPEG[2:]
    assert FrameReader().read_compressed(make_compressed(tagged)).image.shape == (64, 96, 3)
    with pytest.raises(FrameError, match='no end marker'):
        FrameReader().read_compressed(make_compressed(tagged[:-100]))


@pytest.mark.parametrize(
    ('stamps', 'faults'),
    [
        ([1, 2, 3], [None, None, None]),
        ([0, 0], ['is zero', 'is zero']),
        ([5, 5], [None, 'not after']),
        ([9, 4, 5], [None, 'is 4 ns, not after the one before .9 ns.', None]),
    ],
)
def test_stamp_monitor(stamps, faults):
    monitor = StampMonitor()
    for stamp_ns, fault in zip(stamps, faults, strict=True):
        error = monitor.check(stamp_ns)
        assert (error is None) == (fault is None)
        if fault is not None:
            assert error.kind == 'stamp'
            with pytest.raises(FrameError, match=fault):
                raise error
