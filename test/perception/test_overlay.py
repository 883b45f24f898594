# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The overlay against the blend and the outlines written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.perception.labels import load_label_space
from seg_perception.perception.overlay import OUTLINE_COLOR, draw_outlines, draw_overlay

CITYSCAPES = load_label_space('cityscapes')
CAMVID = load_label_space('camvid')


def make_input(shape=(37, 53), ids=19, seed=0):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    return image, random.choice([*range(ids), 255], shape).astype(np.uint8)


@pytest.mark.parametrize('alpha', [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('shape', [(37, 53), (1, 1), (1, 9), (9, 1)])
def test_labelled_pixels_are_blended_and_others_untouched(shape, order, alpha):
    image, mask = make_input(shape)
    result = draw_overlay(image, order, mask, CITYSCAPES, alpha)
    colors = np.array(CITYSCAPES.palette)[:, :: 1 if order == 'rgb' else -1]
    labelled = mask != 255
    expected = (1 - alpha) * image[labelled] + alpha * colors[mask[labelled]]
    assert np.abs(result[labelled] - expected).max(initial=0) <= 0.501
    assert np.array_equal(result[~labelled], image[~labelled])


def test_every_id_without_a_class_is_untouched():
    image, mask = make_input(ids=12)  # 11 is CamVid's own id of unlabelled pixels
    result = draw_overlay(image, 'rgb', mask, CAMVID, 1.0)
    assert np.array_equal(result[mask == 11], image[mask == 11])
    assert (result[mask == 10] == CAMVID.palette[10]).all()


def test_buffer_is_used_and_the_inputs_stay():
    image, mask = make_input()
    before = image.copy(), mask.copy()
    out = np.empty_like(image)
    assert draw_overlay(image, 'rgb', mask, CITYSCAPES, out=out) is out
    assert np.array_equal(out, draw_overlay(image, 'rgb', mask, CITYSCAPES))
    assert np.array_equal(image, before[0]) and np.array_equal(mask, before[1])


def test_read_only_input_and_message_memory_are_accepted():
    image, mask = make_input()
    expected = draw_overlay(image, 'bgr', mask, CITYSCAPES)
    image.flags.writeable = mask.flags.writeable = False
    out = np.frombuffer(bytearray(image.size), np.uint8).reshape(image.shape)
    assert draw_overlay(image, 'bgr', mask, CITYSCAPES, out=out) is out
    assert np.array_equal(out, expected)


IMAGE, MASK = make_input()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'alpha': 1.5}, 'alpha is 1.5, expected 0 to 1'),
        ({'channel_order': 'yuv'}, "'yuv', expected 'rgb' or 'bgr'"),
        ({'mask': MASK[1:]}, r'mask is uint8 of shape \(36, 53\), .*\(37, 53\)'),
        ({'mask': MASK.astype(int)}, 'mask is int64'),
        ({'image': IMAGE[..., :2]}, r'image .* \(37, 53, 2\), .*\(37, 53, 3\)'),
        ({'out': np.empty((37, 53, 4), np.uint8)}, r'out .* \(37, 53, 4\)'),
        ({'out': IMAGE}, 'apart from the image'),
        ({'out': np.empty((37, 106, 3), np.uint8)[:, ::2]}, 'C-contiguous'),
    ],
)
def test_input_that_does_not_fit_is_refused(change, message):
    arguments = {
        'image': IMAGE,
        'channel_order': 'rgb',
        'mask': MASK,
        'label_space': CITYSCAPES,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        draw_overlay(**arguments)


def find_edges_slowly(panoptic):
    """Return (H, W) bool, pixels of an instance beside another id."""
    edges = np.zeros(panoptic.shape, bool)
    for row, column in np.ndindex(*panoptic.shape):
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = row + down, column + right
            if 0 <= y < panoptic.shape[0] and 0 <= x < panoptic.shape[1]:
                edges[row, column] |= panoptic[y, x] != panoptic[row, column]
    return edges & (panoptic > 0) & (panoptic % 1000 > 0)


@pytest.mark.parametrize('shape', [(30, 40), (1, 9), (9, 1), (1, 1)])
def test_outlines_are_the_inner_edges_of_instances(shape):
    random = np.random.default_rng(3)
    blocks = random.choice([-1, 0, 13000, 13001, 13002, 11001], (shape[0], shape[1]))
    panoptic = blocks.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]].astype(np.int32)
    image = random.integers(0, 200, (*shape, 3), dtype=np.uint8)
    drawn = image.copy()
    draw_outlines(drawn, panoptic)
    edges = find_edges_slowly(panoptic)
    assert (drawn[edges] == OUTLINE_COLOR).all()
    np.testing.assert_array_equal(drawn[~edges], image[~edges])


def test_outlines_of_large_images_are_wider_and_stay_inside():
    panoptic = np.zeros((60, 2048), np.int32)
    panoptic[10:50, 100:200], panoptic[10:50, 200:300] = 13001, 13002
    drawn = np.zeros((60, 2048, 3), np.uint8)
    draw_outlines(drawn, panoptic)
    assert drawn[30, 98:104, 0].tolist() == [0, 0, 255, 255, 0, 0]
    assert drawn[30, 197:203, 0].tolist() == [0, 255, 255, 255, 255, 0]


def test_outlines_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r'shape \(2, 2\), expected \(3, 4\) of the image'):
        draw_outlines(np.zeros((3, 4, 3), np.uint8), np.zeros((2, 2), np.int32))
