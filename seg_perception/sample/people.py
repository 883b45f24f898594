# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pedestrians and riders: rounded limbs around a skeleton that walks, stands or pedals."""

from __future__ import annotations

import numpy as np

from seg_perception.sample import materials as mt
from seg_perception.sample.mesh import (
    Mesh,
    MeshBuilder,
    make_box,
    make_ellipsoid,
    make_limbs,
    make_loft,
)

PERSON, RIDER = 11, 12


class Figure:
    """Looks of one person (clothes, build), drawn once; `pose_*` give its mesh in a posture."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.height_m = float(rng.uniform(1.55, 1.9) if rng.random() < 0.85
                              else rng.uniform(1.1, 1.4))
        self.build = float(rng.uniform(0.88, 1.22))
        tone = rng.uniform(0.08, 0.5)
        self.skin = np.array([tone, tone * 0.72, tone * 0.55])
        self.hair = np.array([0.04, 0.03, 0.02]) * rng.uniform(0.5, 9.0)
        self.top = self._draw_cloth(rng)
        self.trousers = self._draw_cloth(rng) * 0.7
        self.shoes = self._draw_cloth(rng) * 0.4
        self.short_sleeves = bool(rng.random() < 0.35)
        self.skirt = bool(rng.random() < 0.2)
        self.coat = bool(rng.random() < 0.25)
        self.bag = int(rng.integers(0, 4))
        self.helmet = bool(rng.random() < 0.6)
        self.seed = int(rng.integers(1 << 20))
        self.bag_rgb = self._draw_cloth(rng)

    @staticmethod
    def _draw_cloth(rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.5:
            return float(rng.choice([0.02, 0.06, 0.15, 0.3, 0.6])) * (1 + rng.normal(0, .1, 3))
        return np.clip(rng.uniform(0.02, 0.5, 3), 0.01, 0.7)

    def _build(self, label: int, instance: int, hip: np.ndarray, knee: np.ndarray,
               foot: np.ndarray, chest: np.ndarray, shoulder: np.ndarray, elbow: np.ndarray,
               hand: np.ndarray, head: np.ndarray, helmet: bool) -> Mesh:
        b = MeshBuilder()
        k = self.build

        def put(primitive: tuple, material: int, rgb: np.ndarray) -> None:
            b.add(primitive, material, label, rgb, self.seed, instance)

        put(make_limbs(hip, knee, 0.085 * k, 0.062 * k), mt.CLOTH, self.trousers)
        put(make_limbs(knee, foot, 0.06 * k, 0.045 * k), mt.CLOTH,
            self.skin if self.skirt else self.trousers)
        put(make_limbs(foot + [-0.05, 0, -0.02], foot + [0.16, 0, -0.035], 0.05, 0.042, 6),
            mt.CLOTH, self.shoes)
        pelvis = hip.mean(0)
        spine = [pelvis + (chest - pelvis) * a for a in (-0.12, 0.15, 0.55, 1.0, 1.12)]
        turn = np.arange(10) * (2 * np.pi / 10)
        rings = []
        for point, depth, wide in zip(spine, (0.11, 0.12, 0.125, 0.115, 0.06),
                                      (0.15, 0.155, 0.165, 0.19, 0.10)):
            rings.append(point + np.stack([np.cos(turn) * depth * k, np.sin(turn) * wide * k,
                                           0 * turn], 1))
        put(make_loft(np.array(rings)), mt.CLOTH, self.top)
        if (self.skirt or self.coat) and label == PERSON:
            low = 0.35 if self.skirt else 0.25
            skirt = [p + np.stack([np.cos(turn) * d, np.sin(turn) * w, 0 * turn], 1)
                     for p, d, w in ((pelvis + [0, 0, 0.1], 0.13 * k, 0.165 * k),
                                     (pelvis - [0, 0, low], 0.20 * k, 0.22 * k))]
            put(make_loft(np.array(skirt)), mt.CLOTH, self.trousers if self.skirt else self.top)
        put(make_limbs(shoulder, elbow, 0.055 * k, 0.045 * k), mt.CLOTH, self.top)
        put(make_limbs(elbow, hand, 0.042, 0.035), mt.CLOTH,
            self.skin if self.short_sleeves else self.top)
        put(make_ellipsoid(hand[0], [0.05, 0.04, 0.06]), mt.PLAIN, self.skin)
        put(make_ellipsoid(hand[1], [0.05, 0.04, 0.06]), mt.PLAIN, self.skin)
        put(make_limbs(shoulder.mean(0) - [0, 0, 0.03], head - [0, 0, 0.05], 0.055, 0.05),
            mt.PLAIN, self.skin)
        put(make_ellipsoid(head, [0.095, 0.08, 0.12]), mt.PLAIN, self.skin)
        if helmet:
            put(make_ellipsoid(head + [-0.01, 0, 0.05], [0.135, 0.105, 0.10]), mt.METAL,
                self.bag_rgb)
        else:
            put(make_ellipsoid(head + [-0.025, 0, 0.03], [0.095, 0.09, 0.115]), mt.PLAIN,
                self.hair)
        if self.bag == 1:
            put(make_ellipsoid(chest + [-0.2, 0, -0.12], [0.11, 0.15, 0.22]), mt.CLOTH,
                self.bag_rgb)
        elif self.bag == 2 and label == PERSON:
            put(make_box([0.28, 0.1, 0.25], hand[0] - [0, 0, 0.2]), mt.CLOTH, self.bag_rgb)
        return b.finish()

    def pose_walking(self, phase: float, stride: float, instance: int) -> Mesh:
        """Mesh at a phase of the gait (radians); stride 0 stands still. Feet at z = 0."""
        h = self.height_m / 1.75
        swing = np.array([np.sin(phase), -np.sin(phase)]) * 0.52 * stride
        bend = np.maximum(0.0, np.array([np.cos(phase), -np.cos(phase)])) * 0.75 * stride + 0.05
        hip = np.array([[0, 0.09, 0.90], [0, -0.09, 0.90]])
        knee = hip + 0.43 * np.stack([np.sin(swing), 0 * swing, -np.cos(swing)], 1)
        foot = knee + 0.41 * np.stack([np.sin(swing - bend), 0 * swing, -np.cos(swing - bend)], 1)
        drop = foot[:, 2].min() - 0.08
        lean = np.array([0.03 * stride, 0, 0])
        chest = np.array([0, 0, 1.36]) + lean
        shoulder = chest + [[0, 0.20, 0.02], [0, -0.20, 0.02]]
        arm = -swing * 0.9
        elbow = shoulder + 0.28 * np.stack([np.sin(arm), [0.12, -0.12], -np.cos(arm)], 1)
        hand = elbow + 0.25 * np.stack([np.sin(arm + 0.35), [0.0, 0.0], -np.cos(arm + 0.35)], 1)
        head = chest + [0.03, 0, 0.27]
        joints = [hip, knee, foot, chest, shoulder, elbow, hand, head]
        joints = [(j - [0, 0, drop]) * h for j in joints]
        return self._build(PERSON, instance, *joints, helmet=False)

    def pose_riding(self, phase: float, instance: int, motor: bool = False) -> Mesh:
        """Mesh on a bicycle (or motorcycle) of `vehicles.make_bicycle`."""
        angle = np.array([phase, phase + np.pi])
        foot = np.array([-0.08, 0, 0.34]) + np.stack(
            [0.16 * np.cos(angle), [0.12, -0.12], 0.16 * np.sin(angle)], 1)
        if motor:
            foot = np.array([[-0.05, 0.2, 0.33], [-0.05, -0.2, 0.33]])
        hip = np.array([[-0.2, 0.09, 0.95], [-0.2, -0.09, 0.95]])
        middle = 0.5 * (hip + foot)
        reach = np.linalg.norm(foot - hip, axis=1)
        out = np.sqrt(np.maximum(0.43 ** 2 - (reach / 2) ** 2, 0.01))
        knee = middle + np.stack([out, [0.05, -0.05], 0.3 * out], 1)
        chest = np.array([0.05, 0, 1.38])
        shoulder = chest + [[0, 0.19, 0.0], [0, -0.19, 0.0]]
        hand = np.array([[0.36, 0.24, 1.04], [0.36, -0.24, 1.04]])
        elbow = 0.5 * (shoulder + hand) + [[-0.02, 0.07, -0.09], [-0.02, -0.07, -0.09]]
        head = chest + [0.08, 0, 0.25]
        return self._build(RIDER, instance, hip, knee, foot, chest, shoulder, elbow, hand, head,
                           helmet=self.helmet or motor)
