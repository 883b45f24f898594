# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The standing world: one mesh per stretch of street, built on demand from seed and index."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seg_perception.sample import furniture, vegetation, vehicles
from seg_perception.sample.buildings import make_building
from seg_perception.sample.ground import make_ground
from seg_perception.sample.layout import (
    CHUNK_M,
    ChunkPlan,
    StreetPath,
    StreetStyle,
    make_rng,
    plan_chunk,
)
from seg_perception.sample.mesh import Mesh, MeshBuilder, make_pose


@dataclass(frozen=True)
class StandingObject:
    """A thing or a standing piece of scenery.

    pose: 4x4 world from object (origin on the ground, x along `size[0]`); size: length, width,
    height of its footprint box in metres; instance: id within the class, 0 for stuff.
    """

    label: int
    instance: int
    pose: np.ndarray
    size: tuple[float, float, float]


@dataclass
class Chunk:
    """One stretch of street: triangles, ground triangles alone, and footprints."""

    mesh: Mesh
    ground: Mesh
    objects: list[StandingObject] = field(default_factory=list)


@dataclass(frozen=True)
class Library:
    """Models shared by all the stretches of a seed; drawn once, placed many times."""

    cars: list[vehicles.VehicleModel]
    trucks: list[vehicles.VehicleModel]
    buses: list[vehicles.VehicleModel]
    bicycles: list[vehicles.VehicleModel]
    motorcycles: list[vehicles.VehicleModel]
    trees: list[Mesh]
    bushes: list[Mesh]


def make_library(seed: int) -> Library:
    """Draw the models of a seed."""
    rng = make_rng(seed, 5)
    season = float(rng.choice([0.0, 0.0, 0.15, 0.6]))
    bark = np.array([0.16, 0.12, 0.09]) * rng.uniform(0.5, 1.5)
    kinds = rng.choice(vegetation.KINDS, 6)
    return Library(
        [vehicles.make_car(rng) for _ in range(16)], [vehicles.make_truck(rng) for _ in range(5)],
        [vehicles.make_bus(rng) for _ in range(2)],
        [vehicles.make_bicycle(rng) for _ in range(5)],
        [vehicles.make_bicycle(rng, motor=True) for _ in range(3)],
        [vegetation.make_tree(rng, str(k), vegetation.draw_leaf_rgb(rng, season), bark)
         for k in kinds],
        [vegetation.make_bush(rng, vegetation.draw_leaf_rgb(rng, season)) for _ in range(4)])


class ChunkBuilder:
    """Builds the stretch `index` of a street."""

    def __init__(self, seed: int, index: int, style: StreetStyle, path: StreetPath,
                 library: Library) -> None:
        self.plan: ChunkPlan = plan_chunk(seed, index, style)
        self.style, self.path, self.library, self.seed = style, path, library, seed
        self.rng = make_rng(seed, 6, index)
        self.builder = MeshBuilder()
        self.objects: list[StandingObject] = []
        self.instances = {13: (index * 14) % 560, 14: (index * 3) % 300, 15: (index * 2) % 300,
                          17: (index * 5) % 400, 18: (index * 12) % 500}

    def build(self) -> Chunk:
        """Ground, frontage, furniture and parked vehicles of the stretch."""
        ground = make_ground(self.plan, self.style, self.path, self.seed)
        for side in (0, 1):
            self._build_frontage(side)
            self._place_furniture(side)
            self._park_vehicles(side)
            self._build_background(side)
        if self.plan.zebra is not None and self.plan.signals:
            self._place_signals()
        self.builder.add_mesh(ground)
        return Chunk(self.builder.finish(), ground, self.objects)

    def _walk_inner(self, side: int) -> float:
        return self.style.edges[side] + 0.2 + self.style.verge[side]

    def _walk_outer(self, side: int) -> float:
        return self._walk_inner(side) + self.style.walk_width[side]

    def _pose(self, side: int, s: float, distance: float, outward: bool = False) -> np.ndarray:
        """Pose at a distance from the path on a side; outward: x along, y away from the road."""
        sign = 1.0 if side == 0 else -1.0
        x, y, heading = self.path.locate(s, sign * distance)
        return make_pose(float(x), float(y), 0.0,
                         float(heading) + (np.pi if outward and side else 0.0))

    def _put(self, mesh: Mesh, pose: np.ndarray, label: int, size: tuple[float, float, float],
             instance: int = 0, center: np.ndarray | None = None) -> None:
        """Place a mesh and note its footprint (box centre in the object's frame by center)."""
        self.builder.add_mesh(mesh.place(pose, instance if instance else None))
        box = pose.copy()
        if center is not None:
            box[:3, 3] = pose[:3, :3] @ center + pose[:3, 3]
        scale = float(np.linalg.norm(pose[:3, 0]))
        box[:3, :3] /= scale
        self.objects.append(StandingObject(label, instance, box,
                                           (size[0] * scale, size[1] * scale, size[2] * scale)))

    def _put_tree(self, pose: np.ndarray, bush: bool = False) -> None:
        pool = self.library.bushes if bush else self.library.trees
        mesh = pool[int(self.rng.integers(len(pool)))]
        scale = float(self.rng.uniform(0.75, 1.3))
        turn = make_pose(0, 0, 0, float(self.rng.uniform(0, 6.28)), scale)
        tint = self.rng.uniform(0.8, 1.2) * (1 + self.rng.normal(0, 0.05, 3))
        width = 1.0 if bush else 0.4
        self.builder.add_mesh(mesh.place(pose @ turn, tint=tint))
        self.objects.append(StandingObject(vegetation.VEGETATION, 0, pose,
                                           (width * scale, width * scale, 3.0)))

    def _run(self, side: int, low: float, high: float, distance: float, kind: str) -> None:
        """Fence, wall or hedge along the street in pieces that follow its curve."""
        style_seed = int(self.rng.integers(1 << 30))
        rgb = vegetation.draw_leaf_rgb(self.rng, 0.0)
        hedge = float(self.rng.uniform(0.9, 1.8))
        pieces = max(int(np.ceil((high - low) / 5.0)), 1)
        length = (high - low) / pieces
        for k in range(pieces):
            middle = low + (k + 0.5) * length
            sign = 1.0 if side == 0 else -1.0
            bend = np.interp(middle + 1, self.path.s, self.path.heading) - np.interp(
                middle - 1, self.path.s, self.path.heading)
            run = length * (1.0 - 0.5 * float(bend) * sign * distance) + 0.02
            pose = self._pose(side, middle, distance, outward=True) @ make_pose(-run / 2, 0, 0, 0)
            rng = np.random.default_rng(style_seed)
            if kind == 'fence':
                mesh, label, thick = furniture.make_fence(rng, run), furniture.FENCE, 0.1
            elif kind == 'wall':
                mesh, label, thick = furniture.make_wall(rng, run), furniture.WALL, 0.25
            else:
                mesh = vegetation.make_hedge(rng, run, hedge, rgb)
                label, thick = vegetation.VEGETATION, 0.7
            self._put(mesh, pose, label, (run, thick, 1.5), center=np.array([run / 2, 0, 0]))

    def _build_row(self, side: int, low: float, high: float, distance: float,
                   low_rise: bool) -> None:
        """Row of buildings whose fronts stand at a distance from the path."""
        rng = self.rng
        s = low + (rng.uniform(1, 3) if low_rise else 0.0)
        while s < high - 6.0:
            width = float(rng.uniform(7.5, 12.0) if low_rise else rng.uniform(8.0, 18.0))
            width = min(width, high - s)
            depth = float(rng.uniform(8.0, 13.0))
            mesh = make_building(rng, width, depth, low_rise)
            pose = self._pose(side, s + width / 2, distance, outward=True)
            pose = pose @ make_pose(-width / 2, float(rng.choice([0.0, 0.0, 0.5])), 0, 0)
            self._put(mesh, pose, 2, (width, depth, 8.0),
                      center=np.array([width / 2, depth / 2, 0]))
            s += width + (float(rng.uniform(2.5, 7.0)) if low_rise else
                          float(rng.choice([0.0, 0.0, 2.5])))

    def _scatter_trees(self, side: int, near: float, far: float, per_m: float,
                       bushes: float = 0.3) -> None:
        low, high = self.plan.front
        for _ in range(self.rng.poisson((high - low) * per_m)):
            pose = self._pose(side, float(self.rng.uniform(low, high)),
                              float(self.rng.uniform(near, far)))
            self._put_tree(pose, bool(self.rng.random() < bushes))

    def _build_frontage(self, side: int) -> None:
        use, setback = self.plan.uses[side], self.plan.setbacks[side]
        low, high = self.plan.front
        outer = self._walk_outer(side)
        rng = self.rng
        if use == 'urban':
            self._build_row(side, low, high, outer + setback, low_rise=False)
        elif use == 'houses':
            self._build_row(side, low, high, outer + setback, low_rise=True)
            gap = float(rng.uniform(low + 5, high - 8)) if high - low > 16 else high
            kind = str(rng.choice(['fence', 'fence', 'wall', 'hedge', 'none']))
            if kind != 'none':
                self._run(side, low, gap, outer + 0.25, kind)
                if gap < high - 7:
                    self._run(side, gap + 3.5, high, outer + 0.25, kind)
            self._scatter_trees(side, outer + 1.5, outer + setback - 0.8, 0.08, 0.5)
        elif use == 'park':
            self._scatter_trees(side, outer + 1.0, outer + 26.0, 0.5)
            if rng.random() < 0.6:
                self._run(side, low, high, outer + 0.2,
                          str(rng.choice(['fence', 'fence', 'wall', 'hedge'])))
        elif use == 'walled':
            self._run(side, low, high, outer + 0.2, 'wall')
            if rng.random() < 0.5:
                self._build_row(side, low, high, outer + 6.0, low_rise=bool(rng.random() < 0.5))
            self._scatter_trees(side, outer + 2.0, outer + 5.0, 0.12, 0.1)
        elif use == 'fenced':
            self._run(side, low, high, outer + 0.2, 'fence')
            if rng.random() < 0.6:
                self._build_row(side, low, high, outer + 9.0, low_rise=False)
            self._scatter_trees(side, outer + 3.0, outer + 8.0, 0.12)
        else:
            self._scatter_trees(side, outer + 2.0, outer + 30.0, 0.18, 0.6)
            if rng.random() < 0.5:
                self._build_row(side, low, high, outer + float(rng.uniform(14, 24)), True)

    def _build_background(self, side: int) -> None:
        """Second row, seen through gaps and above low fronts."""
        start, rng = self.plan.start, self.rng
        distance = float(rng.uniform(42.0, 50.0))
        if rng.random() < 0.55:
            width = float(rng.uniform(14, 26))
            mesh = make_building(rng, width, 12.0, bool(rng.random() < 0.4))
            pose = self._pose(side, start + 20.0, distance, True) @ make_pose(-width / 2, 0, 0, 0)
            self._put(mesh, pose, 2, (width, 12.0, 8.0), center=np.array([width / 2, 6.0, 0]))
        for _ in range(3):
            pose = self._pose(side, start + float(rng.uniform(0, CHUNK_M)),
                              float(rng.uniform(34.0, 41.0)))
            self._put_tree(pose @ make_pose(0, 0, 0, 0, 1.3))

    def _place_furniture(self, side: int) -> None:
        rng, style = self.rng, self.style
        low, high = self.plan.front
        edge = style.edges[side] + 0.2 + min(0.5, 0.25 + style.verge[side] / 2)
        metal = furniture.draw_metal(make_rng(self.seed, 7))
        street = make_rng(self.seed, 8, side)
        lamp_kind, tree_gap = int(street.integers(0, 3)), float(street.uniform(8.0, 16.0))
        with_trees = street.random() < 0.55 and self.plan.uses[side] != 'park'
        if self.plan.index % 2 == side or street.random() < 0.4:
            pose = self._pose(side, high - 4.0, edge)
            turn = make_pose(0, 0, 0, -np.pi / 2 if side == 0 else np.pi / 2)
            self._put(furniture.make_lamp(rng, metal, lamp_kind), pose @ turn, furniture.POLE,
                      (0.22, 0.22, 7.0))
        for _ in range(rng.poisson(1.5)):
            pose = self._pose(side, float(rng.uniform(low, high)), edge)
            yaw = float(rng.normal(0, 0.12)) + (np.pi if rng.random() < 0.35 else 0.0)
            mesh, poles = furniture.make_sign(rng, furniture.draw_metal(rng))
            turned = pose @ make_pose(0, 0, 0, yaw)
            self.builder.add_mesh(mesh.place(turned))
            self.objects += [
                StandingObject(furniture.POLE, 0, turned @ make_pose(0, y, 0, 0), (0.1, 0.1, 3.0))
                for y in poles]
        if with_trees:
            s = low + 2.0
            while s < high:
                if rng.random() < 0.8:
                    self._put_tree(self._pose(side, s, edge + 0.35))
                s += tree_gap * float(rng.uniform(0.8, 1.2))
        if rng.random() < 0.22:
            for s in np.arange(low + 1, min(low + 14, high), 2.2):
                self._put(furniture.make_bollard(metal), self._pose(side, float(s), edge),
                          furniture.POLE, (0.16, 0.16, 0.9))

    def _place_signals(self) -> None:
        zebra = self.plan.zebra
        assert zebra is not None
        metal = furniture.draw_metal(make_rng(self.seed, 9))
        state = int(self.rng.choice([0, 2, 2, 1]))
        mast = make_rng(self.seed, 10).random() < 0.5
        for side in (0, 1):
            drives_here = (side == 1) == (self.style.traffic_side > 0)
            s = zebra[0] - 0.6 if drives_here else zebra[1] + 0.6
            far = self.plan.side_road[1] + 1.0 if self.plan.side_road else zebra[1] + 0.8
            distance = self.style.edges[side] + 0.55
            for place, yaw in ((s, 0.0 if drives_here else np.pi), (far, 0.0)):
                reach = 3.4 if mast and drives_here and place == far else 0.0
                if side == 0:
                    reach = -reach
                mesh = furniture.make_signal(self.rng, metal, reach, state)
                self._put(mesh, self._pose(side, place, distance) @ make_pose(0, 0, 0, yaw),
                          furniture.POLE, (0.2, 0.2, 5.0))

    def _next_instance(self, label: int) -> int:
        self.instances[label] += 1
        return self.instances[label]

    def _put_vehicle(self, model: vehicles.VehicleModel, pose: np.ndarray) -> None:
        self._put(model.mesh, pose, model.label, model.size, self._next_instance(model.label))

    def _park_vehicles(self, side: int) -> None:
        rng, style, library = self.rng, self.style, self.library
        low, high = self.plan.front
        direction = 1 if (side == 1) == (style.traffic_side > 0) else -1
        if style.parking[side] > 0:
            s = low + 2.5
            while s < high - 3.5:
                if rng.random() < 0.62:
                    pool = library.trucks if rng.random() < 0.10 else library.cars
                    model = pool[int(rng.integers(len(pool)))]
                    if s + model.size[0] > high:
                        break
                    pose = self._pose(side, s + model.size[0] / 2,
                                      style.edges[side] - 1.05 + float(rng.normal(0, 0.06)))
                    turn = 0.0 if direction > 0 or rng.random() < 0.1 else np.pi
                    self._put_vehicle(model, pose @ make_pose(0, 0, 0, turn +
                                                              float(rng.normal(0, 0.02))))
                    s += model.size[0] + float(rng.uniform(0.7, 2.0))
                else:
                    s += 6.0
        if self.plan.side_road is not None and rng.random() < 0.5:
            a, b = self.plan.side_road
            lane = a + 0.27 * (b - a) if (side == 0) == (style.traffic_side > 0) else (
                a + 0.73 * (b - a))
            model = library.cars[int(rng.integers(len(library.cars)))]
            pose = self._pose(side, lane, style.edges[side] + 4.5 + float(rng.uniform(0, 6)))
            self._put_vehicle(model, pose @ make_pose(0, 0, 0, -np.pi / 2 if side == 0
                                                      else np.pi / 2))
        if rng.random() < 0.55:
            s = float(rng.uniform(low + 1, max(high - 5, low + 2)))
            for k in range(int(rng.integers(1, 5))):
                motor = rng.random() < 0.3
                pool = library.motorcycles if motor else library.bicycles
                pose = self._pose(side, s + 0.75 * k, self._walk_inner(side) + 0.75)
                self._put_vehicle(pool[int(rng.integers(len(pool)))],
                                  pose @ make_pose(0, 0, 0, float(rng.normal(1.2, 0.1))))
