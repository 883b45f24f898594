# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The merge of mask, centres and offsets, and what it does in the corner cases."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.perception.geometry import place_image, sampling_grid
from seg_perception.perception.panoptic_reference import (
    MergeConfig,
    count_reach,
    find_centers,
    merge_panoptic,
)

ROAD, CAR, TRUCK = 0, 13, 14
THINGS = (CAR, TRUCK)
STRIDE = 4
ALL_STUFF = MergeConfig(stuff_area_share=0.0)


def make_street() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a mask of 32x64 with two cars side by side, and perfect outputs at 1/4."""
    mask = np.full((32, 64), ROAD, np.uint8)
    mask[8:24, 8:40] = CAR
    center = np.zeros((8, 16), np.float32)
    offset = np.zeros((2, 8, 16), np.float32)
    for row, column, score in ((4, 3, 0.9), (4, 7, 0.8)):
        center[row, column] = score
        own = slice(2, 6), slice(column - 1, column + 3)
        rows, columns = np.mgrid[own]
        offset[0][own] = (row - rows) * STRIDE
        offset[1][own] = (column - columns) * STRIDE
    return mask, center, offset


def merge(mask, center, offset, config=ALL_STUFF, network_hw=(32, 64)):
    placement = place_image(mask.shape, network_hw, 'letterbox')
    grid = sampling_grid(placement, center.shape, STRIDE)
    return merge_panoptic(mask, center, offset, grid, STRIDE, THINGS, config)


def test_pixels_go_to_the_centre_that_they_point_to():
    frame = merge(*make_street())
    assert [item.panoptic_id for item in frame.instances] == [13001, 13002]
    assert [item.area_px for item in frame.instances] == [16 * 16, 16 * 16]
    assert frame.ids.dtype == np.int32
    assert (frame.ids[8:24, 8:24] == 13001).all() and (frame.ids[8:24, 24:40] == 13002).all()
    assert (frame.ids[:8] == ROAD * 1000).all()


def test_camera_of_another_size_reads_the_same_outputs():
    mask, center, offset = make_street()
    large = mask.repeat(2, 0).repeat(2, 1)
    frame = merge(large, center, offset)
    assert (frame.ids[16:48, 16:48] == 13001).mean() > 0.97
    assert [item.class_id for item in frame.instances] == [CAR, CAR]


def test_majority_names_the_class_and_the_lower_id_wins_a_draw():
    mask, center, offset = make_street()
    mask[8:24, 8:12] = TRUCK
    mask[8:24, 24:32] = TRUCK
    frame = merge(mask, center, offset)
    assert [(item.class_id, item.area_px) for item in frame.instances] == [(CAR, 256), (CAR, 256)]
    mask[8:24, 24:33] = TRUCK
    assert merge(mask, center, offset).ids[10, 38] == TRUCK * 1000 + 1


def test_without_a_centre_things_are_void():
    mask, _, offset = make_street()
    frame = merge(mask, np.full((8, 16), 0.1, np.float32), offset)
    assert frame.instances == ()
    assert (frame.ids[mask == CAR] == -1).all() and (frame.ids[mask == ROAD] == 0).all()


def test_centre_without_pixels_is_no_instance():
    mask, center, offset = make_street()
    center[0, 15] = 0.95
    frame = merge(mask, center, offset)
    assert [item.panoptic_id for item in frame.instances] == [13001, 13002]


def test_plateau_is_one_centre_and_the_first_of_equals_survive():
    center = np.zeros((8, 16), np.float32)
    center[2, 2:4] = 0.5
    center[5, 1] = center[5, 8] = 0.7
    rows, columns, scores = find_centers(center, STRIDE, MergeConfig())
    assert list(zip(rows, columns, strict=True)) == [(5, 1), (5, 8), (2, 2)]
    assert scores.tolist() == pytest.approx([0.7, 0.7, 0.5])
    rows, columns, _ = find_centers(center, STRIDE, MergeConfig(top_k=1))
    assert (rows[0], columns[0], len(rows)) == (5, 1, 1)


def test_two_thousand_peaks_leave_the_best():
    center = np.zeros((90, 90), np.float32)
    center[::2, ::2] = np.random.default_rng(0).uniform(0.2, 1, (45, 45))
    rows, _, scores = find_centers(center, STRIDE, MergeConfig())
    assert len(rows) == 200 and (np.diff(scores) <= 0).all()
    assert scores[-1] >= np.sort(center.ravel())[-200]


def test_small_stuff_and_unlabelled_pixels_are_void():
    mask, center, offset = make_street()
    mask[0, :2] = 8
    mask[31] = 255
    frame = merge(mask, center, offset, MergeConfig(stuff_area_share=1 / 1024))
    assert (frame.ids[0, :2] == 8000).all()
    frame = merge(mask, center, offset, MergeConfig(stuff_area_share=3 / 2048))
    assert (frame.ids[0, :2] == -1).all() and (frame.ids[31] == -1).all()


def test_kernel_in_cells():
    assert [count_reach(kernel_px, 4) for kernel_px in (1, 3, 7, 13, 25)] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'center_kernel_px': 4}, 'center_kernel_px is 4, expected an odd number'),
        ({'top_k': 1000}, 'top_k is 1000, expected 1 to 999'),
        ({'stuff_area_share': 2.0}, 'stuff_area_share is 2.0, expected 0 to 1'),
    ],
)
def test_settings_that_cannot_be_used(options, message):
    with pytest.raises(UserError, match=message):
        MergeConfig(**options)


def test_arrays_that_do_not_fit():
    mask, center, offset = make_street()
    with pytest.raises(ValueError, match=r'offset is float32 of \(2, 8, 15\)'):
        merge(mask, center, offset[:, :, 1:])
    with pytest.raises(ValueError, match='center is float64'):
        merge(mask, center.astype(float), offset)
