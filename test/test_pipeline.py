# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The chain from a frame to masks of the camera's size and of others."""

import numpy as np
import pytest

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.perception.frame import Frame
from seg_perception.pipeline import SegmentationPipeline

CAMERA_HW = (96, 160)


@pytest.fixture(scope='module')
def pipeline(tiny_model):
    chain = SegmentationPipeline(load_engine(EngineConfig(str(tiny_model), 'openvino', 'f32')))
    yield chain
    chain.close()


@pytest.fixture(scope='module')
def frame():
    colours = np.random.default_rng(1).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    image = np.ascontiguousarray(colours.repeat(16, axis=0).repeat(16, axis=1))
    return Frame(image, 'rgb', 0, 'camera', None)


def process(pipeline, frame, hw):
    out = pipeline.process(frame, np.empty(hw, np.uint8), np.empty(hw, np.uint8))
    return out.mask.copy(), out.confidence.copy()


def test_a_mask_at_a_third_is_that_of_the_camera_at_the_same_places(pipeline, frame):
    mask, confidence = process(pipeline, frame, CAMERA_HW)
    small_mask, small_confidence = process(pipeline, frame, (32, 160))
    # The middle row of each three is the place that the small mask samples.
    np.testing.assert_array_equal(small_mask, mask[1::3])
    assert np.abs(small_confidence.astype(int) - confidence[1::3]).max() <= 1


def test_sizes_may_change_from_frame_to_frame(pipeline, frame):
    first = process(pipeline, frame, CAMERA_HW)[0]
    process(pipeline, frame, (48, 80))
    np.testing.assert_array_equal(process(pipeline, frame, CAMERA_HW)[0], first)
    np.testing.assert_array_equal(pipeline.process(frame).mask, first)


def test_warm_up_takes_an_output_size(pipeline, frame):
    pipeline.warm_up(CAMERA_HW, 'rgb', (24, 40))
    assert process(pipeline, frame, (24, 40))[0].shape == (24, 40)


def test_cameras_of_several_sizes_take_turns_without_preparing_again(pipeline, frame, monkeypatch):
    small = Frame(np.ascontiguousarray(frame.image[:64, :128]), 'rgb', 0, 'camera', None)
    expected = [pipeline.process(entry).mask.copy() for entry in (frame, small)]

    def refuse(*arguments):
        raise AssertionError('prepared again')

    monkeypatch.setattr('seg_perception.pipeline.MaskDecoder', refuse)
    monkeypatch.setattr(pipeline.engine, '_open_session', refuse)
    for _ in range(2):
        for entry, mask in zip((frame, small), expected, strict=True):
            np.testing.assert_array_equal(pipeline.process(entry).mask, mask)
