# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A video of masks drawn over their camera images, with legend and figures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.reports.pictures import (
    Picture,
    draw_overlay_bgr,
    draw_panel_text,
    make_legend,
    resize_to_height,
    resize_to_width,
    to_bgr,
)
from seg_perception.perception.labels import LabelSpace
from seg_perception.perception.overlay import find_outlines

LAYOUTS = ('overlay', 'side_by_side')

# mp4v and MJPG are encoded by OpenCV itself or its FFmpeg in every build; H.264 is in few
_CODECS = (('mp4v', '.mp4'), ('MJPG', '.avi'))
# below this width names and figures are not readable, above it files grow for no gain
_WIDTH_RANGE_PX = (720, 1920)


class OverlayVideo:
    """Context manager that writes a video; the file appears under its name when it is whole.

    Args:
        path: File to make, .mp4; becomes .avi where OpenCV has no MPEG-4 encoder (see `path`).
        rate_hz: Frames per second.
        label_space: Label space of the masks.
        layout: 'overlay', or 'side_by_side' with the plain camera image on the left.

    Attributes:
        path: The file that is being made.
        frame_count: Frames written so far.

    Raises:
        UserError: Unknown layout, or no video can be written at the path.
    """

    def __init__(
        self,
        path: str | Path,
        rate_hz: float,
        label_space: LabelSpace,
        layout: str = 'overlay',
    ) -> None:
        if layout not in LAYOUTS:
            raise UserError(f'unknown video layout {layout!r}; expected {" or ".join(LAYOUTS)}')
        if not 0.0 < rate_hz <= 1000.0:
            raise UserError(f'a video of {rate_hz} frames per second is not possible')
        self.path = Path(path)
        self.frame_count = 0
        self._rate_hz = rate_hz
        self._label_space = label_space
        self._layout = layout
        self._writer: cv2.VideoWriter | None = None
        self._temporary: Path | None = None
        self._legend: Picture | None = None
        self._canvas_hw = (0, 0)

    def __enter__(self) -> OverlayVideo:
        return self

    def write(
        self,
        image: Picture,
        channel_order: str,
        mask: Picture,
        lines: Sequence[str] = (),
        beside: Picture | None = None,
        panoptic: np.ndarray | None = None,
    ) -> None:
        """Add one frame.

        Args:
            image: (H, W, 3) uint8 camera image.
            channel_order: 'rgb' or 'bgr'.
            mask: (H, W) uint8 class ids.
            lines: Text for the upper left corner, the first line brighter.
            beside: BGR drawing put to the right, scaled to the height of the picture.
            panoptic: (H, W) int32, class * 1000 + instance: instances to outline.

        Raises:
            UserError: The video cannot be opened.
        """
        picture = self._compose(image, channel_order, mask, panoptic)
        if beside is not None:
            picture = np.hstack([picture, resize_to_height(beside, picture.shape[0])])
        draw_panel_text(picture, lines, self._text_scale(picture.shape[1]))
        if self._legend is None:
            width_px = picture.shape[1]
            self._legend = make_legend(self._label_space, width_px, self._text_scale(width_px))
        frame = self._fit(picture)
        if self._writer is None:
            self._writer = self._open((frame.shape[0], frame.shape[1]))
        self._writer.write(frame)
        self.frame_count += 1

    def close(self) -> None:
        """Finish the file and give it its name; without a frame no file is made."""
        if self._writer is not None and self._temporary is not None:
            self._writer.release()
            self._temporary.chmod(0o644)
            os.replace(self._temporary, self.path)
        self._writer = None
        self._temporary = None

    def discard(self) -> None:
        """Drop what was written."""
        if self._writer is not None:
            self._writer.release()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        self._writer = None
        self._temporary = None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.discard()

    def _compose(
        self, image: Picture, channel_order: str, mask: Picture, panoptic: np.ndarray | None
    ) -> Picture:
        outlines = None if panoptic is None else find_outlines(panoptic)
        overlay = draw_overlay_bgr(image, channel_order, mask, self._label_space, outlines)
        parts = [overlay]
        if self._layout == 'side_by_side':
            parts = [to_bgr(image, channel_order), overlay]
        width_px = int(np.clip(len(parts) * image.shape[1], *_WIDTH_RANGE_PX))
        parts = [resize_to_width(part, width_px // len(parts)) for part in parts]
        # a copy: the overlay may be a buffer of its maker, and text is drawn into the picture
        return np.hstack(parts)

    def _fit(self, picture: Picture) -> Picture:
        """Put the legend below; a camera that changed its size is scaled into the first's."""
        assert self._legend is not None
        if self._canvas_hw == (0, 0):
            self._canvas_hw = (picture.shape[0], picture.shape[1])
        height_px, width_px = self._canvas_hw
        if picture.shape[:2] != self._canvas_hw:
            picture = np.asarray(cv2.resize(picture, (width_px, height_px)), dtype=np.uint8)
        return np.vstack([picture, self._legend])

    @staticmethod
    def _text_scale(width_px: int) -> float:
        return float(np.clip(width_px / 2048, 0.45, 0.9))

    def _open(self, frame_hw: tuple[int, int]) -> cv2.VideoWriter:
        height_px, width_px = frame_hw
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for codec, suffix in _CODECS:
                handle, name = tempfile.mkstemp(
                    prefix=f'.{self.path.stem}.', suffix=f'.tmp{suffix}', dir=self.path.parent
                )
                os.close(handle)
                temporary = Path(name)
                fourcc = int.from_bytes(codec.encode('ascii'), 'little')
                writer = cv2.VideoWriter(name, fourcc, self._rate_hz, (width_px, height_px))
                if writer.isOpened():
                    self._temporary = temporary
                    self.path = self.path.with_suffix(suffix)
                    return writer
                temporary.unlink()
        except OSError as error:
            raise UserError(f'cannot write a video at {self.path}: {error}') from error
        raise UserError(
            f'cannot write a video at {self.path}: this OpenCV has neither an MPEG-4 nor a '
            'motion JPEG encoder; install opencv-python-headless'
        )
