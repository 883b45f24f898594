# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Cars, vans, trucks, buses and bicycles as meshes in their own base frame (x forward)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg_perception.sample import material_ids as mt
from seg_perception.sample.mesh import (
    Mesh,
    MeshBuilder,
    make_box,
    make_disc,
    make_limbs,
    make_loft,
    make_quad,
)

CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE = 13, 14, 15, 17, 18


@dataclass(frozen=True)
class VehicleModel:
    """Mesh, class and bounding size (length, width, height) centred on the origin in x and y."""

    mesh: Mesh
    label: int
    size: tuple[float, float, float]


def draw_paint(rng: np.random.Generator) -> np.ndarray:
    """Car paint: mostly greys, black and white, some colours."""
    if rng.random() < 0.62:
        gray = float(rng.choice([0.02, 0.05, 0.14, 0.30, 0.45, 0.68]))
        return gray * (1.0 + rng.normal(0.0, 0.05, 3))
    hue = np.array([[0.42, 0.03, 0.03], [0.03, 0.08, 0.30], [0.04, 0.18, 0.10],
                    [0.40, 0.30, 0.16], [0.45, 0.36, 0.04], [0.22, 0.09, 0.04],
                    [0.10, 0.24, 0.34], [0.30, 0.33, 0.28], [0.5, 0.2, 0.04]])
    return np.clip(hue[rng.integers(len(hue))] * rng.uniform(0.6, 1.4), 0.01, 0.8)


def _add_wheels(builder: MeshBuilder, label: int, axles: list[float], half_width: float,
                radius: float, rim: float = 0.55) -> None:
    for x in axles:
        for side in (-1.0, 1.0):
            y = side * half_width
            builder.add(make_disc([x, y + side * 0.006, radius * 1.08], 1, radius * 1.18, 16),
                        mt.RUBBER, label, [0.008] * 3)
            builder.add(make_limbs(np.array([x, y - side * 0.2, radius]),
                                   np.array([x, y + side * 0.02, radius]), radius, radius, 16,
                                   rounded=False), mt.RUBBER, label, [0.02] * 3)
            builder.add(make_disc([x, y + side * 0.022, radius], 1, radius, 16), mt.RUBBER,
                        label, [0.02] * 3)
            builder.add(make_disc([x, y + side * 0.028, radius], 1, radius * rim, 10),
                        mt.METAL, label, [0.30] * 3, 3)


def _add_underbody(builder: MeshBuilder, label: int, length: float, width: float,
                   height: float) -> None:
    """Dark underside down to the ground: what a camera sees below a vehicle is the vehicle."""
    builder.add(make_box([length, width, height], [0, 0, height / 2]), mt.RUBBER, label,
                [0.006] * 3)


def _make_ring(x: float, z_low: float, z_high: float, half: float, inset: float) -> np.ndarray:
    """Cross section of the body at x: flanks that lean in at the shoulder and the sill."""
    shoulder = z_low + 0.62 * (z_high - z_low)
    return np.array([[x, -half * 0.92, z_low], [x, half * 0.92, z_low], [x, half, z_low + 0.15],
                     [x, half, shoulder], [x, half - inset, z_high], [x, -half + inset, z_high],
                     [x, -half, shoulder], [x, -half, z_low + 0.15]])


def _add_cabin(builder: MeshBuilder, label: int, base: tuple[float, float],
               roof: tuple[float, float], z_belt: float, z_roof: float, half: float,
               tumble: float, windows: int, rgb: np.ndarray) -> None:
    """Greenhouse: windscreen, rear window, side windows, roof. base, roof: x of rear, front."""
    low, top = half - 0.06, half - tumble
    for side in (-1.0, 1.0):
        quad = make_quad([base[0], side * low, z_belt], [base[1], side * low, z_belt],
                         [roof[1], side * top, z_roof], [roof[0], side * top, z_roof])
        tex = make_quad([0, 0, windows], [1, 0, windows], [1, 1, windows], [0, 1, windows])[0]
        builder.add(quad, mt.CABIN, label, rgb, texture=tex)
    for x0, x1 in ((base[0], roof[0]), (base[1], roof[1])):
        quad = make_quad([x0, -low, z_belt], [x0, low, z_belt], [x1, top, z_roof],
                         [x1, -top, z_roof])
        tex = make_quad([0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0])[0]
        builder.add(quad, mt.CABIN, label, rgb, texture=tex)
    builder.add(make_quad([roof[0], -top, z_roof], [roof[0], top, z_roof], [roof[1], top, z_roof],
                          [roof[1], -top, z_roof]), mt.CABIN, label, rgb,
                texture=np.full((2, 3, 3), [0.5, 0.99, 0.0], np.float32))


def _add_lamps(builder: MeshBuilder, label: int, front: float, rear: float, half: float,
               z: float, braking: bool) -> None:
    for side in (-1.0, 1.0):
        y = side * (half - 0.24)
        builder.add(make_box([0.08, 0.34, 0.13], [front - 0.01, y, z]), mt.GLASS, label,
                    [0.75, 0.75, 0.72])
        red = [0.75, 0.03, 0.02] if braking else [0.30, 0.015, 0.012]
        builder.add(make_box([0.08, 0.30, 0.17], [rear + 0.01, y, z + 0.1]),
                    mt.LENS if braking else mt.GLASS, label, red)
    builder.add(make_box([0.03, 0.5, 0.11], [rear - 0.02, 0, z - 0.14]), mt.PLAIN, label,
                [0.7, 0.68, 0.5])
    builder.add(make_box([0.03, 0.5, 0.11], [front + 0.02, 0, z - 0.3]), mt.PLAIN, label,
                [0.7, 0.7, 0.7])
    builder.add(make_box([0.05, 0.9, 0.15], [front + 0.005, 0, z - 0.02]), mt.RUBBER, label,
                [0.015] * 3)


def make_car(rng: np.random.Generator) -> VehicleModel:
    """Hatchback, saloon, estate, off-roader or van."""
    kind = str(rng.choice(['hatch', 'saloon', 'estate', 'suv', 'van', 'hatch']))
    length = {'hatch': 3.9, 'saloon': 4.6, 'estate': 4.6, 'suv': 4.5, 'van': 4.9}[kind]
    length *= rng.uniform(0.95, 1.06)
    half = rng.uniform(0.85, 0.93) + (0.06 if kind == 'van' else 0.0)
    height = {'hatch': 1.47, 'saloon': 1.43, 'estate': 1.48, 'suv': 1.68, 'van': 2.0}[kind]
    belt = height * (0.61 if kind != 'van' else 0.56)
    rgb = draw_paint(rng)
    seed = int(rng.integers(1 << 20))
    front, rear = length / 2, -length / 2
    hood = belt * (0.92 if kind != 'van' else 0.98)
    deck = belt * (0.98 if kind == 'saloon' else 1.0)
    sill = 0.20 if kind != 'suv' else 0.27
    builder = MeshBuilder()
    rings = [_make_ring(rear, sill + 0.12, deck * 0.92, half * 0.86, 0.10),
             _make_ring(rear + 0.12, sill, deck, half * 0.96, 0.09),
             _make_ring(rear + 0.8, sill, belt, half, 0.07),
             _make_ring(0.4, sill, belt, half, 0.07),
             _make_ring(front - 1.15, sill, belt * 0.985, half, 0.08),
             _make_ring(front - 0.25, sill, hood * 0.88, half * 0.95, 0.14),
             _make_ring(front, sill + 0.08, hood * 0.70, half * 0.82, 0.12)]
    builder.add(make_loft(np.array(rings)), mt.PAINT, CAR, rgb, seed)
    cowl = front - (1.05 if kind != 'van' else 0.55)
    tail = rear + {'hatch': 0.12, 'saloon': 0.75, 'estate': 0.12, 'suv': 0.14, 'van': 0.08}[kind]
    roof = (tail + {'hatch': 0.45, 'saloon': 0.65, 'estate': 0.3, 'suv': 0.3, 'van': 0.1}[kind],
            cowl - (0.85 if kind != 'van' else 0.6))
    _add_cabin(builder, CAR, (tail, cowl), roof, belt - 0.01, height, half - 0.02, 0.2, 3, rgb)
    axle = 0.31 * length
    _add_underbody(builder, CAR, length - 0.5, 2 * half - 0.24, sill + 0.05)
    _add_wheels(builder, CAR, [axle - 0.05, -axle + 0.05], half - 0.01, 0.31)
    _add_lamps(builder, CAR, front - 0.03, rear + 0.03, half, belt * 0.66, rng.random() < 0.3)
    for side in (-1.0, 1.0):
        builder.add(make_box([0.12, 0.18, 0.13], [cowl - 0.35, side * (half + 0.05), belt + .03]),
                    mt.PAINT, CAR, rgb, seed)
    if kind == 'suv' and rng.random() < 0.5:
        for side in (-0.55, 0.55):
            builder.add(make_box([1.4, 0.04, 0.05], [-0.4, side, height + 0.04]), mt.METAL, CAR,
                        [0.1] * 3)
    return VehicleModel(builder.finish(), CAR, (length, 2 * half, height))


def make_truck(rng: np.random.Generator) -> VehicleModel:
    """Box truck or flat-bed with a cab."""
    length = rng.uniform(6.5, 9.5)
    half, height = rng.uniform(1.1, 1.24), rng.uniform(2.9, 3.6)
    front, rear = length / 2, -length / 2
    rgb, seed = draw_paint(rng), int(rng.integers(1 << 20))
    builder = MeshBuilder()
    cab = 1.8
    cab_top = min(height - 0.2, 2.75)
    builder.add(make_box([cab, 2 * half - 0.1, 1.15], [front - cab / 2, 0, 1.05]), mt.PAINT,
                TRUCK, rgb, seed)
    _add_cabin(builder, TRUCK, (front - cab, front), (front - cab + 0.02, front - 0.25), 1.6,
               cab_top, half - 0.05, 0.12, 1, rgb)
    body = rng.random()
    floor = 1.0
    bed = length - cab - 0.25
    middle = rear + bed / 2
    if body < 0.8:
        color = rng.uniform(0.35, 0.75) * (1 + rng.normal(0, 0.06, 3))
        if rng.random() < 0.4:
            color = draw_paint(rng)
        builder.add(make_box([bed, 2 * half, height - floor], [middle, 0, (height + floor) / 2]),
                    mt.CARGO, TRUCK, color, seed)
    else:
        height = cab_top
        builder.add(make_box([bed, 2 * half, 0.15], [middle, 0, floor]), mt.WOOD, TRUCK,
                    [0.25, 0.2, 0.15], seed)
        for side in (-1.0, 1.0):
            builder.add(make_box([bed, 0.05, 0.6], [middle, side * half, floor + 0.35]),
                        mt.CARGO, TRUCK, rgb, seed)
        builder.add(make_box([bed * 0.6, 1.6 * half, 0.8], [middle - 0.3, 0, floor + 0.5]),
                    mt.WOOD, TRUCK, [0.3, 0.26, 0.2], seed + 1)
    builder.add(make_box([length - 0.6, half, 0.3], [-0.2, 0, 0.75]), mt.RUBBER, TRUCK,
                [0.02] * 3)
    for side in (-1.0, 1.0):
        builder.add(make_box([bed * 0.9, 0.04, 0.62], [middle, side * (half - .08), 0.68]),
                    mt.METAL, TRUCK, rgb * 0.4 + 0.05)
    _add_underbody(builder, TRUCK, length - 0.5, 2 * half - 0.3, 0.8)
    _add_wheels(builder, TRUCK, [front - 1.1, rear + 1.6] +
                ([rear + 2.8] if length > 8.0 else []), half - 0.03, 0.48, 0.5)
    _add_lamps(builder, TRUCK, front, rear, half, 0.78, False)
    builder.add(make_box([0.06, 2 * half - 0.2, 0.12], [rear + 0.06, 0, 0.62]), mt.PLAIN, TRUCK,
                [0.5, 0.06, 0.04])
    return VehicleModel(builder.finish(), TRUCK, (length, 2 * half, height))


def make_bus(rng: np.random.Generator) -> VehicleModel:
    """City bus."""
    length, half, height = rng.uniform(10.5, 12.0), 1.26, rng.uniform(2.95, 3.15)
    rgb, seed = draw_paint(rng), int(rng.integers(1 << 20))
    builder = MeshBuilder()
    builder.add(make_box([length, 2 * half, 0.95], [0, 0, 0.80]), mt.PAINT, BUS, rgb, seed)
    _add_cabin(builder, BUS, (-length / 2, length / 2), (-length / 2 + .05, length / 2 - .12),
               1.27, height - 0.2, half, 0.03, 7, rgb)
    builder.add(make_box([length - 0.3, 2 * half - 0.1, 0.3], [-0.05, 0, height - 0.15]),
                mt.PLAIN, BUS, rgb * 0.9, seed)
    builder.add(make_box([0.06, 1.4, 0.26], [length / 2 - 0.06, 0, height - 0.3]), mt.LENS, BUS,
                [0.55, 0.30, 0.03])
    _add_underbody(builder, BUS, length - 0.5, 2 * half - 0.24, 0.4)
    _add_wheels(builder, BUS, [length / 2 - 2.6, -length / 2 + 3.0], half - 0.02, 0.48, 0.5)
    _add_lamps(builder, BUS, length / 2, -length / 2, half, 0.8, False)
    return VehicleModel(builder.finish(), BUS, (length, 2 * half, height))


def make_bicycle(rng: np.random.Generator, motor: bool = False) -> VehicleModel:
    """Bicycle, or a motorcycle with engine and tank."""
    builder = MeshBuilder()
    label = MOTORCYCLE if motor else BICYCLE
    rgb, seed = draw_paint(rng), int(rng.integers(1 << 20))
    radius = 0.31 if motor else 0.34
    axle = 0.68 if motor else 0.52
    thick = 0.07 if motor else 0.022
    turn = np.arange(17) * (2 * np.pi / 16)
    for x in (-axle, axle):
        rim = np.stack([x + np.cos(turn) * radius, 0 * turn, radius + np.sin(turn) * radius], 1)
        inner = (rim - [x, 0, radius]) * (1 - thick / radius) + [x, 0, radius]
        builder.add(make_limbs(inner[:-1], inner[1:], thick, thick, 5), mt.RUBBER, label,
                    [0.02] * 3, seed)
        disc = make_disc([x, 0, radius], 1, radius, 16)
        tex = np.stack([(disc[0][..., 0] - x) / radius, (disc[0][..., 2] - radius) / radius,
                        0 * disc[0][..., 0]], -1)
        builder.add(disc, mt.SPOKES, label, [0.35] * 3, seed, texture=tex)
    crank, seat = np.array([-0.08, 0, 0.30]), np.array([-0.2, 0, 0.86])
    head, bar = np.array([0.33, 0, 0.82]), np.array([0.36, 0, 1.0])
    hub0, hub1 = np.array([-axle, 0, radius]), np.array([axle, 0, radius])
    start = np.array([crank, crank, seat, hub0, hub0, head, head, bar + [0, -0.28, 0]])
    end = np.array([seat, head, head, crank, seat, hub1, bar, bar + [0, 0.28, 0]])
    builder.add(make_limbs(start, end, 0.028, 0.026, 6), mt.METAL, label, rgb, seed)
    builder.add(make_box([0.26, 0.15, 0.06], seat + [0, 0, 0.05]), mt.RUBBER, label, [0.02] * 3)
    height = 1.05
    if motor:
        builder.add(make_box([0.7, 0.3, 0.36], [0.02, 0, 0.42]), mt.METAL, label, [0.12] * 3)
        builder.add(make_loft(np.array([_make_ring(x, 0.62, 0.62 + h, 0.16, 0.06)
                                        for x, h in ((-0.75, .2), (-.2, .22), (0.3, 0.38),
                                                     (.5, .2))])), mt.PAINT, label, rgb, seed)
        builder.add(make_disc([0.55, 0, 0.9], 0, 0.11), mt.GLASS, label, [0.7] * 3)
    elif rng.random() < 0.4:
        builder.add(make_box([0.35, 0.14, 0.03], [-0.5, 0, 0.74]), mt.METAL, label, [0.1] * 3)
    return VehicleModel(builder.finish(), label, (2 * (axle + radius), 0.56, height))
