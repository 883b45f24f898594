# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Deferred shading: from visible triangles to radiance, row by row in Numba.

Light is a sun with a shadow map, a sky that is brighter above than below, and haze. `env` is the
parameter vector of `weather.Weather.pack`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from seg_perception.sample import ground_materials as ground
from seg_perception.sample import material_ids as ids
from seg_perception.sample import materials as mt
from seg_perception.sample.noise import (
    compiled,
    compiled_parallel,
    fractal_noise,
    hash_unit,
    smooth_step,
    value_noise,
)

(E_SUN_X, E_SUN_Y, E_SUN_Z, E_SUN_R, E_SUN_G, E_SUN_B, E_ZENITH_R, E_ZENITH_G, E_ZENITH_B,
 E_HORIZON_R, E_HORIZON_G, E_HORIZON_B, E_CLOUD, E_CLOUD_X, E_CLOUD_Y, E_HAZE, E_WET,
 E_SOFT_M, E_CLOUD_TONE, E_SIZE) = range(20)


@compiled
def sky_color(dx, dy, dz, env, seed, clouds):
    """Radiance of the sky in a direction."""
    up = max(dz, 0.0)
    k = 1.0 - math.exp(-3.2 * up)
    r = env[E_HORIZON_R] + (env[E_ZENITH_R] - env[E_HORIZON_R]) * k
    g = env[E_HORIZON_G] + (env[E_ZENITH_G] - env[E_HORIZON_G]) * k
    b = env[E_HORIZON_B] + (env[E_ZENITH_B] - env[E_HORIZON_B]) * k
    sun = max(dx * env[E_SUN_X] + dy * env[E_SUN_Y] + dz * env[E_SUN_Z], 0.0)
    glow = 0.10 * sun ** 8 + 0.35 * sun ** 64
    r += glow * env[E_SUN_R] * 0.3
    g += glow * env[E_SUN_G] * 0.3
    b += glow * env[E_SUN_B] * 0.3
    if clouds and dz > 0.0:
        scale = 1.1 / (dz + 0.12)
        n = fractal_noise(dx * scale + env[E_CLOUD_X], dy * scale + env[E_CLOUD_Y], seed, 4)
        cover = smooth_step(0.95 - env[E_CLOUD], 1.2 - env[E_CLOUD], n + 0.18)
        cover *= 0.85 * smooth_step(0.0, 0.12, dz)
        thick = 1.0 - 0.45 * smooth_step(0.5, 0.9, n)
        tone = env[E_CLOUD_TONE] * thick
        r += (tone - r) * cover
        g += (tone - g) * cover
        b += (tone * 1.02 - b) * cover
    return r, g, b


@compiled
def shade_material(kind, x, y, z, footprint, r, g, b, seed, street):
    """Dispatch to the procedural material."""
    if kind <= ids.STOP_LINE and kind >= ids.ROAD:
        return ground.shade_road(x, y, footprint, kind, street, seed)
    if kind == ids.SIDEWALK:
        return ground.shade_sidewalk(x, y, footprint, street, seed)
    if kind == ids.KERB:
        return ground.shade_kerb(x, z, footprint, street, seed)
    if kind == ids.GRASS:
        return ground.shade_grass(x, y, footprint, street, seed)
    if kind == ids.FACADE:
        return mt.shade_facade(x, y, footprint, r, g, b, seed)
    if kind == ids.ROOF:
        return mt.shade_roof(x, y, footprint, r, g, b, seed)
    if kind == ids.BRICK:
        return mt.shade_bricks(x, y, footprint, r, g, b, seed)
    if kind == ids.CONCRETE or kind == ids.GRAVEL:
        return mt.shade_plaster(x, y, footprint, r, g, b, seed)
    if kind == ids.BARK or kind == ids.WOOD:
        return mt.shade_bark(x + y, z, footprint, r, g, b, seed)
    if kind == ids.LEAF:
        tone = 0.72 + 0.5 * value_noise(x * 7.0, y * 7.0, seed + 1)
        return r * tone, g * tone, b * tone, 0.0, 0.0
    if kind == ids.FOLIAGE:
        return mt.shade_foliage(x, y, z, footprint, r, g, b, seed)
    if kind == ids.PAINT:
        return mt.shade_body(x, y, z, footprint, r, g, b, seed)
    if kind == ids.CABIN:
        return mt.shade_cabin(x, y, z, r, g, b)
    if kind == ids.CARGO:
        return mt.shade_cargo(x, z, footprint, r, g, b, seed)
    if kind == ids.SIGN:
        return mt.shade_sign(x, y, r, g, b, seed)
    if kind == ids.CLOTH:
        return mt.shade_cloth(x, y, z, footprint, r, g, b, seed)
    if kind == ids.GLASS:
        return r, g, b, 0.30, 0.0
    if kind == ids.LENS:
        return r, g, b, 0.02, 1.0
    if kind == ids.METAL:
        tone = 0.9 + 0.2 * value_noise(x * 8.0 + y * 6.0, z * 2.0, seed)
        return r * tone, g * tone, b * tone, 0.05, 0.0
    tone = 0.92 + 0.16 * value_noise(x * 4.0 + z, y * 4.0 - z, seed)
    return r * tone, g * tone, b * tone, 0.02, 0.0


@compiled
def sun_visibility(px, py, pz, shadow, axes, scale, offset, soft_m, jitter, bias):
    """Share of the sun seen from a camera-relative point: 3 x 3 taps into the shadow map."""
    a = scale * (axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz) + offset[0]
    b = scale * (axes[1, 0] * px + axes[1, 1] * py + axes[1, 2] * pz) + offset[1]
    key = axes[2, 0] * px + axes[2, 1] * py + axes[2, 2] * pz + bias
    size = shadow.shape[0]
    step = soft_m * scale
    if a < 2.0 + 2 * step or b < 2.0 + 2 * step or a > size - 3.0 - 2 * step or (
            b > size - 3.0 - 2 * step):
        return 1.0
    lit = 0.0
    c = math.cos(jitter * 6.2831853)
    s = math.sin(jitter * 6.2831853)
    for i in range(-1, 2):
        for j in range(-1, 2):
            x = int(a + step * (c * i - s * j) + 0.5)
            y = int(b + step * (s * i + c * j) + 0.5)
            if shadow[y, x] <= key:
                lit += 1.0
    return lit * (1.0 / 9.0)


@compiled
def _shade_point(t, kind, px, py, pz, dx, dy, dz, depth, row, column, eye, vertices, texture,
                 normals, color, seeds, street, env, shadow, shadow_axes, shadow_scale,
                 shadow_offset, pixel, sky_seed, light_seed):
    """Radiance of triangle t at the camera-relative point p, seen along the unit direction d."""
    ax = vertices[t, 1, 0] - vertices[t, 0, 0]
    ay = vertices[t, 1, 1] - vertices[t, 0, 1]
    az = vertices[t, 1, 2] - vertices[t, 0, 2]
    bx = vertices[t, 2, 0] - vertices[t, 0, 0]
    by = vertices[t, 2, 1] - vertices[t, 0, 1]
    bz = vertices[t, 2, 2] - vertices[t, 0, 2]
    qx = px + eye[0] - vertices[t, 0, 0]
    qy = py + eye[1] - vertices[t, 0, 1]
    qz = pz + eye[2] - vertices[t, 0, 2]
    aa = ax * ax + ay * ay + az * az
    ab = ax * bx + ay * by + az * bz
    bb = bx * bx + by * by + bz * bz
    qa = qx * ax + qy * ay + qz * az
    qb = qx * bx + qy * by + qz * bz
    det = max(aa * bb - ab * ab, 1e-14)
    w1 = (qa * bb - qb * ab) / det
    w2 = (qb * aa - qa * ab) / det
    w0 = 1.0 - w1 - w2
    u = w0 * texture[t, 0, 0] + w1 * texture[t, 1, 0] + w2 * texture[t, 2, 0]
    v = w0 * texture[t, 0, 1] + w1 * texture[t, 1, 1] + w2 * texture[t, 2, 1]
    w = w0 * texture[t, 0, 2] + w1 * texture[t, 1, 2] + w2 * texture[t, 2, 2]
    nx = w0 * normals[t, 0, 0] + w1 * normals[t, 1, 0] + w2 * normals[t, 2, 0]
    ny = w0 * normals[t, 0, 1] + w1 * normals[t, 1, 1] + w2 * normals[t, 2, 1]
    nz = w0 * normals[t, 0, 2] + w1 * normals[t, 1, 2] + w2 * normals[t, 2, 2]
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    facing = (nx * dx + ny * dy + nz * dz) / length
    if facing > 0.0 and kind != ids.LEAF and kind != ids.FOLIAGE:
        length = -length
        facing = -facing
    nx /= length
    ny /= length
    nz /= length
    footprint = depth * pixel / math.sqrt(max(abs(facing), 0.04))
    r, g, b, reflect, emit = shade_material(kind, u, v, w, footprint, float(color[t, 0]),
                                            float(color[t, 1]), float(color[t, 2]),
                                            np.int64(seeds[t]), street)
    if emit >= 1.0:
        return r * 1.3, g * 1.3, b * 1.3
    sun = nx * env[E_SUN_X] + ny * env[E_SUN_Y] + nz * env[E_SUN_Z]
    if kind == ids.LEAF or kind == ids.FOLIAGE:
        sun = max(0.25 + 0.75 * sun, 0.0)
    bias = 0.04 + min(0.06 / max(sun, 0.1), 0.4)
    if kind == ids.LEAF or kind == ids.FOLIAGE:
        bias = 0.5
    if sun > 0.0:
        jitter = hash_unit(column, row, light_seed)
        sun *= sun_visibility(px + 0.05 * nx, py + 0.05 * ny, pz + 0.05 * nz, shadow,
                              shadow_axes, shadow_scale, shadow_offset, env[E_SOFT_M], jitter,
                              bias)
    else:
        sun = 0.0
    up = 0.5 + 0.5 * nz
    above = max(pz + eye[2], 0.0)
    ambient = (0.45 + 0.55 * up) * (0.72 + 0.28 * smooth_step(0.0, 1.6, above))
    if nz > 0.9 and above < 0.05:
        ambient = 0.95
    bounce = 0.22 * (1.0 - up)
    sky_r = 0.35 * env[E_ZENITH_R] + 0.65 * env[E_HORIZON_R]
    sky_g = 0.35 * env[E_ZENITH_G] + 0.65 * env[E_HORIZON_G]
    sky_b = 0.35 * env[E_ZENITH_B] + 0.65 * env[E_HORIZON_B]
    light_r = sun * env[E_SUN_R] + ambient * sky_r + bounce * env[E_SUN_R] * 0.35
    light_g = sun * env[E_SUN_G] + ambient * sky_g + bounce * env[E_SUN_G] * 0.33
    light_b = sun * env[E_SUN_B] + ambient * sky_b + bounce * env[E_SUN_B] * 0.28
    if env[E_WET] > 0.0 and nz > 0.9 and above < 0.05:
        puddle = smooth_step(0.42, 0.62, fractal_noise(u * 0.35, v * 0.8, light_seed + 3, 3))
        r *= 1.0 - 0.4 * env[E_WET]
        g *= 1.0 - 0.4 * env[E_WET]
        b *= 1.0 - 0.4 * env[E_WET]
        if kind != ids.GRASS:
            reflect += env[E_WET] * (0.03 + 0.14 * puddle)
    r *= light_r
    g *= light_g
    b *= light_b
    if reflect > 0.04:
        rx = dx - 2.0 * facing * nx
        ry = dy - 2.0 * facing * ny
        rz = dz - 2.0 * facing * nz
        grazing = 1.0 + facing
        share = reflect + (1.0 - reflect) * 0.8 * min(reflect * 6.0, 1.0) * grazing ** 5
        mr, mg, mb = sky_color(rx, ry, rz, env, sky_seed, False)
        horizon = smooth_step(-0.05, 0.22, rz + 0.10 * (
            value_noise(rx * 6.0, ry * 6.0, sky_seed) - 0.5))
        dim = 0.16 + 0.84 * horizon
        r += share * (mr * dim - r)
        g += share * (mg * dim - g)
        b += share * (mb * dim - b)
    r += emit * 0.5
    g += emit * 0.4
    b += emit * 0.2
    return r, g, b


@compiled_parallel
def shade_image(radiance, solid_id, solid_key, screen_id, screen_key, eye, vertices, texture,
                normals, material, color, seeds, rotation, focal_px, center_x, center_y, street,
                env, shadow, shadow_axes, shadow_scale, shadow_offset, sky_seed, light_seed):
    """Fill radiance (H, W, 3) float32 from the two layers of visible triangles.

    The screen layer holds see-through surfaces (fences, spokes): where its pattern has a hole
    the solid layer behind shines through. rotation: (3, 3) world to camera optical axes.
    """
    height, width = solid_id.shape
    pixel = 1.0 / focal_px
    for row in prange(height):
        for column in range(width):
            cx = (column - center_x) * pixel
            cy = (row - center_y) * pixel
            dx = rotation[0, 0] * cx + rotation[1, 0] * cy + rotation[2, 0]
            dy = rotation[0, 1] * cx + rotation[1, 1] * cy + rotation[2, 1]
            dz = rotation[0, 2] * cx + rotation[1, 2] * cy + rotation[2, 2]
            norm = math.sqrt(dx * dx + dy * dy + dz * dz)
            t = solid_id[row, column]
            key = solid_key[row, column]
            p = screen_id[row, column]
            if p >= 0 and screen_key[row, column] > key:
                depth = 1.0 / screen_key[row, column]
                if _is_screen_solid(p, dx * depth, dy * depth, dz * depth, depth * pixel,
                                    eye, vertices, texture, material, seeds):
                    t = p
                    key = screen_key[row, column]
            ux = dx / norm
            uy = dy / norm
            uz = dz / norm
            hr, hg, hb = sky_color(ux, uy, max(uz, 0.02), env, sky_seed, False)
            if t < 0 and uz >= 0.0:
                r, g, b = sky_color(ux, uy, uz, env, sky_seed, True)
            else:
                if t < 0:
                    depth = eye[2] / max(-dz, 1e-4)
                    r, g, b = 0.3 * hr, 0.32 * hg, 0.25 * hb
                else:
                    depth = 1.0 / key
                    r, g, b = _shade_point(
                        t, material[t], dx * depth, dy * depth, dz * depth, ux, uy, uz, depth,
                        row, column, eye, vertices, texture, normals, color, seeds, street, env,
                        shadow, shadow_axes, shadow_scale, shadow_offset, pixel, sky_seed,
                        light_seed)
                haze = 1.0 - math.exp(-env[E_HAZE] * depth * norm)
                r += haze * (hr - r)
                g += haze * (hg - g)
                b += haze * (hb - b)
            radiance[row, column, 0] = r
            radiance[row, column, 1] = g
            radiance[row, column, 2] = b


@compiled
def _is_screen_solid(t, px, py, pz, footprint, eye, vertices, texture, material, seeds):
    """Tell whether the see-through surface t is solid at the camera-relative point p."""
    ax = vertices[t, 1, 0] - vertices[t, 0, 0]
    ay = vertices[t, 1, 1] - vertices[t, 0, 1]
    az = vertices[t, 1, 2] - vertices[t, 0, 2]
    bx = vertices[t, 2, 0] - vertices[t, 0, 0]
    by = vertices[t, 2, 1] - vertices[t, 0, 1]
    bz = vertices[t, 2, 2] - vertices[t, 0, 2]
    qx = px + eye[0] - vertices[t, 0, 0]
    qy = py + eye[1] - vertices[t, 0, 1]
    qz = pz + eye[2] - vertices[t, 0, 2]
    aa = ax * ax + ay * ay + az * az
    ab = ax * bx + ay * by + az * bz
    bb = bx * bx + by * by + bz * bz
    qa = qx * ax + qy * ay + qz * az
    qb = qx * bx + qy * by + qz * bz
    det = max(aa * bb - ab * ab, 1e-14)
    w1 = (qa * bb - qb * ab) / det
    w2 = (qb * aa - qa * ab) / det
    w0 = 1.0 - w1 - w2
    u = w0 * texture[t, 0, 0] + w1 * texture[t, 1, 0] + w2 * texture[t, 2, 0]
    v = w0 * texture[t, 0, 1] + w1 * texture[t, 1, 1] + w2 * texture[t, 2, 1]
    if material[t] == ids.FENCE:
        return mt.is_fence_bar(u, v, footprint, np.int64(seeds[t]))
    radius = math.sqrt(u * u + v * v)
    if radius > 0.93 or radius < 0.08:
        return True
    turn = math.atan2(v, u) * (14.0 / 6.2831853)
    turn -= math.floor(turn)
    return abs(turn - 0.5) * radius * 0.15 < max(0.004, 0.3 * footprint)
