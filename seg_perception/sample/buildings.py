# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Buildings: fronts with windows, flat or pitched roofs, balconies, awnings, chimneys."""

from __future__ import annotations

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.mesh import Mesh, MeshBuilder, make_box, make_quad
from seg_perception.sample.noise import hash_unit

BUILDING = 2


def draw_wall_rgb(rng: np.random.Generator) -> np.ndarray:
    """Wall colour: brick, beige, grey, white, and muted green, blue, yellow or rose."""
    palette = np.array([[0.30, 0.13, 0.08], [0.24, 0.15, 0.10], [0.48, 0.42, 0.32],
                        [0.36, 0.35, 0.34], [0.62, 0.60, 0.56], [0.16, 0.16, 0.17],
                        [0.24, 0.30, 0.19], [0.20, 0.27, 0.34], [0.52, 0.42, 0.20],
                        [0.48, 0.30, 0.26], [0.14, 0.20, 0.12], [0.40, 0.44, 0.46]])
    return np.clip(palette[rng.integers(len(palette))] * rng.uniform(0.65, 1.25) *
                   (1 + rng.normal(0, 0.05, 3)), 0.02, 0.8)


def make_building(rng: np.random.Generator, width: float, depth: float, low_rise: bool) -> Mesh:
    """Building whose front is the plane y = 0, x from 0 to width, reaching to y = depth."""
    b = MeshBuilder()
    seed = int(rng.integers(1 << 20))
    storey = 2.9 + 0.7 * float(hash_unit(1, 0, seed))
    pitch = 1.7 + 1.9 * float(hash_unit(2, 0, seed))
    floors = int(rng.integers(1, 3)) if low_rise else int(rng.integers(2, 7))
    if not low_rise and rng.random() < 0.08:
        floors += 6
    height = floors * storey + 0.25
    rgb = draw_wall_rgb(rng)
    corners = [(0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth)]
    for k in range(4):
        (x0, y0), (x1, y1) = corners[k], corners[(k + 1) % 4]
        run = float(np.hypot(x1 - x0, y1 - y0))
        bays = max(round(run / pitch), 1)
        quad = make_quad([x0, y0, 0], [x1, y1, 0], [x1, y1, height], [x0, y0, height])
        u = bays * pitch
        tex = make_quad([0, 0, 0], [u, 0, 0], [u, height, 0], [0, height, 0])[0]
        b.add(quad, mt.FACADE, BUILDING, rgb, seed, texture=tex)
    roof_rgb = np.array([[0.20, 0.08, 0.05], [0.08, 0.08, 0.09], [0.16, 0.12, 0.09],
                         [0.12, 0.15, 0.12]])[rng.integers(4)] * rng.uniform(0.7, 1.4)
    if low_rise or rng.random() < 0.35:
        _add_gable(b, rng, width, depth, height, roof_rgb, rgb, seed)
    else:
        b.add(make_box([width + 0.3, depth + 0.3, 0.35], [width / 2, depth / 2, height + 0.1]),
              mt.CONCRETE, BUILDING, rgb * 0.6 + 0.08, seed)
        if rng.random() < 0.4:
            b.add(make_box([3.0, 3.0, 2.2], [width * rng.uniform(.3, .7), depth / 2, height + 1]),
                  mt.CONCRETE, BUILDING, rgb * 0.7, seed)
    if floors > 1 and rng.random() < 0.35 and not low_rise:
        _add_balconies(b, rng, width, storey, pitch, floors, rgb)
    if rng.random() < 0.3:
        color = rng.uniform(0.03, 0.5, 3)
        x0 = rng.uniform(0.05, 0.3) * width
        x1 = x0 + rng.uniform(0.25, 0.5) * width
        b.add(make_quad([x0, -1.1, 2.35], [x1, -1.1, 2.35], [x1, 0, 2.85], [x0, 0, 2.85]),
              mt.CLOTH, BUILDING, color, seed)
        b.add(make_quad([x0, -1.1, 2.15], [x1, -1.1, 2.15], [x1, -1.1, 2.35], [x0, -1.1, 2.35]),
              mt.CLOTH, BUILDING, color * 0.8, seed)
    if rng.random() < 0.5:
        x = width - 0.15
        b.add(make_box([0.11, 0.11, height], [x, -0.06, height / 2]), mt.METAL, BUILDING,
              [0.22, 0.22, 0.21])
    return b.finish()


def _add_gable(b: MeshBuilder, rng: np.random.Generator, width: float, depth: float,
               height: float, roof_rgb: np.ndarray, wall_rgb: np.ndarray, seed: int) -> None:
    rise = rng.uniform(0.28, 0.5)
    over = 0.35
    tex_of = lambda w, d: make_quad([0, 0, 0], [w, 0, 0], [w, d, 0], [0, d, 0])[0]  # noqa: E731
    if rng.random() < 0.55:
        top = height + depth / 2 * rise * 2
        ridge = depth / 2
        for y0 in (-over, depth + over):
            z0 = height - over * rise
            quad = make_quad([-over, y0, z0], [width + over, y0, z0],
                             [width + over, ridge, top], [-over, ridge, top])
            b.add(quad, mt.ROOF, BUILDING, roof_rgb, seed,
                  texture=tex_of(width, np.hypot(ridge, top - height)))
        for x in (0.0, width):
            tri = np.array([[[x, 0, height], [x, depth, height], [x, ridge, top]]], np.float32)
            normals = np.broadcast_to(np.array([1, 0, 0], np.float32), tri.shape)
            b.add((tri, normals), mt.CONCRETE, BUILDING, wall_rgb, seed,
                  texture=tri[..., [1, 2, 0]])
    else:
        top = height + width / 2 * rise * 2 * 0.8
        ridge = width / 2
        for x0 in (-over, width + over):
            z0 = height - over * rise
            quad = make_quad([x0, -over, z0], [x0, depth + over, z0],
                             [ridge, depth + over, top], [ridge, -over, top])
            b.add(quad, mt.ROOF, BUILDING, roof_rgb, seed,
                  texture=tex_of(depth, np.hypot(ridge, top - height)))
        for y in (0.0, depth):
            tri = np.array([[[0, y, height], [width, y, height], [ridge, y, top]]], np.float32)
            normals = np.broadcast_to(np.array([0, -1, 0], np.float32), tri.shape)
            b.add((tri, normals), mt.CONCRETE, BUILDING, wall_rgb, seed,
                  texture=tri[..., [0, 2, 1]])
    if rng.random() < 0.6:
        x = width * rng.uniform(0.2, 0.8)
        b.add(make_box([0.7, 0.7, 2.4], [x, depth * 0.6, top - 0.3]), mt.BRICK, BUILDING,
              [0.25, 0.12, 0.08], seed)


def _add_balconies(b: MeshBuilder, rng: np.random.Generator, width: float, storey: float,
                   pitch: float, floors: int, rgb: np.ndarray) -> None:
    bays = max(round(width / pitch), 1)
    step = int(rng.integers(1, 4))
    rail = rng.uniform(0.05, 0.5) * np.ones(3)
    bay = width / bays
    for floor in range(1, floors):
        for k in range(int(rng.integers(0, 2)), bays, step + 1):
            x = (k + 0.5) * bay
            z = floor * storey + 0.12
            b.add(make_box([bay * 0.95, 1.0, 0.14], [x, -0.5, z]), mt.CONCRETE, BUILDING,
                  rgb * 0.7 + 0.1, 3)
            b.add(make_box([bay * 0.95, 0.05, 0.85], [x, -0.97, z + 0.5]), mt.CARGO, BUILDING,
                  rail, 9)
