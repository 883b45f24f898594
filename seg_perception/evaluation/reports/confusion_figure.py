# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix as a picture: of each true class, what share is predicted as what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.reports.pictures import (
    BACKGROUND_BGR,
    QUIET_TEXT_BGR,
    TEXT_BGR,
    Picture,
    draw_text,
    measure_text,
    write_picture,
)

FULL_BGR = (200, 150, 40)
DARK_TEXT_BGR = (20, 20, 20)
NAME_SCALE = 0.5
NUMBER_SCALE = 0.42
GAP_PX = 10
# Cells with numbers to 40 classes; beyond that the picture would have more than 2000 px.
NUMBERED_CLASSES = 40
NUMBERED_CELL_PX = 44
PLAIN_CELL_PX = 18


def normalise_rows(confusion: ConfusionMatrix) -> np.ndarray:
    """Return the shares of each true class by predicted class: (C, C + 1) float64.

    The last column is 'unlabelled'. Rows of classes that are never true are NaN.
    """
    counts = np.column_stack([confusion.counts, confusion.missed]).astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def draw_confusion(
    confusion: ConfusionMatrix, class_names: Sequence[str], title: str = ''
) -> Picture:
    """Draw the row-normalised matrix, percent in the cells, as an (H, W, 3) BGR picture.

    Args:
        confusion: The counts.
        class_names: One per class.
        title: Line above.
    """
    shares = normalise_rows(confusion)
    columns = [*class_names, 'unlabelled']
    if not confusion.missed.any():
        shares, columns = shares[:, :-1], columns[:-1]
    is_numbered = len(class_names) <= NUMBERED_CLASSES
    cell_px = NUMBERED_CELL_PX if is_numbered else PLAIN_CELL_PX
    texts = [*columns, 'true class, %']
    name_px = max(measure_text(text, NAME_SCALE)[0] for text in texts) + GAP_PX
    top_px = GAP_PX + (36 if title else 0) + name_px
    left_px = GAP_PX + name_px
    width_px = max(left_px + len(columns) * cell_px, measure_text(title, 0.6)[0] + GAP_PX) + GAP_PX
    height_px = top_px + len(class_names) * cell_px + GAP_PX
    picture = np.full((height_px, width_px, 3), BACKGROUND_BGR, np.uint8)
    if title:
        draw_text(picture, title, GAP_PX, 28, 0.6)
    for line, baseline_px in (('predicted', top_px - 32), ('true class, %', top_px - GAP_PX)):
        draw_text(picture, line, GAP_PX, baseline_px, NAME_SCALE, QUIET_TEXT_BGR)
    for row, name in enumerate(class_names):
        baseline_px = top_px + row * cell_px + cell_px // 2 + 5
        name_left_px = left_px - GAP_PX - measure_text(name, NAME_SCALE)[0]
        draw_text(picture, name, name_left_px, baseline_px, NAME_SCALE)
    for column, name in enumerate(columns):
        draw_upright_name(picture, name, left_px + column * cell_px, top_px - GAP_PX, cell_px)
    for row, column in np.ndindex(shares.shape):
        corner_px = (left_px + column * cell_px, top_px + row * cell_px)
        draw_cell(picture, shares[row, column], corner_px, cell_px, is_numbered)
    return picture


def draw_upright_name(
    picture: Picture, name: str, left_px: int, bottom_px: int, cell_px: int
) -> None:
    """Draw a column's name in place, read from below, centred over a cell at `left_px`."""
    width_px = measure_text(name, NAME_SCALE)[0] + 2
    line = np.full((18, width_px, 3), BACKGROUND_BGR, np.uint8)
    draw_text(line, name, 0, 13, NAME_SCALE)
    upright = np.rot90(line)
    column_px = left_px + (cell_px - 18) // 2
    picture[bottom_px - width_px : bottom_px, column_px : column_px + 18] = upright


def draw_cell(
    picture: Picture, share: float, corner_px: tuple[int, int], cell_px: int, is_numbered: bool
) -> None:
    """Draw one cell in place; shares below half a percent and absent classes have no number.

    corner_px: (x, y) of the upper left corner.
    """
    left_px, top_px = corner_px
    # a square root, so that confusions of a few percent can be seen
    weight = 0.0 if np.isnan(share) else float(np.sqrt(share))
    color = (1 - weight) * np.array(BACKGROUND_BGR) + weight * np.array(FULL_BGR)
    far_px = (left_px + cell_px - 2, top_px + cell_px - 2)
    cv2.rectangle(picture, corner_px, far_px, [int(value) for value in color], cv2.FILLED)
    if is_numbered and share >= 0.005:
        text = f'{100 * share:.0f}'
        width_px, height_px = measure_text(text, NUMBER_SCALE)
        text_left_px = left_px + (cell_px - width_px) // 2
        baseline_px = top_px + (cell_px + height_px) // 2
        text_color = DARK_TEXT_BGR if share > 0.7 else TEXT_BGR
        draw_text(picture, text, text_left_px, baseline_px, NUMBER_SCALE, text_color)


def write_confusion(
    path: Path, confusion: ConfusionMatrix, class_names: Sequence[str], title: str = ''
) -> None:
    """Write draw_confusion as a PNG or JPEG file that appears only when whole.

    Raises:
        UserError: The suffix is no picture format, or the file cannot be written.
    """
    write_picture(path, draw_confusion(confusion, class_names, title))
