# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""When no image comes, the warning names the cause that the ROS graph shows."""

import pytest

from seg_perception.ros.silence import COMPRESSED_TYPE, RAW_TYPE, explain_silence

CASES = [
    ([], {}, True, 'has no publisher; start the camera, or remap'),
    ([], {'/image/compressed': [COMPRESSED_TYPE]}, True, 'set image_transport to compressed'),
    ([], {'/front/image_raw': [RAW_TYPE]}, True, 'are on /front/image_raw'),
    ([], {'/segnext/mask': [RAW_TYPE]}, True, 'start the camera'),
    (['std_msgs/msg/String'], {}, True, 'send std_msgs/msg/String, expected sensor_msgs/msg/Im'),
    ([RAW_TYPE], {}, True, '1 publisher, but nothing arrives: is the camera or the bag stopped?'),
    ([RAW_TYPE] * 2, {}, False, '2 publishers, but nothing arrives'),
    ([RAW_TYPE], {}, False, 'FASTDDS_DEFAULT_PROFILES_FILE'),
]


@pytest.mark.parametrize(('publisher_types', 'topics', 'has_profile', 'expected'), CASES)
def test_cause_is_named(publisher_types, topics, has_profile, expected):
    text = explain_silence(
        '/image', RAW_TYPE, publisher_types, topics, has_profile, ['/segnext/mask']
    )
    assert expected in text


def test_raw_images_are_suggested_to_a_compressed_subscription():
    text = explain_silence('/image/compressed', COMPRESSED_TYPE, [], {'/image': [RAW_TYPE]}, True)
    assert text.endswith('/image has one: set image_transport to raw')


def test_names_to_remap_and_to_set_are_those_of_the_camera():
    topics = {'/front/image/compressed': [COMPRESSED_TYPE]}
    text = explain_silence('/front/image', RAW_TYPE, [], topics, True, (), 'front')
    assert text.endswith('set front.image_transport to compressed')
    text = explain_silence('/front/image', RAW_TYPE, [], {}, True, (), 'front')
    assert text.endswith('remap front/image to its topic')
