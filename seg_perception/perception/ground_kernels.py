# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of the ground grid; `ground_grid.py` explains the method and is the interface.

They release the GIL and are run by plain threads from outside. Helpers stay in this file because
Numba's cache does not watch any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from seg_perception.perception.compiling import compile_kernel

UNKNOWN = -1
KIND_GROUND, KIND_STANDING, KIND_OTHER = 0, 1, 2
MAX_CONTACTS = 4  # per ray: seen over low things, one behind another
_LOOK_AHEAD = 8  # samples above a contact that tell its class, some 5 px
_RUN = 3  # samples, some 2 px: fewer are noise of the mask and no object


class Contacts(NamedTuple):
    """Where rays meet standing things, (rays, MAX_CONTACTS) each, and (rays,) their number.

    near_m, edge_m float32: ground distance of the last ground pixel's middle, and of the edge
    between it and the object. class_id int16; certainty uint8, confidence times 255. filled_m
    float32: edge once parts that hang in the air are attached to what carries them; hanging
    bool: the contact is such a part and touches the ground nowhere.
    """

    near_m: np.ndarray
    edge_m: np.ndarray
    class_id: np.ndarray
    certainty: np.ndarray
    filled_m: np.ndarray
    hanging: np.ndarray
    counts: np.ndarray


class Rules(NamedTuple):
    """What is known of each class, by mask value 0..255; lengths in m, see `ClassRule`.

    ground int16: row in the sums of ground classes, or -1. plane int16: row of the class's grid,
    or -1.
    """

    kind: np.ndarray
    group: np.ndarray
    depth_m: np.ndarray
    reach_m: np.ndarray
    overhang_m: np.ndarray
    widen_m: np.ndarray
    margin_m: np.ndarray
    side_m: np.ndarray
    span_m: np.ndarray
    size_m: np.ndarray
    ground: np.ndarray
    plane: np.ndarray


class Planes(NamedTuple):
    """The grids, flat; plane_ground and plane_class say which class each plane is of.

    label (cells,) int8: class id or -1; score (cells,) int8: its probability, 0..100, or -1;
    planes (K, cells) int8: probability of each class, or -1; plane_ground (K,) int16: row in the
    sums of ground classes, or -1; ground_class (G,) int16: class ids of the ground classes.
    """

    label: np.ndarray
    score: np.ndarray
    planes: np.ndarray
    plane_ground: np.ndarray
    ground_class: np.ndarray


def make_contacts(rays: int) -> Contacts:
    """Allocate the contacts of a number of rays."""
    shape = (rays, MAX_CONTACTS)
    return Contacts(
        near_m=np.zeros(shape, np.float32),
        edge_m=np.zeros(shape, np.float32),
        class_id=np.zeros(shape, np.int16),
        certainty=np.zeros(shape, np.uint8),
        filled_m=np.zeros(shape, np.float32),
        hanging=np.zeros(shape, np.bool_),
        counts=np.zeros(rays, np.int32),
    )


@compile_kernel(nogil=True)
def fill_cells(mask, confidence, starts, pixels, totals, rules, limits, first, last, sums, out):
    """Set the cells first..last to the ground classes that they show, the others to unknown.

    limits: (lowest confidence 0..255, lowest share of the cell seen, number of classes).
    sums: (G,) int64 scratch.
    """
    lowest, coverage, classes = limits
    out.label[first:last] = UNKNOWN
    out.score[first:last] = UNKNOWN
    for plane in range(out.planes.shape[0]):
        out.planes[plane, first:last] = UNKNOWN
    for cell in range(first, last):
        if starts[cell + 1] - starts[cell] < coverage * totals[cell]:
            continue
        known = 0
        for ground in range(sums.shape[0]):
            sums[ground] = 0
        for index in range(starts[cell], starts[cell + 1]):
            pixel = pixels[index]
            ground = rules.ground[mask[pixel]]
            certainty = confidence[pixel]
            if ground >= 0 and certainty >= lowest:
                sums[ground] += certainty
                known += 1
        if known == 0 or known < coverage * totals[cell]:
            continue
        scale = 100.0 / (255.0 * known)
        best = 0
        total = 0
        for ground in range(sums.shape[0]):
            total += sums[ground]
            if sums[ground] > sums[best]:
                best = ground
        out.label[cell] = out.ground_class[best]
        out.score[cell] = np.int8(sums[best] * scale + 0.5)
        # What the confidence leaves over is shared evenly by the classes that were not seen.
        rest = np.int8((100.0 - total * scale) / max(classes - 1, 1) + 0.5)
        for plane in range(out.planes.shape[0]):
            ground = out.plane_ground[plane]
            out.planes[plane, cell] = (
                np.int8(sums[ground] * scale + 0.5) if ground >= 0 else rest
            )


@compile_kernel(nogil=True)
def scan_rays(mask, confidence, starts, pixels, inverse_range, rules, first, last, contacts):
    """Find where the rays first..last go from ground to something that stands on it."""
    for ray in range(first, last):
        count = 0
        end = starts[ray + 1]
        ground_pixel = -1
        index = starts[ray]
        while index < end and count < MAX_CONTACTS:
            pixel = pixels[index]
            if pixel < 0:
                ground_pixel = -1
                index += 1
                continue
            class_id = mask[pixel]
            kind = rules.kind[class_id]
            if kind == KIND_GROUND:
                ground_pixel = pixel
            elif kind == KIND_OTHER:
                ground_pixel = -1
            elif ground_pixel >= 0:
                found, certainty = _read_object(
                    mask, confidence, pixels, rules, index, min(end, index + _LOOK_AHEAD))
                if found >= 0:
                    near = inverse_range[ground_pixel]
                    far = inverse_range[pixel]
                    contacts.near_m[ray, count] = 1.0 / near
                    contacts.edge_m[ray, count] = 2.0 / (near + far)
                    contacts.class_id[ray, count] = found
                    contacts.certainty[ray, count] = certainty
                    count += 1
                    ground_pixel = -1
            index += 1
        contacts.counts[ray] = count


@numba.njit(nogil=True)
def _read_object(mask, confidence, pixels, rules, first, last):
    """Return class and highest confidence of what begins at a sample; -1 where it is noise."""
    found = -1
    run = 0
    certainty = 0
    for index in range(first, last):
        pixel = pixels[index]
        if pixel < 0 or rules.kind[mask[pixel]] != KIND_STANDING:
            break
        class_id = mask[pixel]
        if class_id != found:
            if run >= _RUN:
                break
            found, run, certainty = class_id, 0, 0
        run += 1
        certainty = max(certainty, confidence[pixel])
    # At the end of a ray, short runs are all there can be.
    return (found if run >= _RUN or last - first < _RUN else -1), certainty
