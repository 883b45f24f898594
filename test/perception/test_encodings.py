# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Every camera encoding, against conversions written in NumPy from its definition."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg_perception.perception.encodings import ENCODINGS
from seg_perception.perception.frame import FrameError, FrameReader

HEIGHT, WIDTH = 12, 18
BAYER = ['rggb', 'bggr', 'gbrg', 'grbg']
DEEP = [name for name, encoding in ENCODINGS.items() if encoding.sample_bytes == 2]


def make_message(samples, name, width, padding=0, bigendian=False):
    """Return an Image of samples (rows, ...), uint8 or uint16; padding holds other values."""
    samples = samples.reshape(len(samples), -1)
    if samples.dtype == np.uint16:
        samples = samples.astype('>u2' if bigendian else '<u2')
    rows = np.pad(samples.view(np.uint8), ((0, 0), (0, padding)), constant_values=201)
    height = len(rows) * 2 // 3 if name in ('nv12', 'nv21') else len(rows)
    stamp = SimpleNamespace(sec=1, nanosec=2)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id='camera'),
        height=height,
        width=width,
        encoding=name,
        is_bigendian=int(bigendian),
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def random_samples(name, height=HEIGHT, width=WIDTH, seed=5):
    """Return random samples in the layout of an encoding: (rows, width, channels)."""
    encoding = ENCODINGS[name]
    dtype = np.uint16 if encoding.sample_bytes == 2 else np.uint8
    shape = (encoding.count_rows(height), width, encoding.channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def random_message(name, height=HEIGHT, width=WIDTH, seed=5, **options):
    message = make_message(random_samples(name, height, width, seed), name, width, **options)
    message.height = height
    return message


def read_rgb(message):
    frame = FrameReader().read_image(message)
    assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8
    return frame.image if frame.channel_order == 'rgb' else frame.image[..., ::-1]


def scale_to_8_bits(values):
    return np.rint(values / 257.0).astype(np.uint8)


# Colour and grey -----------------------------------------------------------------------------


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (5, 7)])
@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(
    ('name', 'channels', 'picked'),
    [
        ('rgb', 3, (0, 1, 2)),
        ('bgr', 3, (2, 1, 0)),
        ('rgba', 4, (0, 1, 2)),
        ('bgra', 4, (2, 1, 0)),
        ('mono', 1, (0, 0, 0)),
    ],
)
def test_colours_and_greys_keep_their_values(name, channels, picked, bits, shape):
    dtype = np.uint8 if bits == 8 else np.uint16
    samples = np.random.default_rng(1).integers(0, 2**bits, (*shape, channels), dtype)
    expected = samples[..., picked]
    image = read_rgb(make_message(samples, f'{name}{bits}', shape[1]))
    assert np.array_equal(image, expected if bits == 8 else scale_to_8_bits(expected))


def test_16_bits_are_scaled_so_that_the_largest_value_is_255():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = read_rgb(make_message(values, 'mono16', 256))
    assert np.array_equal(image, np.repeat(scale_to_8_bits(values)[..., None], 3, axis=2))
    assert image[0, 0, 0] == 0 and image[-1, -1, 0] == 255


@pytest.mark.parametrize(
    ('unnamed', 'named'), [('8UC1', 'mono8'), ('8UC3', 'bgr8'), ('8UC4', 'bgra8')]
)
def test_types_of_opencv_are_read_in_its_channel_order(unnamed, named):
    assert np.array_equal(read_rgb(random_message(unnamed)), read_rgb(random_message(named)))


@pytest.mark.parametrize('name', ENCODINGS)
def test_the_channel_order_is_bgr_for_bgr_images_only(name):
    frame = FrameReader().read_image(random_message(name))
    assert frame.channel_order == ('bgr' if name in ('bgr8', 'bgr16', '8UC3') else 'rgb')


# YUV -----------------------------------------------------------------------------------------


def convert_bt601(y, u, v):
    """ITU-R BT.601 with the studio range: Y 16..235, U and V 16..240 around 128."""
    luma, blue, red = 255 / 219 * (y - 16.0), 255 / 112 * (u - 128.0), 255 / 112 * (v - 128.0)
    r = luma + 0.701 * red
    g = luma - 0.886 * 0.114 / 0.587 * blue - 0.701 * 0.299 / 0.587 * red
    b = luma + 0.886 * blue
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255)


def make_planes(vertical):
    """Return Y (H, W) and one U and V for each 2 columns and `vertical` rows."""
    rng = np.random.default_rng(2)
    y = rng.integers(16, 236, (HEIGHT, WIDTH), np.uint8)
    u, v = rng.integers(16, 241, (2, HEIGHT // vertical, WIDTH // 2), np.uint8)
    return y, u, v


def spread(plane, vertical):
    return np.repeat(np.repeat(plane, vertical, axis=0), 2, axis=1)


def pack_422(y, u, v, order):
    """Interleave as the order says, e.g. 'uyvy': (H, W * 2)."""
    packed = np.empty((y.shape[0], y.shape[1] // 2, 4), np.uint8)
    luma = iter((y[:, 0::2], y[:, 1::2]))
    for index, letter in enumerate(order):
        packed[..., index] = {'u': u, 'v': v}[letter] if letter != 'y' else next(luma)
    return packed.reshape(len(y), -1)


def pack_420(y, first, second):
    """Y, then rows of the two colours in turn: (H * 3 / 2, W)."""
    return np.concatenate([y, np.stack([first, second], axis=-1).reshape(-1, y.shape[1])])


@pytest.mark.parametrize(
    ('name', 'order'),
    [('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv')],
)
def test_yuv422_is_bt601(name, order):
    y, u, v = make_planes(vertical=1)
    image = read_rgb(make_message(pack_422(y, u, v, order), name, WIDTH))
    expected = convert_bt601(y, spread(u, 1), spread(v, 1))
    assert np.abs(image - expected).max() <= 1.0


@pytest.mark.parametrize('name', ['nv12', 'nv21'])
def test_nv12_and_nv21_are_bt601(name):
    y, u, v = make_planes(vertical=2)
    samples = pack_420(y, u, v) if name == 'nv12' else pack_420(y, v, u)
    image = read_rgb(make_message(samples, name, WIDTH))
    expected = convert_bt601(y, spread(u, 2), spread(v, 2))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image - expected).max() <= 1.0


@pytest.mark.parametrize('name', ['uyvy', 'yuyv', 'nv12', 'nv21'])
@pytest.mark.parametrize(('luma', 'grey'), [(16, 0), (235, 255), (0, 0), (255, 255)])
def test_black_is_16_and_white_is_235(name, luma, grey):
    y = np.full((4, 6), luma, np.uint8)
    if name.startswith('nv'):
        neutral = np.full((2, 3), 128, np.uint8)
        samples = pack_420(y, neutral, neutral)
    else:
        neutral = np.full((4, 3), 128, np.uint8)
        samples = pack_422(y, neutral, neutral, name)
    assert np.all(read_rgb(make_message(samples, name, 6)) == grey)


# Bayer ---------------------------------------------------------------------------------------


def demosaic(mosaic, pattern):
    """Bilinear interpolation of the inside of (H, W); the border repeats its neighbours."""
    height, width = mosaic.shape
    which = np.array(
        [['rgb'.index(c) for c in pattern[:2]], ['rgb'.index(c) for c in pattern[2:]]]
    )
    image = np.zeros((height, width, 3), np.int64)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            area = mosaic[row - 1 : row + 2, column - 1 : column + 2].astype(np.int64)
            rows, columns = np.mgrid[row - 1 : row + 2, column - 1 : column + 2] % 2
            colours = which[rows, columns]
            for channel in range(3):
                near = area[1:2, 1:2] if colours[1, 1] == channel else area[colours == channel]
                # a green pixel has 4 green neighbours at its corners, which do not count
                image[row, column, channel] = (near.sum() + near.size // 2) // near.size
    return image[np.clip(np.arange(height), 1, height - 2)][
        :, np.clip(np.arange(width), 1, width - 2)
    ]


@pytest.mark.parametrize('shape', [(3, 3), (4, 4), (12, 18), (7, 45)])
@pytest.mark.parametrize('pattern', BAYER)
def test_bayer_is_interpolated_between_its_neighbours(pattern, shape):
    mosaic = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    image = read_rgb(make_message(mosaic, f'bayer_{pattern}8', shape[1]))
    np.testing.assert_array_equal(image, demosaic(mosaic, pattern))


@pytest.mark.parametrize('bigendian', [False, True])
@pytest.mark.parametrize('pattern', BAYER)
def test_16_bit_bayer_is_interpolated_before_it_is_scaled(pattern, bigendian):
    mosaic = np.random.default_rng(4).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    message = make_message(mosaic, f'bayer_{pattern}16', WIDTH, bigendian=bigendian)
    np.testing.assert_array_equal(read_rgb(message), scale_to_8_bits(demosaic(mosaic, pattern)))


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', BAYER)
def test_the_mosaic_of_a_colour_gives_that_colour(pattern, bits):
    colour = np.array([200, 100, 50])
    tile = colour[['rgb'.index(letter) for letter in pattern]].reshape(2, 2)
    mosaic = np.tile(tile, (3, 4)).astype(np.uint8)
    if bits == 16:
        mosaic = mosaic * np.uint16(257)
    assert np.all(read_rgb(make_message(mosaic, f'bayer_{pattern}{bits}', 8)) == colour)


# Equal to cv_bridge --------------------------------------------------------------------------

# getConversionCodes of cv_bridge.cpp (3.x and 4.x): what it calls cvtColor with for rgb8
CV_BRIDGE_CODES = {
    'mono': 'GRAY2RGB',
    'bgr': 'BGR2RGB',
    'rgba': 'RGBA2RGB',
    'bgra': 'BGRA2RGB',
    'yuv422': 'YUV2RGB_UYVY',
    'yuv422_yuy2': 'YUV2RGB_YUY2',
    'bayer_rggb': 'BayerBG2RGB',
    'bayer_bggr': 'BayerRG2RGB',
    'bayer_gbrg': 'BayerGR2RGB',
    'bayer_grbg': 'BayerGB2RGB',
}
CV_BRIDGE_NAMES = [
    f'{name}{bits}' if not name.startswith('yuv') else name
    for name in CV_BRIDGE_CODES
    for bits in (8, 16)
    if bits == 8 or not name.startswith('yuv')
]


@pytest.mark.parametrize('name', CV_BRIDGE_NAMES)
def test_the_image_is_that_of_the_steps_of_cv_bridge(name):
    samples = np.squeeze(random_samples(name))
    code = CV_BRIDGE_CODES[name if name.startswith('yuv') else name.rstrip('0123456789')]
    expected = cv2.cvtColor(samples, getattr(cv2, f'COLOR_{code}'))
    if expected.dtype == np.uint16:  # Mat::convertTo(CV_8U, 255. / 65535.)
        expected = scale_to_8_bits(expected)
    np.testing.assert_array_equal(read_rgb(random_message(name)), expected)


def test_the_images_are_those_of_cv_bridge_itself():
    cv_bridge = pytest.importorskip('cv_bridge', reason='only a ROS install has cv_bridge')
    for name in [*CV_BRIDGE_NAMES, 'rgb8', 'rgb16']:
        message = random_message(name)
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(message, 'rgb8')
        np.testing.assert_array_equal(read_rgb(message), expected, name)


# Layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize('padding', [1, 2, 7, 64])
@pytest.mark.parametrize('name', ENCODINGS)
def test_padded_rows_give_the_same_image(name, padding):
    expected = read_rgb(random_message(name))
    assert np.array_equal(read_rgb(random_message(name, padding=padding)), expected)


@pytest.mark.parametrize('padding', [0, 1, 6])
@pytest.mark.parametrize('name', DEEP)
def test_byte_order_is_respected(name, padding):
    expected = read_rgb(random_message(name))
    message = random_message(name, padding=padding, bigendian=True)
    assert np.array_equal(read_rgb(message), expected)


@pytest.mark.parametrize('name', sorted(set(ENCODINGS) - set(DEEP)))
def test_byte_order_means_nothing_for_bytes(name):
    message = random_message(name)
    message.is_bigendian = 1
    assert np.array_equal(read_rgb(message), read_rgb(random_message(name)))


@pytest.mark.parametrize('name', DEEP)
def test_data_at_an_odd_address_is_read(name):
    message = random_message(name)
    expected = read_rgb(message)
    message.data = memoryview(b'\0' + message.data)[1:]
    assert np.array_equal(read_rgb(message), expected)


@pytest.mark.parametrize('name', ENCODINGS)
def test_reading_again_allocates_nothing(name):
    height, width = 480, 640
    padded = [random_message(name, height, width, seed, padding=2) for seed in (1, 2)]
    reader = FrameReader()
    first = reader.read_image(padded[0]).image
    tracemalloc.start()
    try:
        second = reader.read_image(padded[1]).image
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.shares_memory(first, second)
    assert peak < 20_000  # bytes; the image has 921600


def test_a_camera_may_change_its_encoding_and_size_in_mid_stream():
    reader = FrameReader()
    for name in ENCODINGS:
        for height, width in ((HEIGHT, WIDTH), (6, 4)):
            message = random_message(name, height, width)
            image = reader.read_image(message).image
            assert np.array_equal(image, FrameReader().read_image(message).image)
            assert image.shape == (height, width, 3)


# Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ENCODINGS)
@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        (lambda m: setattr(m, 'data', m.data[:-1]), 'truncated'),
        (lambda m: setattr(m, 'data', b''), 'truncated'),
        (lambda m: setattr(m, 'data', m.data + b'\0'), 'step'),
        (lambda m: setattr(m, 'step', m.step - 1), 'step'),
        (lambda m: setattr(m, 'step', m.step + 1), 'truncated'),
        (lambda m: setattr(m, 'step', 2**32 - 1), 'truncated'),
        (lambda m: setattr(m, 'width', 2**32 - 2), 'step'),
        (lambda m: setattr(m, 'height', 2**32 - 2), 'truncated'),
        (lambda m: setattr(m, 'height', m.height - 2), 'step'),
        (lambda m: setattr(m, 'height', 0), 'size'),
        (lambda m: setattr(m, 'width', 0), 'size'),
    ],
)
def test_a_faulty_image_of_any_encoding_is_refused(name, change, kind):
    message = random_message(name)
    change(message)
    with pytest.raises(FrameError) as caught:
        FrameReader().read_image(message)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ('name', 'height', 'width', 'message'),
    [
        ('nv12', 5, 6, r'6x5 pixels of nv12 \(width x height\), expected an even width and heigh'),
        ('nv21', 4, 5, '5x4 .* expected an even width and height: 2x2 pixels share one colour'),
        ('uyvy', 4, 5, '5x4 .* expected an even width: 2x1 pixels share one colour'),
        ('yuv422_yuy2', 3, 7, '7x3 .* expected an even width: 2x1'),
        ('bayer_rggb8', 2, 8, '8x2 pixels of bayer_rggb8, expected at least 3x3'),
        ('bayer_gbrg16', 8, 1, '1x8 pixels of bayer_gbrg16, expected at least 3x3'),
    ],
)
def test_sizes_that_an_encoding_cannot_have_are_named(name, height, width, message):
    with pytest.raises(FrameError, match=message) as caught:
        FrameReader().read_image(random_message(name, height, width))
    assert caught.value.kind == 'size'


def test_nv12_says_that_colour_rows_are_missing():
    message = random_message('nv12')
    message.data = message.data[: HEIGHT * WIDTH]
    expected = (
        r'216 bytes, expected 324 \(step 18 x height 12 = 18 rows of brightness and colour\)'
    )
    with pytest.raises(FrameError, match=expected):
        FrameReader().read_image(message)


@pytest.mark.parametrize(
    'name', ['RGB8', 'rgb8 ', 'yuv444', '16UC1', '32FC1', 'é\n\0', 'x' * 10**6]
)
def test_unknown_encodings_are_named_with_what_is_known(name):
    message = random_message('rgb8')
    message.encoding = name
    with pytest.raises(FrameError, match=r'encoding is .*rgb8, bgr8, .* nv12, nv21') as caught:
        FrameReader().read_image(message)
    text = str(caught.value)
    assert caught.value.kind == 'encoding' and len(text) < 600 and text.isprintable()
