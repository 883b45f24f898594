# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency of textured scenes that move by known pixels."""

import json

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.temporal import TemporalConsistency, sample
from seg_perception.perception.labels import LabelSpace

CLASSES = 6
SPACE = LabelSpace('letters', tuple('abcdef'), ((0, 0, 0),) * CLASSES)
MARGIN_PX = 60


def draw_scene(seed, hw):
    """Return a textured image (RGB) and large patches of classes."""
    random = np.random.default_rng(seed)
    grains = [
        sigma * cv2.GaussianBlur(random.standard_normal((*hw, 3)), (0, 0), sigma)
        for sigma in (2, 5, 15)
    ]
    image = cv2.normalize(sum(grains), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    fields = [cv2.GaussianBlur(random.standard_normal(hw), (0, 0), 20) for _ in range(CLASSES)]
    return image, np.argmax(fields, axis=0).astype(np.uint8)


def move_camera(seed=0, hw=(160, 240), move_px=(2, -5), frames=4):
    """Return frames of a window that moves over a scene, with the scene's classes."""
    image, mask = draw_scene(seed, (hw[0] + 2 * MARGIN_PX, hw[1] + 2 * MARGIN_PX))
    moved = []
    for index in range(frames):
        top, left = MARGIN_PX + index * move_px[0], MARGIN_PX + index * move_px[1]
        window = np.s_[top : top + hw[0], left : left + hw[1]]
        moved.append(make_frame(index, image[window], mask[window]))
    return moved


def make_frame(index, image, mask, channel_order='rgb'):
    return JudgedFrame(index, index, image.copy(), channel_order, mask.copy())


def judge(frames):
    """Return the rows of each frame, as records keep them."""
    metric = TemporalConsistency(SPACE)
    return [json.loads(json.dumps(metric.measure(frame))) for frame in frames]


def summarize(frames):
    return TemporalConsistency(SPACE).summarize([rows for rows in judge(frames) if rows])


def flip(frames, share, seed=5):
    """Return the frames with other classes at random pixels of every second one."""
    random = np.random.default_rng(seed)
    flipped = []
    for frame in frames:
        mask = frame.mask.copy()
        if frame.index % 2:
            chosen = random.random(mask.shape) < share
            mask[chosen] = (mask[chosen] + random.integers(1, CLASSES, chosen.sum())) % CLASSES
        flipped.append(make_frame(frame.index, frame.image, mask))
    return flipped


@pytest.mark.parametrize('move_px', [(0, 0), (3, -4), (-7, 11)])
@pytest.mark.parametrize('hw', [(160, 240), (160, 800)])  # as it is, and scaled for flow
def test_mask_that_moves_with_the_image_is_consistent(hw, move_px):
    frames = move_camera(hw=hw, move_px=move_px)
    rows = judge(frames)
    assert rows[0] is None
    whole = sample(frames[0].mask).size
    for counted in rows[1:]:
        assert sum(row[1] for row in counted) > 0.8 * whole
    assert summarize(frames)['temporal_consistency'] > 0.999


@pytest.mark.parametrize('share', [0.02, 0.1, 0.3])
def test_random_flips_are_lost(share):
    figures = summarize(flip(move_camera(), share))
    assert figures['temporal_consistency'] == pytest.approx(1 - share, abs=0.01)


def test_only_the_class_that_flickers_does():
    frames = []
    for frame in move_camera():
        mask = frame.mask.copy()
        if frame.index % 2:
            mask[mask == 2] = 3
        frames.append(make_frame(frame.index, frame.image, mask))
    flicker = summarize(frames[:2])['flicker']
    assert flicker['c'] > 0.99
    assert max(flicker[name] for name in 'abdef') < 0.01


def test_mask_that_stays_while_the_image_moves_is_not_consistent():
    moved = move_camera()
    frames = [make_frame(frame.index, frame.image, moved[0].mask) for frame in moved]
    assert summarize(frames)['temporal_consistency'] < 0.95


def test_both_channel_orders_are_the_same_image():
    frames = move_camera(frames=2)
    bgr = [make_frame(f.index, f.image[..., ::-1], f.mask, 'bgr') for f in frames]
    assert judge(bgr) == judge(frames)


def test_cut_is_skipped():
    scenes = [draw_scene(seed, (160, 240)) for seed in range(4)]
    frames = [make_frame(index, *scene) for index, scene in enumerate(scenes)]
    assert judge(frames) == [None] * 4


@pytest.mark.parametrize('indices', [(0, 2, 3), (5, 4, 5), (3, 3, 4)])
def test_images_that_are_not_consecutive_are_not_compared(indices):
    frames = [
        make_frame(index, frame.image, frame.mask)
        for index, frame in zip(indices, move_camera(frames=3), strict=True)
    ]
    assert [rows is None for rows in judge(frames)] == [True, True, False]


def test_image_of_another_size_is_not_compared():
    small, large = move_camera(frames=2), move_camera(frames=3, hw=(200, 240))
    assert [rows is None for rows in judge([small[0], *large[1:]])] == [True, True, False]


def test_covered_pixels_are_left_out():
    """A block moves over the scene: what it uncovers and covers is no fault of the mask."""
    image, mask = draw_scene(0, (160, 240))
    block, _ = draw_scene(1, (60, 60))
    frames = []
    for index in range(4):
        shown, classes = image.copy(), np.where(mask == 5, 0, mask).astype(np.uint8)
        window = np.s_[50:110, 40 + 6 * index : 100 + 6 * index]
        shown[window], classes[window] = 255 - block, 5
        frames.append(make_frame(index, shown, classes))
    figures = summarize(frames)
    uncovered = 60 * 6 / mask.size
    assert 1 - figures['temporal_consistency'] < uncovered
    assert figures['flicker']['f'] < 0.02


def test_pixels_without_a_class_are_not_followed_but_losing_it_is_a_change():
    frames = move_camera(frames=2, move_px=(0, 0))
    before, after = frames[0].mask, frames[1].mask
    before[:40] = 255
    after[120:] = 255
    figures = summarize(frames)
    assert figures['temporal_consistency'] == pytest.approx(1 - 40 / 120)


@pytest.mark.parametrize('hw', [(8, 300), (15, 15), (60, 2048), (1, 1)])
def test_image_too_small_for_flow_is_not_judged(hw):
    mask = np.zeros(hw, np.uint8)
    frames = [make_frame(index, np.zeros((*hw, 3), np.uint8), mask) for index in range(2)]
    assert judge(frames) == [None, None]


def test_no_pairs_give_no_figures():
    figures = TemporalConsistency(SPACE).summarize([])
    assert figures['temporal_consistency'] is None
    assert set(figures['flicker'].values()) == {None}
