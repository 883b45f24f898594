# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instances with the numbers of their tracks: pairs of number and object, and pauses."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.perception.followed_instances import InstanceFollower
from seg_perception.perception.panoptic import Instances, PanopticResult

CAR, PERSON = 13, 11
SECOND_NS = 10**9


def make_result(*objects):
    """Return a map with squares of 10 px: (class, number, column), best first."""
    panoptic = np.zeros((40, 400), np.int32)
    for class_id, number, column in objects:
        panoptic[10:20, column : column + 10] = class_id * 1000 + number
    columns = np.array(objects, np.int32).reshape(-1, 3)
    count = len(objects)
    instances = Instances(
        columns[:, 0], columns[:, 1], np.linspace(1, 0.5, count, dtype=np.float32),
        np.full(count, 100), np.zeros((count, 4), np.int32), np.zeros((count, 2)))  # fmt: skip
    return PanopticResult(panoptic, instances, count)


def test_each_instance_has_the_number_that_is_in_the_map():
    follower = InstanceFollower()
    follower.follow(make_result((CAR, 1, 200), (CAR, 2, 20), (PERSON, 1, 300)), 0)
    # the order by score has changed, and with it the numbers of the merge
    result = make_result((PERSON, 1, 302), (CAR, 1, 22), (CAR, 2, 201))
    instances = follower.follow(result, SECOND_NS // 10)
    assert instances.class_id.tolist() == [PERSON, CAR, CAR]
    for class_id, number, column in zip(
        instances.class_id, instances.instance_id, (302, 22, 201), strict=True
    ):
        assert result.panoptic[15, column + 5] == class_id * 1000 + number
    assert instances.instance_id.tolist() == [1, 1, 2]


def test_a_map_without_instances_is_left_as_it_is():
    follower = InstanceFollower()
    follower.follow(make_result((CAR, 1, 200)), 0)
    result = make_result()
    instances = follower.follow(result, SECOND_NS // 10)
    assert len(instances.instance_id) == 0 and not result.panoptic.any()


@pytest.mark.parametrize(
    ('after_ns', 'number'), [(SECOND_NS, 1), (3 * SECOND_NS, 2), (-SECOND_NS, 2), (0, 1)]
)
def test_after_a_pause_or_a_clock_set_back_objects_are_new(after_ns, number):
    follower = InstanceFollower()
    start_ns = 100 * SECOND_NS
    follower.follow(make_result((CAR, 1, 200)), start_ns)
    instances = follower.follow(make_result((CAR, 1, 200)), start_ns + after_ns)
    assert instances.instance_id.tolist() == [number]


def test_more_objects_than_numbers_of_a_class_are_not_told_apart():
    count = 600
    instances = Instances(
        np.full(count, CAR, np.int32), np.arange(1, count + 1, dtype=np.int32),
        np.ones(count, np.float32), np.full(count, 24), np.zeros((count, 4), np.int32),
        np.zeros((count, 2)))  # fmt: skip
    follower = InstanceFollower()
    # far apart, so that the second 600 are others, while the tracks of the first still wait
    for first_row in (0, 200):
        panoptic = np.zeros((208, 4 * count), np.int32)
        for index, id_ in enumerate(CAR * 1000 + instances.instance_id):
            panoptic[first_row : first_row + 8, 4 * index : 4 * index + 3] = id_
        last = follower.follow(PanopticResult(panoptic, instances, count), 0)
    assert (last.instance_id == 0).sum() == 2 * count - 999
    assert (panoptic == CAR * 1000).sum() == 24 * (2 * count - 999)
