# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes and the few primitives from which the street is built.

A primitive is a pair (vertices, normals), each (T, 3, 3) float32, in metres; textures are in the
object's own coordinates unless given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.sample.noise import compiled

Primitive = tuple[np.ndarray, np.ndarray]
Vector = Sequence[float] | np.ndarray


_NO_PARTS = np.zeros(0, np.int64)


@compiled
def move_parts(vertices, normals, part_of, linears, offsets, scale):
    """Transform triangles, each by the transform of its part (an empty part_of: the first).

    vertices, normals: (T, 3, 3) float32; part_of: (T,) int64; linears: (P, 3, 3) float64;
    offsets: (P, 3). Normals are turned by linears / scale. Returns new vertices and normals.
    """
    out = np.empty_like(vertices)
    out_normals = np.empty_like(normals)
    for t in range(vertices.shape[0]):
        p = part_of[t] if part_of.shape[0] > 0 else 0
        for k in range(3):
            for a in range(3):
                at = offsets[p, a]
                turned = 0.0
                for b in range(3):
                    at += linears[p, a, b] * vertices[t, k, b]
                    turned += linears[p, a, b] * normals[t, k, b]
                out[t, k, a] = at
                out_normals[t, k, a] = turned / scale
    return out, out_normals


@dataclass(frozen=True)
class Mesh:
    """Triangles with all that rasteriser and shader need.

    vertices, texture, normals: (T, 3, 3) float32; material, instance, seeds: (T,) int32;
    label: (T,) uint8 Cityscapes train id; color: (T, 3) float32 linear RGB albedo.
    `instance` is the id within its class (0 for stuff).
    """

    vertices: np.ndarray
    texture: np.ndarray
    normals: np.ndarray
    material: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    color: np.ndarray
    seeds: np.ndarray

    def place(self, transform: np.ndarray, instance: int | None = None,
              tint: Vector | None = None) -> Mesh:
        """Copy of the mesh moved by a 4x4 similarity transform; texture stays with the object."""
        ids = self.instance if instance is None else np.full_like(self.instance, instance)
        color = self.color if tint is None else self.color * np.asarray(tint, np.float32)
        scale = float(np.linalg.norm(transform[:3, 0]))
        vertices, normals = move_parts(
            self.vertices, self.normals, _NO_PARTS, transform[None, :3, :3].copy(),
            transform[None, :3, 3].copy(), scale)
        return Mesh(vertices, self.texture, normals, self.material, self.label, ids, color,
                    self.seeds)


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all the triangles in order."""
    return Mesh(*(np.concatenate([getattr(m, name) for m in meshes])
                  for name in Mesh.__dataclass_fields__))


class MeshPool:
    """Standing meshes in arrays with room behind them for what moves, filled anew per frame."""

    def __init__(self, meshes: Sequence[Mesh], room: int = 60_000) -> None:
        self._room = room
        self._count = sum(len(m.material) for m in meshes)
        first = meshes[0]
        self._arrays = {}
        for name in Mesh.__dataclass_fields__:
            like = getattr(first, name)
            array = np.empty((self._count + room, *like.shape[1:]), like.dtype)
            np.concatenate([getattr(m, name) for m in meshes], out=array[:self._count])
            self._arrays[name] = array

    def extend(self, meshes: Sequence[Mesh]) -> Mesh:
        """The standing meshes followed by others; valid until the next call."""
        total = self._count + sum(len(m.material) for m in meshes)
        if total - self._count > self._room:
            self._room = 2 * (total - self._count)
            for name, array in self._arrays.items():
                larger = np.empty((self._count + self._room, *array.shape[1:]), array.dtype)
                larger[:self._count] = array[:self._count]
                self._arrays[name] = larger
        if meshes:
            for name, array in self._arrays.items():
                np.concatenate([getattr(m, name) for m in meshes],
                               out=array[self._count:total])
        return Mesh(*(self._arrays[name][:total] for name in Mesh.__dataclass_fields__))


class MeshBuilder:
    """Collects primitives of one object or one stretch of street."""

    def __init__(self) -> None:
        self._parts: list[tuple] = []
        self._meshes: list[Mesh] = []

    def add(self, primitive: Primitive, material: int, label: int, color: Vector,
            seed: int = 0, instance: int = 0, texture: np.ndarray | None = None,
            transform: np.ndarray | None = None) -> None:
        """Add a primitive; its texture coordinates default to its own coordinates."""
        vertices, normals = primitive
        tex = vertices if texture is None else texture
        if transform is not None:
            linear = transform[:3, :3].astype(np.float32)
            vertices = vertices @ linear.T + transform[:3, 3].astype(np.float32)
            normals = normals @ linear.T
        self._parts.append((vertices, tex, normals, material, label, instance, color, seed))

    def add_mesh(self, mesh: Mesh) -> None:
        """Add a finished mesh."""
        self._meshes.append(mesh)

    def finish(self) -> Mesh:
        """The mesh of everything added so far."""
        parts = self._parts
        meshes = list(self._meshes)
        if parts:
            counts = np.array([len(p[0]) for p in parts])

            def spread(column: int, dtype: type) -> np.ndarray:
                return np.repeat(np.array([p[column] for p in parts], dtype), counts, axis=0)

            meshes.append(Mesh(
                np.concatenate([p[0] for p in parts]).astype(np.float32, copy=False),
                np.concatenate([p[1] for p in parts]).astype(np.float32, copy=False),
                np.concatenate([p[2] for p in parts]).astype(np.float32, copy=False),
                spread(3, np.int32), spread(4, np.uint8), spread(5, np.int32),
                spread(6, np.float32), spread(7, np.int32)))
        if not meshes:
            zero3 = np.zeros((0, 3, 3), np.float32)
            ints = np.zeros(0, np.int32)
            return Mesh(zero3, zero3, zero3, ints, ints.astype(np.uint8), ints,
                        np.zeros((0, 3), np.float32), ints)
        return meshes[0] if len(meshes) == 1 else join_meshes(meshes)


def make_pose(x: float, y: float, z: float, yaw: float, scale: float = 1.0) -> np.ndarray:
    """4x4 transform: yaw about z, then translation."""
    c, s = np.cos(yaw) * scale, np.sin(yaw) * scale
    return np.array([[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, scale, z], [0, 0, 0, 1.0]])


def flat_normals(vertices: np.ndarray) -> np.ndarray:
    """Face normals, the same at the three corners."""
    normal = np.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.repeat(normal[:, None, :], 3, axis=1).astype(np.float32)


_CUBE = np.array([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1],
                  [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32) / 2
_CUBE_FACES = np.array([[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
                        [2, 3, 7], [2, 7, 6], [1, 2, 6], [1, 6, 5], [3, 0, 4], [3, 4, 7]])
_CUBE_TRIANGLES = _CUBE[_CUBE_FACES]
_CUBE_NORMALS = flat_normals(_CUBE_TRIANGLES)


def make_box(size: Vector, center: Vector) -> Primitive:
    """Axis-aligned box."""
    return (_CUBE_TRIANGLES * np.asarray(size, np.float32) + np.asarray(center, np.float32),
            _CUBE_NORMALS)


def make_quad(a: Vector, b: Vector, c: Vector,
              d: Vector) -> Primitive:
    """Flat quadrilateral from four corners in order."""
    vertices = np.array([[a, b, c], [a, c, d]], np.float32)
    return vertices, flat_normals(vertices)


def make_limbs(start: np.ndarray, end: np.ndarray, radius_start: np.ndarray | float,
               radius_end: np.ndarray | float, sides: int = 8, rounded: bool = True) -> Primitive:
    """Tapered round bars, (N, 3) to (N, 3) with radii (N,): limbs, poles, tubes, branches."""
    start, end = np.atleast_2d(start).astype(float), np.atleast_2d(end).astype(float)
    axis = end - start
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(axis[:, 2:3]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(axis, side)
    angle = np.arange(sides) * (2 * np.pi / sides)
    radial = (np.cos(angle)[None, :, None] * side[:, None] +
              np.sin(angle)[None, :, None] * other[:, None])
    r0 = np.broadcast_to(np.asarray(radius_start, float), len(start))[:, None, None]
    r1 = np.broadcast_to(np.asarray(radius_end, float), len(start))[:, None, None]
    down, up = -axis[:, None, :], axis[:, None, :]
    cap = 0.7 if rounded else 0.0
    rings = [start[:, None] + down * r0 * cap + radial * r0 * 0.6 * bool(rounded),
             start[:, None] + radial * r0, end[:, None] + radial * r1,
             end[:, None] + up * r1 * cap + radial * r1 * 0.6 * bool(rounded)]
    ring_normals = [radial * 0.5 + down, radial, radial, radial * 0.5 + up]
    if not rounded:
        rings, ring_normals = rings[1:3], ring_normals[1:3]
    points = np.stack(rings, 1)
    normals = np.stack(ring_normals, 1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    vertices, out_normals = _sew_rings(points, normals)
    return vertices, out_normals


def _sew_rings(points: np.ndarray, normals: np.ndarray) -> Primitive:
    """Triangles between consecutive closed rings, (N, R, K, 3) -> (T, 3, 3)."""
    a, an = points[:, :-1], normals[:, :-1]
    b, bn = points[:, 1:], normals[:, 1:]
    a2, an2 = np.roll(a, -1, 2), np.roll(an, -1, 2)
    b2, bn2 = np.roll(b, -1, 2), np.roll(bn, -1, 2)
    vertices = np.stack([np.stack([a, a2, b2], -2), np.stack([a, b2, b], -2)], -3)
    out = np.stack([np.stack([an, an2, bn2], -2), np.stack([an, bn2, bn], -2)], -3)
    return (vertices.reshape(-1, 3, 3).astype(np.float32),
            out.reshape(-1, 3, 3).astype(np.float32))


def make_disc(center: Vector, axis: int, radius: float, sides: int = 14,
              flip: bool = False) -> Primitive:
    """Flat disc with its normal along +-axis."""
    angle = np.arange(sides + 1) * (2 * np.pi / sides)
    ring = np.zeros((sides + 1, 3))
    ring[:, (axis + 1) % 3] = np.cos(angle) * radius
    ring[:, (axis + 2) % 3] = np.sin(angle) * radius
    ring += np.asarray(center, float)
    middle = np.broadcast_to(np.asarray(center, float), (sides, 3))
    vertices = np.stack([middle, ring[:-1], ring[1:]], 1).astype(np.float32)
    normals = np.zeros_like(vertices)
    normals[..., axis] = -1.0 if flip else 1.0
    return vertices, normals


def make_loft(sections: np.ndarray, close_ends: bool = True) -> Primitive:
    """Skin over (S, K, 3) closed cross sections, flat shaded, ends closed by fans."""
    points = np.asarray(sections, float)[None]
    vertices, _ = _sew_rings(points, np.ones_like(points))
    parts = [vertices]
    if close_ends:
        for ring in (sections[0], sections[-1]):
            middle = np.broadcast_to(ring.mean(0), ring.shape)
            parts.append(np.stack([middle, ring, np.roll(ring, -1, 0)], 1))
    out = np.concatenate(parts).astype(np.float32)
    return out, flat_normals(out)


def _make_sphere() -> np.ndarray:
    """Unit sphere of 128 triangles as (T, 3, 3)."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, 7)
    lon = np.arange(12) * (2 * np.pi / 12)
    grid = np.stack([np.cos(lat)[:, None] * np.cos(lon), np.cos(lat)[:, None] * np.sin(lon),
                     np.sin(lat)[:, None] * np.ones(12)], -1)
    vertices, _ = _sew_rings(grid[None], grid[None])
    size = np.linalg.norm(np.cross(vertices[:, 1] - vertices[:, 0],
                                   vertices[:, 2] - vertices[:, 0]), axis=1)
    return vertices[size > 1e-6]


_SPHERE = _make_sphere()


def make_ellipsoid(center: Vector, radii: Vector,
                   bumps: np.ndarray | None = None) -> Primitive:
    """Ellipsoid; bumps (K, 4) of direction and amount push the surface in and out."""
    unit = _SPHERE
    scale = np.ones(unit.shape[:2], np.float32)
    if bumps is not None:
        cosine = unit @ bumps[:, :3].T.astype(np.float32)
        scale = 1.0 + (np.exp(6.0 * (cosine - 1.0)) @ bumps[:, 3].astype(np.float32))
    r = np.asarray(radii, np.float32)
    normals = unit / r
    normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    return unit * scale[..., None] * r + np.asarray(center, np.float32), normals
