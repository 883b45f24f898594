# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Poles, lamps, traffic signs, traffic lights, fences and walls, in their own frames."""

from __future__ import annotations

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.mesh import (
    Mesh,
    MeshBuilder,
    make_box,
    make_disc,
    make_limbs,
    make_quad,
)

WALL, FENCE, POLE, LIGHT, SIGN = 3, 4, 5, 6, 7


def make_bar(builder: MeshBuilder, start: list, end: list, r0: float, r1: float,
             rgb: np.ndarray, seed: int, sides: int = 8) -> None:
    """Add a pole segment."""
    builder.add(make_limbs(np.array(start, float), np.array(end, float), r0, r1, sides,
                           rounded=False), mt.METAL, POLE, rgb, seed)


def draw_metal(rng: np.random.Generator) -> np.ndarray:
    """Colour of a pole: galvanised, green, black, brown, white."""
    base = np.array([[0.30, 0.31, 0.32], [0.04, 0.10, 0.06], [0.03, 0.03, 0.03],
                     [0.14, 0.09, 0.05], [0.55, 0.55, 0.53], [0.22, 0.22, 0.22]])
    return base[rng.integers(len(base))] * rng.uniform(0.7, 1.3)


def make_lamp(rng: np.random.Generator, rgb: np.ndarray, kind: int) -> Mesh:
    """Street lamp at the origin whose arm reaches along +x."""
    b = MeshBuilder()
    seed = int(rng.integers(1 << 20))
    if kind == 0:
        h = 7.5
        make_bar(b, [0, 0, 0], [0, 0, h], 0.10, 0.06, rgb, seed)
        make_bar(b, [0, 0, h], [1.6, 0, h + 0.35], 0.05, 0.04, rgb, seed)
        b.add(make_box([0.7, 0.26, 0.13], [1.8, 0, h + 0.36]), mt.METAL, POLE, rgb, seed)
    elif kind == 1:
        h = 4.2
        make_bar(b, [0, 0, 0], [0, 0, h], 0.08, 0.05, rgb, seed)
        make_bar(b, [0, 0, 0], [0, 0, 0.8], 0.13, 0.12, rgb, seed)
        b.add(make_box([0.34, 0.34, 0.45], [0, 0, h + 0.25]), mt.GLASS, POLE, [0.6, 0.6, 0.52])
        b.add(make_box([0.44, 0.44, 0.06], [0, 0, h + 0.5]), mt.METAL, POLE, rgb)
    else:
        h = 8.5
        wood = np.array([0.17, 0.13, 0.10])
        b.add(make_limbs(np.zeros(3), np.array([0, 0, h]), 0.15, 0.11, 8, rounded=False),
              mt.WOOD, POLE, wood, seed)
        b.add(make_box([0.1, 1.9, 0.12], [0, 0, h - 0.5]), mt.WOOD, POLE, wood, seed)
        for y in (-0.8, 0.0, 0.8):
            b.add(make_box([0.07, 0.07, 0.16], [0, y, h - 0.36]), mt.PLAIN, POLE, [0.4] * 3)
    return b.finish()


def make_bollard(rgb: np.ndarray) -> Mesh:
    """Bollard of 0.9 m."""
    b = MeshBuilder()
    make_bar(b, [0, 0, 0], [0, 0, 0.9], 0.07, 0.07, rgb, 5)
    make_bar(b, [0, 0, 0.72], [0, 0, 0.80], 0.075, 0.075, np.array([0.6, 0.6, 0.6]), 5)
    b.add(make_disc([0, 0, 0.9], 2, 0.07, 8), mt.METAL, POLE, rgb)
    return b.finish()


_SIGN_RGB = np.array([[0.55, 0.03, 0.03], [0.03, 0.10, 0.45], [0.70, 0.70, 0.68],
                      [0.60, 0.42, 0.03], [0.03, 0.22, 0.10]])


def _add_plate(b: MeshBuilder, rng: np.random.Generator, x: float, y: float, z: float,
               half_w: float, half_h: float, corners: int) -> None:
    """Sign plate that faces -x (towards oncoming traffic), with a grey back."""
    seed = int(rng.integers(1 << 20))
    rgb = _SIGN_RGB[rng.integers(len(_SIGN_RGB))]
    if corners == 4:
        angle: np.ndarray = np.pi / 4 + np.arange(4) * np.pi / 2
        radius = 2.0 ** 0.5
    else:
        angle = np.pi / 2 + np.arange(corners) * (2 * np.pi / corners)
        radius = 1.0
    u, v = np.cos(angle) * radius, np.sin(angle) * radius
    ring = np.stack([np.full(corners, x), y - u * half_w, z + v * half_h], 1)
    tex = np.stack([u, v, 0 * u], 1)
    fan = np.array([[0, i, i + 1] for i in range(1, corners - 1)])
    front = ring[fan].astype(np.float32)
    normals = np.broadcast_to(np.array([-1, 0, 0], np.float32), front.shape)
    b.add((front, normals), mt.SIGN, SIGN, rgb, seed, texture=tex[fan].astype(np.float32))
    back = front + np.array([0.025, 0, 0], np.float32)
    b.add((back, -normals), mt.METAL, SIGN, [0.28] * 3, seed)


def make_sign(rng: np.random.Generator, rgb: np.ndarray) -> tuple[Mesh, tuple[float, ...]]:
    """Traffic sign on its own poles, and the y of each; its face looks along -x."""
    b = MeshBuilder()
    kind = rng.random()
    if kind < 0.15:
        wide, high = rng.uniform(0.9, 1.5), rng.uniform(0.5, 0.9)
        poles = (float(-wide * 0.6), float(wide * 0.6))
        for y in poles:
            make_bar(b, [0, y, 0], [0, y, 2.3 + high], 0.04, 0.04, rgb, 3)
        _add_plate(b, rng, -0.05, 0.0, 2.3 + high / 2, wide, high, 4)
        return b.finish(), poles
    top = rng.uniform(2.7, 3.4)
    make_bar(b, [0, 0, 0], [0, 0, top], 0.04, 0.04, rgb, 3)
    size = rng.uniform(0.36, 0.50)
    corners = int(rng.choice([16, 16, 3, 4, 8]))
    z = top - size
    _add_plate(b, rng, -0.05, 0.0, z, size, size, corners)
    if rng.random() < 0.4:
        z -= size + 0.34
        _add_plate(b, rng, -0.05, 0.0, z, 0.38, 0.26, 4)
    return b.finish(), (0.0,)


def _add_head(b: MeshBuilder, x: float, y: float, z: float, state: int, rgb: np.ndarray,
              scale: float, board: bool) -> None:
    """Signal head with three lenses that look along -x; z is its middle."""
    w, h = 0.36 * scale, 1.02 * scale
    b.add(make_box([0.22, w, h], [x, y, z]), mt.PLAIN, LIGHT, rgb)
    if board:
        b.add(make_box([0.02, w + 0.26, h + 0.26], [x + 0.09, y, z]), mt.PLAIN, LIGHT,
              rgb * 0.7)
    lit = [[1.0, 0.05, 0.03], [1.0, 0.55, 0.04], [0.05, 0.95, 0.45]]
    off = [[0.10, 0.01, 0.01], [0.09, 0.05, 0.01], [0.01, 0.07, 0.04]]
    for k in range(3):
        lens_z = z + (1 - k) * 0.32 * scale
        on = state == k
        b.add(make_disc([x - 0.115, y, lens_z], 0, 0.125 * scale, 12, flip=True),
              mt.LENS if on else mt.GLASS, LIGHT, lit[k] if on else off[k])
        b.add(make_box([0.18, 0.27 * scale, 0.02], [x - 0.19, y, lens_z + 0.135 * scale]),
              mt.PLAIN, LIGHT, rgb * 0.6)


def make_signal(rng: np.random.Generator, rgb: np.ndarray, reach: float, state: int) -> Mesh:
    """Traffic light: pole, head at the side and, with reach > 0, an arm along +y."""
    b = MeshBuilder()
    box: np.ndarray = np.array([0.02, 0.02, 0.02])
    if rng.random() >= 0.6:
        box = np.array([[0.05, 0.12, 0.07], [0.35, 0.26, 0.03]][int(rng.random() < 0.5)])
    board = bool(rng.random() < 0.5)
    height = 5.9 if reach > 0 else 3.6
    make_bar(b, [0, 0, 0], [0, 0, height], 0.09, 0.07, rgb, 4)
    _add_head(b, -0.2, 0.0, 2.9, state, box, 1.1, board)
    if reach > 0:
        make_bar(b, [0, 0, 5.6], [0, reach, 5.8], 0.06, 0.05, rgb, 4)
        _add_head(b, -0.15, reach - 0.2, 5.45, state, box, 1.2, True)
    b.add(make_box([0.18, 0.2, 0.4], [-0.05, 0.28, 2.4]), mt.PLAIN, LIGHT, box)
    return b.finish()


def make_fence(rng: np.random.Generator, length: float) -> Mesh:
    """Fence along x from 0 to length: one see-through panel, labelled as a whole."""
    b = MeshBuilder()
    palette = np.array([[0.05, 0.12, 0.07], [0.30, 0.31, 0.32], [0.22, 0.14, 0.08],
                        [0.03, 0.03, 0.03], [0.55, 0.54, 0.50], [0.16, 0.17, 0.10]])
    rgb = palette[rng.integers(len(palette))] * rng.uniform(0.7, 1.25)
    seed = int(rng.integers(1 << 20))
    height = fence_height(seed)
    quad = make_quad([0, 0, 0], [length, 0, 0], [length, 0, height], [0, 0, height])
    tex = make_quad([0, 0, 0], [length, 0, 0], [length, height, 0], [0, height, 0])[0]
    b.add(quad, mt.FENCE, FENCE, rgb, seed, texture=tex)
    return b.finish()


def fence_height(seed: int) -> float:
    """Height that the fence shader gives to a seed."""
    from seg_perception.sample.noise import hash_unit

    return 1.0 + 0.9 * float(hash_unit(4, 3, seed))


def make_wall(rng: np.random.Generator, length: float) -> Mesh:
    """Free-standing wall along x from 0 to length, 0.25 m thick, with a coping."""
    b = MeshBuilder()
    height = rng.uniform(0.9, 2.6)
    material = mt.BRICK if rng.random() < 0.5 else mt.CONCRETE
    palette = np.array([[0.30, 0.14, 0.09], [0.34, 0.33, 0.31], [0.45, 0.40, 0.32],
                        [0.55, 0.54, 0.50], [0.22, 0.21, 0.19], [0.20, 0.22, 0.15]])
    rgb = palette[rng.integers(len(palette))] * rng.uniform(0.7, 1.2)
    seed = int(rng.integers(1 << 20))
    for y, flip in ((-0.125, 1), (0.125, -1)):
        quad = make_quad([0, y, 0], [length, y, 0], [length, y, height], [0, y, height])
        tex = make_quad([0, 0, 0], [length, 0, 0], [length, height, 0], [0, height, 0])[0]
        b.add((quad[0], quad[1] * flip), material, WALL, rgb, seed, texture=tex)
    for x in (0.0, length):
        quad = make_quad([x, -0.125, 0], [x, 0.125, 0], [x, 0.125, height], [x, -0.125, height])
        tex = make_quad([0, 0, 0], [0.25, 0, 0], [0.25, height, 0], [0, height, 0])[0]
        b.add(quad, material, WALL, rgb, seed, texture=tex)
    b.add(make_box([length + 0.1, 0.34, 0.08], [length / 2, 0, height + 0.04]), mt.CONCRETE,
          WALL, rgb * 0.8 + 0.05, seed)
    return b.finish()
