# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Triangle rasteriser: near-plane clipping, frustum culling and a z-buffer in Numba.

A pixel takes the triangle that covers its centre (integer pixel coordinates are pixel centres,
as in sensor_msgs/CameraInfo) and has the largest key: 1 / depth for the pinhole camera, height
above the view plane for a parallel projection. Both are linear on the screen. Ties go to the
triangle that comes first, and rows are cut in fixed bands, so the result does not depend on the
number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from seg_perception.sample.material_ids import FENCE, GRAVEL, LEAF, ROAD, SPOKES
from seg_perception.sample.noise import compiled, compiled_parallel, value_noise

BAND_ROWS = 16
SOLID, SCREEN = 0, 1
TERRAIN, SKY, FIRST_THING = 9, 10, 11
NEAR_M = 0.2


@compiled
def layer_of(material: int) -> int:
    """SCREEN for see-through surfaces (fences, spokes), SOLID for all others."""
    return SCREEN if material in (FENCE, SPOKES) else SOLID


@compiled
def is_ground(material: int) -> bool:
    """Tell whether a material belongs to the ground plane."""
    return ROAD <= material <= GRAVEL


@compiled
def is_leaf_hole(u: float, v: float, seed: int) -> bool:
    """Tell whether a leaf card (u, v in -1..1) is cut out here: ragged clusters of leaves."""
    radius2 = u * u + v * v
    if radius2 > 1.0:
        return True
    ragged = 0.62 * value_noise(u * 3.3, v * 3.3, seed) + 0.38 * value_noise(
        u * 8.1, v * 8.1, seed + 5
    )
    return ragged < 0.30 + 0.36 * radius2


@compiled
def project_pinhole(vertices, eye, material, layer, rotation, focal_px, center_x, center_y,
                    width, height):
    """Clip triangles at the near plane and project those of a layer (see `layer_of`).

    vertices: (T, 3, 3) float32 in the world; eye: (3,) camera position; material: (T,) int32;
    rotation: (3, 3) world to camera optical axes. Returns screen x, y and 1/depth, each (M, 3)
    float64, and the source triangle of each (M,) int32.
    """
    count = vertices.shape[0]
    xs = np.empty((2 * count, 3))
    ys = np.empty((2 * count, 3))
    keys = np.empty((2 * count, 3))
    source = np.empty(2 * count, np.int32)
    used = 0
    cam = np.empty((3, 3))
    poly = np.empty((4, 3))
    for t in range(count):
        if layer_of(material[t]) != layer:
            continue
        near = 0
        left = 0
        right = 0
        above = 0
        below = 0
        for k in range(3):
            vx = vertices[t, k, 0] - eye[0]
            vy = vertices[t, k, 1] - eye[1]
            vz = vertices[t, k, 2] - eye[2]
            for a in range(3):
                cam[k, a] = rotation[a, 0] * vx + rotation[a, 1] * vy + rotation[a, 2] * vz
            z = cam[k, 2]
            if z < NEAR_M:
                near += 1
            x = cam[k, 0] * focal_px
            y = cam[k, 1] * focal_px
            if x < -(center_x + 1.0) * z:
                left += 1
            if x > (width - center_x) * z:
                right += 1
            if y < -(center_y + 1.0) * z:
                above += 1
            if y > (height - center_y) * z:
                below += 1
        if near == 3 or left == 3 or right == 3 or above == 3 or below == 3:
            continue
        corners = 0
        if near == 0:
            corners = 3
            for k in range(3):
                for a in range(3):
                    poly[k, a] = cam[k, a]
        else:
            for k in range(3):
                j = (k + 1) % 3
                zk = cam[k, 2]
                zj = cam[j, 2]
                if zk >= NEAR_M:
                    for a in range(3):
                        poly[corners, a] = cam[k, a]
                    corners += 1
                if (zk >= NEAR_M) != (zj >= NEAR_M):
                    share = (NEAR_M - zk) / (zj - zk)
                    for a in range(3):
                        poly[corners, a] = cam[k, a] + share * (cam[j, a] - cam[k, a])
                    corners += 1
        for fan in range(corners - 2):
            for k in range(3):
                p = 0 if k == 0 else fan + k
                inverse = 1.0 / poly[p, 2]
                xs[used, k] = focal_px * poly[p, 0] * inverse + center_x
                ys[used, k] = focal_px * poly[p, 1] * inverse + center_y
                keys[used, k] = inverse
            source[used] = t
            used += 1
    return xs[:used], ys[:used], keys[:used], source[:used]


@compiled
def project_parallel(vertices, eye, material, flat, axes, scale, center_x, center_y, width,
                     height):
    """Project triangles along the third axis; key = height along it, relative to eye.

    flat: take the ground's materials too. Otherwise as project_pinhole.
    """
    count = vertices.shape[0]
    xs = np.empty((count, 3))
    ys = np.empty((count, 3))
    keys = np.empty((count, 3))
    source = np.empty(count, np.int32)
    used = 0
    for t in range(count):
        if not flat and is_ground(material[t]):
            continue
        left = 0
        right = 0
        above = 0
        below = 0
        for k in range(3):
            vx = vertices[t, k, 0] - eye[0]
            vy = vertices[t, k, 1] - eye[1]
            vz = vertices[t, k, 2] - eye[2]
            x = scale * (axes[0, 0] * vx + axes[0, 1] * vy + axes[0, 2] * vz) + center_x
            y = scale * (axes[1, 0] * vx + axes[1, 1] * vy + axes[1, 2] * vz) + center_y
            xs[used, k] = x
            ys[used, k] = y
            keys[used, k] = axes[2, 0] * vx + axes[2, 1] * vy + axes[2, 2] * vz
            if x < -1.0:
                left += 1
            if x > width:
                right += 1
            if y < -1.0:
                above += 1
            if y > height:
                below += 1
        if left == 3 or right == 3 or above == 3 or below == 3:
            continue
        source[used] = t
        used += 1
    return xs[:used], ys[:used], keys[:used], source[:used]


@compiled
def _bin_by_band(ys, height):
    count = ys.shape[0]
    bands = (height + BAND_ROWS - 1) // BAND_ROWS
    first = np.empty(count, np.int32)
    last = np.empty(count, np.int32)
    starts = np.zeros(bands + 1, np.int64)
    for m in range(count):
        low = math.ceil(min(ys[m, 0], min(ys[m, 1], ys[m, 2])))
        high = math.ceil(max(ys[m, 0], max(ys[m, 1], ys[m, 2]))) - 1
        low = max(low, 0)
        high = min(high, height - 1)
        if high < low:
            first[m] = 1
            last[m] = 0
            continue
        first[m] = int(low) // BAND_ROWS
        last[m] = int(high) // BAND_ROWS
        for b in range(first[m], last[m] + 1):
            starts[b + 1] += 1
    for b in range(bands):
        starts[b + 1] += starts[b]
    fill = starts[:-1].copy()
    order = np.empty(starts[bands], np.int32)
    for m in range(count):
        for b in range(first[m], last[m] + 1):
            order[fill[b]] = m
            fill[b] += 1
    return starts, order


@compiled
def _fill_band(band, starts, order, xs, ys, keys, source, material, uv, seeds, perspective,
               key_out, id_out):
    height, width = key_out.shape
    with_ids = id_out.shape[0] == height
    row_first = band * BAND_ROWS
    row_last = min(row_first + BAND_ROWS, height) - 1
    for n in range(starts[band], starts[band + 1]):
        m = order[n]
        x0 = xs[m, 0]
        y0 = ys[m, 0]
        ax = xs[m, 1] - x0
        ay = ys[m, 1] - y0
        bx = xs[m, 2] - x0
        by = ys[m, 2] - y0
        area = ax * by - bx * ay
        if abs(area) < 1e-9:
            continue
        inverse = 1.0 / area
        k0 = keys[m, 0]
        ka = keys[m, 1] - k0
        kb = keys[m, 2] - k0
        key_dx = (ka * by - kb * ay) * inverse
        key_dy = (kb * ax - ka * bx) * inverse
        key_low = min(k0, min(keys[m, 1], keys[m, 2]))
        key_high = max(k0, max(keys[m, 1], keys[m, 2]))
        t = source[m]
        cut = material[t] == LEAF
        low = max(row_first, int(math.ceil(min(y0, min(ys[m, 1], ys[m, 2])))))
        high = min(row_last, int(math.ceil(max(y0, max(ys[m, 1], ys[m, 2])))) - 1)
        for row in range(low, high + 1):
            y = float(row)
            x_left = 1e30
            x_right = -1e30
            for k in range(3):
                j = (k + 1) % 3
                ya = ys[m, k]
                yb = ys[m, j]
                xa = xs[m, k]
                xb = xs[m, j]
                if ya > yb:
                    ya, yb = yb, ya
                    xa, xb = xb, xa
                if ya <= y and y < yb:
                    x = xa + (y - ya) * (xb - xa) / (yb - ya)
                    x_left = min(x_left, x)
                    x_right = max(x_right, x)
            if x_right < 0.0 or x_left > width - 1.0:
                continue
            column_first = max(0, int(math.ceil(x_left)))
            column_last = min(width - 1, int(math.ceil(x_right)) - 1)
            row_key = k0 + (y - y0) * key_dy
            for column in range(column_first, column_last + 1):
                key = row_key + (column - x0) * key_dx
                key = min(max(key, key_low), key_high)
                if np.float32(key) <= key_out[row, column]:
                    continue
                if cut:
                    wb = ((column - x0) * by - (y - y0) * bx) * inverse
                    wc = ((y - y0) * ax - (column - x0) * ay) * inverse
                    wa = 1.0 - wb - wc
                    if perspective:
                        wa *= keys[m, 0] / key
                        wb *= keys[m, 1] / key
                        wc *= keys[m, 2] / key
                    u = wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0]
                    v = wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1]
                    if is_leaf_hole(u, v, np.int64(seeds[t])):
                        continue
                key_out[row, column] = key
                if with_ids:
                    id_out[row, column] = t


@compiled_parallel
def fill_triangles(xs, ys, keys, source, material, uv, seeds, perspective, key_out, id_out):
    """Rasterise projected triangles into key_out (H, W) float32 and id_out (H, W) int32.

    An id_out of another height is left alone. material, uv, seeds are per source triangle: (T,)
    int32, (T, 3, 3) float32, (T,) int32; leaf cards are cut by `is_leaf_hole`
    (one that is clipped at the near plane gets a slightly wrong pattern).
    """
    height = key_out.shape[0]
    starts, order = _bin_by_band(ys, height)
    bands = starts.shape[0] - 1
    for band in prange(bands):
        _fill_band(band, starts, order, xs, ys, keys, source, material, uv, seeds, perspective,
                   key_out, id_out)


@compiled
def read_labels(solid_id, solid_key, screen_id, screen_key, class_ids, instances, rotation,
                focal_px, center_x, center_y, height_m, label, panoptic, depth):
    """Write label uint8, panoptic int32 and depth float32 (H, W) of the nearest layer.

    Rays that miss everything are sky (depth inf), or beyond the built world terrain on z = 0.
    """
    rows, columns = label.shape
    for row in range(rows):
        for column in range(columns):
            t = solid_id[row, column]
            key = solid_key[row, column]
            if screen_id[row, column] >= 0 and screen_key[row, column] > key:
                t = screen_id[row, column]
                key = screen_key[row, column]
            if t >= 0:
                kind = np.int32(class_ids[t])
                depth[row, column] = 1.0 / key
                label[row, column] = kind
                number = instances[t] if kind >= FIRST_THING else np.int32(0)
                panoptic[row, column] = kind * np.int32(1000) + number
                continue
            slope = (rotation[0, 2] * (column - center_x) / focal_px +
                     rotation[1, 2] * (row - center_y) / focal_px + rotation[2, 2])
            if slope < 0.0:
                depth[row, column] = -height_m / slope
                label[row, column] = TERRAIN
                panoptic[row, column] = TERRAIN * 1000
            else:
                depth[row, column] = np.inf
                label[row, column] = SKY
                panoptic[row, column] = SKY * 1000
