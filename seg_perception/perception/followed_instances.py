# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instances of one camera with the numbers of their tracks, by the stamps of its images."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.panoptic import Instances, PanopticResult
from seg_perception.perception.panoptic_reference import INSTANCES_PER_CLASS
from seg_perception.perception.tracks import InstanceTracker, TrackConfig

# Images that are farther apart do not show the same objects near their places: at 1 Hz tracks
# still go on, after a pause they do not.
LONGEST_GAP_S = 2.0


class InstanceFollower:
    """Numbers the instances of one camera by their tracks. Not thread-safe."""

    def __init__(self, config: TrackConfig | None = None) -> None:
        """Start without tracks."""
        self._tracker = InstanceTracker(config)
        self._last_stamp_ns: int | None = None

    def warm_up(self) -> None:
        """Compile, or load compiled code from the cache; call it before the first frame."""
        self._tracker.warm_up()

    def follow(self, result: PanopticResult, stamp_ns: int) -> Instances:
        """Write the numbers of the tracks into a map and return its instances with them.

        Where the stamp went back, or is more than LONGEST_GAP_S after the last, all objects are
        new ones; numbers that were used are still not given again soon.

        Args:
            result: its map, (H, W) int32, is changed in place.
            stamp_ns: time of the image.

        Returns:
            The instances in the same order. `instance_id` is 0 where all 999 numbers of the class
            are taken.
        """
        self._forget_after_gap(stamp_ns)
        tracked = self._tracker.update(result.panoptic)
        instances = result.instances
        ids = instances.class_id * INSTANCES_PER_CLASS + instances.instance_id
        order = np.argsort(tracked.before)
        places = order[np.searchsorted(tracked.before, ids, sorter=order)]
        return instances._replace(instance_id=tracked.after[places] % INSTANCES_PER_CLASS)

    def _forget_after_gap(self, stamp_ns: int) -> None:
        last_ns, self._last_stamp_ns = self._last_stamp_ns, stamp_ns
        if last_ns is not None and not 0 <= stamp_ns - last_ns <= LONGEST_GAP_S * 1e9:
            self._tracker.forget_objects()
