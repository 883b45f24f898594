# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording are its camera and its labels."""

import numpy as np
import pytest
from recordings import START_NS, make_pixels, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import bag_reader as bags
from seg_perception.evaluation.bags.bag_messages import make_compressed_image, make_image
from seg_perception.evaluation.bags.bag_topics import (
    find_image_topic,
    find_label_space,
    find_label_topic,
)
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.topics import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    LABEL_TOPIC,
)


def write_images(path, topics):
    """Write one image per (topic, encoding)."""
    dtypes = {'32FC1': np.float32, 'mono8': np.uint8}
    with BagWriter(path) as writer:
        for topic, encoding in topics:
            if topic.endswith('compressed'):
                message = make_compressed_image(b'\xff\xd8', 'jpeg', START_NS, 'c')
                writer.add_topic(topic, COMPRESSED_IMAGE_TYPE)
            else:
                pixels = (
                    make_pixels()
                    if encoding == 'rgb8'
                    else np.zeros((4, 4), dtype=dtypes[encoding])
                )
                message = make_image(pixels, encoding, START_NS, 'c')
                writer.add_topic(topic, IMAGE_TYPE)
            writer.write(topic, message, START_NS)


@pytest.mark.parametrize(
    ('topics', 'expected'),
    [
        ([('/cam/image', 'rgb8'), ('/ground_truth/label', 'mono8')], '/cam/image'),
        ([('/cam/image', 'rgb8'), ('/cam/depth', '32FC1')], '/cam/image'),
        ([('/cam/image', 'rgb8'), ('/cam/image/compressed', '')], '/cam/image'),
        ([('/cam/image/compressed', '')], '/cam/image/compressed'),
        ([('/thermal', 'mono8')], '/thermal'),
        ([('/cam', 'rgb8'), ('/seg/mask', 'mono8'), ('/seg/confidence', 'mono8')], '/cam'),
        ([('/robot/mask', 'mono8')], '/robot/mask'),
    ],
)
def test_camera_topic_is_found(tmp_path, topics, expected):
    write_images(tmp_path / 'bag', topics)
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert find_image_topic(reader) == expected


def test_several_cameras_are_listed(tmp_path):
    write_images(tmp_path / 'bag', [('/left', 'rgb8'), ('/right', 'rgb8')])
    with bags.BagReader(tmp_path / 'bag') as reader:
        with pytest.raises(UserError, match='several cameras.*--image-topic: /left, /right'):
            find_image_topic(reader)
        assert find_image_topic(reader, '/right') == '/right'
        with pytest.raises(UserError, match='no image topic /top; its image topics: /left, /rig'):
            find_image_topic(reader, '/top')


def test_no_camera_lists_topics(tmp_path):
    write_images(tmp_path / 'bag', [('/depth', '32FC1')])
    with (
        bags.BagReader(tmp_path / 'bag') as reader,
        pytest.raises(UserError, match='no camera images.*topics: /depth'),
    ):
        find_image_topic(reader)


def test_label_topic_and_space(tmp_path):
    write_labelled_bag(tmp_path / 'bag', label_space='camvid')
    with bags.BagReader(tmp_path / 'bag') as reader:
        assert find_label_topic(reader) == LABEL_TOPIC
        assert find_label_space(reader).name == 'camvid'
        with pytest.raises(UserError, match='no Image topic /truth'):
            find_label_topic(reader, '/truth')
        with pytest.raises(UserError, match="unknown label space 'mars'"):
            find_label_space(reader, 'mars')
