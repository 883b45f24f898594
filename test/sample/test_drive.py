# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The sample drive: reproducible, and its truth agrees with closed form."""

from __future__ import annotations

import hashlib

import numba
import numpy as np
import pytest

from seg_perception.sample.drive import CameraSetup, SampleDrive, SampleFrame, draw_camera
from seg_perception.sample.occupancy import CELL_M, CELLS, SIDE_M

HEIGHT_PX, WIDTH_PX = 128, 256
GROUND = (0, 1, 9)
VEHICLES = (13, 14, 15)


def hash_frame(frame: SampleFrame) -> str:
    digest = hashlib.sha256()
    for array in (frame.image, frame.label, frame.panoptic, frame.depth_m, frame.odom_from_base,
                  frame.ground_classes):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def drive() -> SampleDrive:
    return SampleDrive(7, 60, HEIGHT_PX, WIDTH_PX)


@pytest.fixture(scope='module')
def frames(drive: SampleDrive) -> list[SampleFrame]:
    return [drive.render(i) for i in (0, 14, 28, 42, 56)]


def locate_pixels(drive: SampleDrive, depth_m: np.ndarray) -> np.ndarray:
    """Points (H, W, 3) in base_link of every pixel."""
    rows, columns = np.mgrid[:depth_m.shape[0], :depth_m.shape[1]]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(
        drive.camera_matrix).T
    points = rays * np.where(np.isfinite(depth_m), depth_m, 0.0)[..., None]
    return points @ drive.base_from_camera[:3, :3].T + drive.base_from_camera[:3, 3]


def test_same_seed_gives_same_bytes_in_any_order(drive, frames):
    other = SampleDrive(7, 60, HEIGHT_PX, WIDTH_PX)
    assert hash_frame(other.render(42)) == hash_frame(frames[3])
    assert hash_frame(other.render(14)) == hash_frame(frames[1])
    longer = SampleDrive(7, 90, HEIGHT_PX, WIDTH_PX)
    assert hash_frame(longer.render(14)) == hash_frame(frames[1])


def test_bytes_do_not_depend_on_the_number_of_threads(drive, frames):
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert hash_frame(drive.render(28)) == hash_frame(frames[2])
    finally:
        numba.set_num_threads(threads)


def test_other_seed_gives_another_drive(frames):
    other = SampleDrive(8, 60, HEIGHT_PX, WIDTH_PX).render(14)
    assert (other.label != frames[1].label).mean() > 0.05


def test_ground_depth_is_that_of_the_plane(drive, frames):
    k = drive.camera_matrix
    pitch, height = drive.camera.pitch_rad, drive.camera.height_m
    down = (np.arange(HEIGHT_PX) - k[1, 2]) / k[1, 1]
    expected = height / (np.sin(pitch) + np.cos(pitch) * np.maximum(down, 0.05))
    for frame in frames:
        ground = np.isin(frame.label, GROUND) & (expected < 60.0)[:, None] & (down > 0.05)[:, None]
        assert ground.mean() > 0.15
        row_depth = np.broadcast_to(expected[:, None], ground.shape)
        np.testing.assert_allclose(frame.depth_m[ground], row_depth[ground], rtol=2e-4)


def test_sky_and_only_sky_is_infinitely_far(frames):
    for frame in frames:
        np.testing.assert_array_equal(np.isinf(frame.depth_m), frame.label == 10)
        assert (frame.depth_m > 0.2).all()


def test_panoptic_agrees_with_label(frames):
    for frame in frames:
        np.testing.assert_array_equal(frame.panoptic // 1000, frame.label)
        instance = frame.panoptic % 1000
        assert (instance[frame.label < 11] == 0).all()
        assert (instance[frame.label >= 11] > 0).all()


def test_instance_pixels_lie_in_the_box_of_their_object(drive, frames):
    checked = 0
    for frame in frames:
        points = locate_pixels(drive, frame.depth_m)
        boxes = {o.label * 1000 + o.instance: o for o in frame.objects}
        assert len(boxes) == len(frame.objects)
        for value in np.unique(frame.panoptic[frame.label >= 11]):
            item = boxes[int(value)]
            base_from_object = np.linalg.inv(frame.odom_from_base) @ item.pose
            seen = points[frame.panoptic == value]
            own = (seen - base_from_object[:3, 3]) @ base_from_object[:3, :3]
            room = 0.55 if item.label in (11, 12) else 0.25  # swinging arms, mirrors
            assert (np.abs(own[:, 0]) <= item.size_m[0] / 2 + room).all()
            assert (np.abs(own[:, 1]) <= item.size_m[1] / 2 + room).all()
            assert own[:, 2].min() > -0.05 and own[:, 2].max() < item.size_m[2] + 0.3
            checked += 1
    assert checked > 20


def test_odometry_agrees_with_speed_and_yaw_rate():
    drive = SampleDrive(3, 400, 16, 32, rate_hz=50.0)
    poses = [drive.render(i) for i in range(100, 112)]
    for a, b in zip(poses[:-1], poses[1:], strict=True):
        step = np.linalg.inv(a.odom_from_base) @ b.odom_from_base
        dt = (b.stamp_ns - a.stamp_ns) * 1e-9
        assert dt == pytest.approx(0.02, abs=1e-6)
        assert np.hypot(step[0, 3], step[1, 3]) == pytest.approx(a.speed_mps * dt, rel=0.02)
        assert np.arctan2(step[1, 0], step[0, 0]) == pytest.approx(a.yaw_rate_radps * dt, abs=1e-3)
    np.testing.assert_allclose(drive.render(0).odom_from_base, np.eye(4), atol=1e-12)


def test_ground_truth_grid_agrees_with_labels(drive, frames):
    for frame in frames:
        points = locate_pixels(drive, frame.depth_m)
        near = np.isin(frame.label, GROUND) & (points[..., 0] < 25) & (
            np.abs(points[..., 1]) < SIDE_M - 0.3)
        i = (points[..., 0][near] / CELL_M).astype(int)
        j = ((points[..., 1][near] + SIDE_M) / CELL_M).astype(int)
        assert (frame.ground_classes[i, j] == frame.label[near]).mean() > 0.94
        assert frame.ground_classes.shape == CELLS and frame.ground_classes.dtype == np.int8


def test_footprints_in_the_grid_stand_where_objects_are(drive, frames):
    for frame in frames:
        base_from_odom = np.linalg.inv(frame.odom_from_base)
        for item in (o for o in frame.objects if o.label in VEHICLES):
            x, y = (base_from_odom @ item.pose)[:2, 3]
            if 0 <= x < CELLS[0] * CELL_M and abs(y) < SIDE_M:
                cell = frame.ground_classes[int(x / CELL_M), int((y + SIDE_M) / CELL_M)]
                assert cell >= 2, f'{item} is not in the grid'


def test_drawn_camera_moves_horizon_and_focal_length():
    setup = draw_camera(1003)
    drive = SampleDrive(1003, 3, 64, 96, camera=setup)
    assert drive.camera_matrix[0, 0] == pytest.approx(48 / np.tan(setup.horizontal_fov_rad / 2))
    assert drive.base_from_camera[2, 3] == setup.height_m
    assert setup != CameraSetup()
    assert drive.render(1).image.shape == (64, 96, 3)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match='frames=0'):
        SampleDrive(1, 0, 64, 64)
    with pytest.raises(IndexError, match='frame 5'):
        SampleDrive(1, 5, 64, 64).render(5)
