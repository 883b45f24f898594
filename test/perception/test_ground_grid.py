# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Masks of closed-form scenes on the ground: right to half a cell or half a pixel."""

import threading

import numpy as np
import pytest
from ground_scene import NAMES, ROAD, ROAD_HALF_M, SIDEWALK, SIGN, WALL, Box, cast_scene

from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose, CameraPoseError
from seg_perception.perception.ground_grid import GroundGrid
from seg_perception.perception.occupancy_config import (
    ClassRule,
    GridConfig,
    OccupancyConfig,
)

REACH_M = 30.0
DEPTH_M = 0.5
RULES = {
    'road': ClassRule('ground'),
    'sidewalk': ClassRule('ground'),
    'wall': ClassRule('standing', depth_m=DEPTH_M),
    'sky': ClassRule('ignored'),
    'sign': ClassRule('hanging'),
}
LEVEL = CameraPose(1.2, 0.0, 1.5, 0.0, 0.05, 0.0)
CAMERAS = {
    'pinhole': (CameraModel(512, 1024, (667.0, 667.0), (511.5, 255.5)), LEVEL),
    'pitch_roll_yaw': (
        CameraModel(375, 1242, (721.5, 721.5), (609.6, 172.9)),
        CameraPose(0.8, 0.3, 1.65, 0.06, 0.12, 0.1),
    ),
    'plumb_bob': (
        CameraModel(483, 641, (420.0, 424.0), (322.3, 240.1), 'plumb_bob',
                    (-0.28, 0.08, 0.001, -0.0005, 0.0)),
        CameraPose(1.0, -0.2, 1.3, -0.04, 0.15, 0.0),
    ),
    'equidistant': (
        CameraModel(601, 801, (420.0, 420.0), (400.0, 300.0), 'equidistant',
                    (-0.01, 0.003, 0.0, 0.0)),
        CameraPose(1.0, 0.0, 1.8, 0.05, 0.3, -0.1),
    ),
}  # fmt: skip
BOXES = (Box((8.3, 9.4), (-2.0, 0.13), 1.9), Box((14.0, 15.2), (1.37, 2.6), 2.2))


def make_grid(camera='pinhole', resolution_m=0.1, threads=0, **change):
    config = OccupancyConfig(
        NAMES, GridConfig(resolution_m, 0.0, 34.0, -10.0, 10.0), RULES, NAMES[:3], **change
    )
    grid = GroundGrid(config, threads)
    grid.set_camera(*CAMERAS[camera])
    return grid


def project(grid, boxes=(), confidence=255):
    mask = cast_scene(grid.view.model, grid.view.pose.to_matrix(), boxes)
    grid.project(mask, np.full(mask.shape, confidence, np.uint8))
    return mask


def list_centers(grid):
    area = grid.config.grid
    y, x = np.mgrid[0 : area.rows, 0 : area.columns]
    return (area.x_min_m + (x + 0.5) * area.resolution_m,
            area.y_min_m + (y + 0.5) * area.resolution_m)  # fmt: skip


def find_tolerance(grid, x, y):
    """Return half a cell or half a pixel's extent on the ground, whichever is more."""
    points = np.column_stack([x.ravel(), y.ravel()])
    offset = points - grid.view.origin_m[:2]
    along = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    pixels = grid.view.find_pixels(points)
    extents = []
    for direction in (along, along[:, ::-1] * [-1, 1]):
        moved = grid.view.find_pixels(points + 1e-3 * direction)
        extents.append(1e-3 / np.hypot(*(moved - pixels).T))
    half_px = 0.5 * np.max(extents, axis=0).reshape(x.shape)
    return np.fmax(0.5 * grid.config.grid.resolution_m, half_px)


def is_in_view(grid, x, y, margin_px=2.0):
    u, v = grid.view.find_pixels(np.column_stack([x.ravel(), y.ravel()])).T
    model = grid.view.model
    inside = (u > margin_px) & (u < model.width_px - 1 - margin_px)
    inside &= (v > margin_px) & (v < model.height_px - 1 - margin_px)
    near = np.hypot(x - grid.view.origin_m[0], y - grid.view.origin_m[1]) < REACH_M
    return inside.reshape(x.shape) & near


@pytest.mark.parametrize('resolution_m', [0.1, 0.23])
@pytest.mark.parametrize('camera', CAMERAS)
def test_flat_ground_is_right_to_half_a_cell_or_half_a_pixel(camera, resolution_m):
    grid = make_grid(camera, resolution_m)
    project(grid)
    x, y = list_centers(grid)
    seen = is_in_view(grid, x, y, margin_px=4.0)
    assert seen.sum() > 2000 * (0.1 / resolution_m) ** 2
    expected = np.where(np.abs(y) < ROAD_HALF_M, ROAD, SIDEWALK)
    # at most half a cell off beyond the tolerance for the cell's own extent
    clear = np.abs(np.abs(y) - ROAD_HALF_M) > find_tolerance(grid, x, y) + 0.5 * resolution_m
    np.testing.assert_array_equal(grid.label[seen & clear], expected[seen & clear])


@pytest.mark.parametrize('camera', CAMERAS)
def test_boxes_are_occupied_where_they_touch_the_ground(camera):
    grid = make_grid(camera)
    project(grid, BOXES)
    x, y = list_centers(grid)
    tolerance = find_tolerance(grid, x, y) + 0.5 * grid.config.grid.resolution_m
    distance = np.hypot(x - grid.view.origin_m[0], y - grid.view.origin_m[1])
    explained = np.zeros(x.shape, bool)
    for box in BOXES:
        # everything occupied is in the box or within the class's depth behind its near sides
        beside = np.maximum.reduce([box.x_m[0] - x, x - box.x_m[1], box.y_m[0] - y,
                                    y - box.y_m[1]])  # fmt: skip
        explained |= (beside < tolerance + DEPTH_M) & (x > box.x_m[0] - tolerance)
        # the near side, but for its corners, is occupied to the tolerance
        rows = np.linspace(box.y_m[0] + 0.15, box.y_m[1] - 0.15, 12)
        if is_in_view(grid, np.full(12, box.x_m[0]), rows).all():
            for side in rows:
                row = np.argmin(np.abs(y[:, 0] - side))
                first = np.argmax(grid.label[row] == WALL)
                assert abs(x[row, first] - box.x_m[0]) <= tolerance[row, first] + 0.05
    occupied = grid.label == WALL
    assert occupied.sum() > 20
    assert explained[occupied & (distance < REACH_M)].all()


@pytest.mark.parametrize('camera', CAMERAS)
def test_no_cell_inside_or_hidden_by_a_box_is_free(camera):
    grid = make_grid(camera)
    project(grid, BOXES)
    x, y = list_centers(grid)
    tolerance = find_tolerance(grid, x, y) + 0.5 * grid.config.grid.resolution_m
    is_free = (grid.label == ROAD) | (grid.label == SIDEWALK)
    origin = grid.view.origin_m
    for box in BOXES:
        inside = (x > box.x_m[0] + tolerance) & (x < box.x_m[1] - tolerance)
        inside &= (y > box.y_m[0] + tolerance) & (y < box.y_m[1] - tolerance)
        assert not is_free[inside].any()
        # a line from below the camera to the cell crosses the box, which is higher than it
        t = (box.x_m[0] - origin[0]) / np.where(x > box.x_m[1], x - origin[0], np.inf)
        crossing = origin[1] + t * (y - origin[1])
        hidden = (x > box.x_m[1]) & (np.hypot(x - origin[0], y - origin[1]) < REACH_M)
        hidden &= (crossing > box.y_m[0] + tolerance) & (crossing < box.y_m[1] - tolerance)
        assert hidden.any()
        assert not is_free[hidden].any()


def test_behind_a_low_box_the_ground_is_known_again_where_it_is_seen_again():
    grid = make_grid()
    project(grid, (Box((6.0, 6.4), (-1.0, 1.0), 0.5),))
    row = grid.config.grid.rows // 2
    # 0.5 m high at 5.2 m from a camera at 1.5 m hides the ground up to 5.2 * 1.5 = 7.8 m
    x = list_centers(grid)[0][row]
    hidden_to = 1.2 + (6.4 - 1.2) * 1.5 / (1.5 - 0.5)
    assert (grid.label[row][(x > 6.4 + DEPTH_M) & (x < hidden_to - 0.15)] == -1).all()
    assert (grid.label[row][(x > hidden_to + 0.15) & (x < 20)] == ROAD).all()


def test_what_hangs_in_the_air_hides_but_occupies_nothing():
    grid = make_grid()
    project(grid, (Box((8.0, 8.3), (-1.0, 1.0), 1.2, SIGN, 0.8),))
    assert not (grid.label == SIGN).any()
    row = grid.config.grid.rows // 2
    x = list_centers(grid)[0][row]
    # its lower edge is seen before the ground at 6.8 * 1.5 / (1.5 - 0.8) m
    assert (grid.label[row][(x > 8.0) & (x < 15.0)] == ROAD).all()
    assert (grid.label[row][(x > 16.5) & (x < 30.0)] == -1).all()


def test_a_walker_is_one_thing_over_both_feet_though_one_is_in_the_air():
    walker = ClassRule('standing', depth_m=0.6, margin_m=0.3, size_m=0.4)
    config = OccupancyConfig(NAMES, GridConfig(0.1, 0.0, 34.0, -10.0, 10.0),
                             RULES | {'wall': walker}, NAMES[:3])  # fmt: skip
    grid = GroundGrid(config)
    grid.set_camera(*CAMERAS['pinhole'])
    feet = (Box((9.95, 10.05), (0.05, 0.15), 0.8),
            Box((9.95, 10.05), (-0.15, -0.05), 0.8, z_low_m=0.15))  # fmt: skip
    project(grid, (*feet, Box((9.9, 10.1), (-0.2, 0.2), 1.8, z_low_m=0.8)))
    x, y = list_centers(grid)
    occupied = grid.label == WALL
    # the raised foot, seen over the ground at 1.2 + 8.75 * 1.5 / 1.35 = 10.9 m, is no other
    assert 0.5 <= np.ptp(x[occupied]) <= 0.7
    assert 0.2 <= np.ptp(y[occupied]) <= 0.5
    assert abs(x[occupied].mean() - 10.0) < 0.15
    assert abs(y[occupied].mean()) < 0.1


def test_outside_the_view_everything_is_unknown():
    grid = make_grid()
    project(grid)
    x, y = list_centers(grid)
    outside = ~is_in_view(grid, x, y, margin_px=-2.0) & (np.hypot(x, y) < 20)
    assert outside.any()
    assert (grid.label[outside] == -1).all()
    assert (grid.planes[:, outside] == -1).all()


def test_what_the_mask_is_unsure_of_is_unknown_not_free():
    grid = make_grid(min_confidence=0.6)
    project(grid, BOXES, confidence=150)
    assert (grid.label == -1).all()
    assert (grid.score == -1).all()


def test_planes_hold_the_confidence_and_share_the_rest():
    grid = make_grid()
    project(grid, BOXES, confidence=204)  # 0.8
    road, sidewalk, wall = grid.planes
    middle = grid.label == ROAD
    assert np.median(road[middle]) == 80
    assert np.median(wall[middle]) == 5  # 0.2 shared by four other classes
    assert np.median(wall[grid.label == WALL]) == 80
    assert np.median(road[grid.label == WALL]) == 5
    unknown = grid.label == -1
    assert (grid.planes[:, unknown] == -1).all()
    assert grid.planes.max() <= 100
    assert (sidewalk[grid.label == SIDEWALK] >= 35).all()


def test_the_result_does_not_depend_on_the_number_of_threads():
    one, three = make_grid(threads=1), make_grid(threads=3)
    project(one, BOXES)
    project(three, BOXES)
    np.testing.assert_array_equal(one.planes, three.planes)


def test_tables_are_rebuilt_only_when_camera_or_pose_change():
    grid = make_grid()
    model, pose = CAMERAS['pinhole']
    tables = grid.tables
    assert not grid.set_camera(CameraModel(512, 1024, (667.0, 667.0), (511.5, 255.5)), pose)
    assert grid.tables is tables
    assert grid.set_camera(model, CameraPose(1.2, 0.0, 1.5, 0.0, 0.051, 0.0))


def test_a_camera_that_sees_no_ground_leaves_the_last_one_in_use():
    grid = make_grid()
    with pytest.raises(CameraPoseError):
        grid.set_camera(CAMERAS['pinhole'][0], CameraPose(z_m=-1.0))
    project(grid)
    assert (grid.label == ROAD).any()


def test_buffers_are_reused_from_frame_to_frame():
    grid = make_grid()
    label, planes = grid.label, grid.planes
    project(grid, BOXES)
    assert (label == WALL).any()
    project(grid)
    assert grid.label is label
    assert grid.planes is planes
    assert not (label == WALL).any()


def test_a_mask_of_another_size_is_refused():
    grid = make_grid()
    with pytest.raises(ValueError, match='mask is uint8 of shape'):
        grid.project(np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8))


@pytest.mark.parametrize(('z_m', 'pitch_rad', 'ahead_m'), [(0.3, 0.6, 0.22), (1.5, 1.0, 0.28)])
def test_a_small_thing_right_below_the_camera_is_placed(z_m, pitch_rad, ahead_m):
    """Nearer than half its depth: its front would lie behind the camera's foot."""
    config = OccupancyConfig(
        NAMES,
        GridConfig(0.1, 0.0, 10.0, -5.0, 5.0),
        {**RULES, 'wall': ClassRule('standing', depth_m=0.6, size_m=0.4)},
        NAMES[:3],
    )
    grid = GroundGrid(config)
    pose = CameraPose(0.0, 0.0, z_m, 0.0, pitch_rad, 0.0)
    grid.set_camera(CameraModel(480, 640, (320.0, 320.0), (319.5, 239.5)), pose)
    mask = np.full((480, 640), ROAD, np.uint8)
    below_rad = np.arctan2(z_m, ahead_m) - pitch_rad
    row = int(239.5 + 320.0 * np.tan(below_rad))
    assert 0 < row < 480
    mask[row - 60 : row, 300:340] = WALL
    # compiled code cannot be interrupted: a loop without end must not take the tests with it
    work = threading.Thread(
        target=grid.project, args=(mask, np.full(mask.shape, 255, np.uint8)), daemon=True
    )
    work.start()
    work.join(60.0)
    assert not work.is_alive()
    assert (grid.label == WALL).any()
