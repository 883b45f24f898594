# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Copying a recording with the masks of a model added to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_reader import BagReader, RawMessage
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.frame_source import read_camera_frame
from seg_perception.evaluation.bags.topics import (
    IMAGE_TYPE,
    MASK_MODEL_KEY,
    MASK_SPACE_JSON_KEY,
    MASK_SPACE_KEY,
    MASK_TOPIC,
    MASK_TOPIC_KEY,
)
from seg_perception.perception.frame import Frame, FrameError, FrameReader
from seg_perception.pipeline import SegmentationPipeline

MAX_REASONS = 5


@dataclass(frozen=True)
class LabelConfig:
    """What is labelled, and how it is recorded.

    Attributes:
        bag: The recording to copy.
        out: Folder of the recording to make.
        image_topic: Camera topic; '' to find it.
        mask_topic: Topic of the masks.
        model_name: What made the masks, for the recording's metadata.
        overwrite: Replace an earlier recording at `out`.
    """

    bag: Path
    out: Path
    image_topic: str = ''
    mask_topic: str = MASK_TOPIC
    model_name: str = ''
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.bag.resolve() == self.out.resolve():
            raise UserError(f'{self.out} is the bag to be labelled; name the copy otherwise')
        if not self.mask_topic.startswith('/') or self.mask_topic.endswith('/'):
            raise UserError(
                f'topic {self.mask_topic!r} is not possible; expected one such as {MASK_TOPIC}'
            )


@dataclass
class LabelResult:
    """What was recorded.

    Attributes:
        image_topic: Camera topic that was segmented.
        mask_count: Masks written.
        bad_count: Images that could not be read and have no mask.
        reasons: Why, the first few.
        damage: What is wrong with the recording; '' when nothing is.
    """

    image_topic: str
    mask_count: int = 0
    bad_count: int = 0
    reasons: list[str] = field(default_factory=list)
    damage: str = ''


def label_bag(
    pipeline: SegmentationPipeline,
    config: LabelConfig,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> LabelResult:
    """Copy a recording, message by message, and write the mask of each image behind it.

    A mask is mono8 and has the header, height and width of its image, and its log time. Of a
    damaged recording what can be read is copied.

    Args:
        pipeline: The chain, with an engine loaded.
        config: What to label.
        show_progress: Wraps the messages' iterable given their number, such as a tqdm bar.

    Raises:
        UserError: The recording cannot be used, has the mask topic already, or the target
            exists or cannot be written; no recording is left then.
        EngineError: The engine failed.
    """
    with BagReader(config.bag, tolerate_damage=True) as reader:
        result = LabelResult(find_image_topic(reader, config.image_topic))
        if reader.get_type_name(config.mask_topic):
            raise UserError(
                f'{config.bag} has a topic {config.mask_topic} already; choose another with '
                '--topic'
            )
        space = pipeline.engine.metadata.label_space
        custom_data = {
            **reader.custom_data,
            MASK_TOPIC_KEY: config.mask_topic,
            MASK_SPACE_KEY: space.name,
            MASK_SPACE_JSON_KEY: space.to_json(),
            MASK_MODEL_KEY: config.model_name,
        }
        storage = reader.storage_name
        with BagWriter(
            config.out, custom_data, config.overwrite, storage, compress_chunks=storage == 'mcap'
        ) as writer:
            for connection in reader.connections:
                writer.copy_topic(connection, *reader.types.make_definition(connection.msgtype))
            writer.add_topic(config.mask_topic, IMAGE_TYPE)
            labeller = _Labeller(pipeline, reader, result)
            total = sum(topic.message_count for topic in reader.topics)
            for raw in show_progress(reader.iterate_raw_messages(), total):
                writer.copy_message(raw.topic, raw.type_name, raw.data, raw.log_time_ns)
                mask = labeller.make_mask(raw)
                if mask is not None:
                    writer.write(config.mask_topic, mask, raw.log_time_ns)
        result.damage = reader.damage
    return result


class _Labeller:
    """Makes masks of the camera's messages, with what it carries from one to the next."""

    def __init__(
        self, pipeline: SegmentationPipeline, reader: BagReader, result: LabelResult
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._result = result
        self._type_name = reader.get_type_name(result.image_topic)
        self._frame_reader = FrameReader()
        self._camera_hw = (0, 0)

    def make_mask(self, raw: RawMessage) -> Any:
        """Return the mask message of an image message, None for others and unreadable ones."""
        if (raw.topic, raw.type_name) != (self._result.image_topic, self._type_name):
            return None
        try:
            message = self._reader.decode(raw)
            frame = read_camera_frame(self._frame_reader, raw.type_name, message)
        except (FrameError, UserError) as error:
            self._result.bad_count += 1
            if len(self._result.reasons) < MAX_REASONS:
                self._result.reasons.append(str(error))
            return None
        self._result.mask_count += 1
        return self._segment(frame)

    def _segment(self, frame: Frame) -> Any:
        camera_hw = (frame.image.shape[0], frame.image.shape[1])
        if camera_hw != self._camera_hw:
            self._pipeline.warm_up(camera_hw, frame.channel_order)
            self._camera_hw = camera_hw
        mask = self._pipeline.process(frame).mask
        return make_image(mask, 'mono8', frame.stamp_ns, frame.frame_id)
