# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the node offers to consumers: taken from its publishers, not from a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from std_msgs.msg import Header

from seg_perception.perception.labels import LabelSpace, load_label_space
from seg_perception.ros import products
from seg_perception.ros.environment import prepare_this_process
from seg_perception.ros.ground_publishers import GroundPublishers
from seg_perception.ros.occupancy_parameters import GroundSettings, read_ground_settings
from seg_perception.ros.parameters import SPEC_BY_NAME
from seg_perception.ros.segmentation_node import NODE_NAME


@dataclass(frozen=True)
class Offer:
    """One topic of the node: its message type, such as 'sensor_msgs/Image', and its QoS."""

    type_name: str
    qos: QoSProfile

    def serves(self, type_name: str, qos: QoSProfile) -> bool:
        """Tell whether a subscription gets the messages."""
        compatibility, _ = qos_check_compatible(self.qos, qos)
        # WARNING: liveliness, which both sides leave to the middleware
        return self.type_name == type_name and compatibility != QoSCompatibility.ERROR


@pytest.fixture(scope='session')
def label_space() -> LabelSpace:
    """Return the classes that the example configurations are written for."""
    return load_label_space('cityscapes')


@pytest.fixture(scope='session')
def read_settings(label_space) -> Callable[[dict], GroundSettings]:
    """Return a function that makes the settings of parameters; the others have their defaults."""

    def read(parameters: dict) -> GroundSettings:
        return read_ground_settings(
            lambda name: parameters.get(name, SPEC_BY_NAME[name].default),
            label_space.class_names,
            has_tf=True,
        )

    return read


@pytest.fixture(scope='package')
def context() -> Iterator[rclpy.Context]:
    """Yield a ROS context of its own, away from other tests and other machines."""
    prepare_this_process()
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture(scope='package')
def offers(label_space, read_settings, context) -> Iterator[dict[str, Offer]]:
    """Yield everything that the node publishes by absolute topic, with its default settings."""
    node = LifecycleNode(NODE_NAME, context=context)
    ground = GroundPublishers(node, read_settings({}), (1, 1))
    images = products.ProductPublishers(node)
    images.open(SPEC_BY_NAME['output.queue_depth'].default)
    with pytest.MonkeyPatch.context() as patch:
        # vision_msgs is not installed everywhere: any other type stands in, with the node's QoS.
        patch.setattr(products, 'has_label_info', lambda: True)
        patch.setattr(products, 'build_label_info', lambda space, stamp: Header(stamp=stamp))
        names = products.LabelInfoPublisher(node)
        names.publish(label_space)
    found = {
        publisher.topic_name: Offer(name_type(publisher.msg_type), publisher.qos_profile)
        for publisher in node.publishers
    }
    labels = f'/{NODE_NAME}/label_info'
    found[labels] = Offer('vision_msgs/LabelInfo', found[labels].qos)
    yield found
    names.close()
    images.close()
    ground.close()
    node.destroy_node()


def name_type(message_type: Any) -> str:
    """Return 'sensor_msgs/Image'."""
    return f'{message_type.__module__.partition(".")[0]}/{message_type.__name__}'
