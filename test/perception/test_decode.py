# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lazy decode against plain interpolation of everything, and against PyTorch."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.decode_kernels import decode_bands
from seg_perception.perception.geometry import (
    SamplingGrid,
    compute_logits_size,
    embed_crop,
    place_image,
    sampling_grid,
)


def make_grid(camera_hw, network_hw, fit='letterbox'):
    return sampling_grid(place_image(camera_hw, network_hw, fit), compute_logits_size(network_hw))


def make_crop_grid(camera_hw, crop_hw, corner_px, network_hw):
    return embed_crop(make_grid(crop_hw, network_hw, 'stretch'), camera_hw, *corner_px)


def interpolate_plainly(grid, planes, dtype):
    """Sample planes (C, h, w) at each camera pixel: along rows first, then between them."""

    def locate(scale, offset, pixels, centres):
        position = np.clip(scale * np.arange(pixels) + offset, 0, centres - 1)
        before = np.floor(position).astype(int)
        far = (position - before).astype(dtype)
        return before, np.minimum(before + 1, centres - 1), dtype(1) - far, far

    left, right, near_x, far_x = locate(
        grid.scale_x, grid.offset_x, grid.camera_width_px, grid.logits_width
    )
    upper, lower, near_y, far_y = locate(
        grid.scale_y, grid.offset_y, grid.camera_height_px, grid.logits_height
    )
    planes = planes.astype(dtype)
    rows = near_x * planes[:, :, left] + far_x * planes[:, :, right]
    return near_y[:, None] * rows[:, upper] + far_y[:, None] * rows[:, lower]


def mark_outside(grid, image, value):
    top, left, bottom, right = grid.valid_region_px
    marked = np.full_like(image, value)
    marked[top:bottom, left:right] = image[top:bottom, left:right]
    return marked


def decode_plainly(grid, logits, ignore_id=255):
    blended = interpolate_plainly(grid, logits, np.float32)
    return mark_outside(grid, blended.argmax(axis=0).astype(np.uint8), ignore_id)


def compute_softmax_max(logits):
    logits = logits.astype(np.float64)
    return 1 / np.exp(logits - logits.max(axis=0)).sum(axis=0)


def find_mixed_pixels(grid, logits):
    """Mark the pixels whose four surrounding centres do not all have one winner."""
    winner = logits.argmax(axis=0)

    def corners(scale, offset, pixels, centres):
        before = np.floor(np.clip(scale * np.arange(pixels) + offset, 0, centres - 1)).astype(int)
        return before, np.minimum(before + 1, centres - 1)

    left, right = corners(grid.scale_x, grid.offset_x, grid.camera_width_px, grid.logits_width)
    upper, lower = corners(grid.scale_y, grid.offset_y, grid.camera_height_px, grid.logits_height)
    stack = np.stack(
        [winner[np.ix_(rows, columns)] for rows in (upper, lower) for columns in (left, right)]
    )
    return stack.min(axis=0) != stack.max(axis=0)


def confide_plainly(grid, logits):
    certain = interpolate_plainly(grid, compute_softmax_max(logits)[None], np.float64)[0]
    blended = compute_softmax_max(interpolate_plainly(grid, logits, np.float64))
    confidence = np.where(find_mixed_pixels(grid, logits), blended, certain)
    return mark_outside(grid, np.rint(255 * confidence).astype(int), 0)


def make_logits(kind, num_classes, grid, seed=0):
    random = np.random.default_rng(seed)
    shape = (num_classes, grid.logits_height, grid.logits_width)
    if kind == 'random':
        logits = random.standard_normal(shape) * 3
    elif kind == 'blobs':  # large areas of one class, as a trained network gives
        coarse = random.standard_normal((num_classes, 3, 4)) * 6
        size = shape[2], shape[1]
        logits = np.stack([cv2.resize(c, size, interpolation=cv2.INTER_CUBIC) for c in coarse])
    elif kind == 'integers':  # many exact ties
        logits = random.integers(-2, 3, shape)
    elif kind == 'equal':
        logits = np.full(shape, 0.3)
    elif kind == 'last bits':  # classes that differ by a few units in the last place
        base = random.standard_normal(shape[1:]) * 5
        logits = base * (1 + random.integers(-3, 4, shape) * 2.0**-24)
    elif kind == 'mixed scales':
        logits = random.standard_normal(shape) * 10.0 ** random.integers(-30, 30, shape[1:])
    elif kind == 'tiny':
        logits = random.integers(-3, 4, shape) * 1e-45
    else:
        logits = random.uniform(-3e38, 3e38, shape)
    return np.ascontiguousarray(logits.astype(np.float32))


KINDS = ['random', 'blobs', 'integers', 'equal', 'last bits', 'mixed scales', 'tiny', 'huge']
GRIDS = {
    'stride 8': make_grid((64, 128), (64, 128)),
    'camera twice the network': make_grid((64, 128), (32, 64)),
    'camera half the network': make_grid((32, 64), (64, 128)),
    'camera below the logits': make_grid((5, 11), (64, 128)),
    'letterbox, wide': make_grid((60, 200), (64, 128)),
    'letterbox, tall': make_grid((150, 70), (64, 128)),
    'stretch': make_grid((97, 131), (64, 128), 'stretch'),
    'odd network': make_grid((61, 107), (61, 107)),
    'one pixel': make_grid((1, 1), (64, 128)),
    'one row': make_grid((1, 300), (64, 128)),
    'one column': make_grid((300, 1), (64, 128)),
    'one centre': make_grid((50, 70), (8, 8)),
    'large cells': make_grid((60, 133), (16, 32), 'stretch'),
    'crop': make_crop_grid((60, 110), (40, 64), (10, 30), (40, 64)),
    'crop at a corner': make_crop_grid((90, 131), (50, 60), (40, 71), (64, 72)),
    'crop, reduced': make_crop_grid((120, 150), (90, 100), (30, 0), (24, 32)),
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS)
def grid(request):
    return request.param


@pytest.mark.parametrize(('num_classes', 'threads'), [(1, 2), (2, 1), (19, 1), (19, 3), (150, 2)])
def test_mask_equals_plain_interpolation_bit_for_bit(grid, num_classes, threads):
    decoder = MaskDecoder(grid, num_classes, threads=threads)
    for seed, kind in enumerate(KINDS):
        logits = make_logits(kind, num_classes, grid, seed)
        mask, confidence = decoder.decode(logits)
        assert confidence is None
        assert np.array_equal(mask, decode_plainly(grid, logits)), kind


def test_ties_made_by_rounding_go_to_the_lower_class():
    # Over many cells, some blends of classes that differ at each centre tie after rounding.
    grid = make_grid((512, 1024), (512, 1024))
    logits = make_logits('last bits', 2, grid, seed=5)
    logits[0] = np.nextafter(logits[1], np.float32(-np.inf))
    mask, _ = MaskDecoder(grid, 2).decode(logits)
    assert np.array_equal(mask, decode_plainly(grid, logits))
    assert 0 < (mask == 0).sum() < mask.size


@pytest.mark.parametrize('num_classes', [1, 19, 150])
def test_confidence_is_within_one_step_of_the_exact_one(grid, num_classes):
    decoder = MaskDecoder(grid, num_classes)
    confidence = np.empty((grid.camera_height_px, grid.camera_width_px), np.uint8)
    for seed, kind in enumerate(['random', 'blobs', 'integers', 'equal']):
        logits = make_logits(kind, num_classes, grid, seed)
        mask, returned = decoder.decode(logits, confidence_out=confidence)
        assert returned is confidence
        assert np.abs(confidence - confide_plainly(grid, logits)).max() <= 1, kind
        assert np.array_equal(mask, decode_plainly(grid, logits)), kind


def test_confidence_of_large_logits_is_finite():
    grid = make_grid((64, 128), (64, 128))
    logits = make_logits('huge', 19, grid)
    confidence = np.empty((64, 128), np.uint8)
    MaskDecoder(grid, 19).decode(logits, confidence_out=confidence)
    assert np.abs(confidence - confide_plainly(grid, logits)).max() <= 1


def test_confidence_is_half_between_two_sure_classes():
    grid = make_grid((8, 16), (8, 16))
    logits = np.float32([[[3.0, 0.0]], [[0.0, 3.0]]])
    confidence = np.empty((8, 16), np.uint8)
    MaskDecoder(grid, 2).decode(logits, confidence_out=confidence)
    # 95 % sure at both centres; one pixel from the middle the logits differ by 3 / 8.
    assert (confidence[:, 0] == round(255 / (1 + np.exp(-3)))).all()
    assert (np.abs(confidence[:, 7] - 255 / (1 + np.exp(-3 / 8))) <= 1).all()


@pytest.mark.parametrize('kind', ['random', 'blobs'])
@pytest.mark.parametrize('network_hw', [(64, 128), (61, 107), (200, 72)])
def test_mask_equals_that_of_torch(kind, network_hw):
    torch = pytest.importorskip('torch')
    grid = make_grid(network_hw, network_hw)
    logits = make_logits(kind, 19, grid)
    blended = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=network_hw, mode='bilinear', align_corners=False
    )[0]
    mask, _ = MaskDecoder(grid, 19).decode(logits)
    first, second = blended.topk(2, dim=0).values
    clear = (first - second > 1e-4).numpy()  # the two interpolate in another order of roundings
    assert clear.mean() > 0.999
    assert np.array_equal(mask[clear], blended.argmax(dim=0).numpy()[clear])


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', [(0, 0, 0), (18, 7, 15), (9, 4, 8)])
@pytest.mark.parametrize('threads', [1, 2])
def test_logits_that_are_not_finite_are_refused(value, place, threads):
    grid = make_grid((64, 128), (64, 128))
    decoder = MaskDecoder(grid, 19, threads=threads)
    logits = make_logits('random', 19, grid)
    good = logits.copy()
    logits[place] = value
    with pytest.raises(ValueError, match='logits hold NaN or infinity'):
        decoder.decode(logits)
    assert np.array_equal(decoder.decode(good)[0], decode_plainly(grid, good))


def test_ignore_id_marks_what_the_network_did_not_see():
    grid = GRIDS['crop']
    confidence = np.full((60, 110), 9, np.uint8)
    logits = make_logits('blobs', 11, grid)
    mask, _ = MaskDecoder(grid, 11, ignore_id=11).decode(logits, confidence_out=confidence)
    outside = np.ones((60, 110), bool)
    outside[10:50, 30:94] = False
    assert (mask[outside] == 11).all() and (mask[~outside] < 11).all()
    assert not confidence[outside].any() and confidence[~outside].all()


def test_outputs_are_written_in_place_and_new_ones_are_not_shared():
    grid = make_grid((64, 128), (64, 128))
    decoder = MaskDecoder(grid, 19)
    logits = make_logits('random', 19, grid)
    out = np.zeros((64, 128), np.uint8)
    mask, _ = decoder.decode(logits, out)
    assert mask is out
    assert not np.shares_memory(decoder.decode(logits)[0], decoder.decode(logits)[0])


def test_one_compiled_version_serves_all_inputs():
    grid = make_grid((64, 128), (64, 128))
    decoder = MaskDecoder(grid, 19)
    decoder.warm_up()
    compiled = list(decode_bands.signatures)
    logits = make_logits('random', 19, grid)
    decoder.decode(logits)
    logits.flags.writeable = False
    message_data = bytearray(64 * 128)
    out = np.frombuffer(message_data, np.uint8).reshape(64, 128)
    decoder.decode(logits, out, np.empty((64, 128), np.uint8))
    tall = MaskDecoder(make_grid((9, 1), (8, 8)), 3)
    tall.decode(np.zeros((3, 1, 1), np.float32), np.empty((9, 1), np.uint8))
    assert list(decode_bands.signatures) == compiled


@pytest.mark.parametrize('shared', [True, False])
def test_threads_may_decode_at_the_same_time(shared):
    grid = make_grid((128, 256), (128, 256))
    decoder = MaskDecoder(grid, 19, threads=2)
    decoders = [decoder if shared else MaskDecoder(grid, 19, threads=2) for _ in range(4)]
    inputs = [make_logits('random', 19, grid, seed) for seed in range(4)]
    expected = [decode_plainly(grid, logits) for logits in inputs]
    wrong = []

    def work(index):
        for _ in range(25):
            mask, _ = decoders[index].decode(inputs[index])
            if not np.array_equal(mask, expected[index]):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


SMALL = make_grid((64, 128), (64, 128))
READ_ONLY = np.frombuffer(bytes(64 * 128), np.uint8).reshape(64, 128)


@pytest.mark.parametrize(
    ('logits', 'mask_out', 'message'),
    [
        (np.zeros((18, 8, 16), np.float32), None, r'logits .*\(18, 8, 16\), .*\(19, 8, 16\)'),
        (np.zeros((19, 8, 16)), None, 'logits is float64 .* expected .* float32'),
        (np.zeros((19, 16, 8), np.float32).transpose(0, 2, 1), None, 'not C-contiguous'),
        (np.zeros((19, 8, 16), np.float32), np.zeros((64, 127), np.uint8), r'\(64, 127\)'),
        (np.zeros((19, 8, 16), np.float32), np.zeros((64, 128), np.int8), 'mask_out is int8'),
        (np.zeros((19, 8, 16), np.float32), READ_ONLY, 'mask_out is read-only'),
    ],
)
def test_arrays_that_do_not_fit_are_refused(logits, mask_out, message):
    with pytest.raises(ValueError, match=message):
        MaskDecoder(SMALL, 19).decode(logits, mask_out)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_classes': 0}, 'classes is 0, expected 1 to 255'),
        ({'num_classes': 256}, 'classes is 256'),
        ({'num_classes': 3, 'ignore_id': 256}, 'ignore id is 256'),
        ({'num_classes': 3, 'threads': -1}, 'threads is -1'),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaskDecoder(SMALL, **options)


def test_a_general_affine_grid_is_decoded():
    grid = SamplingGrid(40, 60, 7, 9, 0.31, -3.7, 0.17, 2.2)
    logits = make_logits('random', 5, grid)
    assert np.array_equal(MaskDecoder(grid, 5).decode(logits)[0], decode_plainly(grid, logits))
