# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What happens to cameras and nodes in a long life: restarts, other types, other clocks, kills."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from seg_perception.ros.shared_memory import SHARED_MEMORY, find_leftovers, is_held

NODE = '/disturbed/segnext'
TOPIC = '/disturbed/image'
NS = 10**9


@pytest.fixture(scope='module')
def node(start_node):
    parameters = {'use_sim_time': True, 'diagnostics.stale_timeout_s': 1.5}
    return start_node(parameters, namespace='/disturbed')


@pytest.fixture(scope='module')
def camera(node, start_camera):
    camera = start_camera(NODE, TOPIC)
    node.wait_active()
    camera.wait_matched()
    return camera


# The tests of this module walk one node through its life, in this order.


def test_a_topic_that_changes_its_type_is_named_and_comes_back(camera, node):
    # before any other silence: the log repeats its reasons every 10 s
    camera.send(camera.make_image(64, 128))
    camera.restart(CompressedImage)
    reason = 'its publishers send sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image'
    camera.spin_until(lambda: reason in node.read_log(), 'the log')
    camera.restart(Image)
    image = camera.make_image(64, 128)
    assert camera.send(image).header == image.header


def test_a_camera_that_stops_and_starts_again_is_seen_again(camera):
    camera.send(camera.make_image(64, 128))
    camera.restart()
    status = camera.wait_status(lambda s: f'no camera image on {TOPIC}' in s.message, 'silence')
    assert status.level == DiagnosticStatus.WARN
    image = camera.make_image(64, 128)
    assert camera.send(image).header == image.header


def test_every_image_of_a_stream_may_have_another_encoding_and_size(camera):
    for encoding, size_px in [
        ('rgb8', (64, 128)), ('mono8', (64, 128)), ('bgr8', (48, 96)), ('mono8', (48, 96)),
    ]:  # fmt: skip
        image = camera.make_image(*size_px, encoding)
        mask = camera.send(image)
        assert (mask.height, mask.width, mask.header) == (*size_px, image.header)


def test_a_bag_that_begins_again_is_counted_once_and_its_images_are_used(camera):
    clock = camera.publish_on('/clock', Clock)
    before = int(camera.read_diagnostics()['stamps not increasing'])
    for start_s in (1000, 10):  # the second time the clock is 990 s earlier
        for step in range(5):
            stamp_ns = start_s * NS + step * NS // 10
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(stamp_ns, NS)
            clock.publish(message)
            image = camera.make_image(64, 128)
            image.header.stamp = message.clock
            assert camera.send(image).header == image.header
    values = camera.read_diagnostics()
    # the first jump is from the wall clock's stamps of the tests before
    assert int(values['stamps not increasing']) == before + 2
    assert values['frames failed'] == '0'


def list_segments(pid: int) -> list[Path]:
    """Return the lock files of the shared memory that a process has made."""
    links = [path.readlink() for path in Path(f'/proc/{pid}/fd').iterdir() if path.is_symlink()]
    return sorted(
        {
            link
            for link in links
            if link.parent == SHARED_MEMORY
            and link.name.endswith('_el')
            and 'port' not in link.name
        }
    )


def test_after_sigkill_the_next_node_works_under_other_names_too(camera, node, start_node):
    locks = list_segments(node.pid)
    assert locks and all(is_held(lock) for lock in locks)
    assert node.stop(signal.SIGKILL) == -signal.SIGKILL
    try:
        assert not any(is_held(lock) for lock in locks)
        assert find_leftovers().segments >= len(locks)
        remappings = {
            'image': TOPIC,
            '~/mask': 'seen/mask',
            '~/confidence': 'seen/confidence',
            '/diagnostics': 'health',
        }
        following = start_node(namespace='/remapped', remappings=remappings)
        following.wait_active()
        camera.products_name = '/remapped/seen'
        camera.subscribe('mask')
        camera.wait_matched()
        # the dead node is in the graph for 20 s more and hides when its successor is matched
        image = camera.make_image(64, 128)

        def send_again():
            camera.raw.publish(image)
            camera.spin_for(0.2)
            return camera.find('mask', image.header)

        camera.spin_until(send_again, 'the mask')
        camera.spin_until(lambda: camera.count_publishers('/remapped/health'), 'diagnostics')
        assert following.stop() == 0
    finally:
        for lock in locks:
            lock.unlink(missing_ok=True)
            lock.with_name(lock.name.removesuffix('_el')).unlink(missing_ok=True)
