# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recording frames of Cityscapes: images, labels, calibration, and odometry from the vehicle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import cityscapes
from seg_perception.evaluation.bags.bag_messages import (
    make_camera_info,
    make_compressed_image,
    make_image,
    make_odometry,
    make_transforms,
)
from seg_perception.evaluation.bags.bag_topics import make_label_space_entries
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.sources import decode_image, format_size, read_label
from seg_perception.evaluation.bags.topics import (
    BASE_FRAME,
    CAMERA_FRAME,
    CAMERA_INFO_TOPIC,
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TOPIC,
    COMPRESSED_IMAGE_TYPE,
    FRAME_STAMPS_KEY,
    IMAGE_TYPE,
    INSTANCES_TRACKED_KEY,
    LABEL_TOPIC,
    ODOM_FRAME,
    ODOMETRY_TOPIC,
    ODOMETRY_TYPE,
    PANOPTIC_TOPIC,
    SOURCE_KEY,
    STATIC_TF_TOPIC,
    TF_TOPIC,
    TF_TYPE,
)
from seg_perception.perception.labels import load_label_space

# Longer than this between two frames, the vehicle's way is not known.
MAX_STEP_S = 0.5


@dataclass
class CityscapesBag:
    """What was recorded: numbers of images, labels, calibrated images, images with odometry."""

    images: int = 0
    labels: int = 0
    calibrated: int = 0
    with_odometry: int = 0


class DeadReckoning:
    """Pose of the vehicle from speed and yaw rate, along arcs between the frames.

    Where frames are far apart the pose stays: odometry must not jump (REP-105).
    """

    def __init__(self) -> None:
        self._x_m = self._y_m = self._yaw = 0.0
        self._last: tuple[int, float, float] | None = None

    def advance(
        self, stamp_ns: int, speed_mps: float, yaw_rate_radps: float
    ) -> npt.NDArray[np.float64]:
        """Return the (4, 4) pose of the vehicle in odom at a frame with this motion."""
        if self._last is not None:
            last_ns, last_speed_mps, last_yaw_rate_radps = self._last
            step_s = (stamp_ns - last_ns) * 1e-9
            if step_s <= MAX_STEP_S:
                turn = 0.5 * (yaw_rate_radps + last_yaw_rate_radps) * step_s
                # the chord of an arc; numpy's sinc is sin(pi x) / (pi x)
                way_m = 0.5 * (speed_mps + last_speed_mps) * step_s * np.sinc(turn / (2 * np.pi))
                self._x_m += way_m * np.cos(self._yaw + turn / 2)
                self._y_m += way_m * np.sin(self._yaw + turn / 2)
                self._yaw += turn
        self._last = (stamp_ns, speed_mps, yaw_rate_radps)
        pose = np.eye(4)
        pose[:3, :3] = cityscapes.make_rotation(self._yaw, 0.0, 0.0)
        pose[:2, 3] = self._x_m, self._y_m
        return pose


def write_cityscapes_bag(
    path: str | Path,
    config: cityscapes.CityscapesConfig,
    overwrite: bool = False,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> CityscapesBag:
    """Record frames of Cityscapes.

    Images are recorded as the PNG files they are. Labels (train ids) and instances are those of
    the labelled frames. What the data set lacks (calibration, vehicle data) is left out.

    Args:
        path: Folder of the recording to make.
        config: Which frames.
        overwrite: Replace an earlier recording.
        show_progress: Wraps the frames' iterable given their number, such as a tqdm bar.

    Raises:
        UserError: The data set is not as expected, or the target exists or cannot be written;
            no recording is left then.
    """
    frames = cityscapes.list_frames(config)
    stamps_ns = {str(f.name): f.stamp_ns for f in frames if f.name == f.labelled_name}
    space = load_label_space('cityscapes')
    cities = '+'.join(sorted({frame.name.city for frame in frames}))
    custom_data = {
        **make_label_space_entries(space),
        SOURCE_KEY: f'Cityscapes {config.split} {cities}{" sequence" if config.sequence else ""}',
        # each labelled image is numbered by itself
        INSTANCES_TRACKED_KEY: 'false',
        FRAME_STAMPS_KEY: json.dumps(stamps_ns, separators=(',', ':')),
    }
    bag = CityscapesBag()
    recorder = _Recorder(config, bag)
    # zstd: a label of 2 MB becomes some 30 kB
    with BagWriter(path, custom_data, overwrite, compress_chunks=True) as writer:
        topics: set[str] = set()
        for frame in show_progress(frames, len(frames)):
            for topic, type_name, message in recorder.make_messages(frame):
                if topic not in topics:
                    writer.add_topic(topic, type_name, latched=topic == STATIC_TF_TOPIC)
                    topics.add(topic)
                writer.write(topic, message, frame.stamp_ns)
    return bag


class _Recorder:
    """Makes the messages of one frame after the other."""

    def __init__(self, config: cityscapes.CityscapesConfig, bag: CityscapesBag) -> None:
        self._config = config
        self._bag = bag
        self._space = load_label_space('cityscapes')
        self._reckoning = DeadReckoning()
        self._base_from_camera: npt.NDArray[np.float64] | None = None

    def make_messages(self, frame: cityscapes.CityscapesFrame) -> Iterator[tuple[str, str, Any]]:
        """Yield (topic, type name, message) of a frame; pose before picture, as tf wants it."""
        stamp_ns = frame.stamp_ns
        encoded = frame.image.read_bytes()
        image, file_format = decode_image(encoded, frame.image)
        image_hw = (image.shape[0], image.shape[1])
        yield from self._make_motion(frame)
        yield from self._make_camera(frame, image_hw)
        picture = make_compressed_image(
            encoded, file_format, stamp_ns, CAMERA_FRAME, grey=image.ndim == 2
        )
        self._bag.images += 1
        yield COMPRESSED_IMAGE_TOPIC, COMPRESSED_IMAGE_TYPE, picture
        if frame.name == frame.labelled_name:
            yield from self._make_truth(frame, image_hw)

    def _make_motion(
        self, frame: cityscapes.CityscapesFrame
    ) -> Iterator[tuple[str, str, Any]]:
        motion = cityscapes.read_motion(self._config, frame.name)
        if motion is None:
            return
        self._bag.with_odometry += 1
        pose = self._reckoning.advance(frame.stamp_ns, *motion)
        transform = make_transforms(pose, frame.stamp_ns, ODOM_FRAME, BASE_FRAME)
        yield TF_TOPIC, TF_TYPE, transform
        yield ODOMETRY_TOPIC, ODOMETRY_TYPE, make_odometry(pose, *motion, frame.stamp_ns)

    def _make_camera(
        self, frame: cityscapes.CityscapesFrame, image_hw: tuple[int, int]
    ) -> Iterator[tuple[str, str, Any]]:
        camera = cityscapes.read_camera(self._config, frame.labelled_name)
        if camera is None:
            return
        self._bag.calibrated += 1
        pose = camera.base_from_camera
        # calibrations differ from city to city
        if self._base_from_camera is None or not np.array_equal(pose, self._base_from_camera):
            self._base_from_camera = pose
            transform = make_transforms(pose, frame.stamp_ns, BASE_FRAME, CAMERA_FRAME)
            yield STATIC_TF_TOPIC, TF_TYPE, transform
        matrix = camera.scale_matrix(image_hw)
        info = make_camera_info(image_hw, matrix, frame.stamp_ns, CAMERA_FRAME)
        yield CAMERA_INFO_TOPIC, CAMERA_INFO_TYPE, info

    def _make_truth(
        self, frame: cityscapes.CityscapesFrame, image_hw: tuple[int, int]
    ) -> Iterator[tuple[str, str, Any]]:
        file = cityscapes.find_label(self._config, frame.name)
        if file is not None:
            label = read_label(file, self._space)
            check_size(file, label, image_hw)
            self._bag.labels += 1
            yield LABEL_TOPIC, IMAGE_TYPE, make_image(
                label, 'mono8', frame.stamp_ns, CAMERA_FRAME
            )
        file = cityscapes.find_instances(self._config, frame.name)
        if file is not None:
            ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            if ids is None or ids.ndim != 2 or ids.dtype != np.uint16:
                raise UserError(f'{file} is no grey image with 16 bits')
            check_size(file, ids, image_hw)
            panoptic = cityscapes.convert_instance_ids(np.asarray(ids), self._space)
            yield PANOPTIC_TOPIC, IMAGE_TYPE, make_image(
                panoptic, '32SC1', frame.stamp_ns, CAMERA_FRAME
            )


def check_size(file: Path, truth: npt.NDArray[Any], image_hw: tuple[int, int]) -> None:
    """Raise UserError when truth is of another size than its image."""
    if truth.shape != image_hw:
        raise UserError(
            f'{file} is {format_size(truth)} but its image is {image_hw[0]}x{image_hw[1]}; they '
            'must be of one size'
        )
