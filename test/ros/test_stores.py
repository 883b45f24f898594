# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a node published comes back from the stores as it was."""

from __future__ import annotations

import numpy as np

from seg_perception.ros.replayed import ReplayedMask
from seg_perception.ros.stores import ConfidenceStore, MaskStore


def make_replayed(stamp_ns, shape, has_confidence=True):
    random = np.random.default_rng(stamp_ns)
    mask, confidence = random.integers(0, 256, (2, *shape), dtype=np.uint8)
    return ReplayedMask(stamp_ns, mask, confidence if has_confidence else None, 5.0)


def test_masks_and_confidences_of_any_size_come_back():
    masks, confidences = MaskStore(), ConfidenceStore()
    published = [make_replayed(stamp_ns, (4, 6 + stamp_ns)) for stamp_ns in range(3)]
    for replayed in published:
        masks.add(replayed)
        confidences.add(replayed)
    for replayed in published[::-1]:
        mask, latency_ms = masks.read(replayed.stamp_ns)
        np.testing.assert_array_equal(mask, replayed.mask)
        confidence = confidences.read(replayed.stamp_ns)
        np.testing.assert_array_equal(confidence, replayed.confidence)
        assert latency_ms == 5.0


def test_a_confidence_that_never_came_is_none():
    store = ConfidenceStore()
    store.add(make_replayed(1, (4, 6), has_confidence=False))
    assert store.read(1) is None and store.read(2) is None
