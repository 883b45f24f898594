# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""~/label_info over DDS, in the real type: names, QoS, late consumers, once per configuration."""

import pytest
import rclpy
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from seg_perception.perception.labels import load_label_space

# of the generators' parser
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning:lark')
TYPE = 'vision_msgs/msg/LabelInfo'
# as the semantic segmentation layer of the costmap asks for it
CONSUMER_QOS = QoSProfile(
    depth=5,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)


@pytest.fixture(scope='module')
def label_info_type(vision_msgs):
    return vision_msgs.LabelInfo


@pytest.fixture(scope='module')
def node(label_info_type, start_node):
    process = start_node(namespace='/labels')
    process.wait_active()
    return process


@pytest.fixture
def listen(label_info_type, node):
    """Return a starter of consumers of ~/label_info: each a node and what it received."""
    consumers = []

    def start():
        consumer = rclpy.create_node(f'label_consumer_{len(consumers)}')
        received = []
        consumer.create_subscription(
            label_info_type, f'{node.node_name}/label_info', received.append, CONSUMER_QOS
        )
        consumers.append(consumer)
        return consumer, received

    yield start
    for consumer in consumers:
        consumer.destroy_node()


def spin(consumer, duration_s):
    end = consumer.get_clock().now().nanoseconds + duration_s * 1e9
    while consumer.get_clock().now().nanoseconds < end:
        rclpy.spin_once(consumer, timeout_sec=0.05)


def spin_until(consumer, condition):
    for _ in range(400):
        if condition():
            return
        rclpy.spin_once(consumer, timeout_sec=0.05)
    raise AssertionError('waited 20 s')


def test_a_late_consumer_gets_all_names_of_the_label_space(listen, node):
    # the node is active, so it published them before this consumer was there
    consumer, received = listen()
    spin_until(consumer, lambda: received)
    message = received[0]
    label_space = load_label_space('cityscapes')
    assert [entry.class_id for entry in message.class_map] == list(range(19))
    assert [entry.class_name for entry in message.class_map] == list(label_space.class_names)
    assert message.threshold == 0.0
    assert message.header.stamp.sec > 0


def test_type_and_quality_of_service_are_what_consumers_ask_for(listen, node):
    consumer, received = listen()
    spin_until(consumer, lambda: received)
    topic = f'{node.node_name}/label_info'
    (offer,) = consumer.get_publishers_info_by_topic(topic)
    assert offer.topic_type == TYPE
    assert offer.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE
    assert offer.qos_profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL


def test_names_come_once_per_configuration_and_not_per_frame(
    listen, node, start_camera, start_client
):
    consumer, received = listen()
    spin_until(consumer, lambda: received)
    camera = start_camera(node.node_name, '/labels/image')
    camera.wait_matched()
    for _ in range(3):
        camera.send(camera.make_image(64, 128))
    spin(consumer, 0.5)
    assert len(received) == 1
    client = start_client(node.node_name)
    for transition in ('deactivate', 'cleanup', 'configure'):
        assert client.change_state(transition)
    spin_until(consumer, lambda: len(received) == 2)
    assert received[1].class_map == received[0].class_map
