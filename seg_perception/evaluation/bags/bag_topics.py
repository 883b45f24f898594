# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording are its camera and its labels, and what the labels' ids mean."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader, Topic
from seg_perception.evaluation.bags.topics import (
    COMPRESSED_IMAGE_TYPE,
    GROUND_TRUTH_NAMESPACE,
    IMAGE_TYPE,
    LABEL_SPACE_JSON_KEY,
    LABEL_SPACE_KEY,
    LABEL_TOPIC,
    MASK_SPACE_JSON_KEY,
    MASK_TOPIC_KEY,
)
from seg_perception.perception.labels import LabelSpace, load_label_space

# Pixel formats that come from a camera's light, as opposed to depth, ids or masks with a dtype
_CAMERA_ENCODING_PREFIXES = ('rgb', 'bgr', 'mono', 'bayer', 'yuv', 'yuyv', 'uyvy', 'nv', '8UC')

# of a topic whose first messages are damaged
_MESSAGES_LOOKED_AT = 10
_PRODUCT_NAMES = ('mask', 'confidence', 'overlay')


def find_image_topic(reader: BagReader, requested: str = '') -> str:
    """Return the topic of the camera: the one asked for, or the only one there is.

    Depth, id and label images are no candidates, nor are masks; of a raw topic and its own
    compressed copy the raw one is taken.

    Raises:
        UserError: None or several candidates, or the one asked for is no image.
    """
    images = {
        topic.name: topic
        for topic in reader.topics
        if topic.type_name in (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
        and topic.type_name == reader.get_type_name(topic.name)
    }
    if requested:
        if requested not in images:
            raise UserError(
                f'{reader.path} has no image topic {requested}; its image topics: '
                f'{format_names(images)}'
            )
        return requested
    candidates = [
        name
        for name, topic in images.items()
        if topic.message_count
        and not name.startswith(GROUND_TRUTH_NAMESPACE)
        and is_camera_topic(reader, topic)
    ]
    candidates = [name for name in candidates if name.rpartition('/')[0] not in candidates]
    masks = find_mask_topics(reader, candidates)
    candidates = [name for name in candidates if name not in masks]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UserError(
            f'no camera images in {reader.path}; its topics: '
            f'{format_names(topic.name for topic in reader.topics)}'
        )
    raise UserError(
        f'{reader.path} has several cameras; choose one with --image-topic: '
        f'{format_names(candidates)}'
    )


def find_mask_topics(reader: BagReader, candidates: Iterable[str]) -> set[str]:
    """Return the candidates that a segmentation made: written by `bag label`, or recorded.

    A node's products are told from cameras by their names: mask, confidence, overlay.
    """
    names = set(candidates)
    products = {name for name in names if name.rpartition('/')[2] in _PRODUCT_NAMES}
    recorded = {reader.custom_data.get(MASK_TOPIC_KEY, '')} & names
    # a camera may be called so too, if it is the only one
    return recorded | (products if names - products else set())


def is_camera_topic(reader: BagReader, topic: Topic) -> bool:
    """Tell from its first readable message whether an image topic carries pictures."""
    for raw in islice(reader.iterate_raw_messages([topic.name]), _MESSAGES_LOOKED_AT):
        try:
            message = reader.decode(raw)
        except UserError:
            continue
        if topic.type_name == COMPRESSED_IMAGE_TYPE:
            # compressed_depth_image_transport says so in its format and topic name
            return 'compressedDepth' not in message.format
        return message.encoding.startswith(_CAMERA_ENCODING_PREFIXES)
    return False


def find_label_topic(reader: BagReader, requested: str = '') -> str:
    """Return the topic of the true label images, '' when the recording has none.

    Raises:
        UserError: The topic asked for is not there or has no images.
    """
    images = [
        topic.name
        for topic in reader.topics
        if topic.type_name in (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
    ]
    for name in [requested] if requested else [LABEL_TOPIC, f'{LABEL_TOPIC}/compressed']:
        if name in images:
            return name
    if requested:
        raise UserError(
            f'{reader.path} has no Image topic {requested}; its Image topics: '
            f'{format_names(images)}'
        )
    return ''


def find_label_space(
    reader: BagReader, requested: str = '', topic: str = ''
) -> LabelSpace | None:
    """Return the label space of a recording's labels: the one asked for, or the recorded one.

    A recording made here carries the whole space, one of other tools perhaps only its name.
    `topic` names the labels: masks written by `bag label` have a space of their own.

    Raises:
        LabelError: The name is not known here, or the recorded space is damaged.
    """
    custom_data = reader.custom_data
    is_mask = topic != '' and topic == custom_data.get(MASK_TOPIC_KEY)
    json_key = MASK_SPACE_JSON_KEY if is_mask else LABEL_SPACE_JSON_KEY
    if not requested and json_key in custom_data:
        return LabelSpace.from_json(custom_data[json_key])
    name = requested or custom_data.get(LABEL_SPACE_KEY, '')
    return load_label_space(name) if name else None


def make_label_space_entries(label_space: LabelSpace) -> dict[str, str]:
    """Return the custom_data entries that tell readers what the labels' ids mean."""
    return {LABEL_SPACE_KEY: label_space.name, LABEL_SPACE_JSON_KEY: label_space.to_json()}


def format_names(names: Iterable[str]) -> str:
    """Return names as one readable list."""
    return ', '.join(sorted(names)) or 'none'
