# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recorded sample drive is the drive, value by value."""

import numpy as np
import pytest
import yaml

from seg_perception.errors import UserError
from seg_perception.evaluation.bags import topics
from seg_perception.evaluation.bags.bag_messages import stamp_to_ns
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic, find_label_space
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.perception.frame import FrameReader
from seg_perception.sample.drive import SampleDrive

SIZE = {'height_px': 48, 'width_px': 96}


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """A drive of two frames and its recording: frames, messages by topic, bag folder."""
    path = tmp_path_factory.mktemp('sample') / 'street'
    write_sample_bag(path, SampleBagConfig(seed=5, frames=2, rate_hz=10.0, **SIZE))
    drive = SampleDrive(seed=5, frames=2, rate_hz=10.0, **SIZE)
    messages = {}
    with BagReader(path) as reader:
        assert find_image_topic(reader) == topics.IMAGE_TOPIC
        assert find_label_space(reader).name == 'cityscapes'
        for item in reader.iterate_messages([topic.name for topic in reader.topics]):
            messages.setdefault(item.topic, []).append(item.message)
    return drive, list(drive), messages, path


def test_pictures_are_the_frames(recorded):
    _, frames, messages, _ = recorded
    for index, frame in enumerate(frames):
        for topic, dtype, expected in (
            (topics.IMAGE_TOPIC, np.uint8, frame.image),
            (topics.LABEL_TOPIC, np.uint8, frame.label),
            (topics.PANOPTIC_TOPIC, np.int32, frame.panoptic),
            (topics.DEPTH_TOPIC, np.float32, frame.depth_m),
        ):
            message = messages[topic][index]
            assert np.array_equal(message.data.view(dtype).reshape(expected.shape), expected)
            assert message.header.frame_id == 'camera_optical_frame'
            assert stamp_to_ns(message.header.stamp) == frame.stamp_ns


def test_camera_looks_where_the_transforms_say(recorded):
    drive, frames, messages, _ = recorded
    info = messages[topics.CAMERA_INFO_TOPIC][1]
    assert np.array_equal(info.k.reshape(3, 3), drive.camera_matrix)
    (static,) = messages[topics.STATIC_TF_TOPIC]
    (mount,) = static.transforms
    assert (mount.header.frame_id, mount.child_frame_id) == ('base_link', 'camera_optical_frame')
    translation = mount.transform.translation
    assert np.allclose(
        (translation.x, translation.y, translation.z), drive.base_from_camera[:3, 3]
    )
    (moved,) = messages[topics.TF_TOPIC][1].transforms
    position = messages[topics.ODOMETRY_TOPIC][1].pose.pose.position
    assert np.allclose((position.x, position.y), frames[1].odom_from_base[:2, 3])
    assert moved.transform.translation.x == position.x


def test_ground_grid_has_columns_along_x(recorded):
    _, frames, messages, _ = recorded
    grid = messages[topics.GROUND_CLASSES_TOPIC][0]
    cells = grid.data.reshape(grid.info.height, grid.info.width)
    # the cell centred 5.1 m ahead and 2.1 m to the right of base_link
    column = int((5.1 - grid.info.origin.position.x) / grid.info.resolution)
    row = int((-2.1 - grid.info.origin.position.y) / grid.info.resolution)
    assert cells[row, column] == frames[0].ground_classes[25, 89]
    assert np.array_equal(cells, frames[0].ground_classes.T)


def test_boxes_stand_on_the_ground(recorded):
    _, frames, messages, _ = recorded
    markers = messages[topics.OBJECTS_TOPIC][0].markers
    assert len(markers) == len(frames[0].objects) > 0
    for marker, item in zip(markers, frames[0].objects, strict=True):
        assert marker.id == item.instance
        assert marker.pose.position.z == pytest.approx(item.pose[2, 3] + item.size_m[2] / 2)
        assert (marker.scale.x, marker.scale.y, marker.scale.z) == pytest.approx(item.size_m)


def test_static_transform_is_latched(recorded):
    content = yaml.safe_load((recorded[3] / 'metadata.yaml').read_text())
    entries = content['rosbag2_bagfile_information']['topics_with_message_count']
    metadata = {entry['topic_metadata']['name']: entry['topic_metadata'] for entry in entries}
    (qos,) = yaml.safe_load(metadata['/tf_static']['offered_qos_profiles'])
    assert qos['durability'] == 1


def test_compressed_drive_is_close_to_the_pixels(recorded, tmp_path):
    config = SampleBagConfig(seed=5, frames=1, compressed=True, **SIZE)
    write_sample_bag(tmp_path / 'street', config)
    with BagReader(tmp_path / 'street') as reader:
        assert find_image_topic(reader) == topics.COMPRESSED_IMAGE_TOPIC
        (item,) = reader.iterate_messages([topics.COMPRESSED_IMAGE_TOPIC])
    image = FrameReader().read_compressed(item.message).image[..., ::-1]
    assert np.abs(image.astype(int) - recorded[1][0].image).mean() < 4.0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'frames': 0}, 'at least one frame'),
        ({'seed': -1}, 'seed from 0'),
        ({'rate_hz': 0.0}, 'rate of 0.0 Hz'),
        ({'height_px': 1}, '1x96 px cannot be rendered'),
    ],
)
def test_impossible_drive_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        SampleBagConfig(**{'seed': 1, 'frames': 1, **SIZE, **options})
