# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pictures have the right parts in the right places."""

import cv2
import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.reports import pictures
from seg_perception.perception.labels import load_label_space

CITYSCAPES = load_label_space('cityscapes')


def make_sheet_frame(with_truth=True, order='rgb'):
    """Return a frame whose left half is road and right half car."""
    mask = np.zeros((40, 80), np.uint8)
    mask[:, 40:] = 13
    image = np.full((40, 80, 3), (200, 100, 50), np.uint8)
    truth = np.full_like(mask, 10) if with_truth else None
    return pictures.SheetFrame(image, order, mask, truth, 'frame 1')


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_overlay_is_half_image_half_colour(order):
    frame = make_sheet_frame(order=order)
    overlay = pictures.draw_overlay_bgr(frame.image, order, frame.mask, CITYSCAPES)
    image_bgr = frame.image[0, 0, ::-1] if order == 'rgb' else frame.image[0, 0]
    for column, class_id in ((5, 0), (75, 13)):
        color_bgr = np.array(CITYSCAPES.palette[class_id])[::-1]
        expected = (image_bgr.astype(float) + color_bgr) / 2
        assert np.abs(overlay[20, column] - expected).max() <= 1.0


@pytest.mark.parametrize(('with_truth', 'columns'), [(True, 3), (False, 2)])
def test_sheet_has_a_column_per_kind_and_a_row_per_frame(with_truth, columns):
    frames = [make_sheet_frame(with_truth)] * 4
    one = pictures.make_contact_sheet(frames[:1], CITYSCAPES, 'title', tile_width_px=80)
    four = pictures.make_contact_sheet(frames, CITYSCAPES, 'title', tile_width_px=80)
    assert one.shape[1] == columns * 90 + 10
    assert four.shape[0] - one.shape[0] == 3 * (40 + 28)
    # the first tile is the camera image itself, in BGR
    header_px = 44 + 30
    assert four[header_px + 20, 10 + 40].tolist() == [50, 100, 200]


def test_sheet_of_no_frames_is_refused():
    with pytest.raises(ValueError, match='at least one frame'):
        pictures.make_contact_sheet([], CITYSCAPES)


@pytest.mark.parametrize('width_px', [200, 720, 1920])
def test_legend_shows_every_class_once(width_px):
    legend = pictures.make_legend(CITYSCAPES, width_px, 0.5)
    assert legend.shape[1] == width_px
    assert legend.shape[0] % 2 == 0
    for color_rgb in CITYSCAPES.palette:
        # a 12 px swatch has 10 x 10 px inside its border
        assert (legend == np.array(color_rgb)[::-1]).all(axis=2).sum() >= 100


@pytest.mark.parametrize(
    ('hw', 'width_px', 'expected'),
    [((360, 480), 720, (540, 720)), ((1080, 1920), 961, (540, 960)), ((1, 1), 720, (720, 720))],
)
def test_resize_keeps_aspect_and_even_sizes(hw, width_px, expected):
    picture = pictures.resize_to_width(np.zeros((*hw, 3), np.uint8), width_px)
    assert picture.shape[:2] == expected


def test_sheet_file_is_written(tmp_path):
    pictures.write_contact_sheet(tmp_path / 'out' / 's.png', [make_sheet_frame()], CITYSCAPES)
    assert cv2.imread(str(tmp_path / 'out' / 's.png')).shape[1] == 3 * 522 + 10


def test_file_name_must_be_a_picture(tmp_path):
    with pytest.raises(UserError, match=r's.pdf is no picture file name; expected .png'):
        pictures.write_contact_sheet(tmp_path / 's.pdf', [make_sheet_frame()], CITYSCAPES)
