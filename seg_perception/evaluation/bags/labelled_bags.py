# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The images of a recording that have labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.bags.frame_source import read_camera_frame
from seg_perception.evaluation.images.image_folders import LabelledImage
from seg_perception.evaluation.metrics.score import BagTruth
from seg_perception.perception.frame import FrameError, FrameReader


def iterate_labelled_images(path: Path, label_space: str = '') -> Iterator[LabelledImage]:
    """Yield every image that has a label of its stamp, in the order of the recording.

    label_space: name or YAML file of the labels' space; '' takes the recorded one.

    Raises:
        UserError: The recording cannot be read, has several cameras, no labels or labels of
            unknown meaning, or a message is damaged.
    """
    truth = BagTruth(path, label_space=label_space)
    try:
        with BagReader(path) as reader:
            topic = find_image_topic(reader)
            frames = FrameReader()
            for item in reader.iterate_messages([topic]):
                try:
                    frame = read_camera_frame(frames, item.type_name, item.message)
                except FrameError as error:
                    raise UserError(f'{path}, topic {topic}: {error}') from error
                label = truth.read(frame.stamp_ns)
                if label is None:
                    continue
                image = frame.image if frame.channel_order == 'rgb' else frame.image[..., ::-1]
                # a copy: the frame's memory is reused by the next read
                yield LabelledImage(np.array(image, order='C'), label.copy())
    finally:
        truth.close()
