# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Placement and sampling grid against closed forms."""

from __future__ import annotations

import pytest

from seg_perception.perception.geometry import (
    SamplingGrid,
    compute_logits_size,
    embed_crop,
    place_image,
    resize_grid,
    sampling_grid,
)


@pytest.mark.parametrize(
    ('camera_hw', 'network_hw', 'fit', 'resized_hw', 'pad'),
    [
        ((512, 1024), (512, 1024), 'letterbox', (512, 1024), (0, 0)),
        ((1024, 2048), (512, 1024), 'letterbox', (512, 1024), (0, 0)),
        ((360, 480), (512, 1024), 'letterbox', (512, 683), (0, 170)),
        ((1080, 1920), (512, 1024), 'letterbox', (512, 910), (0, 57)),
        ((300, 1000), (512, 1024), 'letterbox', (307, 1024), (102, 0)),
        ((1, 1), (512, 1024), 'letterbox', (512, 512), (0, 256)),
        ((1, 8000), (512, 1024), 'letterbox', (1, 1024), (255, 0)),
        ((8000, 1), (512, 1024), 'letterbox', (512, 1), (0, 511)),
        ((360, 480), (512, 1024), 'stretch', (512, 1024), (0, 0)),
    ],
)
def test_place_image(camera_hw, network_hw, fit, resized_hw, pad):
    placed = place_image(camera_hw, network_hw, fit)
    assert (placed.camera_height_px, placed.camera_width_px) == camera_hw
    assert (placed.network_height_px, placed.network_width_px) == network_hw
    assert (placed.resized_height_px, placed.resized_width_px) == resized_hw
    assert (placed.pad_top_px, placed.pad_left_px) == pad


@pytest.mark.parametrize('scale', [0.3, 1.0, 2.7])
def test_equal_aspect_ratio_is_never_padded(scale):
    for height in range(7, 900, 13):
        network = (round(height * scale) or 1, 2 * (round(height * scale) or 1))
        placed = place_image((height, 2 * height), network)
        assert (placed.resized_height_px, placed.resized_width_px) == network


@pytest.mark.parametrize(
    ('camera_hw', 'network_hw', 'identity'),
    [((512, 1024), (512, 1024), True), ((512, 1024), (256, 512), False)],
)
def test_identity_is_recognised(camera_hw, network_hw, identity):
    assert place_image(camera_hw, network_hw).is_identity is identity


@pytest.mark.parametrize(
    ('camera_hw', 'network_hw', 'fit', 'message'),
    [
        ((0, 5), (8, 8), 'letterbox', r'camera size .* is \(0, 5\)'),
        ((5, 5), (8, -1), 'letterbox', r'network size .* is \(8, -1\)'),
        ((5, 5), (8, 8), 'crop', "'crop', expected one of: letterbox, stretch"),
    ],
)
def test_place_image_refuses(camera_hw, network_hw, fit, message):
    with pytest.raises(ValueError, match=message):
        place_image(camera_hw, network_hw, fit)


@pytest.mark.parametrize(
    ('network_hw', 'logits_hw'),
    [((512, 1024), (64, 128)), ((1, 1), (1, 1)), ((361, 479), (46, 60)), ((8, 9), (1, 2))],
)
def test_logits_size_rounds_up(network_hw, logits_hw):
    assert compute_logits_size(network_hw) == logits_hw


def test_grid_of_the_identity_is_the_half_pixel_formula():
    grid = sampling_grid(place_image((512, 1024), (512, 1024)), (64, 128))
    assert (grid.scale_x, grid.scale_y) == (1 / 8, 1 / 8)
    assert (grid.offset_x, grid.offset_y) == (0.5 / 8 - 0.5, 0.5 / 8 - 0.5)
    assert grid.valid_region_px == (0, 0, 512, 1024)


@pytest.mark.parametrize('camera_hw', [(360, 480), (1080, 1920), (217, 1003), (1, 1), (64, 4000)])
@pytest.mark.parametrize('network_hw', [(512, 1024), (361, 479), (96, 96)])
@pytest.mark.parametrize('fit', ['letterbox', 'stretch'])
def test_grid_maps_image_edges_to_the_resized_edges(camera_hw, network_hw, fit):
    placed = place_image(camera_hw, network_hw, fit)
    logits_hw = compute_logits_size(network_hw)
    grid = sampling_grid(placed, logits_hw)
    # The edge of pixel 0 lies at u = -0.5, that of the last pixel at size - 0.5.
    for u_edge, network_edge in (
        (-0.5, placed.pad_left_px),
        (camera_hw[1] - 0.5, placed.pad_left_px + placed.resized_width_px),
    ):
        expected = network_edge * logits_hw[1] / network_hw[1] - 0.5
        assert grid.scale_x * u_edge + grid.offset_x == pytest.approx(expected, abs=1e-9)
    for v_edge, network_edge in (
        (-0.5, placed.pad_top_px),
        (camera_hw[0] - 0.5, placed.pad_top_px + placed.resized_height_px),
    ):
        expected = network_edge * logits_hw[0] / network_hw[0] - 0.5
        assert grid.scale_y * v_edge + grid.offset_y == pytest.approx(expected, abs=1e-9)


def test_sampling_grid_refuses_logits_of_another_size():
    with pytest.raises(ValueError, match='64x127, expected 64x128 .* 512x1024 at stride 8'):
        sampling_grid(place_image((9, 9), (512, 1024)), (64, 127))


def test_embedded_crop_reads_the_same_logits():
    crop = sampling_grid(place_image((100, 200), (64, 128), 'stretch'), (8, 16))
    whole = embed_crop(crop, (300, 500), top_px=30, left_px=70)
    assert whole.valid_region_px == (30, 70, 130, 270)
    assert whole.scale_x * 75 + whole.offset_x == pytest.approx(crop.scale_x * 5 + crop.offset_x)
    assert whole.scale_y * 39 + whole.offset_y == pytest.approx(crop.scale_y * 9 + crop.offset_y)


def test_a_crop_beyond_the_image_is_refused():
    crop = sampling_grid(place_image((100, 200), (64, 128)), (8, 16))
    with pytest.raises(ValueError, match=r'valid region .* \(250, 70, 350, 270\)'):
        embed_crop(crop, (300, 500), top_px=250, left_px=70)


@pytest.mark.parametrize('scale', [0.0, -1.0, float('nan')])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match='sampling scale'):
        SamplingGrid(4, 4, 2, 2, scale, 0.0, 0.5, 0.0)


@pytest.mark.parametrize('output_hw', [(16, 32), (7, 90), (128, 256)])
def test_an_output_of_another_size_reads_the_logits_where_it_shows_them(output_hw):
    grid = sampling_grid(place_image((64, 128), (96, 192)), (12, 24))
    resized = resize_grid(grid, output_hw)
    for row in range(output_hw[0]):
        camera_row = (row + 0.5) * 64 / output_hw[0] - 0.5
        expected = grid.scale_y * camera_row + grid.offset_y
        assert resized.scale_y * row + resized.offset_y == pytest.approx(expected, abs=1e-12)
    for column in range(output_hw[1]):
        camera_column = (column + 0.5) * 128 / output_hw[1] - 0.5
        expected = grid.scale_x * camera_column + grid.offset_x
        assert resized.scale_x * column + resized.offset_x == pytest.approx(expected, abs=1e-12)
    assert resized.valid_region_px == (0, 0, *output_hw)


def test_the_own_size_is_the_same_grid_and_a_crop_cannot_be_resized():
    grid = sampling_grid(place_image((64, 128), (96, 192)), (12, 24))
    assert resize_grid(grid, (64, 128)) == grid
    with pytest.raises(ValueError, match='the network saw only'):
        resize_grid(embed_crop(grid, (100, 200), 3, 5), (32, 64))
