# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where the street runs and how it is cut: path, lanes, sidewalks, crossings, block uses.

Street coordinates: s along the path in metres, t to the left of it. The ground is the plane
z = 0 everywhere (kerbs are flush), so that pixel to ground is closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.sample import material_ids as mt

CHUNK_M = 40.0
_STEP_M = 0.5
_BEFORE_M = 80.0
USES = ('urban', 'houses', 'park', 'walled', 'fenced', 'open')


def make_rng(*key: int) -> np.random.Generator:
    """Generator that depends on nothing but the key."""
    return np.random.default_rng([k & 0x7FFFFFFF for k in key])


class StreetPath:
    """Smooth random curve through the origin; heading 0 there."""

    def __init__(self, seed: int, length_m: float, bend_per_m: float) -> None:
        count = int((length_m + _BEFORE_M) / _STEP_M) + 2
        knots = make_rng(seed, 11).normal(0.0, 1.0, 4096)
        s = np.arange(count) * _STEP_M - _BEFORE_M
        at = (s + _BEFORE_M) / 60.0
        index = np.floor(at).astype(int)
        share = at - index
        share = share * share * (3 - 2 * share)
        curvature = bend_per_m * (knots[index % 4096] * (1 - share) +
                                  knots[(index + 1) % 4096] * share)
        curvature = np.clip(curvature, -0.011, 0.011)
        heading = np.concatenate([[0.0], np.cumsum(
            0.5 * (curvature[1:] + curvature[:-1]) * _STEP_M)])
        middle = 0.5 * (heading[1:] + heading[:-1])
        x = np.concatenate([[0.0], np.cumsum(np.cos(middle) * _STEP_M)])
        y = np.concatenate([[0.0], np.cumsum(np.sin(middle) * _STEP_M)])
        origin = int(_BEFORE_M / _STEP_M)
        c, si = np.cos(heading[origin]), np.sin(heading[origin])
        x, y = x - x[origin], y - y[origin]
        self.s = s
        self.x, self.y = c * x + si * y, c * y - si * x
        self.heading = heading - heading[origin]

    def locate(self, s: np.ndarray | float, t: np.ndarray | float) -> tuple:
        """World x, y and heading at street coordinates."""
        heading = np.interp(s, self.s, self.heading)
        x = np.interp(s, self.s, self.x) - np.sin(heading) * t
        y = np.interp(s, self.s, self.y) + np.cos(heading) * t
        return x, y, heading


@dataclass(frozen=True)
class StreetStyle:
    """Cross section and surfaces of the street of one seed. Left is +t; lengths in metres."""

    lanes: int
    lane_width: float
    parking: tuple[float, float]
    walk_width: tuple[float, float]
    verge: tuple[float, float]
    traffic_side: int
    bend: float
    center_style: int
    edge_line: bool
    dash: float
    gap: float
    road_rgb: tuple[float, float, float]
    patches: float
    wear: float
    walk_style: int
    walk_rgb: tuple[float, float, float]
    grass_rgb: tuple[float, float, float]
    dry: float
    kerb: float
    use_weights: tuple[float, ...]
    crossing_chance: float
    speed_mps: float
    traffic: float
    people: float

    @property
    def edges(self) -> tuple[float, float]:
        """Distance of the left and the right road edge from the path."""
        half = 0.5 * self.lanes * self.lane_width
        return half + self.parking[0], half + self.parking[1]

    def lane_center(self, lane: int) -> float:
        """Lateral t of a lane's centre; lane 0 is the leftmost."""
        return (0.5 * self.lanes - lane - 0.5) * self.lane_width

    def lane_direction(self, lane: int) -> int:
        """+1 with the path, -1 against it."""
        right_half = lane >= self.lanes - max(1, self.lanes // 2)
        if self.traffic_side < 0:
            right_half = lane < max(1, self.lanes // 2)
        return 1 if right_half else -1

    @property
    def ego_lane(self) -> int:
        """Outer lane of the driving side."""
        return self.lanes - 1 if self.traffic_side > 0 else 0

    def pack(self) -> np.ndarray:
        """Parameter vector of the road shader."""
        out = np.zeros(mt.S_SIZE)
        left, right = self.edges
        own = max(1, self.lanes // 2)
        out[mt.S_EDGE_LEFT], out[mt.S_EDGE_RIGHT] = left, right
        out[mt.S_LANE_START] = -0.5 * self.lanes * self.lane_width
        out[mt.S_LANE_WIDTH], out[mt.S_LANES] = self.lane_width, self.lanes
        out[mt.S_CENTER] = own if self.traffic_side > 0 else self.lanes - own
        out[mt.S_CENTER_STYLE], out[mt.S_EDGE_LINE] = self.center_style, float(self.edge_line)
        out[mt.S_DASH], out[mt.S_GAP] = self.dash, self.gap
        out[mt.S_ROAD_R:mt.S_ROAD_B + 1] = self.road_rgb
        out[mt.S_PATCHES], out[mt.S_WEAR] = self.patches, self.wear
        out[mt.S_WALK_STYLE] = self.walk_style
        out[mt.S_WALK_R:mt.S_WALK_B + 1] = self.walk_rgb
        out[mt.S_GRASS_R:mt.S_GRASS_B + 1] = self.grass_rgb
        out[mt.S_DRY], out[mt.S_KERB] = self.dry, self.kerb
        out[mt.S_PARK_LEFT], out[mt.S_PARK_RIGHT] = self.parking
        return out


def _draw_gray(rng: np.random.Generator, low: float, high: float,
               tint: float = 0.06) -> tuple[float, float, float]:
    base = rng.uniform(low, high)
    warm = rng.normal(0.0, tint)
    return (float(base * (1 + warm)), float(base * (1 + rng.normal(0.0, tint * 0.2))),
            float(base * (1 - warm)))


def draw_street_style(seed: int) -> StreetStyle:
    """Draw the street of a seed."""
    rng = make_rng(seed, 1)
    lanes = int(rng.choice([2, 2, 2, 3, 4]))
    character = rng.dirichlet(np.array([2.2, 1.8, 1.0, 1.0, 1.3, 0.5]))
    weights = 0.65 * character + 0.35 / len(USES)
    green = rng.uniform(0.08, 0.22)
    grass = (green * rng.uniform(0.45, 1.1), green, green * rng.uniform(0.2, 0.5))
    walk = _draw_gray(rng, 0.14, 0.42, 0.09)
    if rng.random() < 0.2:
        walk = (walk[0] * 1.15, walk[1] * 0.8, walk[2] * 0.65)
    wide = rng.random() < 0.5
    return StreetStyle(
        lanes=lanes, lane_width=float(rng.uniform(2.9, 3.6)),
        parking=(float(rng.choice([0.0, 2.1])), float(rng.choice([0.0, 2.1]))),
        walk_width=(float(rng.uniform(1.7, 4.2)), float(rng.uniform(1.7, 4.2))),
        verge=(float(rng.choice([0.0, rng.uniform(0.8, 2.5)])),
               float(rng.choice([0.0, rng.uniform(0.8, 2.5)]))),
        traffic_side=1 if rng.random() < 0.72 else -1, bend=float(rng.choice([0.0015, 0.004,
                                                                              0.008])),
        center_style=int(rng.choice([0, 0, 1, 2, 3])), edge_line=bool(rng.random() < 0.6),
        dash=float(rng.choice([2.0, 3.0, 4.0])), gap=float(rng.choice([3.0, 4.5, 6.0])),
        road_rgb=_draw_gray(rng, 0.07, 0.26, 0.07), patches=float(rng.uniform(0.1, 1.0)),
        wear=float(rng.uniform(0.12, 0.5)), walk_style=int(rng.integers(0, 4)), walk_rgb=walk,
        grass_rgb=(float(grass[0]), float(grass[1]), float(grass[2])),
        dry=float(rng.uniform(0.0, 1.0)), kerb=float(rng.uniform(0.25, 0.5)),
        use_weights=tuple(float(w) for w in weights),
        crossing_chance=float(rng.uniform(0.35, 0.65)),
        speed_mps=float(rng.uniform(6.0, 11.5) + (1.5 if wide else 0.0)),
        traffic=float(rng.uniform(0.35, 1.0)), people=float(rng.uniform(0.4, 1.3)))


@dataclass(frozen=True)
class ChunkPlan:
    """What happens on one stretch of CHUNK_M: crossing, zebra and the use of either side."""

    index: int
    start: float
    side_road: tuple[float, float] | None
    zebra: tuple[float, float] | None
    signals: bool
    uses: tuple[str, str]
    setbacks: tuple[float, float]

    @property
    def front(self) -> tuple[float, float]:
        """s range that buildings, gardens and parking may use."""
        low = self.start + 1.0
        if self.side_road is not None:
            low = self.side_road[1] + 3.0
        return low, self.start + CHUNK_M - 1.0


def plan_chunk(seed: int, index: int, style: StreetStyle) -> ChunkPlan:
    """Plan one stretch; a use tends to go on over the next stretches."""
    rng = make_rng(seed, 2, index)
    start = index * CHUNK_M
    side_road = zebra = None
    if index == 1 or rng.random() < style.crossing_chance:
        if index == 1 or rng.random() < 0.65:
            width = float(rng.uniform(6.5, 10.0))
            side_road = (start + 6.5, start + 6.5 + width)
        zebra = (start + 1.5, start + 4.7)
    uses, setbacks = [], []
    for side in range(2):
        pair = make_rng(seed, 3 + side, index // 2)
        use = str(pair.choice(USES, p=np.array(style.use_weights) / sum(style.use_weights)))
        if rng.random() < 0.25:
            use = str(rng.choice(USES))
        uses.append(use)
        setbacks.append(float(rng.uniform(4.0, 8.0)) if use == 'houses' else
                        float(rng.uniform(0.0, 0.6)) if use == 'urban' else
                        float(rng.uniform(0.3, 1.5)))
    return ChunkPlan(index, start, side_road, zebra, bool(rng.random() < 0.8),
                     (uses[0], uses[1]), (setbacks[0], setbacks[1]))
