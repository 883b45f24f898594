# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the point clouds; `clouds.py` is the interface."""

from __future__ import annotations

import numpy as np

from seg_perception.perception.compiling import compile_kernel
from seg_perception.perception.ground_kernels import KIND_GROUND, KIND_STANDING

_NAN = np.float32(np.nan)


@compile_kernel(nogil=True)
def copy_ground(mask, ground, kinds, points):
    """Write the ground point of each pixel of a ground class, NaN for the others."""
    height, width = mask.shape
    for row in range(height):
        for column in range(width):
            x = ground[row, column, 0]
            if kinds[mask[row, column]] == KIND_GROUND and x == x:
                points[row, column, 0] = x
                points[row, column, 1] = ground[row, column, 1]
                points[row, column, 2] = np.float32(0.0)
            else:
                points[row, column, 0] = _NAN
                points[row, column, 1] = _NAN
                points[row, column, 2] = _NAN


@compile_kernel(nogil=True)
def place_depth(depth, scale_m, rays, origin_m, max_range_m, points):
    """Write the point of each pixel by its depth along the optical axis, NaN where none."""
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            distance = np.float32(depth[row, column]) * scale_m
            x = rays[row, column, 0] * distance
            y = rays[row, column, 1] * distance
            z = rays[row, column, 2] * distance
            # False for NaN and infinity too.
            if distance > 0.0 and x * x + y * y + z * z <= max_range_m * max_range_m:
                points[row, column, 0] = np.float32(origin_m[0]) + x
                points[row, column, 1] = np.float32(origin_m[1]) + y
                points[row, column, 2] = np.float32(origin_m[2]) + z
            else:
                points[row, column, 0] = _NAN
                points[row, column, 1] = _NAN
                points[row, column, 2] = _NAN


@compile_kernel(nogil=True)
def list_contacts(contacts, directions, overhang_m, foot_m, lowest, lift_m, out):
    """List the contacts that are sure; return their number."""
    count = 0
    for ray in range(contacts.counts.shape[0]):
        for slot in range(contacts.counts[ray]):
            certainty = contacts.certainty[ray, slot]
            if contacts.hanging[ray, slot] or certainty < lowest:
                continue
            class_id = contacts.class_id[ray, slot]
            distance = contacts.filled_m[ray, slot] - overhang_m[class_id]
            out[count].x = np.float32(foot_m[0] + directions[ray, 0] * distance)
            out[count].y = np.float32(foot_m[1] + directions[ray, 1] * distance)
            out[count].z = np.float32(lift_m)
            out[count].class_id = np.uint32(class_id)
            out[count].confidence = np.float32(certainty / 255.0)
            count += 1
    return count


@compile_kernel(nogil=True)
def list_depth_obstacles(mask, confidence, points, kinds, lowest, stride, out):
    """List the points of standing classes that are sure; return their number."""
    count = 0
    height, width = mask.shape
    for row in range(0, height, stride):
        for column in range(0, width, stride):
            class_id = mask[row, column]
            x = points[row, column, 0]
            if (kinds[class_id] == KIND_STANDING and confidence[row, column] >= lowest
                    and x == x):
                out[count].x = x
                out[count].y = points[row, column, 1]
                out[count].z = points[row, column, 2]
                out[count].class_id = np.uint32(class_id)
                out[count].confidence = np.float32(confidence[row, column] / 255.0)
                count += 1
    return count
