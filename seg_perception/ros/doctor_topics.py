# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The camera topics now on the network, beside what the node wants of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import (
    QoSCompatibility,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN, Finding
from seg_perception.perception.frame import FrameReader
from seg_perception.perception.frame_error import FrameError
from seg_perception.ros.environment import has_transport_profile, prepare_this_process
from seg_perception.ros.ground_inputs import name_camera_info_topic
from seg_perception.ros.panoptic_products import PANOPTIC_TOPIC
from seg_perception.ros.products import PRODUCT_TOPICS
from seg_perception.ros.qos import COMPRESSED_SUFFIX, camera_qos
from seg_perception.ros.silence import COMPRESSED_TYPE, RAW_TYPE, explain_silence

SECTION = 'Topics'
PRODUCT_ENDINGS = tuple(product.removeprefix('~') for product in (*PRODUCT_TOPICS, PANOPTIC_TOPIC))
MESSAGES = {RAW_TYPE: Image, COMPRESSED_TYPE: CompressedImage}
# Stock Fast DDS finds other nodes in 0.1 s or in 2 to 3 s, at random; all topics of a node need a
# little more than the first.
DISCOVERY_S, SETTLE_S = 4.0, 0.5
# More cameras than that are named, but their images are not fetched.
MAX_WATCHED = 4
POLL_S = 0.05


@dataclass
class WatchedTopic:
    """A topic, its ends, and what came on it while it was watched.

    Attributes:
        name: fully qualified.
        type_name: of the images that are subscribed to.
        publishers, subscribers: rclpy's TopicEndpointInfo.
        has_info: somebody publishes camera_info beside it.
        count: messages received.
        first_s, last_s: when the first and the last came, steady clock.
        image: the last of them.
        info: last camera_info.
    """

    name: str
    type_name: str
    publishers: list[Any] = field(default_factory=list)
    subscribers: list[Any] = field(default_factory=list)
    has_info: bool = False
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    image: Any = None
    info: Any = None

    @property
    def rate_hz(self) -> float:
        """Rate of the images; 0 where fewer than two came."""
        span_s = self.last_s - self.first_s
        return (self.count - 1) / span_s if self.count > 1 and span_s > 0 else 0.0

    def store_image(self, message: Any) -> None:
        """Count an image and keep it."""
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        self.count += 1
        self.image = message

    def store_info(self, message: Any) -> None:
        """Keep a camera_info."""
        self.info = message


class TopicWatcher:
    """A node that looks at the graph and listens for a while; a context manager."""

    def __init__(self) -> None:
        """Join the network."""
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(
            f'seg_perception_doctor_{os.getpid()}', context=self._context
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.topics: dict[str, list[str]] = {}

    def __enter__(self) -> TopicWatcher:
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def discover(self, wanted: str) -> None:
        """Wait for a topic, or for any camera where it is '', and note all topics."""
        end_s = time.monotonic() + DISCOVERY_S
        while time.monotonic() < end_s:
            self._spin(POLL_S)
            self._note_topics()
            if self._publishers(wanted) if wanted else self.list_cameras():
                break
        self._spin(SETTLE_S)
        self._note_topics()

    def _note_topics(self) -> None:
        self.topics = {name: list(types) for name, types in self._node.get_topic_names_and_types()}

    def list_cameras(self) -> list[str]:
        """Return the image topics that somebody publishes, products of our nodes left out."""
        return sorted(
            name
            for name, types in self.topics.items()
            if set(types) & set(MESSAGES)
            and any(not is_product(name, end) for end in self._publishers(name))
        )

    def watch(self, names: list[str], duration_s: float) -> list[WatchedTopic]:
        """Listen on image topics, and on the camera_info beside each, as the node would."""
        watched = [self._choose_type(name) for name in names]
        subscriptions = []
        for topic in watched:
            info_topic = name_camera_info_topic(topic.name)
            for message, name, store in (
                (MESSAGES[topic.type_name], topic.name, topic.store_image),
                (CameraInfo, info_topic, topic.store_info),
            ):
                subscription: Any = self._node.create_subscription(
                    message, name, store, camera_qos()
                )
                subscriptions.append(subscription)
        self._spin(duration_s)
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)
        for topic in watched:
            self._note_ends(topic)
        self._note_topics()
        return watched

    def _note_ends(self, topic: WatchedTopic) -> None:
        topic.publishers = self._publishers(topic.name)
        topic.subscribers = [
            end
            for end in self._node.get_subscriptions_info_by_topic(topic.name)
            if end.node_name != self._node.get_name()
        ]
        info_topic = name_camera_info_topic(topic.name)
        topic.has_info = self._node.count_publishers(info_topic) > 0

    def _choose_type(self, name: str) -> WatchedTopic:
        types = self.topics.get(name, [])
        expected = COMPRESSED_TYPE if name.endswith(COMPRESSED_SUFFIX) else RAW_TYPE
        found = [type_name for type_name in types if type_name in MESSAGES]
        # a compressed image may be on a topic of any name
        return WatchedTopic(name, expected if expected in found or not found else found[0])

    def _publishers(self, name: str) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(name))

    def _spin(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=POLL_S)


def check_topics(
    image_topic: str, duration_s: float, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Look at the camera topics now on the network.

    Args:
        image_topic: the one that is meant, '' for all that there are.
        duration_s: how long to listen.
        environment: of the shell.
    """
    prepare_this_process()
    has_profile = (
        has_transport_profile(environment)
        or 'fastrtps' not in rclpy.get_rmw_implementation_identifier()
    )
    asked = '/' + image_topic.strip('/') if image_topic else ''
    with TopicWatcher() as watcher:
        watcher.discover(asked)
        names = [asked] if asked else watcher.list_cameras()
        if not names:
            text = (
                f'none on the network now, of {len(watcher.topics)} topics; start the camera and '
                'run this again to have its topic checked'
            )
            yield Finding(SECTION, 'image topics', SKIPPED, text)
            return
        for topic in watcher.watch(names[:MAX_WATCHED], duration_s):
            yield from describe_topic(topic, watcher.topics, duration_s, has_profile, bool(asked))
        for name in names[MAX_WATCHED:]:
            text = f'more than {MAX_WATCHED} cameras: to look at this one, --image-topic {name}'
            yield Finding(SECTION, name, SKIPPED, text)


def describe_topic(
    topic: WatchedTopic,
    topics: Mapping[str, list[str]],
    duration_s: float,
    has_profile: bool,
    is_asked: bool,
) -> Iterator[Finding]:
    """Judge one topic; what is wrong with one that was asked for is FAIL, else WARN."""
    bad = FAIL if is_asked else WARN
    types = sorted({end.topic_type for end in topic.publishers})
    if not topic.count:
        reason = explain_silence(
            topic.name,
            topic.type_name,
            [end.topic_type for end in topic.publishers],
            topics,
            has_profile,
            [name for name in topics if name.endswith(PRODUCT_ENDINGS)],
        )
        text = f'no image came in {duration_s:g} s: {reason}'
        cure = '' if len(types) == 1 and types[0] in MESSAGES else list_type_cure(types)
        yield Finding(SECTION, topic.name, bad, text, cure)
        yield from check_quality(topic, topics, bad)
        return
    yield Finding(SECTION, topic.name, OK, describe_images(topic))
    if len(types) > 1:
        text = f'publishers of several types on it: {", ".join(types)}'
        yield Finding(SECTION, topic.name, bad, text, 'give each type a topic of its own')
    elif len(topic.publishers) > 1:
        text = f'{len(topic.publishers)} publishers: their images are mixed'
        yield Finding(SECTION, topic.name, WARN, text, 'remap all but one of them')
    yield from check_image(topic, bad)
    yield from check_quality(topic, topics, bad)
    yield describe_info(topic)


def list_type_cure(types: list[str]) -> str:
    """Say what to do on a topic without images."""
    if not types:
        return 'list the image topics: ros2 topic list -t'
    return f'remap image to a topic of {" or ".join(MESSAGES)}'


def describe_images(topic: WatchedTopic) -> str:
    """Return type, publishers, QoS, rate and form of the images in a line."""
    nodes = sorted({name_node(end) for end in topic.publishers})
    kinds = sorted({describe_reliability(end.qos_profile) for end in topic.publishers})
    image = topic.image
    form = (
        f'{image.height}x{image.width} {image.encoding}'
        if topic.type_name == RAW_TYPE
        else f"'{image.format}'"
    )
    transport = '' if topic.type_name == RAW_TYPE else ', image_transport:=compressed'
    return (
        f'{topic.type_name}{transport}, {form}, {topic.rate_hz:.1f} Hz, {" and ".join(kinds)}, '
        f'by {", ".join(nodes)}, frame_id {image.header.frame_id!r}'
    )


def describe_reliability(profile: QoSProfile) -> str:
    """Return 'reliable' or 'best effort'."""
    is_reliable = profile.reliability == QoSReliabilityPolicy.RELIABLE
    return 'reliable' if is_reliable else 'best effort'


def check_image(topic: WatchedTopic, bad: str) -> Iterator[Finding]:
    """Read the last image as the node would, and look at its header."""
    reader = FrameReader()
    image = topic.image
    try:
        if topic.type_name == RAW_TYPE:
            reader.read_image(image)
        else:
            reader.read_compressed(image)
    except FrameError as error:
        text = f'its images cannot be read: {error}'
        yield Finding(SECTION, topic.name, bad, text, 'correct the camera driver')
    if image.header.stamp.sec == 0 and image.header.stamp.nanosec == 0:
        text = 'stamps are zero: transforms and synchronisation fail'
        yield Finding(SECTION, topic.name, WARN, text, 'set header.stamp in the camera driver')
    if not image.header.frame_id:
        text = 'frame_id is empty: the pose of the camera is not to be had from tf'
        yield Finding(SECTION, topic.name, WARN, text, 'set header.frame_id in the camera driver')


def check_quality(
    topic: WatchedTopic, topics: Mapping[str, list[str]], bad: str
) -> Iterator[Finding]:
    """Compare what is offered on a topic with what this node and the other subscribers want.

    A subscriber that is no segmentation node gets a WARN at most.
    """
    wanted = [('the node, as configured by default', camera_qos(), bad)]
    for end in topic.subscribers:
        is_ours = f'{name_node(end)}/mask' in topics
        wanted.append((name_node(end), end.qos_profile, bad if is_ours else WARN))
    for publisher in topic.publishers:
        for name, profile, level in wanted:
            verdict, reason = qos_check_compatible(publisher.qos_profile, profile)
            if verdict == QoSCompatibility.ERROR:
                text = (
                    f'incompatible QoS: {name} receives nothing from {name_node(publisher)}: '
                    f'{reason.replace("ERROR:", "").strip("; ")}'
                )
                cure = (
                    'let the subscriber ask for best effort and volatile (qos_overrides of a '
                    'segmentation node), or let the camera offer more'
                )
                yield Finding(SECTION, topic.name, level, text, cure)


def describe_info(topic: WatchedTopic) -> Finding:
    """Judge the camera_info beside a topic, which the products in metres need."""
    name = name_camera_info_topic(topic.name)
    need = 'products in metres (grids, costmap, points) need it, masks do not'
    if topic.info is None:
        came = 'is published, but none came' if topic.has_info else 'has no publisher'
        cure = f'let the driver publish it, or remap camera_info; {need}'
        return Finding(SECTION, name, WARN, f'{came}', cure)
    info = topic.info
    if not info.k[0]:
        cure = f'calibrate the camera (camera_calibration); {need}'
        return Finding(SECTION, name, WARN, 'comes, but K is zero: not calibrated', cure)
    text = f'{info.height}x{info.width}, focal length {info.k[0]:.1f} px, {info.distortion_model}'
    return Finding(SECTION, name, OK, text)


def is_product(topic: str, publisher: Any) -> bool:
    """Tell whether a topic is a segmentation node's own ~/mask, ~/front/mask or the like."""
    return topic.startswith(f'{name_node(publisher)}/') and topic.endswith(PRODUCT_ENDINGS)


def name_node(end: Any) -> str:
    """Return the full name of the node that has an end of a topic."""
    return f'{end.node_namespace.rstrip("/")}/{end.node_name}'
