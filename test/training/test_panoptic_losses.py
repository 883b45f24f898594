# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Targets of centres and offsets, and the three losses, against values found by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seg_perception.networks.panoptic_decoder import PanopticOutputs
from seg_perception.perception.geometry import place_image, sampling_grid
from seg_perception.training.augmentation import warp_instances
from seg_perception.training.config import ConfigError, PanopticConfig, SourceConfig
from seg_perception.training.crops import (
    UNKNOWN_INSTANCE,
    Crop,
    CropSize,
    cut_crop,
    stack_crops,
)
from seg_perception.training.losses import SetCrossEntropy, SetTable
from seg_perception.training.panoptic_losses import (
    compute_center_loss,
    compute_hard_pixel_loss,
    compute_offset_loss,
    compute_panoptic_loss,
    pick_pixels,
)
from seg_perception.training.panoptic_targets import find_centers, make_targets

CPU = torch.device('cpu')
SIGMA_PX = 4.0


def make_instances() -> torch.Tensor:
    """Make (1, 24, 32) ids: one of 8x12 px at (6, 10), a small one, unknown ground below."""
    instances = torch.zeros(1, 24, 32, dtype=torch.int64)
    instances[0, 2:10, 4:16] = 13001
    instances[0, 4:8, 24:28] = 11001
    instances[0, 20:] = UNKNOWN_INSTANCE
    return instances


def test_centres_are_those_of_mass():
    ids, centers, areas = find_centers(make_instances()[0])
    assert ids.tolist() == [11001, 13001]
    assert centers.tolist() == [[6.0, 26.0], [6.0, 10.0]]
    assert areas.tolist() == [16, 96]


def test_targets_point_to_the_centre_from_the_middle_of_each_cell():
    targets = make_targets(make_instances(), 4, SIGMA_PX, small_area_px=20)
    assert targets.offset.shape == (1, 2, 6, 8)
    # the cell (1, 1) has its middle at (6, 6)
    assert targets.offset[0, :, 1, 1].tolist() == [0.0, 4.0]
    assert targets.offset[0, :, 1, 3].tolist() == [0.0, -4.0]
    assert targets.offset[0, :, 4, 4].tolist() == [0.0, 0.0]
    # the Gaussian at the cell (1, 2), whose middle is the centre, and at one 4 px beside it
    assert float(targets.center[0, 0, 1, 2]) == pytest.approx(1.0)
    assert float(targets.center[0, 0, 1, 1]) == pytest.approx(np.exp(-0.5), rel=1e-6)
    assert targets.is_thing[0].sum() == 2 * 3 + 1
    assert targets.is_small[0].sum() == 1
    assert targets.is_known[0, :5].all() and not targets.is_known[0, 5].any()


def test_tiny_instances_are_unknown_where_that_is_asked_for():
    targets = make_targets(make_instances(), 4, SIGMA_PX, 20, ignored_area_px=17)
    assert targets.is_thing[0].sum() == 2 * 3 and not targets.is_small.any()
    assert targets.is_known[0, :5].sum() == 5 * 8 - 1
    assert float(targets.center[0, 0, 1, 6]) < 0.01
    none_left = make_targets(make_instances(), 4, SIGMA_PX, 20, ignored_area_px=1000)
    assert not none_left.is_thing.any() and none_left.center.max() == 0


def test_image_without_instances_has_empty_targets():
    targets = make_targets(torch.zeros(2, 8, 8, dtype=torch.int64), 4, SIGMA_PX, 20)
    assert targets.center.abs().sum() == targets.offset.abs().sum() == 0
    assert not targets.is_thing.any() and targets.is_known.all()


def test_mirrored_crop_has_mirrored_targets():
    instances = make_instances()[0].numpy().astype(np.uint16)
    pixels = np.zeros((24, 32, 3), np.uint8)
    sets = np.zeros((24, 32), np.uint8)
    size = CropSize(24, 32)
    plain = Crop(pixels, sets, (1.0, 1.0), (0.0, 0.0), instances=instances)
    mirrored = Crop(pixels, sets, (1.0, -1.0), (0.0, 32.0), instances=instances)
    warped = warp_instances(stack_crops([plain, mirrored], size, 0), CPU)
    assert (warped[1] == warped[0].flip(1)).all()
    one, other = (make_targets(ids[None], 4, SIGMA_PX, 20) for ids in warped)
    assert torch.allclose(one.center, other.center.flip(3))
    # cells read the pixel right of their middle: compare where both sides are of one instance
    both = one.is_thing & other.is_thing.flip(2)
    assert both.sum() >= 6
    assert torch.allclose(one.offset[:, 0][both], other.offset[:, 0].flip(2)[both])
    assert torch.allclose(one.offset[:, 1][both], -other.offset[:, 1].flip(2)[both])


def test_crop_carries_its_instances_and_beyond_the_image_they_are_unknown():
    rng = np.random.default_rng(0)
    instances = np.full((16, 16), 11001, np.uint16)
    source = SourceConfig(1.0, 0.5, 0.5)  # a crop of 24x24 shows 48x48 pixels
    crop = cut_crop(
        np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8), CropSize(24, 24), source,
        None, rng, instances,
    )  # fmt: skip
    warped = warp_instances(stack_crops([crop], CropSize(24, 24), 0), CPU)
    assert set(warped.unique().tolist()) == {11001, UNKNOWN_INSTANCE}
    with pytest.raises(ValueError, match='without instances'):
        warp_instances(stack_crops([Crop(crop.pixels, crop.sets, (1, 1), (0, 0))], CropSize(8, 8), 0), CPU)  # fmt: skip  # noqa: E501


def test_hard_pixel_loss_is_the_mean_of_the_highest_losses():
    torch.manual_seed(0)
    criterion = SetCrossEntropy(SetTable(3))
    logits, sets = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    is_small = torch.rand(2, 4, 5) < 0.3
    settings = PanopticConfig(hard_share=0.25)
    losses = torch.nn.functional.cross_entropy(logits, sets, reduction='none')
    losses = torch.where(is_small, 3 * losses, losses).flatten(1)
    expected = torch.stack([torch.sort(one).values[-5:] for one in losses]).mean()
    found = compute_hard_pixel_loss(criterion, logits, sets, is_small, settings)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    unlabelled = compute_hard_pixel_loss(
        criterion, logits, torch.full_like(sets, 255), is_small, settings
    )
    assert float(unlabelled) == 0.0


def test_centre_and_offset_losses_count_only_where_they_are_known():
    targets = make_targets(make_instances(), 4, SIGMA_PX, 20)
    center, offset = targets.center.clone(), targets.offset.clone()
    center[0, 0, 5] += 9.0  # unknown
    center[0, 0, 0] += 0.5  # 8 of 40 known cells
    offset[0, :, 3] += 7.0  # no instance
    offset[0, 0, 1, 1] += 2.0
    offset[0, 1, 1, 1] -= 1.5  # one of 7 cells
    assert float(compute_center_loss(center, targets)) == pytest.approx(0.25 * 8 / 40)
    assert float(compute_offset_loss(offset, targets)) == pytest.approx(3.5 / 7)


def test_seeds_take_every_pixel_of_the_crop_once_where_decoding_reads_its_logits():
    logits, is_small = torch.randn(2, 3, 6, 8), torch.rand(2, 6, 8) < 0.5
    sets = torch.arange(2 * 24 * 32).reshape(2, 24, 32)
    grid = sampling_grid(place_image((24, 32), (24, 32)), (6, 8), 4)
    taken = []
    for seed in range(4):
        fine, picked, small = pick_pixels(logits, sets, is_small, seed)
        assert fine.shape == (2, 3, 12, 16) and picked.shape == small.shape == (2, 12, 16)
        taken += picked.flatten().tolist()
        rows, columns = picked[0] // 32, picked[0] % 32
        y = (grid.scale_y * rows + grid.offset_y).clamp(0, 5)
        x = (grid.scale_x * columns + grid.offset_x).clamp(0, 7)
        places = torch.stack([x / 3.5 - 1, y / 2.5 - 1], -1).float()[None]
        expected = torch.nn.functional.grid_sample(logits[:1], places, align_corners=True)
        assert torch.allclose(fine[:1], expected, atol=1e-5)
        assert (small[0] == is_small[0, rows // 4, columns // 4]).all()
    assert sorted(taken) == sets.flatten().tolist()


def test_sum_has_the_published_weights():
    targets = make_targets(make_instances(), 4, SIGMA_PX, 20)
    outputs = PanopticOutputs(torch.randn(1, 3, 6, 8), targets.center + 0.1, targets.offset + 1.0)
    sets = torch.zeros(1, 24, 32, dtype=torch.int64)
    criterion = SetCrossEntropy(SetTable(3))
    settings = PanopticConfig()
    _, center, offset = compute_panoptic_loss(outputs, sets, targets, criterion, settings)
    assert float(center) == pytest.approx(200 * 0.01, rel=1e-4)
    assert float(offset) == pytest.approx(0.01 * 2, rel=1e-4)


@pytest.mark.parametrize(
    ('name', 'value'), [('hard_share', 0.0), ('center_sigma_px', 0.0), ('center_weight', -1.0)]
)
def test_settings_that_cannot_be_used(name, value):
    with pytest.raises(ConfigError, match=f'{name} is {value}, expected'):
        PanopticConfig(**{name: value})
