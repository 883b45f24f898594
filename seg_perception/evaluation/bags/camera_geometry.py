# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The calibration of a recorded camera, and where it is on the vehicle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.topics import BASE_FRAME, CAMERA_INFO_TYPE, STATIC_TF_TOPIC
from seg_perception.perception.camera_pose import CameraPose, make_transform_matrix

_COMPRESSED_SUFFIX = '/compressed'


@dataclass(frozen=True)
class RecordedCamera:
    """What is needed to see the ground with a recorded camera.

    Attributes:
        info: its first CameraInfo, CDR bytes.
        pose: camera on the vehicle, in the base frame.
        is_rectified: its images are rectified, by the name of their topic.
    """

    info: bytes
    pose: CameraPose
    is_rectified: bool


def read_recorded_camera(
    reader: BagReader, image_topic: str, base_frame: str = BASE_FRAME
) -> RecordedCamera | None:
    """Return the camera of an image topic, None where calibration or pose was not recorded.

    The calibration is that on the sibling topic camera_info; the pose that on /tf_static.
    """
    raw_topic = image_topic.removesuffix(_COMPRESSED_SUFFIX)
    parent, _, name = raw_topic.rpartition('/')
    info_topic = f'{parent}/camera_info'
    if not any(t.name == info_topic and t.type_name == CAMERA_INFO_TYPE for t in reader.topics):
        return None
    info = next(reader.iterate_raw_messages([info_topic]), None)
    if info is None:
        return None
    frame_id = reader.decode(info).header.frame_id
    base_from_camera = find_transform(read_static_transforms(reader), base_frame, frame_id)
    if base_from_camera is None:
        return None
    pose = CameraPose.from_matrix(base_from_camera)
    return RecordedCamera(bytes(info.data), pose, name.startswith('image_rect'))


def read_static_transforms(reader: BagReader) -> dict[tuple[str, str], np.ndarray]:
    """Return (4, 4) parent_from_child by (parent, child) of /tf_static."""
    out = {}
    for entry in reader.iterate_messages([STATIC_TF_TOPIC]):
        for transform in entry.message.transforms:
            key = transform.header.frame_id, transform.child_frame_id
            out[key] = make_transform_matrix(transform.transform)
    return out


def find_transform(
    transforms: dict[tuple[str, str], np.ndarray], target: str, source: str
) -> np.ndarray | None:
    """Return target_from_source over any chain of transforms, None where there is none."""
    steps = [(parent, child, matrix) for (parent, child), matrix in transforms.items()]
    steps += [(child, parent, np.linalg.inv(matrix)) for parent, child, matrix in steps]
    found = {target: np.eye(4)}
    pending = [target]
    while pending:
        frame = pending.pop()
        for near, far, near_from_far in steps:
            if near == frame and far not in found:
                found[far] = found[frame] @ near_from_far
                pending.append(far)
    return found.get(source)
