# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Finds out why no camera image comes; pure functions over what the ROS graph shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seg_perception.ros.environment import name_profile_variable
from seg_perception.ros.qos import COMPRESSED_SUFFIX, name_input

RAW_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'


def explain_silence(
    topic: str,
    expected_type: str,
    publisher_types: Sequence[str],
    topics: Mapping[str, Sequence[str]],
    has_transport_profile: bool,
    own_topics: Sequence[str] = (),
    camera: str = '',
) -> str:
    """Return what is wrong in the graph and how to put it right, as one clause.

    Args:
        topic: resolved name of the topic listened on.
        expected_type: its message type, RAW_TYPE or COMPRESSED_TYPE.
        publisher_types: message type of each publisher on it.
        topics: message types by topic of the whole graph.
        has_transport_profile: a Fast DDS profile is in use (or another middleware).
        own_topics: the node's own products, no candidates for a camera.
        camera: its name, '' for the only one.

    """
    wrong = sorted({name for name in publisher_types if name != expected_type})
    if wrong and expected_type not in publisher_types:
        return f'its publishers send {", ".join(wrong)}, expected {expected_type}'
    if publisher_types:
        count = f'{len(publisher_types)} publisher{"s" if len(publisher_types) > 1 else ""}'
        if has_transport_profile:
            return f'it has {count}, but nothing arrives: is the camera or the bag stopped?'
        return (
            f'it has {count}, but nothing arrives: either it is stopped, or the images are too '
            f'large for the stock transport; set {name_profile_variable()} to '
            'config/fastdds.xml of this package for the camera driver and for this node'
        )
    return 'it has no publisher' + suggest_topic(
        topic, expected_type, topics, own_topics, camera
    )


def suggest_topic(
    topic: str,
    expected_type: str,
    topics: Mapping[str, Sequence[str]],
    own_topics: Sequence[str],
    camera: str = '',
) -> str:
    """Return '; ...' with the nearest thing in the graph that could be meant, '' when none."""
    sibling = (
        topic[: -len(COMPRESSED_SUFFIX)]
        if topic.endswith(COMPRESSED_SUFFIX)
        else topic + COMPRESSED_SUFFIX
    )
    other_type, transport = (
        (COMPRESSED_TYPE, 'compressed') if expected_type == RAW_TYPE else (RAW_TYPE, 'raw')
    )
    if other_type in topics.get(sibling, ()):
        prefix = f'{camera}.' if camera else ''
        return f'; {sibling} has one: set {prefix}image_transport to {transport}'
    name = name_input('image', camera)
    candidates = sorted(
        name
        for name, types in topics.items()
        if expected_type in types and name != topic and name not in own_topics
    )
    if candidates:
        found = ', '.join(candidates)
        return f'; images of this type are on {found}: remap {name} to one of them'
    return f'; start the camera, or remap {name} to its topic'
