# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What moves: the ego vehicle, other vehicles, riders and pedestrians, closed form in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.sample.layout import StreetPath, StreetStyle, make_rng
from seg_perception.sample.mesh import Mesh, make_pose
from seg_perception.sample.people import PERSON, RIDER, Figure
from seg_perception.sample.scene import Library, StandingObject
from seg_perception.sample.vehicles import BICYCLE, MOTORCYCLE

AHEAD_M, BEHIND_M = 150.0, 12.0


class EgoMotion:
    """Ego vehicle in its lane: smooth speed changes and a slight weave."""

    def __init__(self, seed: int, style: StreetStyle, path: StreetPath) -> None:
        rng = make_rng(seed, 20)
        self.path, self.style = path, style
        self.speed = style.speed_mps
        self.omega = 2 * np.pi / float(rng.uniform(9.0, 16.0))
        self.swing = float(rng.uniform(0.05, 0.22)) * self.speed / self.omega
        self.phase = float(rng.uniform(0, 2 * np.pi))
        self.weave = float(rng.uniform(0.04, 0.14))
        self.weave_omega = 2 * np.pi / float(rng.uniform(6.0, 10.0))
        self.lane_t = style.lane_center(style.ego_lane)

    def distance_at(self, time_s: float) -> float:
        """Distance s along the path."""
        return self.speed * time_s + self.swing * (
            np.sin(self.omega * time_s + self.phase) - np.sin(self.phase))

    def time_at(self, distance_m: float) -> float:
        """Time at which the ego vehicle reaches s."""
        time_s = distance_m / self.speed
        for _ in range(30):
            rate = self.speed + self.swing * self.omega * np.cos(self.omega * time_s + self.phase)
            time_s -= (self.distance_at(time_s) - distance_m) / rate
        return float(time_s)

    def state_at(self, time_s: float) -> tuple[np.ndarray, float]:
        """Pose 4x4 in the world (base_link, on the ground) and speed in m/s."""
        s = self.distance_at(time_s)
        rate = self.speed + self.swing * self.omega * np.cos(self.omega * time_s + self.phase)
        t = self.lane_t + self.weave * np.sin(self.weave_omega * time_s)
        drift = self.weave * self.weave_omega * np.cos(self.weave_omega * time_s)
        x, y, heading = self.path.locate(s, t)
        curvature = (np.interp(s + 0.5, self.path.s, self.path.heading) -
                     np.interp(s - 0.5, self.path.s, self.path.heading))
        along = rate * (1.0 - curvature * t)
        pose = make_pose(float(x), float(y), 0.0, float(heading + np.arctan2(drift, along)))
        return pose, float(np.hypot(along, drift))

    def yaw_rate_at(self, time_s: float, span_s: float = 0.04) -> float:
        """Yaw rate in rad/s."""
        yaw = [np.arctan2(p[1, 0], p[0, 0]) for p in (self.state_at(time_s - span_s)[0],
                                                      self.state_at(time_s + span_s)[0])]
        return float(np.unwrap(yaw)[1] - yaw[0]) / (2 * span_s)


@dataclass(frozen=True)
class Mover:
    """A moving object at one time: its placed mesh and its box."""

    mesh: Mesh
    box: StandingObject
    moving: bool = True


class Traffic:
    """All movers of a drive, each a function of time and of its place in an endless row."""

    def __init__(self, seed: int, style: StreetStyle, path: StreetPath, library: Library,
                 ego: EgoMotion) -> None:
        self.seed, self.style, self.path = seed, style, path
        self.library, self.ego = library, ego
        rng = make_rng(seed, 21)
        self.lead_gap = float(rng.uniform(11.0, 32.0)) if rng.random() < 0.65 else 60.0
        self.lead_phase = float(rng.uniform(0, 6.28))
        self.lane_spacing = [float(rng.uniform(16, 34)) / style.traffic
                             for _ in range(style.lanes)]
        self.lane_speed = [style.speed_mps * float(rng.uniform(0.75, 1.15))
                           for _ in range(style.lanes)]
        self.walk_spacing = [float(rng.uniform(5.5, 12.0)) / style.people for _ in range(4)]
        self.bike_spacing = [float(rng.uniform(20.0, 42.0)) / style.people for _ in range(2)]
        self.figures = [Figure(make_rng(seed, 22, k)) for k in range(24)]

    def list_movers(self, time_s: float) -> list[Mover]:
        """Movers near the ego vehicle at a time, in a fixed order."""
        at = self.ego.distance_at(time_s)
        movers: list[Mover] = []
        for lane in range(self.style.lanes):
            movers += self._drive_lane(lane, time_s, at)
        for row in range(4):
            movers += self._walk_row(row, time_s, at)
        for row in range(2):
            movers += self._ride_row(row, time_s, at)
        movers += self._cross_street(time_s, at)
        return movers

    def _row(self, spacing: float, offset: float, at: float) -> range:
        """Indices k of an endless row (s = k * spacing + offset) that are near."""
        low = int(np.floor((at - BEHIND_M - offset) / spacing))
        high = int(np.ceil((at + AHEAD_M - offset) / spacing))
        return range(low, high + 1)

    def _pose(self, s: float, t: float, turn: float) -> np.ndarray:
        x, y, heading = self.path.locate(s, t)
        return make_pose(float(x), float(y), 0.0, float(heading) + turn)

    def _drive_lane(self, lane: int, time_s: float, at: float) -> list[Mover]:
        style, spacing = self.style, self.lane_spacing[lane]
        direction = style.lane_direction(lane)
        own = lane == style.ego_lane
        if own:
            offset = at + self.lead_gap + 2.5 * np.sin(0.4 * time_s + self.lead_phase)
            offset = max(offset, at + 9.5)
        else:
            offset = direction * self.lane_speed[lane] * time_s + 6.0
        out = []
        for k in range(0, 6) if own else self._row(spacing, offset, at):
            rng = make_rng(self.seed, 23, lane, k + 5000)
            if not own and rng.random() > 0.75:
                continue
            roll = rng.random()
            pool = (self.library.buses if roll < 0.09 else self.library.trucks if roll < 0.22
                    else self.library.motorcycles if roll < 0.30 else self.library.cars)
            model = pool[int(rng.integers(len(pool)))]
            s = offset + k * spacing + float(rng.uniform(-0.1, 0.1)) * spacing
            if own:
                s = offset + model.size[0] / 2 + k * max(spacing, 15.0)
            if not at - BEHIND_M < s < at + AHEAD_M:
                continue
            t = style.lane_center(lane) + float(rng.normal(0, 0.12))
            pose = self._pose(s, t, 0.0 if direction > 0 else np.pi)
            instance = 600 + (lane * 97 + k) % 390
            out.append(Mover(model.mesh.place(pose, instance),
                             StandingObject(model.label, instance, pose, model.size)))
            if model.label == MOTORCYCLE:
                figure = self.figures[int(rng.integers(len(self.figures)))]
                out.append(self._seat(figure, 0.0, pose, instance, True))
        return out

    def _seat(self, figure: Figure, phase: float, pose: np.ndarray, instance: int,
              motor: bool) -> Mover:
        mesh = figure.pose_riding(phase, instance, motor).place(pose)
        return Mover(mesh, StandingObject(RIDER, instance, pose, (0.9, 0.55, 1.8)))

    def _walk_row(self, row: int, time_s: float, at: float) -> list[Mover]:
        """Pedestrians on a sidewalk; rows 0, 1 left, 2, 3 right; even rows walk along."""
        style, spacing = self.style, self.walk_spacing[row]
        side, direction = row // 2, 1 if row % 2 == 0 else -1
        pace = 1.15 + 0.15 * row
        offset = direction * pace * time_s + 3.1 * row
        inner = style.edges[side] + 0.2 + style.verge[side]
        sign = 1.0 if side == 0 else -1.0
        out = []
        for k in self._row(spacing, offset, at):
            rng = make_rng(self.seed, 24, row, k + 5000)
            if rng.random() > 0.62:
                continue
            company = 2 if rng.random() < 0.25 else 1
            s = offset + (k + float(rng.uniform(-0.4, 0.4))) * spacing
            if not at - 5.0 < s < at + 110.0:
                continue
            room = style.walk_width[side]
            lateral = inner + room * float(rng.uniform(0.35, 0.85))
            for n in range(company):
                figure = self.figures[int(rng.integers(len(self.figures)))]
                phase = 2 * np.pi * time_s * 0.95 * pace / 1.3 + float(rng.uniform(0, 6.28))
                instance = (row * 199 + k * 2 + n) % 900 + 1
                pose = self._pose(s + 0.15 * n, sign * (lateral - 0.62 * n),
                                  0.0 if direction > 0 else np.pi)
                mesh = figure.pose_walking(phase, 1.0, instance).place(pose)
                out.append(Mover(mesh, StandingObject(PERSON, instance, pose,
                                                      (0.6, 0.5, figure.height_m))))
        return out

    def _ride_row(self, row: int, time_s: float, at: float) -> list[Mover]:
        """Cyclists at the road's edge; row 0 left, 1 right."""
        style, spacing = self.style, self.bike_spacing[row]
        direction = 1 if (row == 1) == (style.traffic_side > 0) else -1
        pace = 4.2
        offset = direction * pace * time_s + 14.0 + 9.0 * row
        sign = 1.0 if row == 0 else -1.0
        lateral = style.edges[row] - style.parking[row] - 0.55
        out = []
        for k in self._row(spacing, offset, at):
            rng = make_rng(self.seed, 25, row, k + 5000)
            s = offset + (k + float(rng.uniform(-0.3, 0.3))) * spacing
            if not at + 7.0 < s < at + 110.0:
                continue
            model = self.library.bicycles[int(rng.integers(len(self.library.bicycles)))]
            pose = self._pose(s, sign * lateral, 0.0 if direction > 0 else np.pi)
            instance = 501 + (row * 97 + k) % 390
            out.append(Mover(model.mesh.place(pose, instance),
                             StandingObject(BICYCLE, instance, pose, model.size)))
            figure = self.figures[int(rng.integers(len(self.figures)))]
            out.append(self._seat(figure, 7.0 * time_s + k, pose, instance, False))
        return out

    def _cross_street(self, time_s: float, at: float) -> list[Mover]:
        """Pedestrians on a zebra, done before the ego vehicle is close."""
        from seg_perception.sample.layout import CHUNK_M, plan_chunk

        out: list[Mover] = []
        first = int(np.floor((at - 5.0) / CHUNK_M))
        for index in range(first, first + 4):
            plan = plan_chunk(self.seed, index, self.style)
            if plan.zebra is None:
                continue
            middle = 0.5 * (plan.zebra[0] + plan.zebra[1])
            rng = make_rng(self.seed, 26, index)
            span = self.style.edges[0] + self.style.edges[1] + 2.4
            for n in range(int(rng.integers(0, 4))):
                pace = float(rng.uniform(1.1, 1.5))
                arrive = self.ego.time_at(middle - 13.0) - float(rng.uniform(0.0, 4.0))
                left = bool(rng.random() < 0.5)
                walked = span - pace * (arrive - time_s)
                figure = self.figures[int(rng.integers(len(self.figures)))]
                walking = 0.0 < walked < span
                walked = min(max(walked, 0.0), span)
                t = self.style.edges[0] + 1.2 - walked
                if left:
                    t = -self.style.edges[1] - 1.2 + walked
                instance = 901 + (index * 4 + n) % 98
                pose = self._pose(middle + float(rng.uniform(-1.2, 1.2)), t,
                                  np.pi / 2 if left else -np.pi / 2)
                phase = 6.0 * time_s + n if walking else 0.0
                mesh = figure.pose_walking(phase, 1.0 if walking else 0.0, instance).place(pose)
                out.append(Mover(mesh, StandingObject(PERSON, instance, pose,
                                                      (0.6, 0.5, figure.height_m)), walking))
        return out
