# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Panoptic maps are kept without loss until they are scored."""

import numpy as np

from seg_perception.ros.panoptic_store import PanopticStore
from seg_perception.ros.replayed import ReplayedPanoptic


def test_maps_come_back_as_they_were_given():
    store = PanopticStore()
    random = np.random.default_rng(0)
    ids = random.choice(np.array([-1, 0, 7000, 13_999, 65_536, 254_999], np.int32), (31, 47))
    for stamp_ns, given in ((1, ids), (2, ids[::-1])):
        store.add(ReplayedPanoptic(stamp_ns, given, 1.0))
    assert (store.read(1) == ids).all() and (store.read(2) == ids[::-1]).all()
    assert store.read(1).dtype == np.int32 and store.read(1).flags.c_contiguous
    assert 2 in store and 3 not in store and store.read(3) is None
