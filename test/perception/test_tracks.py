# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Tracks on scenes made by hand, their numbers, and maps that they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.perception import track_kernels
from seg_perception.perception.tracks import InstanceTracker, TrackConfig

HW = (96, 160)
CAR, RIDER = 13, 12


def draw(*discs, pole=None):
    """Return a map with discs (class, row, column, radius), numbered at random in each frame."""
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    panoptic = np.zeros(HW, np.int32)
    numbers = np.random.default_rng(len(discs) + int(discs[0][2]) if discs else 0)
    labels = numbers.permutation(np.arange(1, 999))
    for place, (class_id, row, column, radius) in enumerate(discs):
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        panoptic[inside] = class_id * 1000 + labels[place]
    if pole is not None:
        panoptic[:, pole : pole + 6] = 5000
    return panoptic


def follow(frames, **config):
    """Return for each frame the tracked ids at the given points: frames are (map, points)."""
    tracker = InstanceTracker(TrackConfig(**config))
    found = []
    for panoptic, points in frames:
        tracker.update(panoptic)
        found.append([int(panoptic[row, column]) for row, column in points])
    return found


def test_a_moving_object_keeps_its_id_whatever_number_it_comes_with():
    frames = [(draw((CAR, 40, 20 + 4 * i, 12)), [(40, 20 + 4 * i)]) for i in range(12)]
    assert follow(frames) == [[13001]] * 12


def test_objects_that_touch_keep_their_ids():
    frames = [
        (draw((CAR, 40, 30 + 3 * i, 10), (CAR, 40, 51 + 3 * i, 10)),
         [(40, 30 + 3 * i), (40, 51 + 3 * i)])
        for i in range(12)
    ]  # fmt: skip
    ids = follow(frames)
    assert sorted(ids[0]) == [13001, 13002] and ids == [ids[0]] * 12


def test_an_object_that_a_pole_cuts_in_two_has_one_id():
    frames = [(draw((CAR, 40, 20 + 5 * i, 14), pole=70), []) for i in range(20)]
    tracker = InstanceTracker()
    for panoptic, _ in frames:
        tracker.update(panoptic)
        assert set(panoptic[panoptic > 5000]) == {13001}
        assert (panoptic[:, 70:76] == 5000).all()


def test_objects_that_cross_keep_their_ids():
    # One passes in front of the other and hides it for two frames.
    paths = [(20 + 7 * i, 132 - 7 * i) for i in range(17)]
    frames = [
        (draw((CAR, 46, right, 9), (CAR, 48, left, 13)), [(48, left), (46, right)])
        for left, right in paths
    ]
    ids = follow(frames)
    assert {pair[0] for pair in ids} == {ids[0][0]}
    assert ids[-1] == ids[0] and ids[0][0] != ids[0][1]
    hidden = [pair for pair in ids if pair[1] != ids[0][1]]
    assert hidden and all(pair == [ids[0][0]] * 2 for pair in hidden)


@pytest.mark.parametrize('missed', [1, 2])
def test_an_id_survives_missed_frames(missed):
    seen = [0, 1, 2, 3 + missed, 4 + missed]
    frames = [
        (draw(*([(CAR, 40, 20 + 6 * i, 10)] if i in seen else [])), [(40, 20 + 6 * i)])
        for i in range(5 + missed)
    ]
    ids = follow(frames, max_missed=2)
    assert [ids[i] for i in seen] == [[13001]] * 5
    assert all(ids[i] == [0] for i in range(5 + missed) if i not in seen)


def test_a_track_is_given_up_after_its_last_missed_frame():
    empty = (draw(), [(40, 20)])
    disc = (draw((CAR, 40, 20, 10)), [(40, 20)])
    ids = follow([disc, empty, empty, empty, (disc[0].copy(), [(40, 20)])], max_missed=2)
    assert ids[0] == [13001] and ids[-1] == [13002]


def test_a_new_object_gets_a_new_number_and_a_class_its_own_numbers():
    first = draw((CAR, 30, 30, 8))
    second = draw((CAR, 30, 30, 8), (CAR, 60, 120, 8), (RIDER, 70, 60, 8))
    ids = follow([(first, [(30, 30)]), (second, [(30, 30), (60, 120), (70, 60)])])
    assert ids == [[13001], [13001, 13002, 12001]]


def test_another_class_is_another_track():
    ids = follow([(draw((CAR, 40, 20, 10)), [(40, 20)]), (draw((RIDER, 40, 20, 10)), [(40, 20)])])
    assert ids == [[13001], [12001]]


def test_a_new_object_moves_as_its_neighbours_do():
    # All move by 12 px, more than a disc of radius 2 could have moved for itself.
    def make(i):
        new = [(CAR, 84, 20 + 12 * (i - 4), 2)] if i >= 4 else []
        return draw((CAR, 20, 15 + 12 * i, 12), (CAR, 60, 17 + 12 * i, 12), *new)

    frames = [(make(i), [(84, 20 + 12 * (i - 4))] if i >= 4 else []) for i in range(9)]
    ids = follow(frames)
    assert ids[4:] == [[13003]] * 5


def make_dots(count, shift=0):
    """Return a map of single pixels, far apart, numbered from 1."""
    panoptic = np.zeros((500, 500), np.int32)
    places = np.arange(count)
    panoptic[20 * (places // 25) + shift, 20 * (places % 25)] = CAR * 1000 + 1 + places
    return panoptic


def test_numbers_are_used_once_before_the_one_that_is_free_longest_is_used_again():
    tracker = InstanceTracker(TrackConfig(max_missed=0))
    empty = np.zeros((500, 500), np.int32)
    ids = []
    for _ in range(3):
        ids.append(sorted(tracker.update(make_dots(400)).after % 1000))
        tracker.update(empty.copy())
    assert ids[0] == list(range(1, 401)) and ids[1] == list(range(401, 801))
    assert ids[2] == list(range(1, 202)) + list(range(801, 1000))
    assert tracker.count == 0


def test_instances_beyond_999_are_not_told_apart():
    panoptic = np.zeros((64, 64), np.int32)
    panoptic[:32, :32].flat[:999] = CAR * 1000 + np.arange(1, 1000)
    tracker = InstanceTracker(TrackConfig(max_missed=5))
    tracker.update(panoptic)
    other = np.zeros((64, 64), np.int32)
    other[60, 60] = CAR * 1000 + 1
    tracked = tracker.update(other)
    assert tracked.after.tolist() == [13000] and other[60, 60] == 13000
    assert tracker.count == 999


def test_stuff_void_and_crowds_are_left_as_they_are():
    panoptic = draw((CAR, 40, 20, 10))
    panoptic[80:] = -1
    panoptic[:5] = -15
    panoptic[70:75] = 13000
    before = panoptic.copy()
    InstanceTracker().update(panoptic)
    is_thing = (before > 0) & (before % 1000 > 0)
    assert np.array_equal(panoptic[~is_thing], before[~is_thing])


def test_the_same_frames_give_the_same_ids():
    random = np.random.default_rng(3)
    frames = [
        draw(*[(CAR, *random.integers(10, 80, 2).tolist(), 6) for _ in range(8)])
        for _ in range(20)
    ]
    results = []
    for _ in range(2):
        tracker = InstanceTracker()
        results.append([tracker.update(frame.copy()).after.tolist() for frame in frames])
    assert results[0] == results[1]


def test_new_lost_and_found_objects_are_told():
    tracker = InstanceTracker()
    disc = draw((CAR, 40, 20, 10))
    assert tracker.update(disc.copy()).is_new.tolist() == [True]
    assert tracker.update(draw()).is_new.tolist() == []
    found = tracker.update(disc.copy())
    assert found.is_new.tolist() == [False] and found.after.tolist() == [13001]


def test_reset_forgets_everything():
    tracker = InstanceTracker()
    tracker.update(draw((CAR, 40, 20, 10)))
    tracker.reset()
    tracked = tracker.update(draw((CAR, 40, 20, 10)))
    assert tracked.after.tolist() == [13001] and tracked.is_new.tolist() == [True]


def test_a_map_of_another_size_starts_anew():
    tracker = InstanceTracker()
    tracker.update(draw((CAR, 40, 20, 10)))
    tracked = tracker.update(np.ascontiguousarray(draw((CAR, 40, 20, 10))[:80]))
    assert tracked.after.tolist() == [13002]


def test_more_runs_than_the_first_buffer_holds():
    panoptic = np.zeros((300, 400), np.int32)
    panoptic[:, ::2] = CAR * 1000 + 1
    before = panoptic.copy()
    InstanceTracker().update(panoptic)
    assert np.array_equal(panoptic, before)


READ_ONLY = np.frombuffer(bytes(96 * 160 * 4), np.int32).reshape(HW)


@pytest.mark.parametrize(
    ('panoptic', 'message'),
    [
        (np.zeros(HW, np.int64), 'panoptic map is int64'),
        (np.zeros((1, *HW), np.int32), r'shape \(1, 96, 160\)'),
        (np.zeros((160, 96), np.int32).T, 'not C-contiguous'),
        (READ_ONLY, 'read-only'),
        (np.full(HW, 256_001, np.int32), 'holds id 256001, expected less than 255000'),
    ],
)
def test_maps_that_do_not_fit_are_refused_and_nothing_is_lost(panoptic, message):
    tracker = InstanceTracker()
    tracker.update(draw((CAR, 40, 20, 10)))
    with pytest.raises(ValueError, match=message):
        tracker.update(panoptic)
    assert tracker.update(draw((CAR, 40, 20, 10))).is_new.tolist() == [False]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'max_missed': -1}, 'max_missed is -1'),
        ({'reach_px': 0.0}, 'reach is 0.0 px'),
        ({'velocity_gain': 1.5}, 'velocity gain is 1.5'),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrackConfig(**options)


def test_compiled_rating_equals_its_formula():
    random = np.random.default_rng(3)
    count, others = 40, 30
    ids, other_ids = (random.integers(11, 14, n).astype(np.int32) * 1000 for n in (count, others))
    areas, other_areas = (random.uniform(20, 400, n) for n in (count, others))
    boxes, other_boxes = (random.uniform(0, 60, (n, 4)) for n in (count, others))
    centroids, other_centroids = (random.uniform(0, 60, (n, 2)) for n in (count, others))
    moves = random.uniform(-5, 5, (count, 2))
    moved_areas = random.integers(1, 400, count)
    shared = random.integers(0, 20, (count, others)) * random.integers(0, 2, (count, others))
    fit = np.empty((count, others))
    track_kernels.rate_pairs(
        ids, areas, boxes, centroids, moves, moved_areas, other_ids, other_areas, other_boxes,
        other_centroids, shared, 8.0, fit)  # fmt: skip

    iou = shared / (moved_areas[:, None] + other_areas - shared)
    edges = np.abs(other_boxes - (boxes + np.tile(moves, 2))[:, None])
    apart = np.linalg.norm(other_centroids - (centroids + moves)[:, None], axis=-1)
    distance = np.hypot(edges[..., ::2].min(-1), edges[..., 1::2].min(-1)) + 0.1 * apart
    reach = 8.0 + np.sqrt(np.maximum(areas[:, None], other_areas))
    nearness = np.maximum(0, 1 - distance / reach)
    ratio = np.abs(np.log(areas[:, None] / other_areas))
    expected = 1 + 4 * iou + 2 * nearness - 0.1 * ratio * (nearness > 0)
    is_possible = (ids[:, None] == other_ids) & ((iou > 0.05) | (nearness > 0))
    assert is_possible.any() and (nearness == 0).any()
    assert np.allclose(fit, np.where(is_possible, np.maximum(expected, 0), 0), rtol=1e-12)
