# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instances and depth of a recording are found by the stamp of their image."""

import cv2
import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import bag_images
from seg_perception.evaluation.bags.bag_messages import make_compressed_image, make_image
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.evaluation.bags.topics import (
    COMPRESSED_IMAGE_TYPE,
    DEPTH_TOPIC,
    IMAGE_TYPE,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
    PANOPTIC_TOPIC,
)
from seg_perception.evaluation.metrics.score import BagTruth
from seg_perception.sample.drive import SampleDrive


def test_instances_and_depth_of_the_sample_drive(tmp_path):
    config = SampleBagConfig(seed=3, frames=2, height_px=32, width_px=64)
    write_sample_bag(tmp_path / 'bag', config)
    drive = SampleDrive(seed=3, frames=2, height_px=32, width_px=64, rate_hz=10.0)
    panoptic = bag_images.BagImages(tmp_path / 'bag', PANOPTIC_TOPIC)
    depth = bag_images.BagDepth(tmp_path / 'bag', DEPTH_TOPIC)
    for frame in drive:
        assert np.array_equal(panoptic.read(frame.stamp_ns), frame.panoptic)
        assert panoptic.read(frame.stamp_ns).dtype == np.int32
        read_m = depth.read(frame.stamp_ns)
        seen = np.isfinite(frame.depth_m) & (frame.depth_m > 0)
        assert np.array_equal(read_m[seen], frame.depth_m[seen])
        assert np.isnan(read_m[~seen]).all()
    assert panoptic.read(START_NS - 1) is None
    panoptic.close()
    depth.close()


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0), (1, 1, 3, 0, 2), (2, 3, 2, 3)])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_are_found_in_any_order(tmp_path, order, storage):
    content = write_labelled_bag(tmp_path / 'bag', frames=4, storage=storage)
    stamps = list(content)
    with BagReader(tmp_path / 'bag') as reader:
        messages = bag_images.StampedMessages(reader, LABEL_TOPIC)
        for index in order:
            raw = messages.find(stamps[index])
            label = reader.decode(raw).data.reshape(24, 32)
            assert np.array_equal(label, content[stamps[index]][1])
        assert messages.find(stamps[0] + 1) is None
        assert len(messages) == 4
        assert stamps[2] in messages
        assert stamps[2] + 1 not in messages


def test_depth_in_millimetres_becomes_metres():
    depth_m = bag_images.convert_depth(np.array([[0, 1500, 65535]], np.uint16), '/depth')
    assert np.isnan(depth_m[0, 0])
    assert depth_m[0, 1:].tolist() == pytest.approx([1.5, 65.535])
    with pytest.raises(UserError, match='/depth have float64 pixels; expected 32FC1'):
        bag_images.convert_depth(np.zeros((1, 1)), '/depth')


def test_byte_order_and_padding_are_undone():
    pixels = np.arange(12, dtype=np.int32).reshape(3, 4) * 1000
    message = make_image(pixels, '32SC1', START_NS, 'c')
    padded = np.zeros((3, 20), np.uint8)
    padded[:, :16] = pixels.astype('>i4').view(np.uint8).reshape(3, 16)
    message.data, message.step, message.is_bigendian = padded.reshape(-1), 20, 1
    read = bag_images.read_channel(message, IMAGE_TYPE, '/ids')
    assert np.array_equal(read, pixels)
    assert read.dtype == np.int32
    message.step = 12
    with pytest.raises(UserError, match='/ids, 3x4 32SC1 with step 12'):
        bag_images.read_channel(message, IMAGE_TYPE, '/ids')
    message.encoding = 'rgb8'
    with pytest.raises(UserError, match="encoding 'rgb8'; expected one channel"):
        bag_images.read_channel(message, IMAGE_TYPE, '/ids')


def test_topic_that_is_no_image_topic_is_named(tmp_path):
    write_labelled_bag(tmp_path / 'bag')
    with pytest.raises(UserError, match='has no image topic /depth; its topics: /camera'):
        bag_images.BagImages(tmp_path / 'bag', '/depth')
    assert bag_images.open_images(tmp_path / 'bag', DEPTH_TOPIC) is None
    images = bag_images.open_images(tmp_path / 'bag', LABEL_TOPIC)
    assert len(images) == 3
    images.close()


def write_compressed_labels(path, encoded, file_format='png'):
    """Write one label as a compressed image."""
    with BagWriter(path, {LABEL_SPACE_KEY: 'cityscapes'}) as writer:
        topic = f'{LABEL_TOPIC}/compressed'
        writer.add_topic(topic, COMPRESSED_IMAGE_TYPE)
        message = make_compressed_image(encoded, file_format, START_NS, 'c', grey=True)
        writer.write(topic, message, START_NS + PERIOD_NS)


def test_png_labels_are_truth_and_jpeg_labels_are_refused(tmp_path):
    label = np.random.default_rng(0).integers(0, 19, (16, 24)).astype(np.uint8)
    write_compressed_labels(tmp_path / 'png', cv2.imencode('.png', label)[1].tobytes())
    truth = BagTruth(tmp_path / 'png')
    assert np.array_equal(truth.read(START_NS), label)
    truth.close()
    write_compressed_labels(tmp_path / 'jpeg', cv2.imencode('.jpg', label)[1].tobytes(), 'jpeg')
    truth = BagTruth(tmp_path / 'jpeg')
    with pytest.raises(UserError, match='expected PNG'):
        truth.read(START_NS)
    truth.close()
