# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera calibration files of the camera_calibration package (YAML)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_camera_info


@dataclass(frozen=True)
class CameraCalibration:
    """Intrinsics of one camera (REP-104), matrices as row-major tuples in px.

    Attributes:
        height_px: Height of the images it holds for.
        width_px: Width of the images it holds for.
        distortion_model: Lens model, such as plumb_bob.
        distortion: Parameters of the lens model.
        camera_matrix: K, 9 values.
        rectification: R, 9 values.
        projection: P, 12 values.
    """

    height_px: int
    width_px: int
    distortion_model: str
    distortion: tuple[float, ...]
    camera_matrix: tuple[float, ...]
    rectification: tuple[float, ...]
    projection: tuple[float, ...]

    def make_message(self, image_hw: tuple[int, int], stamp_ns: int, frame_id: str) -> Any:
        """Build the sensor_msgs/CameraInfo (a rosbags object) of an image.

        Raises:
            UserError: The image is of another size than the calibration.
        """
        if image_hw != (self.height_px, self.width_px):
            raise UserError(
                f'the calibration is for {self.height_px}x{self.width_px} images (height x '
                f'width) but the images are {image_hw[0]}x{image_hw[1]}; give the file of this '
                'camera'
            )
        return make_camera_info(
            image_hw,
            np.reshape(self.camera_matrix, (3, 3)),
            stamp_ns,
            frame_id,
            self.distortion_model,
            self.distortion,
            np.reshape(self.rectification, (3, 3)),
            np.reshape(self.projection, (3, 4)),
        )


def load_camera_calibration(path: str | Path) -> CameraCalibration:
    """Read a calibration as `ros2 run camera_calibration cameracalibrator` writes it.

    Raises:
        UserError: The file is missing, no YAML, or lacks or mistypes an entry (named).
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'cannot read the calibration {path}: {error}') from error
    if not isinstance(content, Mapping):
        raise UserError(f'{path} is no camera calibration: expected entries such as image_width')
    k = read_matrix(content, 'camera_matrix', (9,), path)
    return CameraCalibration(
        height_px=read_size(content, 'image_height', path),
        width_px=read_size(content, 'image_width', path),
        distortion_model=str(content.get('distortion_model', 'plumb_bob')),
        distortion=read_matrix(content, 'distortion_coefficients', (0, 4, 5, 8, 12, 14), path),
        camera_matrix=k,
        rectification=read_matrix(content, 'rectification_matrix', (9,), path)
        if 'rectification_matrix' in content
        else (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        projection=read_matrix(content, 'projection_matrix', (12,), path)
        if 'projection_matrix' in content
        else (*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0),
    )


def read_size(content: Mapping[str, Any], key: str, path: str | Path) -> int:
    """Return a positive whole number of a calibration; UserError names it otherwise."""
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f'{path}: {key} is {value!r}, expected a positive whole number')
    return value


def read_matrix(
    content: Mapping[str, Any], key: str, lengths: tuple[int, ...], path: str | Path
) -> tuple[float, ...]:
    """Return the `data` of a matrix entry as floats; UserError names it when it is wrong."""
    entry = content.get(key)
    data = entry.get('data') if isinstance(entry, Mapping) else None
    if not isinstance(data, list) or len(data) not in lengths:
        expected = ' or '.join(str(length) for length in lengths)
        raise UserError(f'{path}: {key}.data is {data!r}, expected a list of {expected} numbers')
    try:
        return tuple(float(value) for value in data)
    except (TypeError, ValueError) as error:
        raise UserError(f'{path}: {key}.data has an entry that is no number: {error}') from error
