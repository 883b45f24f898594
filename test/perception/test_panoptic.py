# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The panoptic merge: bit for bit its plain definition, scenes by hand, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.perception.geometry import (
    SamplingGrid,
    embed_crop,
    place_image,
    sampling_grid,
)
from seg_perception.perception.panoptic import PanopticMerger
from seg_perception.perception.panoptic_kernels import assign_pixels
from seg_perception.perception.panoptic_reference import MergeConfig, merge_panoptic

NUM_CLASSES = 5
THINGS = (2, 3)
ROAD, CAR, RIDER = 0, 2, 3
NODES = {
    'enlarged': sampling_grid(place_image((64, 96), (64, 96)), (16, 24), 4),
    'odd': sampling_grid(place_image((65, 97), (65, 97)), (17, 25), 4),
    'letterbox': sampling_grid(place_image((50, 96), (64, 64)), (16, 16), 4),
    'stretch': sampling_grid(place_image((70, 60), (32, 64), 'stretch'), (8, 16), 4),
    'smaller': sampling_grid(place_image((24, 32), (64, 96)), (16, 24), 4),
    'affine': SamplingGrid(40, 60, 9, 13, 0.31, -3.7, 0.17, 2.2),
    'one node': SamplingGrid(9, 7, 1, 1, 0.2, 0.0, 0.2, 0.0),
    'crop': embed_crop(
        sampling_grid(place_image((40, 64), (40, 64)), (10, 16), 4), (60, 80), 13, 9
    ),
}
SQUARE = sampling_grid(place_image((64, 96), (64, 96)), (16, 24), 4)


def make_merger(grid=SQUARE, threads=0, stride=4, **config):
    return PanopticMerger(grid, stride, NUM_CLASSES, THINGS, MergeConfig(**config), threads)


def merge_plainly(merger, mask, heatmap, offsets, stride=4):
    """Merge by the definition what the network saw of the mask."""
    top, left, bottom, right = merger.grid.valid_region_px
    seen = np.full_like(mask, 255)
    seen[top:bottom, left:right] = mask[top:bottom, left:right]
    seen[seen >= NUM_CLASSES] = 255
    return merge_panoptic(seen, heatmap, offsets, merger.grid, stride, THINGS, merger.config)


def draw_blocks(random, hw, classes):
    """Draw a mask of rectangles."""
    mask = np.full(hw, random.choice(classes), np.uint8)
    for _ in range(12):
        row, column = (int(random.integers(0, size)) for size in hw)
        mask[row : row + hw[0] // 3, column : column + hw[1] // 4] = random.choice(classes)
    return mask


def draw_outputs(kind, seed, grid):
    """Return mask, heatmap and offsets of one kind of difficulty."""
    random = np.random.default_rng(seed)
    hw = (grid.logits_height, grid.logits_width)
    camera_hw = (grid.camera_height_px, grid.camera_width_px)
    mask = draw_blocks(random, camera_hw, [0, 1, 2, 3, 4, 2, 3, 255, 77])
    heatmap = random.random(hw, np.float32)
    offsets = random.normal(0, 4, (2, *hw)).astype(np.float32)
    if kind == 'ties':
        heatmap = (random.integers(0, 3, hw) / 4).astype(np.float32)
        offsets = random.integers(-2, 3, (2, *hw)).astype(np.float32)
    elif kind == 'noise':
        mask = random.integers(0, 6, camera_hw).astype(np.uint8)
        offsets *= 100
    elif kind == 'smooth':
        centers = random.integers(0, hw, (6, 2))
        nodes = np.stack(np.mgrid[: hw[0], : hw[1]])[:, None]
        steps = centers.T[:, :, None, None] - nodes
        nearest = (steps**2).sum(axis=0).argmin(axis=0)
        offsets = np.take_along_axis(steps, nearest[None, None], 1)[:, 0].astype(np.float32)
        heatmap = np.exp(-(steps**2).sum(axis=0).min(axis=0) / 8).astype(np.float32)
    elif kind == 'huge':
        offsets = (offsets * np.float32(1e37)).astype(np.float32)
    elif kind == 'no centre':
        heatmap -= 1
    return mask, heatmap, offsets


@pytest.mark.parametrize('grid', NODES.values(), ids=NODES)
@pytest.mark.parametrize('kind', ['random', 'ties', 'noise', 'smooth', 'huge', 'no centre'])
def test_map_equals_the_plain_definition(kind, grid):
    for seed in range(4):
        mask, heatmap, offsets = draw_outputs(kind, seed, grid)
        options = {
            'center_kernel_px': (7, 25, 1, 13)[seed],
            'top_k': (200, 999, 9, 3)[seed],
            'stuff_area_share': (1 / 1024, 0.0, 0.1, 1.0)[seed],
        }
        stride = (4, 1, 3, 8)[seed]
        merger = make_merger(grid, 1 + seed % 3, stride, **options)
        expected = merge_plainly(merger, mask, heatmap, offsets, stride)
        for _ in range(2):  # nothing is left of the frame before
            result = merger.merge(mask, heatmap, offsets)
            assert np.array_equal(result.panoptic, expected.ids)
            ids = result.instances.class_id * 1000 + result.instances.instance_id
            assert ids.tolist() == [item.panoptic_id for item in expected.instances]
            assert result.instances.area_px.tolist() == [
                item.area_px for item in expected.instances
            ]
            assert result.instances.score.tolist() == [item.score for item in expected.instances]


def make_discs(discs):
    """Return mask, heatmap and exact offsets of discs (row, column, radius, class), camera px."""
    rows, columns = np.mgrid[:64, :96]
    mask = np.full((64, 96), ROAD, np.uint8)
    heatmap = np.zeros((16, 24), np.float32)
    offsets = np.zeros((2, 16, 24), np.float32)
    node_y, node_x = 4 * np.mgrid[:16, :24] + 1.5
    least = np.full((16, 24), np.inf)
    for row, column, radius, class_id in discs:
        mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = class_id
        distance = (node_y - row) ** 2 + (node_x - column) ** 2
        heatmap = np.maximum(heatmap, np.exp(-distance / 128)).astype(np.float32)
        closer = distance < least
        least = np.minimum(least, distance)
        offsets[:, closer] = np.stack([row - node_y, column - node_x])[:, closer]
    return mask, heatmap, offsets


def test_two_discs_that_touch_are_two_instances():
    outputs = make_discs([(30, 30, 14, CAR), (30, 58, 14, CAR)])
    panoptic, instances, found = make_merger().merge(*outputs)
    is_car = outputs[0] == CAR
    columns = np.mgrid[:64, :96][1]
    assert found == 2 and sorted(instances.instance_id) == [1, 2]
    first, second = panoptic[30, 30], panoptic[30, 58]
    assert {first, second} == {2001, 2002}
    assert (panoptic[is_car & (columns < 44)] == first).all()
    assert (panoptic[is_car & (columns > 44)] == second).all()
    assert (panoptic[~is_car] == 0).all()


def test_an_instance_behind_a_pole_is_one():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    mask[:, 38:43] = 4  # the pole
    panoptic, instances, _ = make_merger(stuff_area_share=0.0).merge(mask, heatmap, offsets)
    assert set(panoptic[mask == CAR]) == {2001}
    assert instances.area_px.tolist() == [(mask == CAR).sum()]
    # The pole hides the disc's top and bottom row.
    assert instances.box_px.tolist() == [[15, 24, 46, 57]]
    assert (panoptic[:, 38:43] == 4000).all()


def test_centres_and_scores_are_given_in_the_camera_image():
    outputs = make_discs([(29.5, 41.5, 16, CAR)])
    instances = make_merger().merge(*outputs).instances
    assert instances.center_px.tolist() == [[29.5, 41.5]]
    assert instances.score.tolist() == [1.0]


def test_an_instance_has_the_class_of_most_of_its_pixels():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    mask[30:, :][mask[30:, :] == CAR] = RIDER  # more than half: the row through the centre too
    panoptic = make_merger().merge(mask, heatmap, offsets).panoptic
    assert set(panoptic[np.isin(mask, THINGS)]) == {3001}


def test_equally_many_pixels_give_the_lower_class():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    mask[...] = ROAD
    mask[20:24, 36:44] = RIDER
    mask[30:34, 36:44] = CAR
    panoptic = make_merger().merge(mask, heatmap, offsets).panoptic
    assert set(panoptic[np.isin(mask, THINGS)]) == {2001}


def test_a_plateau_is_one_centre_and_its_first_pixel():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    heatmap[...] = 0
    heatmap[5:8, 9:12] = 0.5
    instances = make_merger().merge(mask, heatmap, offsets).instances
    assert instances.center_px.tolist() == [[5 * 4 + 1.5, 9 * 4 + 1.5]]


def test_exactly_k_centres_are_kept_where_scores_are_equal():
    random = np.random.default_rng(0)
    mask = np.full((64, 96), CAR, np.uint8)
    heatmap = np.zeros((16, 24), np.float32)
    heatmap[::4, ::4] = 0.5
    offsets = random.normal(0, 0.1, (2, 16, 24)).astype(np.float32)
    _, instances, found = make_merger(top_k=10).merge(mask, heatmap, offsets)
    assert found == 24 and len(instances.score) == 10


def test_a_score_at_the_threshold_is_no_centre():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    heatmap[...] = np.float32(0.1)
    assert make_merger().merge(mask, heatmap, offsets).centers_found == 0


def test_things_without_a_centre_are_void():
    mask, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    panoptic, instances, found = make_merger().merge(mask, heatmap * 0, offsets)
    assert found == 0 and len(instances.score) == 0
    assert (panoptic[mask == CAR] == -1).all() and (panoptic[mask == ROAD] == 0).all()


@pytest.mark.parametrize('value', [255, 77])
def test_a_mask_without_any_class_is_void(value):
    _, heatmap, offsets = make_discs([(30, 40, 16, CAR)])
    mask = np.full((64, 96), value, np.uint8)
    panoptic, instances, _ = make_merger().merge(mask, heatmap, offsets)
    assert (panoptic == -1).all() and len(instances.score) == 0


def test_stuff_needs_its_share_of_the_image():
    _, heatmap, offsets = make_discs([])
    mask = np.zeros((64, 96), np.uint8)
    mask[0, :6] = 1  # 64 * 96 / 1024 = 6 pixels are enough
    mask[1, :5] = 4
    panoptic = make_merger().merge(mask, heatmap, offsets).panoptic
    assert (panoptic[0, :6] == 1000).all() and (panoptic[1, :5] == -1).all()


GRID_2000 = sampling_grid(place_image((80, 100), (320, 400)), (80, 100), 4)


def make_2000_centers():
    """Nodes two apart are 2000 centres of their own, the scores falling in raster order."""
    mask = np.full((80, 100), CAR, np.uint8)
    heatmap = np.zeros((80, 100), np.float32)
    heatmap[::2, ::2] = np.linspace(1, 0.5, 2000, dtype=np.float32).reshape(40, 50)
    return mask, heatmap, np.zeros((2, 80, 100), np.float32)


@pytest.mark.parametrize('top_k', [200, 999])
def test_the_best_of_2000_centres_are_kept(top_k):
    merger = make_merger(GRID_2000, top_k=top_k)
    outputs = make_2000_centers()
    panoptic, instances, found = merger.merge(*outputs)
    assert found == 2000
    assert np.array_equal(np.unique(panoptic), 2001 + np.arange(top_k))
    assert (np.diff(instances.score) <= 0).all()
    assert np.array_equal(panoptic, merge_plainly(merger, *outputs).ids)


def test_map_is_written_in_place():
    outputs = make_discs([(30, 40, 16, CAR)])
    out = np.empty((64, 96), np.int32)
    assert make_merger().merge(*outputs, panoptic_out=out).panoptic is out


def test_one_compiled_version_serves_all_inputs():
    make_merger().warm_up()
    compiled = list(assign_pixels.signatures)
    outputs = make_discs([(30, 40, 16, CAR)])
    for array in outputs:
        array.flags.writeable = False
    make_merger().merge(*outputs)
    make_merger(NODES['one node']).warm_up()
    assert list(assign_pixels.signatures) == compiled


GOOD = make_discs([(30, 40, 16, CAR)])
READ_ONLY = np.frombuffer(bytes(64 * 96 * 4), np.int32).reshape(64, 96)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'mask': np.zeros((64, 95), np.uint8)}, r'mask is uint8 .*\(64, 95\), .*\(64, 96\)'),
        ({'mask': np.zeros((64, 96), np.int32)}, 'mask is int32'),
        ({'heatmap': np.zeros((1, 16, 24), np.float32)}, r'heatmap .*\(1, 16, 24\), .*\(16, 24\)'),
        ({'offsets': np.zeros((16, 24, 2), np.float32)}, r'offsets .*expected .*\(2, 16, 24\)'),
        ({'offsets': np.zeros((2, 16, 24))}, 'offsets is float64'),
        ({'heatmap': np.full((16, 24), np.nan, np.float32)}, 'heatmap hold NaN or infinity'),
        ({'offsets': np.full((2, 16, 24), np.inf, np.float32)}, 'offsets hold NaN or infinity'),
        ({'panoptic_out': np.zeros((64, 96), np.uint16)}, 'panoptic_out is uint16'),
        ({'panoptic_out': READ_ONLY}, 'panoptic_out is read-only'),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    inputs = dict(zip(('mask', 'heatmap', 'offsets'), GOOD, strict=True)) | changes
    with pytest.raises(ValueError, match=message):
        make_merger().merge(**inputs)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'label_divisor': 256}, 'label_divisor is 256, expected 1000'),
        ({'center_threshold': -0.1}, 'center_threshold is -0.1'),
        ({'center_threshold': float('nan')}, 'center_threshold is nan'),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        MergeConfig(**options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_classes': 0}, 'classes is 0, expected 1 to 255'),
        ({'thing_ids': (5,)}, r'thing class is 5, expected 0\.\.4'),
        ({'stride': 0}, 'stride is 0'),
        ({'threads': 9}, 'threads is 9'),
    ],
)
def test_a_merger_that_cannot_work_is_refused(options, message):
    usual = {'grid': SQUARE, 'stride': 4, 'num_classes': 5, 'thing_ids': THINGS}
    with pytest.raises(ValueError, match=message):
        PanopticMerger(**(usual | options))
