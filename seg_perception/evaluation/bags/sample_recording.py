# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recording the rendered sample drive: camera, every kind of truth, odometry and transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import (
    BoxMarker,
    make_camera_info,
    make_compressed_image,
    make_image,
    make_markers,
    make_occupancy_grid,
    make_odometry,
    make_transforms,
)
from seg_perception.evaluation.bags.bag_topics import make_label_space_entries
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.recording import encode_jpeg
from seg_perception.evaluation.bags.topics import (
    BASE_FRAME,
    CAMERA_FRAME,
    CAMERA_INFO_TOPIC,
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TOPIC,
    COMPRESSED_IMAGE_TYPE,
    DEPTH_TOPIC,
    GROUND_CLASSES_TOPIC,
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_TOPIC,
    OBJECTS_TOPIC,
    ODOM_FRAME,
    ODOMETRY_TOPIC,
    PANOPTIC_TOPIC,
    SOURCE_KEY,
    STATIC_TF_TOPIC,
    TF_TOPIC,
)
from seg_perception.perception.labels import LabelSpace, load_label_space
from seg_perception.sample.drive import SAMPLE_DRIVE_VERSION, SampleDrive, SampleFrame
from seg_perception.sample.occupancy import CELL_M, SIDE_M

TF_TYPE = 'tf2_msgs/msg/TFMessage'
JPEG_QUALITY = 92


@dataclass(frozen=True)
class SampleBagConfig:
    """Which sample drive is recorded, and how.

    Attributes:
        seed: Seed of the drive.
        frames: Number of frames.
        height_px: Height of the images.
        width_px: Width of the images.
        rate_hz: Rate of the frames.
        compressed: Record the camera as JPEG instead of pixels.
        overwrite: Replace an earlier recording.
    """

    seed: int
    frames: int
    height_px: int
    width_px: int
    rate_hz: float = 10.0
    compressed: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0 or self.frames < 1:
            raise UserError(
                f'seed {self.seed} and {self.frames} frames: expected a seed from 0 and at least '
                'one frame'
            )
        if min(self.height_px, self.width_px) < 2:
            raise UserError(
                f'a drive of {self.height_px}x{self.width_px} px cannot be rendered; expected at '
                'least 2x2'
            )
        if not 0.0 < self.rate_hz <= 1000.0:
            raise UserError(f'a rate of {self.rate_hz} Hz is not possible; up to 1000 is')


def write_sample_bag(
    path: str | Path,
    config: SampleBagConfig,
    show_progress: Callable[[Iterable], Iterable] = iter,
) -> None:
    """Render a sample drive into a new recording.

    Args:
        path: Folder of the recording to make.
        config: The drive.
        show_progress: Wraps the frames' iterable, such as a tqdm bar.

    Raises:
        UserError: The target exists or cannot be written; no recording is left then.
    """
    drive = SampleDrive(
        seed=config.seed,
        frames=config.frames,
        height_px=config.height_px,
        width_px=config.width_px,
        rate_hz=config.rate_hz,
    )
    label_space = load_label_space('cityscapes')
    custom_data = {
        **make_label_space_entries(label_space),
        SOURCE_KEY: (
            f'sample drive {SAMPLE_DRIVE_VERSION}, seed {config.seed}, '
            f'{config.height_px}x{config.width_px}, {config.rate_hz:g} Hz'
        ),
    }
    # zstd: labels, ids and depth of a frame shrink from 4.6 to some 0.4 MB at 512x1024
    with BagWriter(path, custom_data, config.overwrite, compress_chunks=True) as writer:
        announce_topics(writer, config.compressed)
        for index, frame in enumerate(show_progress(drive)):
            if index == 0:
                static = make_transforms(
                    drive.base_from_camera, frame.stamp_ns, BASE_FRAME, CAMERA_FRAME
                )
                writer.write(STATIC_TF_TOPIC, static, frame.stamp_ns)
            for topic, message in make_sample_messages(
                drive, frame, label_space, config.compressed
            ):
                writer.write(topic, message, frame.stamp_ns)


def announce_topics(writer: BagWriter, compressed: bool) -> None:
    """Announce the topics of a sample drive."""
    writer.add_topic(STATIC_TF_TOPIC, TF_TYPE, latched=True)
    writer.add_topic(TF_TOPIC, TF_TYPE)
    writer.add_topic(ODOMETRY_TOPIC, 'nav_msgs/msg/Odometry')
    writer.add_topic(CAMERA_INFO_TOPIC, CAMERA_INFO_TYPE)
    if compressed:
        writer.add_topic(COMPRESSED_IMAGE_TOPIC, COMPRESSED_IMAGE_TYPE)
    else:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
    for topic in (LABEL_TOPIC, PANOPTIC_TOPIC, DEPTH_TOPIC):
        writer.add_topic(topic, IMAGE_TYPE)
    writer.add_topic(GROUND_CLASSES_TOPIC, 'nav_msgs/msg/OccupancyGrid')
    writer.add_topic(OBJECTS_TOPIC, 'visualization_msgs/msg/MarkerArray')


def make_sample_messages(
    drive: SampleDrive, frame: SampleFrame, label_space: LabelSpace, compressed: bool
) -> list[tuple[str, Any]]:
    """Return (topic, message) of everything in a frame; pose before picture, as tf wants it."""
    stamp_ns = frame.stamp_ns
    height_px, width_px = frame.label.shape
    return [
        (TF_TOPIC, make_transforms(frame.odom_from_base, stamp_ns, ODOM_FRAME, BASE_FRAME)),
        (
            ODOMETRY_TOPIC,
            make_odometry(frame.odom_from_base, frame.speed_mps, frame.yaw_rate_radps, stamp_ns),
        ),
        (
            CAMERA_INFO_TOPIC,
            make_camera_info((height_px, width_px), drive.camera_matrix, stamp_ns, CAMERA_FRAME),
        ),
        make_camera_picture(frame, compressed),
        (LABEL_TOPIC, make_image(frame.label, 'mono8', stamp_ns, CAMERA_FRAME)),
        (PANOPTIC_TOPIC, make_image(frame.panoptic, '32SC1', stamp_ns, CAMERA_FRAME)),
        (DEPTH_TOPIC, make_image(frame.depth_m, '32FC1', stamp_ns, CAMERA_FRAME)),
        (
            GROUND_CLASSES_TOPIC,
            # the drive counts cells forward first; an OccupancyGrid's columns go along x
            make_occupancy_grid(
                frame.ground_classes.T, CELL_M, (0.0, -SIDE_M), stamp_ns, BASE_FRAME
            ),
        ),
        (OBJECTS_TOPIC, make_object_markers(frame, label_space, drive.rate_hz)),
    ]


def make_camera_picture(frame: SampleFrame, compressed: bool) -> tuple[str, Any]:
    """Return topic and message of the camera image, as pixels or as JPEG."""
    if not compressed:
        return IMAGE_TOPIC, make_image(frame.image, 'rgb8', frame.stamp_ns, CAMERA_FRAME)
    bgr = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    encoded = encode_jpeg(bgr, JPEG_QUALITY)
    picture = make_compressed_image(encoded, 'jpeg', frame.stamp_ns, CAMERA_FRAME)
    return COMPRESSED_IMAGE_TOPIC, picture


def make_object_markers(frame: SampleFrame, label_space: LabelSpace, rate_hz: float) -> Any:
    """Build a MarkerArray of the street's things as boxes in odom.

    The namespace is the class name with `/moving` for what moves, the id the instance of the
    panoptic image, the scale length x width x height in metres.
    """
    boxes = []
    for item in frame.objects:
        pose = np.array(item.pose, dtype=np.float64)
        # the drive's objects stand on their origin, a marker is placed by its middle
        pose[:3, 3] += pose[:3, 2] * item.size_m[2] / 2
        name = label_space.class_names[item.label] + ('/moving' if item.moving else '')
        boxes.append(
            BoxMarker(name, item.instance, pose, item.size_m, label_space.palette[item.label])
        )
    # one and a half periods: boxes of things that left the scene vanish by themselves
    return make_markers(boxes, round(1.5e9 / rate_hz), frame.stamp_ns, ODOM_FRAME)
