# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where instances stand on the ground, from the lowest row of their masks."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.panoptic import Instances
from seg_perception.perception.panoptic_reference import INSTANCES_PER_CLASS


def find_foot_pixels(panoptic: np.ndarray, instances: Instances) -> np.ndarray:
    """Return the foot points (N, 2) float64 of instances, column and row in px.

    The foot is the middle of what an instance has in its lowest row, at the lower edge of it. It
    is where the object touches the ground as long as nothing hides it there: what stands behind
    another object, or reaches below the image, is nearer than its foot says.

    Args:
        panoptic: (H, W) int32, the map of the instances.
        instances: N of them, with the numbers that are in the map.
    """
    feet = np.empty((len(instances.score), 2))
    ids = instances.class_id * INSTANCES_PER_CLASS + instances.instance_id
    for foot, id_, box in zip(feet, ids.tolist(), instances.box_px.tolist(), strict=True):
        _, left, bottom, right = box
        columns = np.flatnonzero(panoptic[bottom - 1, left:right] == id_)
        foot[:] = left + columns.mean(), bottom - 0.5
    return feet


def locate_instances(
    panoptic: np.ndarray, instances: Instances, view: GroundView | None
) -> np.ndarray:
    """Return where instances stand, (N, 2) float64 x and y in m in the base frame.

    NaN where the foot is at the horizon or above it, and everywhere without a view.
    """
    if view is None or not len(instances.score):
        return np.full((len(instances.score), 2), np.nan)
    return view.find_ground(find_foot_pixels(panoptic, instances))
