# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Trees, bushes and hedges: blobs of foliage under ragged leaf cards, trunks and branches."""

from __future__ import annotations

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.mesh import Mesh, MeshBuilder, make_box, make_ellipsoid, make_limbs

VEGETATION = 8
KINDS = ('round', 'round', 'tall', 'cone', 'bare', 'palm')


def _make_cards(rng: np.random.Generator, centers: np.ndarray, outward: np.ndarray,
                size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Square cards of random attitude, lit as the surface that they stand on."""
    count = len(centers)
    a = rng.normal(size=(count, 3))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(a, rng.normal(size=(count, 3)))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    a, b = a * size[:, None], b * size[:, None]
    corner = np.stack([centers - a - b, centers + a - b, centers + a + b, centers - a + b], 1)
    halves = np.array([[0, 1, 2], [0, 2, 3]])  # NumPy before 1.23 takes a list for two indices
    vertices = corner[:, halves].reshape(-1, 3, 3)
    uv = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    texture = np.tile(uv[halves], (count, 1, 1, 1)).reshape(-1, 3, 3)
    normals = np.repeat(np.repeat(outward, 2, 0)[:, None], 3, 1)
    return vertices.astype(np.float32), texture, normals.astype(np.float32)


def _add_crown(builder: MeshBuilder, rng: np.random.Generator, centers: np.ndarray,
               radii: np.ndarray, cards: int, size_m: float, rgb: np.ndarray) -> None:
    for center, radius in zip(centers, radii, strict=True):
        bumps = np.concatenate([rng.normal(size=(7, 3)), rng.uniform(-0.25, 0.3, (7, 1))], 1)
        bumps[:, :3] /= np.linalg.norm(bumps[:, :3], axis=1, keepdims=True)
        builder.add(make_ellipsoid(center, radius * 0.86, bumps), mt.FOLIAGE, VEGETATION,
                    rgb * 0.8, int(rng.integers(1 << 20)))
    pick = rng.integers(0, len(centers), cards)
    out = rng.normal(size=(cards, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    spots = centers[pick] + out * radii[pick] * rng.uniform(0.75, 1.08, (cards, 1))
    spots[:, 2] = np.maximum(spots[:, 2], 0.15)
    vertices, texture, normals = _make_cards(rng, spots, out,
                                             size_m * rng.uniform(0.6, 1.2, cards))
    groups = 6
    for g in range(groups):
        part = np.arange(g * cards // groups * 2, (g + 1) * cards // groups * 2)
        builder.add((vertices[part], normals[part]), mt.LEAF, VEGETATION,
                    rgb * rng.uniform(0.8, 1.25), int(rng.integers(1 << 20)),
                    texture=texture[part])


def make_tree(rng: np.random.Generator, kind: str, rgb: np.ndarray, bark: np.ndarray) -> Mesh:
    """Tree of about its natural size, trunk at the origin."""
    builder = MeshBuilder()
    height = rng.uniform(2.2, 3.4)
    lean = rng.normal(0.0, 0.12, 2)
    top = np.array([lean[0], lean[1], height])
    girth = rng.uniform(0.12, 0.26)
    seed = int(rng.integers(1 << 20))

    def add_wood(start: np.ndarray, end: np.ndarray, r0: np.ndarray, r1: np.ndarray) -> None:
        builder.add(make_limbs(start, end, r0, r1, 6, rounded=False), mt.BARK, VEGETATION,
                    bark, seed)

    if kind == 'cone':
        height = rng.uniform(6.0, 10.0)
        add_wood(np.zeros(3), np.array([0, 0, height * 0.8]), np.array([girth]), np.array([0.05]))
        levels = 7
        share = np.linspace(0.0, 1.0, levels)
        centers = np.stack([np.zeros(levels), np.zeros(levels), 1.2 + share * (height - 1.6)], 1)
        wide = (1.0 - share) * rng.uniform(1.5, 2.2) + 0.25
        radii = np.stack([wide, wide, np.full(levels, height / levels * 0.8)], 1)
        _add_crown(builder, rng, centers, radii, 130, 0.42, rgb * 0.8)
        return builder.finish()
    if kind == 'palm':
        height = rng.uniform(4.5, 7.0)
        add_wood(np.zeros(3), np.array([0, 0, height]), np.array([girth]), np.array([0.12]))
        centers = np.array([[0, 0, height]]) + rng.normal(0, 0.5, (5, 3))
        _add_crown(builder, rng, centers, np.tile([[1.1, 1.1, 0.6]], (5, 1)), 80, 0.5, rgb)
        return builder.finish()
    add_wood(np.zeros(3), top, np.array([girth]), np.array([girth * 0.7]))
    count = 9 if kind == 'bare' else 5
    turn = rng.uniform(0, 6.28, count)
    reach = rng.uniform(1.2, 2.2, count)
    rise = rng.uniform(1.2, 3.0, count)
    ends = top + np.stack([np.cos(turn) * reach, np.sin(turn) * reach, rise], 1)
    add_wood(np.tile(top, (count, 1)), ends, np.full(count, girth * 0.55), np.full(count, 0.03))
    if kind == 'bare':
        twigs = 90
        base = rng.integers(0, count, twigs)
        along = rng.uniform(0.3, 1.0, (twigs, 1))
        start = top + (ends[base] - top) * along
        end = start + rng.normal(0, 0.5, (twigs, 3)) + [0, 0, 0.5]
        add_wood(start, end, np.full(twigs, 0.025), np.full(twigs, 0.012))
        return builder.finish()
    blobs = 7 if kind == 'round' else 6
    if kind == 'tall':
        centers = np.stack([rng.normal(0, 0.25, blobs), rng.normal(0, 0.25, blobs),
                            np.linspace(2.0, 7.5, blobs)], 1)
        radii = np.tile([[1.15, 1.15, 1.2]], (blobs, 1)) * rng.uniform(0.75, 1.15, (blobs, 1))
    else:
        centers = top + np.concatenate([[[0, 0, 1.6]], (ends - top)[:5] * 0.75,
                                        [[0.0, 0.0, 2.6]]])
        radii = np.array([1.6, 1.5, 1.25]) * rng.uniform(0.75, 1.15, (blobs, 1))
    _add_crown(builder, rng, centers, radii, 190, 0.48, rgb)
    return builder.finish()


def make_bush(rng: np.random.Generator, rgb: np.ndarray) -> Mesh:
    """Bush of about 1 m."""
    builder = MeshBuilder()
    centers = np.concatenate([rng.normal(0, 0.35, (3, 2)), np.full((3, 1), 0.5)], 1)
    radii = np.array([0.6, 0.6, 0.55]) * rng.uniform(0.7, 1.2, (3, 1))
    _add_crown(builder, rng, centers, radii, 40, 0.22, rgb)
    return builder.finish()


def make_hedge(rng: np.random.Generator, length: float, height: float, rgb: np.ndarray) -> Mesh:
    """Clipped hedge along x from 0 to length, 0.7 m thick."""
    builder = MeshBuilder()
    builder.add(make_box([length, 0.62, height], [length / 2, 0, height / 2]), mt.FOLIAGE,
                VEGETATION, rgb * 0.85, int(rng.integers(1 << 20)))
    cards = max(int(length * 9), 6)
    spots = np.stack([rng.uniform(0, length, cards), rng.choice([-0.31, 0.31], cards),
                      rng.uniform(0.1, height, cards)], 1)
    on_top = rng.random(cards) < 0.4
    spots[on_top, 1] = rng.uniform(-0.3, 0.3, on_top.sum())
    spots[on_top, 2] = height
    out = np.where(on_top[:, None], [[0.0, 0.0, 1.0]],
                   np.stack([np.zeros(cards), np.sign(spots[:, 1]), np.full(cards, 0.3)], 1))
    vertices, texture, normals = _make_cards(rng, spots, out, rng.uniform(0.1, 0.22, cards))
    builder.add((vertices, normals), mt.LEAF, VEGETATION, rgb, int(rng.integers(1 << 20)),
                texture=texture)
    return builder.finish()


def draw_leaf_rgb(rng: np.random.Generator, season: float) -> np.ndarray:
    """Leaf colour; season 0 is fresh green, 1 is autumn."""
    green = rng.uniform(0.08, 0.24)
    rgb = np.array([green * rng.uniform(0.4, 0.95), green, green * rng.uniform(0.15, 0.5)])
    if rng.random() < season:
        rgb = np.array([0.36, 0.20, 0.05]) * rng.uniform(0.5, 1.2) + rng.uniform(0, 0.05, 3)
    return rgb
