# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG of every kind of picture, with the format strings of the transports."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg_perception.perception.encodings import ENCODINGS
from seg_perception.perception.frame import FrameError, FrameReader

HEIGHT, WIDTH = 10, 14
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6


def make_message(data, text):
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=2), frame_id='camera')
    return SimpleNamespace(header=header, format=text, data=bytes(data))


def read_bgr(data, text):
    frame = FrameReader().read_compressed(make_message(data, text))
    assert frame.channel_order == 'bgr'
    assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    return frame.image


def read_raw_bgr(samples, name):
    """Return the image of the same samples in an uncompressed message."""
    encoding = ENCODINGS[name]
    message = SimpleNamespace(
        header=make_message(b'', '').header,
        height=samples.shape[0],
        width=samples.shape[1],
        encoding=name,
        is_bigendian=0,
        step=samples.shape[1] * encoding.channels * encoding.sample_bytes,
        data=samples.tobytes(),
    )
    frame = FrameReader().read_image(message)
    return frame.image if frame.channel_order == 'bgr' else frame.image[..., ::-1]


def random_samples(*shape, dtype=np.uint8):
    return np.random.default_rng(6).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def encode(pixels, suffix):
    return cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def make_png(samples, kind, bits, palette=None):
    """Return a PNG of samples (H, W[, C]) without OpenCV: ISO/IEC 15948."""

    def chunk(name, body):
        checked = name + body
        return struct.pack('>I', len(body)) + checked + struct.pack('>I', zlib.crc32(checked))

    height, width = samples.shape[:2]
    if bits < 8:
        places = np.unpackbits(samples.reshape(height, width, 1), axis=2)[..., 8 - bits :]
        rows = np.packbits(places.reshape(height, -1), axis=1)
    else:
        rows = samples.astype(f'>u{bits // 8}').reshape(height, -1).view(np.uint8)
    filtered = np.pad(rows, ((0, 0), (1, 0)))
    return b''.join(
        [
            b'\x89PNG\r\n\x1a\n',
            chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)),
            chunk(b'PLTE', palette.tobytes()) if palette is not None else b'',
            chunk(b'IDAT', zlib.compress(filtered.tobytes())),
            chunk(b'IEND', b''),
        ]
    )


# What compressed_image_transport writes ------------------------------------------------------


@pytest.mark.parametrize(
    ('text', 'suffix', 'name', 'channels', 'dtype'),
    [
        ('rgb8; png compressed bgr8', '.png', 'bgr8', 3, np.uint8),
        ('rgba8; png compressed bgr8', '.png', 'bgr8', 3, np.uint8),
        ('rgb16; png compressed bgr16', '.png', 'bgr16', 3, np.uint16),
        ('mono8; png compressed ', '.png', 'mono8', 1, np.uint8),
        ('mono8; png compressed mono8', '.png', 'mono8', 1, np.uint8),
        ('mono16; png compressed ', '.png', 'mono16', 1, np.uint16),
        ('mono16; png compressed mono16', '.png', 'mono16', 1, np.uint16),
        ('bayer_rggb8; png compressed ', '.png', 'bayer_rggb8', 1, np.uint8),
        ('bayer_grbg8; png compressed bayer_grbg8', '.png', 'bayer_grbg8', 1, np.uint8),
        ('bayer_gbrg16; png compressed ', '.png', 'bayer_gbrg16', 1, np.uint16),
        ('bayer_bggr8; png compressed mono8', '.png', 'mono8', 1, np.uint8),
        ('yuv422; png compressed bgr8', '.png', 'bgr8', 3, np.uint8),
        ('png', '.png', 'bgr8', 3, np.uint8),
        ('', '.png', 'mono16', 1, np.uint16),
    ],
)
def test_a_png_gives_the_image_of_the_raw_message(text, suffix, name, channels, dtype):
    samples = random_samples(HEIGHT, WIDTH, channels, dtype=dtype)
    image = read_bgr(encode(samples, suffix), text)
    np.testing.assert_array_equal(image, read_raw_bgr(samples, name))


@pytest.mark.parametrize(
    'text',
    [
        'rgb8; jpeg compressed bgr8',
        'bgr8; jpeg compressed bgr8',
        'rgb8; jpeg compressed rgb8',  # of an ordinary JPEG; see perception/compressed.py
        'bgra8; jpeg compressed bgr8',
        'yuv422; jpeg compressed bgr8',
        'nv12; jpeg compressed bgr8',
        'bayer_rggb8; jpeg compressed bgr8',
        'rgb8; jpeg',
        'jpeg',
        'jpg',
        '',
    ],
)
def test_a_colour_jpeg_gives_its_colours(text):
    blue_left = np.zeros((16, 32, 3), np.uint8)
    blue_left[:, :16], blue_left[:, 16:] = (250, 10, 20), (10, 30, 240)
    image = read_bgr(encode(blue_left, '.jpg'), text).astype(int)
    assert np.abs(image - blue_left)[:, [*range(14), *range(18, 32)]].max() < 8


@pytest.mark.parametrize(
    'text',
    [
        'mono8; jpeg compressed mono8',
        'mono16; jpeg compressed mono8',
        # the transport makes grey of a mosaic before it writes a JPEG
        'bayer_rggb8; jpeg compressed mono8',
        'yuv422; jpeg compressed mono8',  # humble
        'jpeg',
    ],
)
def test_a_grey_jpeg_is_grey(text):
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    image = read_bgr(encode(ramp, '.jpg'), text)
    assert np.array_equal(image[..., 0], image[..., 1])
    assert np.abs(image[..., 2].astype(int) - ramp).max() < 6


@pytest.mark.parametrize(
    'text', ['32FC1; png compressed ', '16UC1; jpeg compressed mono8', 'depth; png', '; jpeg']
)
def test_what_is_no_picture_is_refused(text):
    with pytest.raises(FrameError, match='expected a jpeg or png of one of: rgb8') as caught:
        read_bgr(encode(random_samples(4, 4), '.png'), text)
    assert caught.value.kind == 'encoding'


def test_a_mosaic_too_small_for_its_pattern_is_refused():
    with pytest.raises(FrameError, match='2x5 pixels of bayer_rggb8, expected at least 3x3'):
        read_bgr(encode(random_samples(5, 2), '.png'), 'bayer_rggb8; png compressed ')


# Every kind of PNG ---------------------------------------------------------------------------


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(
    ('kind', 'channels', 'bgr'),
    [
        (GREY, 1, (0, 0, 0)),
        (GREY_ALPHA, 2, (0, 0, 0)),
        (COLOUR, 3, (2, 1, 0)),
        (COLOUR_ALPHA, 4, (2, 1, 0)),
    ],
)
def test_png_of_8_and_16_bits(kind, channels, bgr, bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    samples = random_samples(HEIGHT, WIDTH, channels, dtype=dtype)
    expected = samples[..., bgr]
    if bits == 16:
        expected = np.rint(expected / 257.0)
    np.testing.assert_array_equal(read_bgr(make_png(samples, kind, bits), 'png'), expected)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_png_with_a_palette(bits):
    palette = random_samples(2**bits, 3)
    indices = random_samples(HEIGHT, WIDTH) % np.uint8(2 ** min(bits, 7))
    image = read_bgr(make_png(indices, PALETTE, bits, palette), 'png')
    np.testing.assert_array_equal(image[..., ::-1], palette[indices])


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_png_of_few_bits(bits):
    samples = random_samples(HEIGHT, WIDTH) % np.uint8(2**bits)
    image = read_bgr(make_png(samples, GREY, bits), 'png')
    np.testing.assert_array_equal(image[..., 1], samples * (255 // (2**bits - 1)))


def test_a_png_that_ends_within_its_header_is_refused():
    data = make_png(random_samples(4, 4), GREY, 8)
    with pytest.raises(FrameError) as caught:
        read_bgr(data[:20] + data[-8:], 'png')
    assert caught.value.kind == 'truncated'
