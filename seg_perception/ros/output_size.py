# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Masks of another size than the camera's, and the calibration that belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo

from seg_perception.errors import UserError


@dataclass(frozen=True)
class OutputSize:
    """Size of the masks: fixed where height_px and width_px are above 0, else a scale."""

    height_px: int = 0
    width_px: int = 0
    scale: float = 1.0

    def find(self, camera_hw: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) of the masks for images of (height, width)."""
        if self.height_px:
            return self.height_px, self.width_px
        height_px, width_px = camera_hw
        return max(1, round(height_px * self.scale)), max(1, round(width_px * self.scale))


def read_output_size(get_parameter: Callable[[str], Any]) -> OutputSize:
    """Return the size that the parameters output.* ask for.

    Raises:
        UserError: a height without a width, or both a size and a scale.
    """
    height_px, width_px, scale = (
        get_parameter(f'output.{name}') for name in ('height', 'width', 'scale')
    )
    if bool(height_px) != bool(width_px):
        raise UserError(
            f'output.height is {height_px} and output.width {width_px}; set both, or none and '
            'output.scale'
        )
    if height_px and scale != 1.0:
        raise UserError(
            f'output.scale is {scale} and output.height {height_px}; set the scale or the size'
        )
    return OutputSize(height_px, width_px, scale)


def scale_camera_info(
    info: Any, output_hw: tuple[int, int], header: Any, image_hw: tuple[int, int]
) -> Any:
    """Return the CameraInfo of a mask (REP-104): a smaller image of the whole view.

    A region of interest or binning of the camera is part of the new size, not kept beside it.

    Args:
        info: sensor_msgs/CameraInfo of the camera image.
        output_hw: (height, width) of the mask, px.
        header: of the image.
        image_hw: (height, width) of the image, px, for a camera that does not say its size.
    """
    out = CameraInfo(header=header, distortion_model=info.distortion_model, d=info.d, r=info.r)
    out.height, out.width = output_hw
    roi = info.roi
    is_cut = roi.height > 0 and roi.width > 0
    seen_hw = (info.height or image_hw[0], info.width or image_hw[1])
    if is_cut:
        seen_hw = (roi.height, roi.width)
    offset_x, offset_y = (roi.x_offset, roi.y_offset) if is_cut else (0, 0)
    scale_y, scale_x = output_hw[0] / seen_hw[0], output_hw[1] / seen_hw[1]
    k, p = list(info.k), list(info.p)
    for values, (center_x, center_y) in ((k, (2, 5)), (p, (2, 6))):
        # Pixel centres are at whole numbers: edges lie half a pixel further out.
        values[center_x] = (values[center_x] - offset_x + 0.5) * scale_x - 0.5
        values[center_y] = (values[center_y] - offset_y + 0.5) * scale_y - 0.5
    for index in (0, 1):  # focal length and skew
        k[index] *= scale_x
        p[index] *= scale_x
    k[4] *= scale_y
    p[5] *= scale_y
    p[3] *= scale_x
    p[7] *= scale_y
    out.k, out.p = k, p
    return out
