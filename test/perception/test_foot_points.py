# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where instances stand, against points on the ground that are projected into the image."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, GroundView
from seg_perception.perception.foot_points import find_foot_pixels, locate_instances
from seg_perception.perception.panoptic import Instances

HW = (480, 640)
CAR, PERSON = 13, 11
VIEW = GroundView(
    CameraModel(*HW, (500.0, 500.0), (319.5, 239.5)), CameraPose(x_m=1.0, z_m=1.5, pitch_rad=0.1)
)


def draw_standing(*objects):
    """Return map and instances of boxes: class, number, column and row of the foot, half width."""
    panoptic = np.zeros(HW, np.int32)
    boxes = []
    for class_id, number, column, row, half in objects:
        box = (row - 39, column - half, row + 1, column + half + 1)
        panoptic[box[0] : box[2], box[1] : box[3]] = class_id * 1000 + number
        boxes.append(box)
    count = len(objects)
    columns = np.array(objects, np.int32).reshape(count, 5)
    return panoptic, Instances(
        columns[:, 0], columns[:, 1], np.ones(count, np.float32), np.full(count, 1),
        np.array(boxes, np.int32).reshape(count, 4), np.zeros((count, 2)))  # fmt: skip


@pytest.mark.parametrize('place_m', [(6.0, 0.0), (12.0, -3.0), (25.0, 5.0)])
def test_an_object_stands_where_its_foot_is_projected_from(place_m):
    column, row = VIEW.find_pixels(np.array([place_m]))[0]
    panoptic, instances = draw_standing((CAR, 1, round(column), round(row), 8))
    found = locate_instances(panoptic, instances, VIEW)
    # the foot is known to half a pixel, which far away are metres
    nearest = VIEW.find_ground(np.array([[column + 0.6, row + 1.1]]))[0]
    farthest = VIEW.find_ground(np.array([[column - 0.6, row - 0.1]]))[0]
    assert nearest[0] <= found[0, 0] <= farthest[0]
    assert found[0, 1] == pytest.approx(place_m[1], abs=0.05 * place_m[0])


def test_the_foot_is_the_middle_of_the_lowest_row_of_the_mask_alone():
    panoptic, instances = draw_standing((CAR, 1, 200, 300, 20), (PERSON, 7, 400, 320, 5))
    panoptic[300, 180:190] = 0  # a leg hidden by what is not in the map
    panoptic[300, 195:200] = PERSON * 1000 + 7  # and one by another instance
    feet = find_foot_pixels(panoptic, instances)
    own = [*range(190, 195), *range(200, 221)]
    assert feet[0].tolist() == [np.mean(own), 300.5]
    assert feet[1].tolist() == [400.0, 320.5]


def test_above_the_horizon_and_without_a_view_nothing_is_known():
    panoptic, instances = draw_standing((CAR, 1, 200, 100, 8), (CAR, 2, 300, 400, 8))
    found = locate_instances(panoptic, instances, VIEW)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()
    assert np.isnan(locate_instances(panoptic, instances, None)).all()


def test_no_instances_have_no_places():
    panoptic, instances = draw_standing()
    assert locate_instances(panoptic, instances, VIEW).shape == (0, 2)
