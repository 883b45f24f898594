# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Fuzzed camera messages: every sound one is read, every other one refused under a kind."""

from __future__ import annotations

from types import SimpleNamespace

import fuzz_messages as fuzz
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seg_perception.perception.encodings import ENCODINGS
from seg_perception.perception.frame import FrameError, FrameReader

KINDS = {'truncated', 'step', 'size', 'encoding', 'corrupt'}
# One reader for all: what a message leaves in its buffers must not harm the next.
READER = FrameReader()
# Mostly even, as half of the encodings want it.
LENGTHS_PX = st.one_of(st.integers(2, 12).map(lambda half: 2 * half), st.integers(0, 25))
SIZES_HW = st.tuples(LENGTHS_PX, LENGTHS_PX)


def make_message(fields):
    stamp = SimpleNamespace(sec=fields['sec'], nanosec=fields['nanosec'])
    header = SimpleNamespace(stamp=stamp, frame_id=fields['frame_id'])
    return SimpleNamespace(header=header, **fields)


def read(reader_method, fields):
    """Return the image, or None where the message was refused properly."""
    try:
        frame = reader_method(make_message(fields))
    except FrameError as error:
        assert error.kind in KINDS
        assert 20 < len(str(error)) < 800 and str(error).isprintable()
        return None
    assert frame.stamp_ns == fields['sec'] * 10**9 + fields['nanosec']
    assert frame.channel_order in ('rgb', 'bgr')
    image = frame.image
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.flags.c_contiguous and image.size > 0
    return image


def test_the_layouts_of_the_fuzzer_are_those_of_every_encoding():
    assert set(fuzz.LAYOUTS) == set(ENCODINGS)


@fuzz.configure(fuzz.IMAGE_SHARE)
@given(fuzz.make_image_fields(SIZES_HW))
def test_an_image_is_read_if_and_only_if_it_is_sound(fields):
    image = read(READER.read_image, fields)
    assert (image is not None) == fuzz.is_readable(fields)
    if image is not None:
        assert image.shape == (fields['height'], fields['width'], 3)


@fuzz.configure(fuzz.COMPRESSED_SHARE)
@given(fuzz.make_compressed_fields())
def test_a_compressed_image_is_read_or_refused(fields):
    image = read(READER.read_compressed, fields)
    assert image is not None or not fields['is_sound']
