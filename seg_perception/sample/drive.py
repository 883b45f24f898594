# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The sample drive: a camera on a vehicle in a made-up street, with exact truth.

Standard camera: pinhole, no distortion, horizontal field of view 75 degrees (focal length
667.3 px at 1024 px width, principal point in the middle), 1.5 m above the ground, 1.2 m ahead of
base_link, pitched 3 degrees down. Frames follow REP-103: base_link x forward, y left, z up, on
the ground; the camera's optical frame z forward, x right, y down. The ground is the plane z = 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seg_perception.sample.develop import develop
from seg_perception.sample.layout import CHUNK_M, StreetPath, draw_street_style, make_rng
from seg_perception.sample.mesh import Mesh, MeshPool, join_meshes
from seg_perception.sample.occupancy import map_ground
from seg_perception.sample.raster import (
    SCREEN,
    SOLID,
    fill_triangles,
    project_parallel,
    project_pinhole,
    read_labels,
)
from seg_perception.sample.scene import Chunk, ChunkBuilder, StandingObject, make_library
from seg_perception.sample.shading import E_SUN_X, E_SUN_Z, shade_image
from seg_perception.sample.traffic import EgoMotion, Traffic
from seg_perception.sample.weather import draw_weather

SAMPLE_DRIVE_VERSION = 1
FIRST_STAMP_NS = 1_700_000_000_000_000_000
VIEW_M = 190.0
SHADOW_PX, SHADOW_M = 1280, 96.0


@dataclass(frozen=True)
class CameraSetup:
    """Pinhole camera on the vehicle. Lengths in metres, angles in radians; pitch down > 0."""

    height_m: float = 1.5
    forward_m: float = 1.2
    pitch_rad: float = float(np.radians(3.0))
    roll_rad: float = 0.0
    horizontal_fov_rad: float = float(np.radians(75.0))


def draw_camera(seed: int) -> CameraSetup:
    """Camera of a random vehicle, to vary training frames."""
    rng = make_rng(seed, 30)
    return CameraSetup(float(rng.uniform(1.15, 2.2)), 1.2, float(np.radians(rng.normal(3.0, 3.0))),
                       float(np.radians(rng.normal(0.0, 0.7))),
                       float(np.radians(rng.uniform(50.0, 95.0))))


@dataclass(frozen=True)
class SampleObject:
    """A thing in the street. pose: 4x4 odom from object, origin on the ground under its middle,
    x forward; size: length, width, height in metres; label: train id; instance: id within the
    class."""

    label: int
    instance: int
    pose: np.ndarray
    size_m: tuple[float, float, float]
    moving: bool


@dataclass(frozen=True)
class SampleFrame:
    """One camera frame with its truth.

    image: (H, W, 3) uint8 RGB. label: (H, W) uint8 Cityscapes train ids. panoptic: (H, W) int32,
    class * 1000 + instance (things from 1, stuff 0). depth_m: (H, W) float32 along the optical
    axis, inf for sky. See-through surfaces (fences, spokes) are labelled as a whole.
    odom_from_base: 4x4. ground_classes: see `occupancy.map_ground`.
    """

    image: np.ndarray
    label: np.ndarray
    panoptic: np.ndarray
    depth_m: np.ndarray
    stamp_ns: int
    odom_from_base: np.ndarray
    speed_mps: float
    yaw_rate_radps: float
    objects: tuple[SampleObject, ...]
    ground_classes: np.ndarray


def _pose_camera(camera: CameraSetup) -> np.ndarray:
    """base_link from camera optical frame."""
    optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    c, s = np.cos(camera.pitch_rad), np.sin(camera.pitch_rad)
    pitch = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    c, s = np.cos(camera.roll_rad), np.sin(camera.roll_rad)
    roll = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    out = np.eye(4)
    out[:3, :3] = pitch @ roll @ optical
    out[:3, 3] = [camera.forward_m, 0.0, camera.height_m]
    return out


class SampleDrive:
    """Deterministic drive of `frames` frames; iterate, or `render(i)` any frame alone.

    seed fixes street, light, traffic and noise; camera defaults to `CameraSetup()`, pass
    `draw_camera(seed)` to vary it. Same seed, frame and size give the same bytes on a machine,
    whatever the number of threads or the order of calls.
    Attributes: camera_matrix (3, 3) float64; base_from_camera (4, 4).
    Raises ValueError for sizes or counts below 1.
    """

    def __init__(self, seed: int, frames: int, height_px: int, width_px: int,
                 rate_hz: float = 10.0, camera: CameraSetup | None = None) -> None:
        if frames < 1 or height_px < 2 or width_px < 2 or rate_hz <= 0:
            raise ValueError(
                f'frames={frames}, height_px={height_px}, width_px={width_px}, rate_hz={rate_hz}: '
                'expected frames >= 1, sizes >= 2 and a positive rate')
        self.seed, self.frames, self.rate_hz = seed, frames, rate_hz
        self.height_px, self.width_px = height_px, width_px
        self.camera = camera or CameraSetup()
        focal = 0.5 * width_px / np.tan(0.5 * self.camera.horizontal_fov_rad)
        self.camera_matrix = np.array([[focal, 0.0, (width_px - 1) / 2],
                                       [0.0, focal, (height_px - 1) / 2], [0.0, 0.0, 1.0]])
        self.base_from_camera = _pose_camera(self.camera)
        self.style = draw_street_style(seed)
        self.weather = draw_weather(make_rng(seed, 31))
        length = 1.3 * self.style.speed_mps * frames / rate_hz + VIEW_M + 120.0
        self._path = StreetPath(seed, length, self.style.bend)
        self._library = make_library(seed)
        self._ego = EgoMotion(seed, self.style, self._path)
        self._traffic = Traffic(seed, self.style, self._path, self._library, self._ego)
        self._street = self.style.pack()
        self._odom_from_world = np.linalg.inv(self._ego.state_at(0.0)[0])
        self._chunks: OrderedDict[int, Chunk] = OrderedDict()
        self._window: tuple[tuple[int, int], MeshPool, Mesh, list[StandingObject]] | None = None
        self._shadow = np.empty((SHADOW_PX, SHADOW_PX), np.float32)

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[SampleFrame]:
        return (self.render(i) for i in range(self.frames))

    def _get_chunk(self, index: int) -> Chunk:
        if index not in self._chunks:
            self._chunks[index] = ChunkBuilder(self.seed, index, self.style, self._path,
                                               self._library).build()
            while len(self._chunks) > 10:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(index)
        return self._chunks[index]

    def _get_window(self, at: float) -> tuple[MeshPool, Mesh, list[StandingObject]]:
        """Standing world around s = at: mesh, ground mesh, objects."""
        first = int(np.floor((at - 25.0) / CHUNK_M))
        last = int(np.floor((at + VIEW_M) / CHUNK_M))
        if self._window is None or self._window[0] != (first, last):
            chunks = [self._get_chunk(k) for k in range(first, last + 1)]
            self._window = ((first, last), MeshPool([c.mesh for c in chunks]),
                            join_meshes([c.ground for c in chunks]),
                            [o for c in chunks for o in c.objects])
        return self._window[1], self._window[2], self._window[3]

    def render(self, index: int) -> SampleFrame:
        """Frame `index`; IndexError outside of 0..frames-1."""
        if not 0 <= index < self.frames:
            raise IndexError(f'frame {index}: expected 0..{self.frames - 1}')
        time_s = index / self.rate_hz
        world_from_base, speed = self._ego.state_at(time_s)
        standing, ground, boxes = self._get_window(self._ego.distance_at(time_s))
        movers = self._traffic.list_movers(time_s)
        mesh = standing.extend([m.mesh for m in movers])
        world_from_camera = world_from_base @ self.base_from_camera
        eye = world_from_camera[:3, 3]
        rotation = np.ascontiguousarray(world_from_camera[:3, :3].T)
        layers = self._rasterise(mesh, eye, rotation)
        label, panoptic, depth = self._read_labels(mesh, layers, rotation, eye)
        frame_seed = (self.seed * 7919 + index * 104729) & 0x7FFFFFFF
        image = self._shade(mesh, eye, rotation, layers, label, time_s, frame_seed,
                            world_from_base)
        things = [(b, False) for b in boxes if b.instance] + [(m.box, m.moving) for m in movers]
        objects = tuple(SampleObject(b.label, b.instance, self._odom_from_world @ b.pose, b.size,
                                     moving) for b, moving in things)
        return SampleFrame(
            image, label, panoptic, depth,
            FIRST_STAMP_NS + int(round(index * 1e9 / self.rate_hz)),
            self._odom_from_world @ world_from_base, speed, self._ego.yaw_rate_at(time_s), objects,
            map_ground(ground, boxes + [m.box for m in movers if m.box.label != 12],
                       world_from_base))

    def _rasterise(self, mesh: Mesh, eye: np.ndarray, rotation: np.ndarray) -> tuple:
        """Visible triangle and 1/depth of the solid layer and of the see-through layer."""
        shape = (self.height_px, self.width_px)
        k = self.camera_matrix
        layers = []
        for layer in (SOLID, SCREEN):
            xs, ys, keys, source = project_pinhole(
                mesh.vertices, eye, mesh.material, layer, rotation, k[0, 0], k[0, 2], k[1, 2],
                shape[1], shape[0])
            key, ids = np.zeros(shape, np.float32), np.full(shape, -1, np.int32)
            fill_triangles(xs, ys, keys, source, mesh.material, mesh.texture, mesh.seeds, True,
                           key, ids)
            layers += [ids, key]
        return tuple(layers)

    def _read_labels(self, mesh: Mesh, layers: tuple, rotation: np.ndarray,
                     eye: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = (self.height_px, self.width_px)
        label, panoptic = np.empty(shape, np.uint8), np.empty(shape, np.int32)
        depth = np.empty(shape, np.float32)
        k = self.camera_matrix
        read_labels(*layers, mesh.label, mesh.instance, rotation, k[0, 0], k[0, 2], k[1, 2],
                    eye[2], label, panoptic, depth)
        return label, panoptic, depth

    def _shade(self, mesh: Mesh, eye: np.ndarray, rotation: np.ndarray, layers: tuple,
               label: np.ndarray, time_s: float, frame_seed: int,
               world_from_base: np.ndarray) -> np.ndarray:
        env = self.weather.pack(time_s)
        axes = _make_light_axes(env[E_SUN_X:E_SUN_Z + 1])
        scale = SHADOW_PX / SHADOW_M
        middle = world_from_base[:3, 0] * (0.5 * SHADOW_M - 12.0)
        # Whole texels in the world, so that shadow edges do not swim as the camera moves.
        eye_px = axes[:2] @ eye * scale
        offset = eye_px - np.floor(eye_px + axes[:2] @ middle * scale) + 0.5 * SHADOW_PX
        xs, ys, keys, source = project_parallel(mesh.vertices, eye, mesh.material, False, axes,
                                                scale, offset[0], offset[1], SHADOW_PX, SHADOW_PX)
        shadow = self._shadow
        shadow.fill(-1e30)
        fill_triangles(xs, ys, keys, source, mesh.material, mesh.texture, mesh.seeds, False,
                       shadow, np.empty((0, 0), np.int32))
        radiance = np.empty((*label.shape, 3), np.float32)
        k = self.camera_matrix
        shade_image(radiance, *layers, eye, mesh.vertices, mesh.texture, mesh.normals,
                    mesh.material, mesh.color, mesh.seeds, rotation, k[0, 0], k[0, 2], k[1, 2],
                    self._street, env, shadow, axes, scale, offset,
                    self.seed & 0xFFFFF, frame_seed)
        return develop(radiance, layers[0], layers[2], label, self.weather, time_s, frame_seed)


def _make_light_axes(sun: np.ndarray) -> np.ndarray:
    """Rows: two axes across the light and the direction to the sun."""
    side = np.cross(sun, np.array([0.0, 0.0, 1.0]))
    side = side / np.linalg.norm(side) if np.linalg.norm(side) > 1e-6 else np.array([1.0, 0, 0])
    return np.stack([side, np.cross(sun, side), sun])
