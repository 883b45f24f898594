# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The ground: strips of road, kerb, sidewalk and terrain on the plane z = 0."""

from __future__ import annotations

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.layout import CHUNK_M, ChunkPlan, StreetPath, StreetStyle
from seg_perception.sample.mesh import Mesh, MeshBuilder

ROAD, SIDEWALK, TERRAIN = 0, 1, 9
FAR_M = 70.0
KERB_M = 0.2
_PIECE_M = 2.0

Zone = tuple[float, float, int, int]  # from t, to t, label, material


def _list_side_zones(side: int, use: str, setback: float, style: StreetStyle) -> list[Zone]:
    """Zones from the road edge outwards as distances from the path."""
    edge = style.edges[side]
    zones: list[Zone] = [(edge, edge + KERB_M, SIDEWALK, mt.KERB)]
    at = edge + KERB_M
    if style.verge[side] > 0:
        zones.append((at, at + style.verge[side], TERRAIN, mt.GRASS))
        at += style.verge[side]
    outer = at + style.walk_width[side] + (setback + 0.5 if use == 'urban' else 0.0)
    zones.append((at, outer, SIDEWALK, mt.SIDEWALK))
    rough = mt.GRAVEL if use == 'fenced' else mt.GRASS
    zones.append((outer, FAR_M, TERRAIN, rough))
    return zones


def _list_zones(plan: ChunkPlan, style: StreetStyle, s: float) -> list[Zone]:
    """Zones across the street at s, from right to left, in t."""
    left, right = style.edges
    kind = mt.ROAD
    junction = corner = False
    if plan.side_road is not None:
        a, b = plan.side_road
        junction = a <= s < b
        corner = a - 2.0 <= s < a or b <= s < b + 2.0
    if plan.zebra is not None:
        if plan.zebra[0] <= s < plan.zebra[1]:
            kind = mt.ZEBRA
        elif plan.side_road is not None and plan.zebra[0] - 0.8 <= s < plan.side_road[1] + 0.6:
            kind = mt.ROAD_PLAIN
    if junction:
        return [(-FAR_M, FAR_M, ROAD, mt.ROAD_PLAIN)]
    zones: list[Zone] = [(-right, left, ROAD, kind)]
    for side, sign in ((0, 1.0), (1, -1.0)):
        if corner:
            edge = style.edges[side]
            out = [(edge, edge + KERB_M, SIDEWALK, mt.KERB),
                   (edge + KERB_M, FAR_M, SIDEWALK, mt.SIDEWALK)]
        else:
            out = _list_side_zones(side, plan.uses[side], plan.setbacks[side], style)
        zones += [(sign * a, sign * b, label, material) for a, b, label, material in out]
    return zones


def make_ground(plan: ChunkPlan, style: StreetStyle, path: StreetPath, seed: int) -> Mesh:
    """Ground of one stretch; texture coordinates are (s, t, depth into the kerb)."""
    start, end = plan.start, plan.start + CHUNK_M
    cuts = list(np.arange(start, end + 0.1, _PIECE_M))
    if plan.side_road is not None:
        a, b = plan.side_road
        cuts += [a - 2.0, a, b, b + 2.0, b + 0.6]
    if plan.zebra is not None:
        cuts += [plan.zebra[0] - 0.8, *plan.zebra]
    cuts = sorted({round(min(max(c, start), end), 3) for c in cuts})
    groups: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}
    for s0, s1 in zip(cuts[:-1], cuts[1:], strict=True):
        for t0, t1, label, material in _list_zones(plan, style, 0.5 * (s0 + s1)):
            groups.setdefault((label, material), []).append((s0, s1, t0, t1))
    builder = MeshBuilder()
    for (label, material), rows in groups.items():
        r = np.array(rows)
        s = np.stack([r[:, 0], r[:, 1], r[:, 1], r[:, 0]], 1)
        t = np.stack([r[:, 2], r[:, 2], r[:, 3], r[:, 3]], 1)
        x, y, _ = path.locate(s, t)
        corners = np.stack([x, y, 0 * x], -1)
        across = np.broadcast_to([0.0, 0.0, 1.0, 1.0], s.shape)
        tex = np.stack([s, t, across], -1)
        order = [[0, 1, 2], [0, 2, 3]]
        vertices = corners[:, order].reshape(-1, 3, 3).astype(np.float32)
        normals = np.zeros_like(vertices)
        normals[..., 2] = 1.0
        color = style.walk_rgb if material == mt.GRAVEL else (0.3, 0.3, 0.3)
        builder.add((vertices, normals), material, label, color, seed & 0xFFFFF,
                    texture=tex[:, order].reshape(-1, 3, 3).astype(np.float32))
    return builder.finish()
