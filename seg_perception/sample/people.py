# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Pedestrians and riders: rounded limbs around a skeleton that walks, stands or pedals.

A figure's mesh is built once, every part in the frame of its bone; a posture only moves bones.
"""

from __future__ import annotations

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.mesh import (
    Mesh,
    MeshBuilder,
    make_box,
    make_ellipsoid,
    make_limbs,
    make_loft,
    move_parts,
)

PERSON, RIDER = 11, 12
# Bones: trunk and neck, then pairs left, right. Limb bones run from 0 to 1 along their z.
(TRUNK, NECK, HEAD, THIGH, SHIN, FOOT, ARM, FOREARM, HAND) = (0, 1, 2, 3, 5, 7, 9, 11, 13)
BONES = 15
_BONE_LENGTH_M = {THIGH: 0.43, SHIN: 0.41, ARM: 0.28, FOREARM: 0.25}


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
        self._parts: dict[tuple[int, bool], tuple[Mesh, np.ndarray]] = {}

    @staticmethod
    def _draw_cloth(rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.5:
            return float(rng.choice([0.02, 0.06, 0.15, 0.3, 0.6])) * (1 + rng.normal(0, .1, 3))
        return np.clip(rng.uniform(0.02, 0.5, 3), 0.01, 0.7)

    def _make_parts(self, label: int, helmet: bool) -> tuple[Mesh, np.ndarray]:
        """Mesh in bone frames and the bone of each triangle."""
        builder = MeshBuilder()
        bones: list[np.ndarray] = []
        k = self.build

        def put(primitive: tuple, material: int, rgb: np.ndarray, bone: int) -> None:
            builder.add(primitive, material, label, rgb, self.seed)
            bones.append(np.full(len(primitive[0]), bone))

        def put_pair(bone: int, r0: float, r1: float, material: int, rgb: np.ndarray) -> None:
            end = np.array([0.0, 0.0, _BONE_LENGTH_M[bone]])
            for side in (0, 1):
                put(make_limbs(np.zeros(3), end, r0, r1), material, rgb, bone + side)

        put_pair(THIGH, 0.085 * k, 0.062 * k, mt.CLOTH, self.trousers)
        put_pair(SHIN, 0.06 * k, 0.045 * k, mt.CLOTH, self.skin if self.skirt else self.trousers)
        put_pair(ARM, 0.055 * k, 0.045 * k, mt.CLOTH, self.top)
        put_pair(FOREARM, 0.042, 0.035, mt.CLOTH, self.skin if self.short_sleeves else self.top)
        for side in (0, 1):
            put(make_limbs(np.array([-0.05, 0, -0.02]), np.array([0.16, 0, -0.035]), 0.05, 0.042,
                           6), mt.CLOTH, self.shoes, FOOT + side)
            put(make_ellipsoid([0, 0, 0], [0.05, 0.04, 0.06]), mt.PLAIN, self.skin, HAND + side)
        turn = np.arange(10) * (2 * np.pi / 10)

        def ring(height: float, depth: float, wide: float) -> np.ndarray:
            return np.stack([np.cos(turn) * depth * k, np.sin(turn) * wide * k,
                             np.full(10, height)], 1)

        put(make_loft(np.array([ring(-0.055, 0.11, 0.15), ring(0.07, 0.12, 0.155),
                                ring(0.25, 0.125, 0.165), ring(0.46, 0.115, 0.19),
                                ring(0.515, 0.06, 0.10)])), mt.CLOTH, self.top, TRUNK)
        if (self.skirt or self.coat) and label == PERSON:
            low = 0.35 if self.skirt else 0.25
            put(make_loft(np.array([ring(0.1, 0.13, 0.165), ring(-low, 0.20, 0.22)])), mt.CLOTH,
                self.trousers if self.skirt else self.top, TRUNK)
        if self.bag == 1:
            put(make_ellipsoid([-0.2, 0, 0.34], [0.11, 0.15, 0.22]), mt.CLOTH, self.bag_rgb,
                TRUNK)
        elif self.bag == 2 and label == PERSON:
            put(make_box([0.28, 0.1, 0.25], [0, 0, -0.2]), mt.CLOTH, self.bag_rgb, HAND)
        put(make_limbs(np.array([0, 0, -0.25]), np.array([0, 0, -0.05]), 0.055, 0.05), mt.PLAIN,
            self.skin, HEAD)
        put(make_ellipsoid([0, 0, 0], [0.095, 0.08, 0.12]), mt.PLAIN, self.skin, HEAD)
        if helmet:
            put(make_ellipsoid([-0.01, 0, 0.05], [0.135, 0.105, 0.10]), mt.METAL, self.bag_rgb,
                HEAD)
        else:
            put(make_ellipsoid([-0.025, 0, 0.03], [0.095, 0.09, 0.115]), mt.PLAIN, self.hair,
                HEAD)
        return builder.finish(), np.concatenate(bones)

    def _pose(self, label: int, helmet: bool, instance: int, scale: float,
              joints: dict[int, np.ndarray]) -> Mesh:
        """Move the bones. joints: TRUNK (2, 3) pelvis and chest, HEAD (3,), FOOT and HAND (2, 3),
        limbs (2 sides, 2 ends, 3)."""
        key = (label, helmet)
        if key not in self._parts:
            self._parts[key] = self._make_parts(label, helmet)
        mesh, bone_of = self._parts[key]
        linear = np.tile(np.eye(3), (BONES, 1, 1))
        offset = np.zeros((BONES, 3))
        starts = np.concatenate([joints[b][:, 0] for b in _BONE_LENGTH_M] + [joints[TRUNK][:1]])
        ends = np.concatenate([joints[b][:, 1] for b in _BONE_LENGTH_M] + [joints[TRUNK][1:]])
        index = [b + side for b in _BONE_LENGTH_M for side in (0, 1)] + [TRUNK]
        axis = ends - starts
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        side_axis = np.cross(axis, [1.0, 0.0, 0.0])
        side_axis /= np.maximum(np.linalg.norm(side_axis, axis=1, keepdims=True), 1e-6)
        linear[index] = np.stack([np.cross(side_axis, axis), side_axis, axis], 2)
        offset[index] = starts
        offset[HEAD] = joints[HEAD]
        offset[FOOT:FOOT + 2], offset[HAND:HAND + 2] = joints[FOOT], joints[HAND]
        vertices, normals = move_parts(mesh.vertices, mesh.normals, bone_of, linear * scale,
                                       offset * scale, scale)
        return Mesh(vertices, mesh.texture, normals, mesh.material, mesh.label,
                    np.full_like(mesh.instance, instance), mesh.color, mesh.seeds)

    def pose_walking(self, phase: float, stride: float, instance: int) -> Mesh:
        """Mesh at a phase of the gait (radians); stride 0 stands still. Feet at z = 0."""
        swing = np.array([np.sin(phase), -np.sin(phase)]) * 0.52 * stride
        bend = np.maximum(0.0, np.array([np.cos(phase), -np.cos(phase)])) * 0.75 * stride + 0.05
        hip = np.array([[0, 0.09, 0.90], [0, -0.09, 0.90]])
        knee = hip + 0.43 * np.stack([np.sin(swing), 0 * swing, -np.cos(swing)], 1)
        foot = knee + 0.41 * np.stack([np.sin(swing - bend), 0 * swing, -np.cos(swing - bend)], 1)
        drop = np.array([0, 0, foot[:, 2].min() - 0.08])
        chest = np.array([0.03 * stride, 0, 1.36])
        shoulder = chest + [[0, 0.20, 0.02], [0, -0.20, 0.02]]
        arm = -swing * 0.9
        elbow = shoulder + 0.28 * np.stack([np.sin(arm), [0.12, -0.12], -np.cos(arm)], 1)
        hand = elbow + 0.25 * np.stack([np.sin(arm + 0.35), [0.0, 0.0], -np.cos(arm + 0.35)], 1)
        joints = {TRUNK: np.stack([hip.mean(0), chest]), HEAD: chest + [0.03, 0, 0.27],
                  THIGH: np.stack([hip, knee], 1), SHIN: np.stack([knee, foot], 1), FOOT: foot,
                  ARM: np.stack([shoulder, elbow], 1), FOREARM: np.stack([elbow, hand], 1),
                  HAND: hand}
        return self._pose(PERSON, False, instance, self.height_m / 1.75,
                          {k: v - drop for k, v in joints.items()})

    def pose_riding(self, phase: float, instance: int, motor: bool = False) -> Mesh:
        """Mesh on a bicycle (or motorcycle) of `vehicles.make_bicycle`."""
        angle = np.array([phase, phase + np.pi])
        foot = np.array([-0.08, 0, 0.34]) + np.stack(
            [0.16 * np.cos(angle), [0.12, -0.12], 0.16 * np.sin(angle)], 1)
        if motor:
            foot = np.array([[-0.05, 0.2, 0.33], [-0.05, -0.2, 0.33]])
        hip = np.array([[-0.2, 0.09, 0.95], [-0.2, -0.09, 0.95]])
        reach = np.linalg.norm(foot - hip, axis=1)
        out = np.sqrt(np.maximum(0.43 ** 2 - (reach / 2) ** 2, 0.01))
        knee = 0.5 * (hip + foot) + np.stack([out, [0.05, -0.05], 0.3 * out], 1)
        chest = np.array([0.05, 0, 1.38])
        shoulder = chest + [[0, 0.19, 0.0], [0, -0.19, 0.0]]
        hand = np.array([[0.36, 0.24, 1.04], [0.36, -0.24, 1.04]])
        elbow = 0.5 * (shoulder + hand) + [[-0.02, 0.07, -0.09], [-0.02, -0.07, -0.09]]
        joints = {TRUNK: np.stack([hip.mean(0), chest]), HEAD: chest + [0.08, 0, 0.25],
                  THIGH: np.stack([hip, knee], 1), SHIN: np.stack([knee, foot], 1), FOOT: foot,
                  ARM: np.stack([shoulder, elbow], 1), FOREARM: np.stack([elbow, hand], 1),
                  HAND: hand}
        return self._pose(RIDER, self.helmet or motor, instance, 1.0, joints)
