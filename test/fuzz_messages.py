# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera messages with faults, as hypothesis strategies; a message is a dict of its fields.

`FUZZ_EXAMPLES=10000 pytest test/perception/test_frame_fuzz.py test/ros/test_message_fuzz.py` tries
that many messages in this process, and a tenth of them over DDS; FUZZ_SEED chooses others. A
number and a seed always give the same messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', '1500'))
SEED = int(os.environ.get('FUZZ_SEED', '7'))
IMAGE_SHARE, COMPRESSED_SHARE, CAMERA_INFO_SHARE = 0.5, 0.3, 0.2
DDS_SHARE = 0.1
# A hang is anything beyond this for an image of at most 64x64 pixels, on a busy machine.
DEADLINE = timedelta(seconds=10)

UINT32 = 2**32 - 1


@dataclass(frozen=True)
class Layout:
    """What the definition of an encoding asks of a message, apart from the package's table."""

    pixel_bytes: int
    even_width: bool = False
    even_height: bool = False
    least: int = 1
    half_more_rows: bool = False


_COLOURS = {'mono': 1, 'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
_PATTERNS = ('rggb', 'bggr', 'gbrg', 'grbg')
LAYOUTS = {
    **{f'{name}8': Layout(count) for name, count in _COLOURS.items()},
    **{f'{name}16': Layout(2 * count) for name, count in _COLOURS.items()},
    **{f'bayer_{name}8': Layout(1, least=3) for name in _PATTERNS},
    **{f'bayer_{name}16': Layout(2, least=3) for name in _PATTERNS},
    **{name: Layout(2, even_width=True) for name in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')},
    **{name: Layout(1, True, True, half_more_rows=True) for name in ('nv12', 'nv21')},
    '8UC1': Layout(1),
    '8UC3': Layout(3),
    '8UC4': Layout(4),
}
OTHER_ENCODINGS = ('16UC1', '32FC1', '16UC3', '64FC4', 'nv24', 'RGB8', 'rgb', 'bayer', '', 'yuv')


def configure(share: float) -> Callable:
    """Return a decorator that gives a test its part of the examples, always the same ones."""

    def decorate(test: Callable) -> Callable:
        return seed(SEED)(_make_settings(share)(test))

    return decorate


def collect(strategy: st.SearchStrategy, share: float) -> list[Any]:
    """Return examples of a strategy, where a test has to hold several at once."""
    collected: list[Any] = []

    @seed(SEED)
    @settings(_make_settings(share), phases=[Phase.generate])
    @given(strategy)
    def gather(example: Any) -> None:
        collected.append(example)

    gather()
    return collected


def _make_settings(share: float) -> settings:
    return settings(
        max_examples=max(1, round(EXAMPLES * share)),
        deadline=DEADLINE,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def make_bytes(size: int, number: int) -> bytes:
    """Return reproducible random bytes; hypothesis itself would take a second for a few kB."""
    return np.random.default_rng(number).integers(0, 256, size, np.uint8).tobytes()


texts = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=30)
edges = st.sampled_from([0, 1, 2, 3, 7, 2**15, 2**16, 2**31 - 1, 2**31, UINT32])
uint32s = st.one_of(edges, st.integers(0, 200), st.integers(0, UINT32))
seeds = st.integers(0, 2**32 - 1)
headers = st.fixed_dictionaries(
    {
        'sec': st.integers(-(2**31), 2**31 - 1),
        'nanosec': st.integers(0, UINT32),
        'frame_id': texts,
    }
)


# Image ---------------------------------------------------------------------------------------


def is_readable(fields: dict[str, Any]) -> bool:
    """Tell whether an Image is sound, from the definitions of its encoding and of `step`."""
    layout = LAYOUTS.get(fields['encoding'])
    height, width, step = fields['height'], fields['width'], fields['step']
    if layout is None or min(height, width) < layout.least:
        return False
    if (layout.even_width and width % 2) or (layout.even_height and height % 2):
        return False
    rows = height * 3 // 2 if layout.half_more_rows else height
    return step >= width * layout.pixel_bytes and len(fields['data']) == step * rows


@st.composite
def make_image_fields(draw: Any, sizes_hw: st.SearchStrategy) -> dict[str, Any]:
    """Make a sound Image of any encoding, then up to three faults."""
    name = draw(st.sampled_from(sorted(LAYOUTS)))
    layout = LAYOUTS[name]
    height, width = draw(sizes_hw)
    step = width * layout.pixel_bytes + draw(st.sampled_from([0, 0, 0, 1, 2, 5, 64]))
    rows = height * 3 // 2 if layout.half_more_rows else height
    fields = {
        **draw(headers),
        'height': height,
        'width': width,
        'encoding': name,
        'is_bigendian': draw(st.sampled_from([0, 0, 1, 255])),
        'step': step,
        'data': make_bytes(step * rows, draw(seeds)),
    }
    faults = draw(st.one_of(st.just([]), st.lists(st.sampled_from(list(FAULTS)), max_size=3)))
    for fault in faults:
        fields[fault] = draw(FAULTS[fault](fields))
    return fields


def change_data(data: bytes) -> st.SearchStrategy:
    """Return data cut, grown, swapped for other data, or none."""
    return st.one_of(
        st.integers(0, len(data)).map(lambda size: data[:size]),
        st.integers(1, 300).map(lambda size: data + bytes(size)),
        st.binary(max_size=64),
        st.just(b''),
    )


FAULTS: dict[str, Callable[[dict[str, Any]], st.SearchStrategy]] = {
    'height': lambda fields: st.one_of(uint32s, st.just(fields['height'] + 1)),
    'width': lambda fields: st.one_of(uint32s, st.just(fields['width'] + 1)),
    'step': lambda fields: st.one_of(uint32s, st.just(max(0, fields['step'] - 1))),
    'encoding': lambda fields: st.one_of(
        texts, st.sampled_from(OTHER_ENCODINGS), st.sampled_from(sorted(LAYOUTS))
    ),
    'data': lambda fields: change_data(fields['data']),
}


# CompressedImage -----------------------------------------------------------------------------


def make_files() -> list[bytes]:
    """Return small sound JPEGs and PNGs of many kinds."""
    rng = np.random.default_rng(11)
    files = []
    for height, width in ((1, 1), (17, 23), (48, 64)):
        colour = rng.integers(0, 256, (height, width, 4), np.uint8)
        deep = rng.integers(0, 65536, (height, width, 3), np.uint16)
        for pixels in (colour, colour[..., :3], colour[..., 0], deep, deep[..., 0]):
            files.append(cv2.imencode('.png', np.ascontiguousarray(pixels))[1].tobytes())
        for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]):
            files.append(cv2.imencode('.jpg', colour[..., :3], options)[1].tobytes())
        files.append(cv2.imencode('.jpg', colour[..., 0])[1].tobytes())
    return files


FILES = make_files()
FORMATS = (
    '',
    'jpeg',
    'png',
    'rgb8; jpeg compressed bgr8',
    'mono8; png compressed mono8',
    'mono16; png compressed ',
    'bayer_rggb8; png compressed ',
    'bayer_grbg16; png compressed ',
    'nv12; jpeg compressed bgr8',
)
BAD_FORMATS = ('16UC1; compressedDepth png', '32FC1; png compressed ', ';', 'xyz; jpeg')


@st.composite
def make_compressed_fields(draw: Any) -> dict[str, Any]:
    """Make a sound CompressedImage, then up to three faults; 'is_sound' tells which is which."""
    data = draw(st.sampled_from(FILES))
    text = draw(st.sampled_from(FORMATS))
    is_tiny_mosaic = text.startswith('bayer_') and data in FILES[:9]
    faults = draw(
        st.one_of(st.just([]), st.lists(st.sampled_from(['bytes', 'data', 'format']), max_size=3))
    )
    for fault in faults:
        if fault == 'bytes':
            data = draw(change_bytes(data))
        elif fault == 'data':
            data = draw(change_data(data))
        else:
            text = draw(st.one_of(texts, st.sampled_from(BAD_FORMATS)))
    is_sound = not faults and not is_tiny_mosaic
    return {**draw(headers), 'format': text, 'data': data, 'is_sound': is_sound}


@st.composite
def change_bytes(draw: Any, data: bytes) -> bytes:
    """Overwrite, remove or insert a few bytes, mostly near the start, where the headers are."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        limit = max(len(changed) - 1, 0)
        position = draw(st.one_of(st.integers(0, min(40, limit)), st.integers(0, limit)))
        insert = draw(st.binary(max_size=4))
        changed[position : position + draw(st.integers(0, 4))] = insert
    return bytes(changed)


# CameraInfo ----------------------------------------------------------------------------------

SOUND_CAMERA = {
    'height': 48,
    'width': 64,
    'distortion_model': 'plumb_bob',
    'd': [0.1, -0.05, 0.001, 0.001, 0.01],
    'k': [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0],
    'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    'p': [50.0, 0.0, 32.0, 0.0, 0.0, 50.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    'roi': [0, 0, 0, 0],
}
MODELS = ('plumb_bob', 'rational_polynomial', 'equidistant', 'thin_prism', '')
reals = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-320, 1e308, float('nan'), float('inf')]),
    st.floats(-100.0, 100.0),
)


@st.composite
def make_camera_info_fields(draw: Any) -> dict[str, Any]:
    """Make the calibration of a 48x64 camera, then up to four faults."""
    fields = {**SOUND_CAMERA, **draw(headers)}
    names = st.sampled_from([*SOUND_CAMERA, 'entry', 'entry'])
    for name in draw(st.lists(names, max_size=4)):
        if name == 'entry':
            matrix = draw(st.sampled_from(['d', 'k', 'r', 'p']))
            values = list(fields[matrix]) or [0.0]
            values[draw(st.integers(0, len(values) - 1))] = draw(reals)
            fields[matrix] = values
        elif name in ('height', 'width'):
            fields[name] = draw(uint32s)
        elif name == 'distortion_model':
            fields[name] = draw(st.one_of(st.sampled_from(MODELS), texts))
        elif name == 'd':
            fields[name] = draw(st.lists(reals, max_size=14))
        elif name == 'roi':
            fields[name] = draw(st.lists(uint32s, min_size=4, max_size=4))
        else:
            size = len(SOUND_CAMERA[name])
            fields[name] = draw(st.lists(reals, min_size=size, max_size=size))
    return fields
