# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Sends camera images from one process to another, to see whether they arrive.

Run as a module it is one of the two processes: `send TOPIC` or `receive TOPIC`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from seg_perception.ros.qos import camera_qos

HEIGHT_PX, WIDTH_PX = 1080, 1920  # rgb8: 6.2 MB
COUNT = 20
PERIOD_S = 0.05
MATCH_TIMEOUT_S = 15.0
# Let the receiver's side see the match too, and the last image arrive.
SETTLE_S = 0.3


def send(node: Any, topic: str) -> dict[str, Any]:
    """Publish COUNT images as a camera driver does: best effort."""
    publisher = node.create_publisher(Image, topic, qos_profile_sensor_data)
    deadline_s = time.monotonic() + MATCH_TIMEOUT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline_s:
            return {'sent': 0, 'problem': 'the two processes did not find each other'}
        time.sleep(0.02)
    time.sleep(SETTLE_S)
    message = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding='rgb8', step=3 * WIDTH_PX)
    message.data.frombytes(bytes(3 * WIDTH_PX * HEIGHT_PX))
    for _ in range(COUNT):
        start_s = time.monotonic()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        publisher.publish(message)
        time.sleep(max(0.0, PERIOD_S - (time.monotonic() - start_s)))
    time.sleep(SETTLE_S)
    return {'sent': COUNT, 'problem': ''}


def receive(node: Any, topic: str) -> dict[str, Any]:
    """Subscribe as the node does; return the latency of each image that came, ms."""
    latencies_ms: list[float] = []

    def store(message: Any) -> None:
        stamp = message.header.stamp
        latencies_ms.append((time.time_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)

    subscription = node.create_subscription(Image, topic, store, camera_qos())
    end_s = time.monotonic() + MATCH_TIMEOUT_S
    was_matched = False
    while time.monotonic() < end_s and len(latencies_ms) < COUNT:
        rclpy.spin_once(node, timeout_sec=0.1)
        count = node.count_publishers(topic)
        if count and not was_matched:
            was_matched = True
            end_s = time.monotonic() + MATCH_TIMEOUT_S + COUNT * PERIOD_S
        elif was_matched and not count:
            break  # the sender is done
    node.destroy_subscription(subscription)
    return {'latencies_ms': latencies_ms}


def main(role: str, topic: str) -> int:
    """Run one side; the last line of standard output is what came of it, as JSON."""
    rclpy.init()
    node = rclpy.create_node(f'seg_perception_doctor_{role}_{os.getpid()}')
    try:
        outcome = {'send': send, 'receive': receive}[role](node, topic)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(json.dumps(outcome), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
