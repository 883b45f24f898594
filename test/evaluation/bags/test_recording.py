# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pictures of files become messages that the camera reader of the node understands."""

import os

import cv2
import numpy as np
import pytest
from recordings import START_NS, make_label, make_pixels

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import stamp_to_ns
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic, find_label_space
from seg_perception.evaluation.bags.camera_files import load_camera_calibration
from seg_perception.evaluation.bags.recording import CameraBagConfig, write_camera_bag
from seg_perception.evaluation.bags.sources import SourceFrame
from seg_perception.evaluation.bags.topics import (
    CAMERA_INFO_TOPIC,
    COMPRESSED_IMAGE_TOPIC,
    IMAGE_TOPIC,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
)
from seg_perception.perception.frame import FrameReader
from seg_perception.perception.labels import LabelSpace

CALIBRATION = """
image_width: 32
image_height: 24
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [30.0, 0, 16, 0, 31.0, 12, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0, 0, 0]}
"""


def make_frames(suffix='.png', grey=False, count=2):
    """Return frames as read from files, '' for such as come from a video."""
    frames = []
    for index in range(count):
        image = make_pixels(index)
        if grey:
            image = image[..., 0].copy()
        encoded = cv2.imencode(suffix, image)[1].tobytes() if suffix else None
        file_format = {'.png': 'png', '.jpg': 'jpeg', '': ''}[suffix]
        label = make_label(index)
        stamp_ns = START_NS + index * 10**8
        frames.append(SourceFrame(stamp_ns, image, encoded, file_format, label))
    return frames


def read_only_message(path, topic):
    """Return the messages of a topic of a new recording."""
    with BagReader(path) as reader:
        return [item.message for item in reader.iterate_messages([topic])]


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('grey', [False, True])
def test_file_bytes_are_recorded_unchanged(tmp_path, suffix, grey):
    frames = make_frames(suffix, grey)
    assert write_camera_bag(frames, tmp_path / 'bag', CameraBagConfig('files')) == 2
    recorded = read_only_message(tmp_path / 'bag', COMPRESSED_IMAGE_TOPIC)
    assert [message.data.tobytes() for message in recorded] == [f.encoded for f in frames]
    decoded = FrameReader().read_compressed(recorded[1])
    expected = cv2.imdecode(np.frombuffer(frames[1].encoded, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded.image, expected)
    assert decoded.stamp_ns == frames[1].stamp_ns


@pytest.mark.parametrize('suffix', ['.png', ''])
@pytest.mark.parametrize('grey', [False, True])
def test_raw_pixels_are_exact(tmp_path, suffix, grey):
    frames = make_frames(suffix, grey)
    write_camera_bag(frames, tmp_path / 'bag', CameraBagConfig('files', raw=True))
    recorded = read_only_message(tmp_path / 'bag', IMAGE_TOPIC)
    assert recorded[0].encoding == ('mono8' if grey else 'rgb8')
    for message, frame in zip(recorded, frames, strict=True):
        image = FrameReader().read_image(message).image
        bgr = np.repeat(frame.image[..., None], 3, axis=2) if grey else frame.image
        assert np.array_equal(image[..., ::-1], bgr)


def test_video_frames_as_jpeg_are_close(tmp_path):
    frames = make_frames('')
    write_camera_bag(frames, tmp_path / 'bag', CameraBagConfig('video', jpeg_quality=95))
    (first, _) = read_only_message(tmp_path / 'bag', COMPRESSED_IMAGE_TOPIC)
    image = FrameReader().read_compressed(first).image
    assert np.abs(image.astype(int) - frames[0].image).mean() < 3.0


def test_labels_go_with_their_space(tmp_path):
    frames = make_frames()
    # a space that no package has: a reader elsewhere knows it from the recording alone
    space = LabelSpace('farm', tuple(f'crop {i}' for i in range(19)), ((0, 99, 0),) * 19)
    config = CameraBagConfig('files', label_space=space)
    write_camera_bag(frames, tmp_path / 'bag', config)
    labels = read_only_message(tmp_path / 'bag', LABEL_TOPIC)
    for message, frame in zip(labels, frames, strict=True):
        assert np.array_equal(message.data.reshape(24, 32), frame.label)
        assert stamp_to_ns(message.header.stamp) == frame.stamp_ns
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.custom_data[LABEL_SPACE_KEY] == 'farm'
        assert find_label_space(reader) == space
        assert find_image_topic(reader) == COMPRESSED_IMAGE_TOPIC


def test_calibration_is_recorded(tmp_path):
    (tmp_path / 'front.yaml').write_text(CALIBRATION)
    calibration = load_camera_calibration(tmp_path / 'front.yaml')
    config = CameraBagConfig('files', calibration=calibration)
    write_camera_bag(make_frames(), tmp_path / 'bag', config)
    info = read_only_message(tmp_path / 'bag', CAMERA_INFO_TOPIC)[0]
    assert (info.height, info.width) == (24, 32)
    assert info.k.tolist() == [30, 0, 16, 0, 31, 12, 0, 0, 1]
    assert info.d.tolist() == [-0.1, 0.01, 0, 0, 0]
    assert info.p.tolist() == [30, 0, 16, 0, 0, 31, 12, 0, 0, 0, 1, 0]


def test_calibration_of_another_size_leaves_no_bag(tmp_path):
    (tmp_path / 'front.yaml').write_text(CALIBRATION.replace('32', '64'))
    calibration = load_camera_calibration(tmp_path / 'front.yaml')
    config = CameraBagConfig('files', calibration=calibration)
    with pytest.raises(UserError, match='for 24x64 images .* images are 24x32'):
        write_camera_bag(make_frames(), tmp_path / 'bag', config)
    assert os.listdir(tmp_path) == ['front.yaml']


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('image_width: 32', 'image_width: wide', "image_width is 'wide', expected a positive"),
        ('image_width: 32\n', '', 'image_width is None'),
        ('0, 0, 1]', '0, 0]', 'camera_matrix.data is .* expected a list of 9 numbers'),
        ('-0.1, 0.01', 'much, 0.01', 'distortion_coefficients.data has an entry that is no'),
        (CALIBRATION, '- 1', 'is no camera calibration'),
        (CALIBRATION, '{', 'cannot read the calibration'),
    ],
)
def test_wrong_calibration_is_named(tmp_path, old, new, message):
    (tmp_path / 'front.yaml').write_text(CALIBRATION.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_camera_calibration(tmp_path / 'front.yaml')


def test_no_pictures_make_no_bag(tmp_path):
    with pytest.raises(UserError, match='has no pictures'):
        write_camera_bag([], tmp_path / 'bag', CameraBagConfig('empty'))
    assert os.listdir(tmp_path) == []
