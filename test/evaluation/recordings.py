# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Small pictures and recordings for the tests of this folder."""

from __future__ import annotations

import cv2
import numpy as np

from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import (
    IMAGE_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
)

PERIOD_NS = 100_000_000
START_NS = 1_700_000_000 * 10**9


def make_pixels(seed=0, height_px=24, width_px=32):
    """Return a smooth (H, W, 3) uint8 picture that survives JPEG well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_LINEAR)


def make_label(seed=0, height_px=24, width_px=32, num_classes=19):
    """Return (H, W) uint8 ids with some unlabelled pixels."""
    label = np.random.default_rng(seed).integers(0, num_classes, (height_px, width_px))
    label[0, :5] = 255
    return label.astype(np.uint8)


def write_labelled_bag(path, frames=3, label_space='cityscapes', storage='mcap', **sizes):
    """Write a camera and its labels; returns the pictures and labels by stamp."""
    content = {}
    with BagWriter(path, {LABEL_SPACE_KEY: label_space}, storage=storage) as writer:
        writer.add_topic(IMAGE_TOPIC, IMAGE_TYPE)
        writer.add_topic(LABEL_TOPIC, IMAGE_TYPE)
        for index in range(frames):
            stamp_ns = START_NS + index * PERIOD_NS
            pixels, label = make_pixels(index, **sizes), make_label(index, **sizes)
            content[stamp_ns] = (pixels, label)
            image = make_image(pixels, 'rgb8', stamp_ns, 'camera_optical_frame')
            truth = make_image(label, 'mono8', stamp_ns, 'camera_optical_frame')
            # as a recorder would: later than the stamps, and the label after the image
            writer.write(IMAGE_TOPIC, image, stamp_ns + 5_000_000)
            writer.write(LABEL_TOPIC, truth, stamp_ns + 7_000_000)
    return content
