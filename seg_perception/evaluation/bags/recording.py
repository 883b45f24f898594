# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Making recordings: image folders and video files as rosbag2 bags of one camera."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_compressed_image, make_image
from seg_perception.evaluation.bags.bag_topics import make_label_space_entries
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.camera_files import CameraCalibration
from seg_perception.evaluation.bags.sources import SourceFrame, format_size
from seg_perception.evaluation.bags.topics import (
    CAMERA_FRAME,
    CAMERA_INFO_TOPIC,
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TOPIC,
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_TOPIC,
    SOURCE_KEY,
)
from seg_perception.perception.labels import LabelSpace


@dataclass(frozen=True)
class CameraBagConfig:
    """How pictures are recorded.

    Attributes:
        source_name: What the pictures are, for the recording's metadata.
        label_space: Label space of the labels; None without labels.
        raw: Record decoded pixels (rgb8, mono8) even when the file's bytes are at hand.
        jpeg_quality: Quality, 1..100, to encode pictures that come without file bytes as JPEG;
            0 records their pixels.
        calibration: Calibration of the camera; None records no camera_info.
        overwrite: Replace an earlier recording.
    """

    source_name: str
    label_space: LabelSpace | None = None
    raw: bool = False
    jpeg_quality: int = 0
    calibration: CameraCalibration | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.jpeg_quality <= 100:
            raise UserError(f'JPEG quality {self.jpeg_quality} is not possible; expected 1..100')


def write_camera_bag(
    frames: Iterable[SourceFrame], path: str | Path, config: CameraBagConfig
) -> int:
    """Write pictures, labels and camera_info to a new recording; return the picture count.

    Raises:
        UserError: The target exists, a picture does not fit the calibration, or the source
            failed; no recording is left then.
    """
    custom_data = {SOURCE_KEY: config.source_name}
    if config.label_space is not None:
        custom_data.update(make_label_space_entries(config.label_space))
    count = 0
    with BagWriter(path, custom_data, config.overwrite) as writer:
        topics: set[str] = set()
        for frame in frames:
            for topic, type_name, message in make_camera_messages(frame, config):
                if topic not in topics:
                    writer.add_topic(topic, type_name)
                    topics.add(topic)
                writer.write(topic, message, frame.stamp_ns)
            count += 1
        if count == 0:
            raise UserError(f'{config.source_name} has no pictures; no bag was made')
    return count


def make_camera_messages(
    frame: SourceFrame, config: CameraBagConfig
) -> list[tuple[str, str, Any]]:
    """Return (topic, type name, message) of a picture and all that goes with it."""
    messages = [make_picture_message(frame, config)]
    if config.calibration is not None:
        image_hw = (frame.image.shape[0], frame.image.shape[1])
        info = config.calibration.make_message(image_hw, frame.stamp_ns, CAMERA_FRAME)
        messages.append((CAMERA_INFO_TOPIC, CAMERA_INFO_TYPE, info))
    if frame.label is not None:
        label = make_image(frame.label, 'mono8', frame.stamp_ns, CAMERA_FRAME)
        messages.append((LABEL_TOPIC, IMAGE_TYPE, label))
    return messages


def make_picture_message(frame: SourceFrame, config: CameraBagConfig) -> tuple[str, str, Any]:
    """Return topic, type name and message of a picture, in the form that the config asks for."""
    grey = frame.image.ndim == 2
    encoded, file_format = frame.encoded, frame.file_format
    if encoded is None and config.jpeg_quality:
        encoded, file_format = encode_jpeg(frame.image, config.jpeg_quality), 'jpeg'
    if encoded is not None and not config.raw:
        message = make_compressed_image(
            encoded, file_format, frame.stamp_ns, CAMERA_FRAME, grey=grey
        )
        return COMPRESSED_IMAGE_TOPIC, COMPRESSED_IMAGE_TYPE, message
    pixels = frame.image if grey else cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)
    message = make_image(
        np.asarray(pixels), 'mono8' if grey else 'rgb8', frame.stamp_ns, CAMERA_FRAME
    )
    return IMAGE_TOPIC, IMAGE_TYPE, message


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode a (H, W, 3) BGR or (H, W) picture as JPEG, where possible without chroma subsampling.

    Raises:
        UserError: The picture is too large for JPEG (65500 px).
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    # 4:2:0 would smear signs and lights of a few pixels over their neighbours; OpenCV before
    # 4.6, as in Ubuntu 22.04, cannot choose
    if hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR'):
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    encoded, data = cv2.imencode('.jpg', image, options)
    if not encoded:
        raise UserError(f'a picture of {format_size(image)} cannot be written as JPEG')
    return data.tobytes()
