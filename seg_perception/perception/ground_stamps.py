# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops that turn the contacts of standing things into cells of the ground grid.

A separate file from `ground_kernels.py`, which fills it from the image; see there about caching.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from seg_perception.perception.compiling import compile_kernel
from seg_perception.perception.ground_kernels import (
    KIND_GROUND,
    MAX_CONTACTS,
    UNKNOWN,
)

_STRIDE_M = 0.05  # neighbours of a contact are looked at in such steps: a narrow tyre
_SIZE_M = 0.6  # farther than this behind a contact beside it, a part is not of the same contact
_STEEP = 4.0  # pixels up for each pixel sideways: a flank 0.4 m beside a camera at 1.5 m
_SAME_M = 0.5  # contacts of neighbouring rays within this are of one side of an object
_FLANK = 10.0  # metres that a vehicle's flank recedes for each metre sideways
_ARMS_M = 0.2  # arms and bags reach out over the feet to the side, at most
_LEAST_FRONT = 0.1  # of its contact's distance: no thing's front is nearer to the camera's foot
_NEAREST = 0.2  # of a hanging part's distance: no part hangs higher than 4/5 of the camera


class Geometry(NamedTuple):
    """Grid and rays, as the stamps need them."""

    x_min_m: float
    y_min_m: float
    resolution_m: float
    rows: int
    columns: int
    foot_x_m: float
    foot_y_m: float
    step_rad: float


@compile_kernel(nogil=True)
def attach_hanging(contacts, rules, step_rad, height_m, resolution_m):
    """Attach parts that hang in the air to what carries them.

    Below an arm or a bumper between two wheels a ray goes on over the ground and meets the part
    far behind the object. Such a contact is told by contacts of the same group nearby that are
    nearer: within `side_m` to either side (it then has no contact of its own), or within `span_m`
    on both sides (it then is moved to the farther of the two). Things of a known `size_m` are
    placed as a whole instead.
    """
    for ray in range(contacts.counts.shape[0]):
        for slot in range(contacts.counts[ray]):
            contacts.filled_m[ray, slot] = -1.0
            contacts.hanging[ray, slot] = False
    _drop_outlines(contacts, rules, _STEEP * step_rad / height_m)
    for ray in range(contacts.counts.shape[0]):
        for slot in range(contacts.counts[ray]):
            class_id = contacts.class_id[ray, slot]
            edge = contacts.edge_m[ray, slot]
            if contacts.hanging[ray, slot]:
                continue
            if rules.size_m[class_id] > 0.0:
                if contacts.filled_m[ray, slot] < 0.0:
                    _place_things(contacts, rules, class_id, step_rad, resolution_m)
                continue
            contacts.filled_m[ray, slot] = edge
            side, span = rules.side_m[class_id], rules.span_m[class_id]
            if span > 0.0:
                left = _find_nearest(contacts, rules, ray, -1, class_id, edge, span, step_rad)
                right = _find_nearest(contacts, rules, ray, 1, class_id, edge, span, step_rad)
                contacts.filled_m[ray, slot] = min(edge, max(left, right))
            if side > 0.0:
                slope = _FLANK if span > 0.0 else 0.0
                edge = contacts.filled_m[ray, slot]
                carrier = _find_carrier(
                    contacts, rules, ray, class_id, edge, side, slope, step_rad)
                contacts.hanging[ray, slot] = carrier + _SIZE_M < edge
                contacts.filled_m[ray, slot] = carrier


@numba.njit(nogil=True)
def _drop_outlines(contacts, rules, steepest):
    """Drop contacts at an upright outline (`filled_m` 0), where a ray goes up along the edge.

    Rays and upright edges are the same lines in the image, so at an outline the ray meets the
    object's pixels at any height. Told by a nearer contact one or two rays beside it, so much
    nearer that the edge between them would rise by more than `_STEEP` pixels a pixel.
    """
    rays = contacts.counts.shape[0]
    for ray in range(rays):
        for slot in range(contacts.counts[ray]):
            class_id = contacts.class_id[ray, slot]
            if rules.size_m[class_id] > 0.0:
                continue  # placed as a whole, outline and all
            edge = contacts.edge_m[ray, slot]
            for aside in (-2, -1, 1, 2):
                other = ray + aside
                if other < 0 or other >= rays:
                    continue
                nearest = _find_same(contacts, rules, other, class_id)
                if 1.0 / nearest - 1.0 / edge > steepest * abs(aside):
                    contacts.hanging[ray, slot] = True
                    contacts.filled_m[ray, slot] = 0.0


@numba.njit(nogil=True)
def _find_same(contacts, rules, ray, class_id):
    """Return the nearest contact of a class's group on a ray; infinity where there is none."""
    group = rules.group[class_id]
    nearest = np.float32(np.inf)
    for slot in range(contacts.counts[ray]):
        if rules.group[contacts.class_id[ray, slot]] == group:
            nearest = min(nearest, contacts.edge_m[ray, slot])
    return nearest


@numba.njit(nogil=True)
def _place_things(contacts, rules, class_id, step_rad, resolution_m):
    """Place all small things of a class's group, the nearest first.

    The nearest part of what is left stands on the ground: parts in the air look farther. It is a
    foot, on average below the middle of the body, whose outline goes as far to the left as to the
    right. All within that outline is one thing, ground seen between the legs or not.
    """
    group = rules.group[class_id]
    rays = contacts.counts.shape[0]
    while True:
        nearest = np.float32(np.inf)
        middle, kept = 0, 0
        for ray in range(rays):
            for slot in range(contacts.counts[ray]):
                edge = contacts.edge_m[ray, slot]
                if edge < nearest and _is_open(contacts, rules, ray, slot, group):
                    nearest, middle, kept = edge, ray, slot
        if nearest == np.inf:
            return
        class_id = contacts.class_id[middle, kept]
        size = rules.size_m[class_id]
        limit = nearest + max(_STRIDE_M, 3.0 * (nearest - contacts.near_m[middle, kept]))
        low = high = middle
        while low > 0 and _find_open(contacts, rules, low - 1, group) < limit:
            low -= 1
        while high < rays - 1 and _find_open(contacts, rules, high + 1, group) < limit:
            high += 1
        reach = int((0.5 * size + _ARMS_M) / (nearest * step_rad)) + 1
        foot = (low + high) // 2
        for ray in range(max(0, foot - reach), min(rays, foot + reach + 1)):
            if _find_open(contacts, rules, ray, group) < np.inf:
                low, high = min(low, ray), max(high, ray)
        center = 0.5 * (low + high)
        # Above 0 also for a thing right below the camera: below, it would count as open for ever.
        front = max(nearest - 0.5 * rules.depth_m[class_id], _LEAST_FRONT * nearest)
        # As along the ray, a cell is touched where its middle is inside.
        half_width = 0.5 * max(size - resolution_m, 0.0) / (nearest * step_rad) + 0.5
        certainty = contacts.certainty[middle, kept]
        first, last = min(low, int(center) - reach), max(high, int(center) + reach)
        for ray in range(max(0, first), min(rays, last + 1)):
            is_body = abs(ray - center) <= half_width
            for slot in range(contacts.counts[ray]):
                if _is_open(contacts, rules, ray, slot, group):
                    contacts.filled_m[ray, slot] = front
                    contacts.hanging[ray, slot] = not is_body
                    is_body = False
            slot = contacts.counts[ray]
            if is_body and slot < MAX_CONTACTS:
                contacts.near_m[ray, slot] = contacts.near_m[middle, kept]
                contacts.edge_m[ray, slot] = nearest
                contacts.class_id[ray, slot] = class_id
                contacts.certainty[ray, slot] = certainty
                contacts.filled_m[ray, slot] = front
                contacts.hanging[ray, slot] = False
                contacts.counts[ray] = slot + 1


@numba.njit(nogil=True)
def _is_open(contacts, rules, ray, slot, group):
    """Tell whether a contact is of a group and no thing was made of it yet."""
    return contacts.filled_m[ray, slot] < 0.0 and (
        rules.group[contacts.class_id[ray, slot]] == group)


@numba.njit(nogil=True)
def _find_open(contacts, rules, ray, group):
    """Return the nearest contact of a group on a ray that no thing was made of; or infinity."""
    nearest = np.float32(np.inf)
    for slot in range(contacts.counts[ray]):
        if _is_open(contacts, rules, ray, slot, group):
            nearest = min(nearest, contacts.edge_m[ray, slot])
    return nearest


@numba.njit(nogil=True)
def _find_carrier(contacts, rules, ray, class_id, edge, side, slope, step_rad):
    """Return the nearest contact beside a part that the part must hang from, else `edge`."""
    rays = contacts.counts.shape[0]
    carrier = edge
    stride = max(1, int(_STRIDE_M / (edge * step_rad)))
    farthest = int(side / (_NEAREST * edge * step_rad))
    for sign in (-1, 1):
        for away in range(stride, farthest + 1, stride):
            other = ray + sign * away
            if other < 0 or other >= rays:
                break
            nearest = _find_same(contacts, rules, other, class_id)
            if nearest == np.inf:
                break
            sideways = away * step_rad * nearest
            if sideways <= side and (
                    slope == 0.0 or edge > nearest + _SIZE_M + slope * sideways):
                carrier = min(carrier, nearest)
    return carrier


@numba.njit(nogil=True)
def _find_nearest(contacts, rules, ray, sign, class_id, edge, span, step_rad):
    """Return the least distance of a contact of the group to one side, without a gap."""
    rays = contacts.counts.shape[0]
    nearest = edge
    stride = max(1, int(_STRIDE_M / (edge * step_rad)))
    away = stride
    while away * step_rad * nearest <= span:
        other = ray + sign * away
        if other < 0 or other >= rays:
            break
        found = _find_same(contacts, rules, other, class_id)
        if found == np.inf:
            break
        nearest = min(nearest, found)
        away += stride
    return nearest


@compile_kernel(nogil=True)
def stamp_contacts(contacts, directions, rules, geometry, limits, out):
    """Write the contacts into the grids: first what they make unknown, then what they occupy."""
    lowest, _, classes = limits
    half = 0.5 * geometry.resolution_m
    nothing = (np.int16(UNKNOWN), np.int8(UNKNOWN), np.int8(UNKNOWN))
    rays = contacts.counts.shape[0]
    for ray in range(rays):
        for slot in range(contacts.counts[ray]):
            class_id = contacts.class_id[ray, slot]
            around = rules.overhang_m[class_id] + rules.margin_m[class_id]
            behind = max(rules.depth_m[class_id] + rules.margin_m[class_id],
                         rules.reach_m[class_id])
            width = rules.widen_m[class_id] + rules.margin_m[class_id] - half
            edge, filled = contacts.edge_m[ray, slot], contacts.filled_m[ray, slot]
            if contacts.hanging[ray, slot]:
                # Taken for a part of something nearer, it may be a thing of its own after all.
                _stamp(directions, ray, edge - around - half, edge + around, nothing, rules,
                       geometry, out)
            if filled > 0.0:
                # The pixel before the edge may hold the contact anywhere.
                start, end = filled - around - half, filled + behind
                if rules.size_m[class_id] > 0.0:
                    start = min(start, filled - around - (edge - contacts.near_m[ray, slot]))
                if not contacts.hanging[ray, slot]:
                    # Between the wheels and the bumper that hides the rest there is the vehicle.
                    end = max(end, edge + half)
                _stamp_wide(contacts, directions, ray, slot, start, end, width, nothing, rules,
                            geometry, out)
    for ray in range(rays):
        for slot in range(contacts.counts[ray]):
            certainty = contacts.certainty[ray, slot]
            if contacts.hanging[ray, slot] or certainty < lowest:
                continue
            class_id = contacts.class_id[ray, slot]
            edge = contacts.filled_m[ray, slot]
            overhang = rules.overhang_m[class_id]
            # Half a cell less on both sides: a cell is touched where its middle is inside.
            start = edge - overhang + half
            end = max(start, edge + rules.depth_m[class_id] - half)
            score = np.int8(certainty * (100.0 / 255.0) + 0.5)
            rest = np.int8((100.0 - score) / max(classes - 1, 1) + 0.5)
            stamp = (class_id, score, rest)
            width = rules.widen_m[class_id] - half
            _stamp_wide(contacts, directions, ray, slot, start, end, width, stamp, rules,
                        geometry, out)


@numba.njit(nogil=True)
def _stamp_wide(contacts, directions, ray, slot, start, end, width, stamp, rules, geometry, out):
    """Stamp along the ray of a contact and, where the object ends, to the side of it."""
    edge = contacts.filled_m[ray, slot]
    reach = int(width / (edge * geometry.step_rad))
    stride = max(1, int(0.5 * geometry.resolution_m / (edge * geometry.step_rad)))
    is_inner = _has_neighbour(contacts, rules, ray - 1, ray, slot) and (
        _has_neighbour(contacts, rules, ray + 1, ray, slot))
    # Near the camera, rays are much denser than cells.
    if is_inner and ray % stride != 0:
        return
    _stamp(directions, ray, start, end, stamp, rules, geometry, out)
    for sign in (-1, 1):
        if is_inner or reach < 1 or _has_neighbour(contacts, rules, ray + sign, ray, slot):
            continue
        away = min(stride, reach)
        while away <= reach:
            other = ray + sign * away
            if other < 0 or other >= directions.shape[0] or _is_hidden(contacts, other, start):
                break
            _stamp(directions, other, start, end, stamp, rules, geometry, out)
            away = reach if away < reach < away + stride else away + stride


@numba.njit(nogil=True)
def _has_neighbour(contacts, rules, other, ray, slot):
    """Tell whether the next ray has the same object at the same distance."""
    if other < 0 or other >= contacts.counts.shape[0]:
        return True
    group = rules.group[contacts.class_id[ray, slot]]
    for k in range(contacts.counts[other]):
        same = rules.group[contacts.class_id[other, k]] == group
        if same and contacts.hanging[other, k] == contacts.hanging[ray, slot] and (
                abs(contacts.filled_m[other, k] - contacts.filled_m[ray, slot]) < _SAME_M):
            return True
    return False


@numba.njit(nogil=True)
def _is_hidden(contacts, ray, distance):
    nearest = np.float32(np.inf)
    for slot in range(contacts.counts[ray]):
        nearest = min(nearest, contacts.edge_m[ray, slot])
    return nearest < distance


@numba.njit(nogil=True)
def _stamp(directions, ray, start, end, stamp, rules, geometry, out):
    """Write (class id, score, rest) into the cells along a ray; UNKNOWN clears them."""
    class_id, score, rest = stamp
    step = 0.5 * geometry.resolution_m
    distance = start
    while distance <= end:
        x = geometry.foot_x_m + directions[ray, 0] * distance
        y = geometry.foot_y_m + directions[ray, 1] * distance
        distance = end if distance < end < distance + step else distance + step
        column = int(np.floor((x - geometry.x_min_m) / geometry.resolution_m))
        row = int(np.floor((y - geometry.y_min_m) / geometry.resolution_m))
        if column < 0 or row < 0 or column >= geometry.columns or row >= geometry.rows:
            continue
        cell = row * geometry.columns + column
        label = out.label[cell]
        if class_id == UNKNOWN and label == UNKNOWN:
            continue
        if class_id == UNKNOWN or label == UNKNOWN or rules.kind[label] == KIND_GROUND:
            for plane in range(out.planes.shape[0]):
                out.planes[plane, cell] = rest
            out.label[cell] = class_id
            out.score[cell] = score
        elif score > out.score[cell]:
            out.label[cell] = class_id
            out.score[cell] = score
        if class_id != UNKNOWN and rules.plane[class_id] >= 0:
            plane = rules.plane[class_id]
            out.planes[plane, cell] = max(out.planes[plane, cell], score)
