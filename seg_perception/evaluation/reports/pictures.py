# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: overlays with legend and captions, contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file
from seg_perception.perception.labels import LabelSpace
from seg_perception.perception.overlay import OUTLINE_COLOR, draw_overlay

Picture = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

BACKGROUND_BGR = (32, 27, 24)
TEXT_BGR = (235, 235, 235)
QUIET_TEXT_BGR = (165, 160, 155)
GAP_PX = 10  # between the tiles of a contact sheet
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class SheetFrame:
    """One row of a contact sheet.

    Attributes:
        image: (H, W, 3) uint8 camera image.
        channel_order: 'rgb' or 'bgr'.
        mask: (H, W) uint8 class ids.
        truth: (H, W) uint8 true class ids of the same label space, None without labels.
        caption: Text under the row, such as the time and the frame's score.
        ground: BGR picture of the ground from above, scaled to the height of the row.
        outlines: of the instances that were found, see `overlay.find_outlines`; None without any.
        true_outlines: of the true instances.
    """

    image: Picture
    channel_order: str
    mask: Picture
    truth: Picture | None = None
    caption: str = ''
    ground: Picture | None = None
    outlines: Places | None = None
    true_outlines: Places | None = None


def to_bgr(image: Picture, channel_order: str) -> Picture:
    """Return a picture in OpenCV's channel order."""
    if channel_order == 'bgr':
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def draw_overlay_bgr(
    image: Picture,
    channel_order: str,
    mask: Picture,
    label_space: LabelSpace,
    outlines: Places | None = None,
) -> Picture:
    """Return a (H, W, 3) BGR picture with the classes' colours blended in, and outlines."""
    overlay = draw_overlay(image, channel_order, mask, label_space)
    if outlines is not None:
        overlay.reshape(-1, 3)[outlines] = OUTLINE_COLOR
    return to_bgr(overlay, channel_order)


def resize_to_width(picture: Picture, width_px: int) -> Picture:
    """Return a picture at another width, of the same aspect, both sizes even (codecs ask it)."""
    height_px, old_width_px = picture.shape[:2]
    new_width_px = max(2, width_px // 2 * 2)
    new_height_px = max(2, round(height_px * new_width_px / old_width_px / 2) * 2)
    if (new_height_px, new_width_px) == (height_px, old_width_px):
        return picture
    method = cv2.INTER_AREA if new_width_px < old_width_px else cv2.INTER_CUBIC
    resized = cv2.resize(picture, (new_width_px, new_height_px), interpolation=method)
    return np.asarray(resized, dtype=np.uint8)


def resize_to_height(picture: Picture, height_px: int) -> Picture:
    """Return a drawing at another height, of the same aspect, its width even."""
    width_px = max(2, round(picture.shape[1] * height_px / picture.shape[0] / 2) * 2)
    if picture.shape[:2] == (height_px, width_px):
        return picture
    is_smaller = height_px < picture.shape[0]
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_NEAREST
    resized = cv2.resize(picture, (width_px, height_px), interpolation=method)
    return np.asarray(resized, dtype=np.uint8)


def measure_text(text: str, scale: float) -> tuple[int, int]:
    """Return width and height in px of a line of text."""
    (width_px, height_px), _ = cv2.getTextSize(text, _FONT, scale, 1)
    return int(width_px), int(height_px)


def draw_text(
    picture: Picture,
    text: str,
    left_px: int,
    baseline_px: int,
    scale: float,
    color_bgr: tuple[int, int, int] = TEXT_BGR,
) -> None:
    """Draw one line of text in place, smooth edges."""
    cv2.putText(picture, text, (left_px, baseline_px), _FONT, scale, color_bgr, 1, cv2.LINE_AA)


def draw_panel_text(picture: Picture, lines: Sequence[str], scale: float) -> None:
    """Draw lines on a darkened panel in the upper left corner, in place."""
    shown = [line for line in lines if line]
    if not shown:
        return
    margin_px = round(24 * scale)
    pitch_px = round(38 * scale)
    corner_px = round(16 * scale)
    width_px = max(measure_text(line, scale)[0] for line in shown) + 2 * margin_px
    height_px = pitch_px * len(shown) + margin_px
    panel = picture[corner_px : corner_px + height_px, corner_px : corner_px + width_px]
    panel[:] = (panel * 0.3 + np.array(BACKGROUND_BGR) * 0.7).astype(np.uint8)
    for index, line in enumerate(shown):
        baseline_px = corner_px + margin_px // 2 + round((index + 0.74) * pitch_px)
        color = TEXT_BGR if index == 0 else QUIET_TEXT_BGR
        draw_text(picture, line, corner_px + margin_px, baseline_px, scale, color)


def make_legend(label_space: LabelSpace, width_px: int, scale: float) -> Picture:
    """Return a strip of the given width with a swatch and a name per class, in class order."""
    swatch_px = round(24 * scale)
    gap_px = 10
    pitch_px = round(44 * scale)
    name_px = max(measure_text(name, scale)[0] for name in label_space.class_names)
    cell_px = swatch_px + gap_px // 2 + name_px + gap_px
    columns = max(1, (width_px - gap_px) // cell_px)
    rows = -(-label_space.num_classes // columns)
    # even columns: 19 classes in rows of 10 and 9, not of 17 and 2
    columns = -(-label_space.num_classes // rows)
    cell_px = (width_px - gap_px) // columns
    height_px = (rows * pitch_px + gap_px) // 2 * 2
    strip = np.full((height_px, width_px, 3), BACKGROUND_BGR, dtype=np.uint8)
    colors = label_space.palette_array('bgr')
    for index, name in enumerate(label_space.class_names):
        row, column = divmod(index, columns)
        left_px = gap_px + column * cell_px
        top_px = gap_px // 2 + row * pitch_px + (pitch_px - swatch_px) // 2
        corner = (left_px + swatch_px, top_px + swatch_px)
        color = tuple(int(channel) for channel in colors[index])
        cv2.rectangle(strip, (left_px, top_px), corner, color, cv2.FILLED)
        cv2.rectangle(strip, (left_px, top_px), corner, (90, 90, 90), 1)
        text_left_px = left_px + swatch_px + gap_px // 2
        draw_text(strip, name, text_left_px, top_px + round(swatch_px * 0.82), scale)
    return strip


def make_contact_sheet(
    frames: Sequence[SheetFrame],
    label_space: LabelSpace,
    title: str = '',
    tile_width_px: int = 512,
) -> Picture:
    """Return a BGR picture with a row of camera image, mask and so on per frame, and a legend.

    Args:
        frames: Rows; the columns of truth and ground are left out when no frame has them.
        label_space: Label space of masks and truths.
        title: Line above the rows.
        tile_width_px: Width of each of the pictures.

    Raises:
        ValueError: No frames.
    """
    if not frames:
        raise ValueError('a contact sheet needs at least one frame, got none')
    scale = 0.5
    rows = [list_tiles(frame, label_space, tile_width_px) for frame in frames]
    columns: dict[str, int] = {}
    for row in rows:
        for name, tile in row.items():
            columns[name] = max(columns.get(name, 0), tile.shape[1])
    width_px = sum(columns.values()) + (len(columns) + 1) * GAP_PX
    parts = [make_sheet_header(columns, title, width_px)]
    parts += [
        make_sheet_row(row, columns, frame.caption, width_px, scale)
        for row, frame in zip(rows, frames, strict=True)
    ]
    parts.append(make_legend(label_space, width_px, scale))
    return np.vstack(parts)


def list_tiles(
    frame: SheetFrame, label_space: LabelSpace, tile_width_px: int
) -> dict[str, Picture]:
    """Return the pictures of a row by the names of their columns, of equal height."""
    image, order = frame.image, frame.channel_order
    tiles = {
        'camera': to_bgr(image, order),
        'mask': draw_overlay_bgr(image, order, frame.mask, label_space, frame.outlines),
    }
    if frame.truth is not None:
        tiles['truth'] = draw_overlay_bgr(
            image, order, frame.truth, label_space, frame.true_outlines
        )
    tiles = {name: resize_to_width(tile, tile_width_px) for name, tile in tiles.items()}
    if frame.ground is not None:
        tiles['ground'] = resize_to_height(frame.ground, tiles['camera'].shape[0])
    return tiles


def make_sheet_header(columns: Mapping[str, int], title: str, width_px: int) -> Picture:
    """Return the strip above the rows: the title and the names of the columns."""
    title_height_px = 44 if title else 0
    header = np.full((title_height_px + 30, width_px, 3), BACKGROUND_BGR, dtype=np.uint8)
    if title:
        draw_text(header, title, GAP_PX, 30, 0.65)
    left_px = GAP_PX
    for name, column_px in columns.items():
        draw_text(header, name, left_px, title_height_px + 20, 0.5, QUIET_TEXT_BGR)
        left_px += column_px + GAP_PX
    return header


def make_sheet_row(
    tiles: Mapping[str, Picture],
    columns: Mapping[str, int],
    caption: str,
    width_px: int,
    scale: float,
) -> Picture:
    """Return one row of tiles with its caption below."""
    height_px = tiles['camera'].shape[0]
    caption_px = 28 if caption else GAP_PX
    row = np.full((height_px + caption_px, width_px, 3), BACKGROUND_BGR, np.uint8)
    left_px = GAP_PX
    for name, column_px in columns.items():
        if name in tiles:
            row[:height_px, left_px : left_px + tiles[name].shape[1]] = tiles[name]
        left_px += column_px + GAP_PX
    if caption:
        draw_text(row, caption, GAP_PX, height_px + 18, scale, QUIET_TEXT_BGR)
    return row


def write_contact_sheet(
    path: str | Path, frames: Sequence[SheetFrame], label_space: LabelSpace, title: str = ''
) -> None:
    """Write make_contact_sheet as a PNG or JPEG file that appears only when whole.

    Raises:
        UserError: The file cannot be written.
        ValueError: No frames.
    """
    write_picture(Path(path), make_contact_sheet(frames, label_space, title))


def write_picture(path: Path, picture: Picture) -> None:
    """Write a BGR picture in the format of its suffix.

    Raises:
        UserError: The suffix is no picture format, or the file cannot be written.
    """
    require_picture_name(path)
    encoded, data = cv2.imencode(path.suffix, picture)
    if not encoded:
        raise UserError(f'a picture of {picture.shape} cannot be written as {path.suffix}')
    replace_file(path, lambda temporary: temporary.write_bytes(data.tobytes()))


def require_picture_name(path: Path) -> None:
    """Raise UserError unless the suffix is that of a picture format."""
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise UserError(f'{path} is no picture file name; expected .png or .jpg')
