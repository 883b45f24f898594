# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The confusion figure shows shares of the true classes."""

import cv2
import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.reports.confusion_figure import (
    BACKGROUND_BGR,
    FULL_BGR,
    draw_confusion,
    normalise_rows,
    write_confusion,
)


def make_matrix(classes=3, missed=False):
    """Class 0 is right, 1 half right, the others never true."""
    matrix = ConfusionMatrix(classes)
    last = 255 if missed else 0
    matrix.add(np.uint8([0, 0, 1, 1]), np.uint8([0, 0, 1, last]))
    return matrix


def test_rows_are_shares_of_the_true_class():
    shares = normalise_rows(make_matrix(missed=True))
    assert shares[:2].tolist() == [[1, 0, 0, 0], [0, 0.5, 0, 0.5]]
    assert np.isnan(shares[2]).all()


def test_cells_have_the_colour_of_their_share():
    picture = draw_confusion(make_matrix(), ['road', 'pavement', 'sky'])
    height_px, width_px = picture.shape[:2]
    corner = (height_px - 10 - 3 * 44, width_px - 10 - 3 * 44)
    colors = picture[corner[0] + 3 :: 44, corner[1] + 3 :: 44][:3, :3]
    assert colors[0, 0].tolist() == list(FULL_BGR)
    empty = [(0, 1), (0, 2), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert all(colors[cell].tolist() == list(BACKGROUND_BGR) for cell in empty)
    assert (colors[1, 0] == colors[1, 1]).all() and (colors[1, 0] != colors[0, 0]).any()


def test_unlabelled_predictions_have_a_column():
    names = ['road', 'pavement', 'sky']
    without, with_missed = (draw_confusion(make_matrix(3, missed), names) for missed in (0, 1))
    assert with_missed.shape[1] >= without.shape[1] + 44


@pytest.mark.parametrize('classes', [1, 19, 150])
def test_any_number_of_classes_fits(classes, tmp_path):
    path = tmp_path / 'confusion.png'
    matrix = ConfusionMatrix(classes)
    names = [f'class number {index}' for index in range(classes)]
    write_confusion(path, matrix, names, 'a title that is longer than a matrix of one class')
    picture = cv2.imread(str(path))
    assert max(picture.shape) < 3200


def test_suffix_must_be_a_picture(tmp_path):
    with pytest.raises(UserError, match='no picture file name'):
        write_confusion(tmp_path / 'confusion.pdf', make_matrix(), ['a', 'b', 'c'])
