# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera topics as the doctor finds them over DDS: good ones, wrong types, QoS and contents."""

import os
import threading

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN
from seg_perception.ros.doctor_topics import check_topics

RELIABLE = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
PERIOD_S = 0.05


class Rig:
    """A node that publishes whatever it is given, again and again, from a thread of its own."""

    def __init__(self):
        self.node = rclpy.create_node('rig')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def publish(self, topic, message, qos=qos_profile_sensor_data, stamped=True):
        publisher = self.node.create_publisher(type(message), topic, qos)

        def send():
            if stamped:
                message.header.stamp = self.node.get_clock().now().to_msg()
            publisher.publish(message)

        self.node.create_timer(PERIOD_S, send)

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.close()


def make_image(encoding='rgb8', frame_id='camera'):
    image = Image(height=48, width=64, encoding=encoding, step=192)
    image.header.frame_id = frame_id
    image.data.frombytes(bytes(48 * 192))
    return image


def check(topic=''):
    return list(check_topics(topic, 1.0, os.environ))


def test_a_good_camera_is_ok_with_its_rate_and_calibration(rig):
    rig.publish('/front/image_raw', make_image())
    info = CameraInfo(height=48, width=64, distortion_model='plumb_bob')
    info.k[0] = 50.0
    rig.publish('/front/camera_info', info)
    image, camera_info = check('front/image_raw')  # a slash less is the same topic
    assert [image.level, camera_info.level] == [OK, OK]
    assert image.text.startswith('sensor_msgs/msg/Image, 48x64 rgb8, ')
    assert 'best effort, by /rig' in image.text
    assert 10.0 < float(image.text.split(' Hz')[0].split()[-1]) < 25.0
    assert (camera_info.name, camera_info.text) == (
        '/front/camera_info',
        '48x64, focal length 50.0 px, plumb_bob',
    )


def test_every_camera_is_found_by_itself_and_products_are_none(rig):
    rig.publish('/left/image_raw', make_image())
    rig.publish('/right/image_raw/compressed', CompressedImage(format='jpeg'))
    rig.publish('/rig/mask', make_image('mono8'))
    findings = check()
    images = [finding.name for finding in findings if 'camera_info' not in finding.name]
    assert '/left/image_raw' in images and '/right/image_raw/compressed' in images
    assert '/rig/mask' not in images
    # what nobody asked for is no failure
    assert FAIL not in {finding.level for finding in findings}


def test_a_topic_of_another_type_fails(rig):
    rig.publish('/odd', String(data='no image'), stamped=False)
    (finding,) = check('/odd')
    assert finding.level == FAIL
    assert 'send std_msgs/msg/String, expected sensor_msgs/msg/Image' in finding.text
    assert 'remap image' in finding.cure


def test_incompatible_quality_of_service_is_named_with_both_ends(rig):
    rig.publish('/rear/image_raw', make_image())
    # a segmentation node whose qos_overrides ask for reliable: it has a mask
    rig.node.create_subscription(Image, '/rear/image_raw', lambda message: None, RELIABLE)
    rig.publish('/rig/mask', make_image('mono8'))
    findings = check('/rear/image_raw')
    (incompatible,) = [each for each in findings if 'incompatible QoS' in each.text]
    assert incompatible.level == FAIL
    assert '/rig receives nothing from /rig: ' in incompatible.text
    assert 'reliable' in incompatible.text.lower() and 'qos_overrides' in incompatible.cure


def test_a_foreign_subscriber_with_other_quality_of_service_is_a_warning(rig):
    rig.publish('/rear/image_raw', make_image())
    rig.node.create_subscription(Image, '/rear/image_raw', lambda message: None, RELIABLE)
    findings = check('/rear/image_raw')
    (incompatible,) = [each for each in findings if 'incompatible QoS' in each.text]
    assert incompatible.level == WARN


def test_images_that_cannot_be_read_fail_with_the_readers_reason(rig):
    rig.publish('/image', make_image('rgb9', frame_id=''), stamped=False)
    rig.publish('/camera_info', CameraInfo(height=48, width=64))
    arrived, unread, stamp, frame, info = check('/image')
    assert [arrived.level, unread.level] == [OK, FAIL]
    assert "image encoding is 'rgb9'" in unread.text
    assert [stamp.level, frame.level, info.level] == [WARN, WARN, WARN]
    assert 'zero' in stamp.text and 'frame_id' in frame.text and 'not calibrated' in info.text


def test_a_topic_without_publisher_fails_and_names_what_could_be_meant(rig):
    rig.publish('/front/image_raw', make_image())
    (finding,) = check('/image')
    assert finding.level == FAIL
    assert 'no publisher' in finding.text and '/front/image_raw' in finding.text


def test_two_publishers_on_one_topic_are_a_warning(rig):
    rig.publish('/image', make_image())
    rig.publish('/image', make_image())
    assert any(each.level == WARN and '2 publishers' in each.text for each in check('/image'))


def test_a_network_without_cameras_is_no_failure():
    (finding,) = check()
    assert finding.level == SKIPPED and 'start the camera' in finding.text
