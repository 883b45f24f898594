# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Masks of another size than the camera's, with the calibration that belongs to them."""

from __future__ import annotations

import numpy as np
import pytest
from ground_camera import CLOUD_TYPE, FOCAL_PX, IMAGE_HW, GroundCamera
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.perception.camera_model import make_camera_model
from seg_perception.perception.frame import FrameReader
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.ros.ground_inputs import build_model
from seg_perception.ros.node_process import NodeProcess
from seg_perception.ros.output_size import OutputSize, read_output_size, scale_camera_info

NODE = '/small/segnext'
OUTPUT_HW = (48, 80)


@pytest.fixture(scope='module')
def camera(start_node):
    parameters = {'occupancy.enabled': True, 'occupancy.camera_pitch_rad': 0.2,
                  'occupancy.camera_pose': 'parameters', 'output.scale': 0.5}  # fmt: skip
    node = start_node(
        parameters, namespace='/small', remappings={'image': '/small/camera/image_raw'}
    )
    camera = GroundCamera(NODE, '/small/camera/image_raw')
    node.wait_active()
    camera.wait_matched()
    camera.subscribe_ground('camera_info', CameraInfo)
    camera.subscribe_ground('points', CLOUD_TYPE)
    camera.send_info()
    yield camera
    camera.close()


def test_mask_confidence_overlay_points_and_camera_info_have_the_size_and_header(
    camera, tiny_model
):
    camera.subscribe('overlay')
    camera.spin_for(0.3)
    image = camera.make_image(*IMAGE_HW)
    mask, cloud = camera.send_both(image, 'points')
    sizes = {(mask.height, mask.width), (cloud.height, cloud.width)}
    for product in ('confidence', 'overlay', 'camera_info'):
        message = camera.spin_until(
            lambda product=product: camera.find(product, image.header), product
        )
        sizes.add((message.height, message.width))
    assert sizes == {OUTPUT_HW}
    pipeline = SegmentationPipeline(load_engine(EngineConfig(str(tiny_model))))
    expected = pipeline.process(FrameReader().read_image(image), np.empty(OUTPUT_HW, np.uint8))
    np.testing.assert_array_equal(
        np.frombuffer(mask.data, np.uint8).reshape(OUTPUT_HW), expected.mask
    )
    pipeline.close()
    info = camera.find('camera_info', image.header)
    # Centre 79.5 lies 80 pixels from the left edge of 160, 40 of 80: centre 39.5.
    assert (info.k[0], info.k[2], info.k[5]) == (FOCAL_PX / 2, 39.5, 23.5)


def make_info():
    info = CameraInfo(height=480, width=640, distortion_model='plumb_bob')
    info.d = [0.1, 0.01, 0.0, 0.0, 0.0]
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    info.r = np.eye(3).ravel().tolist()
    info.p = [480.0, 0.0, 310.0, -24.0, 0.0, 490.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


@pytest.mark.parametrize('rectified', [False, True])
@pytest.mark.parametrize('is_cut', [False, True])
def test_a_point_is_seen_at_the_same_place_of_the_view(rectified, is_cut):
    info = make_info()
    image_hw = (480, 640)
    if is_cut:
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 320, 240
        image_hw = (240, 320)
    output_hw = (image_hw[0] // 4, image_hw[1] // 4)
    scaled = scale_camera_info(info, output_hw, Header(frame_id='camera'), image_hw)
    points = np.array([[0.1, -0.2, 2.0], [0.3, 0.1, 3.0]])
    before = build_model(info, image_hw, rectified).find_pixels(points)
    after = make_camera_model(
        output_hw, (scaled.height, scaled.width), scaled.distortion_model, list(scaled.d),
        list(scaled.k), list(scaled.r), list(scaled.p), rectified,
    ).find_pixels(points)  # fmt: skip
    np.testing.assert_allclose(after, (before + 0.5) / 4 - 0.5, atol=1e-9)
    assert scaled.p[3] == -6.0
    assert scaled.header.frame_id == 'camera'


def test_a_camera_that_does_not_say_its_size_has_that_of_its_images():
    info, header = make_info(), Header()
    expected = scale_camera_info(info, (120, 160), header, (480, 640))
    info.height = info.width = 0
    assert scale_camera_info(info, (120, 160), header, (480, 640)) == expected


def test_sizes_are_a_share_of_the_image_or_fixed():
    assert OutputSize(scale=0.5).find((481, 641)) == (240, 320)
    assert OutputSize(scale=0.05).find((4, 4)) == (1, 1)
    assert OutputSize(240, 424).find((720, 1280)) == (240, 424)


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ({'output.height': 240}, 'output.height is 240 and output.width 0; set both'),
        (
            {'output.height': 240, 'output.width': 320, 'output.scale': 0.5},
            'output.scale is 0.5 and output.height 240',
        ),
    ],
)
def test_values_that_do_not_go_together_are_named(tiny_model, values, expected):
    defaults = {'output.height': 0, 'output.width': 0, 'output.scale': 1.0}
    with pytest.raises(UserError, match=expected):
        read_output_size((defaults | values).__getitem__)
    parameters = {'model.path': str(tiny_model), **values}
    with (
        NodeProcess(parameters, namespace='/no_size') as node,
        pytest.raises(UserError, match=expected),
    ):
        node.wait_active()
