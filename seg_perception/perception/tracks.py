# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instance ids that stay with their object from frame to frame, from panoptic maps alone.

A track keeps the mask that its object had when it was last seen, moves it as the object moved, and
takes the instance of its class that fits best:

- How much the masks overlap (IoU), and how near the instance's box is to the moved one. What hides
  a part of an object moves at most one of two opposite edges of its box, so of left and right, top
  and bottom, the edge counts that moved as foreseen. The same edges tell the velocity.
- A new track moves as its neighbours do: in the view of a moving camera what is near each other
  and stands on about the same row moves alike. (Without this five times as many ids switch.)
- All tracks and instances are assigned at once, by the greatest sum of what fits (the Hungarian
  method of scipy.optimize.linear_sum_assignment). Nothing is random.

A track whose object is not found waits, moving on, for `max_missed` frames. Its number is then
free: numbers of a class go from 1 to 999 once, after that the one that has been free longest is
taken. Where none is free an instance gets number 0, 'not told apart'.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

INSTANCES_PER_CLASS = 1000
_TABLE_SIZE = 255 * INSTANCES_PER_CLASS
_FIRST_BUFFER_RUNS = 1 << 14
_NEIGHBOUR_PX = 5.0  # neighbours nearer than this are no better than this
_ROW_WEIGHT = 2.0  # a row apart makes less alike than a column apart
_PIXELS_WIDTH = 1024.0  # lengths are for images of this width


@dataclass(frozen=True)
class TrackConfig:
    """How tracks are followed.

    Attributes:
        max_missed: frames that a track survives without its object; 10 are a second at 10 Hz.
        reach_px: how far an object's edges may be from where they are foreseen, in an image of
            1024 px width; larger objects further, by the square root of their area.
        velocity_gain: share of the deviation from the foreseen that changes the velocity.

    Raises:
        ValueError: a number outside its range.
    """

    max_missed: int = 10
    reach_px: float = 8.0
    velocity_gain: float = 0.6

    def __post_init__(self) -> None:
        if self.max_missed < 0:
            raise ValueError(f'max_missed is {self.max_missed}, expected 0 or more frames')
        if not 0.0 < self.reach_px < np.inf:
            raise ValueError(f'reach is {self.reach_px} px, expected more than 0')
        if not 0.0 <= self.velocity_gain <= 1.0:
            raise ValueError(f'velocity gain is {self.velocity_gain}, expected 0 to 1')


class TrackedIds(NamedTuple):
    """The instances of one map, in order of their first pixel.

    Attributes:
        before: (N,) int32, their ids in the map that was given.
        after: (N,) int32, their tracks' ids: class * 1000 + number.
        is_new: (N,) bool, where a track began.
    """

    before: np.ndarray
    after: np.ndarray
    is_new: np.ndarray


class _Segments(NamedTuple):
    """Instances of one map; boxes are top, left, bottom, right, centroids row and column."""

    ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    centroids: np.ndarray
    runs: np.ndarray
    row_starts: np.ndarray


@dataclass
class _Tracks:
    """All tracks, one entry of each array for one; as they were when last seen."""

    ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    centroids: np.ndarray
    velocities: np.ndarray  # rows and columns per frame
    missed: np.ndarray  # frames since
    ages: np.ndarray  # frames in which it was seen
    runs: np.ndarray  # (R,) object, the mask of each

    @staticmethod
    def start(
        ids: np.ndarray, segments: _Segments, places: np.ndarray, velocities: np.ndarray
    ) -> _Tracks:
        """Make tracks of segments; their runs are filled in later."""
        count = len(places)
        return _Tracks(
            ids, segments.areas[places], segments.boxes[places], segments.centroids[places],
            velocities, np.zeros(count, np.int64), np.ones(count, np.int64),
            np.empty(count, object))  # fmt: skip

    def select(self, which: np.ndarray) -> _Tracks:
        return _Tracks(*(getattr(self, field.name)[which] for field in fields(self)))

    def join(self, other: _Tracks) -> _Tracks:
        return _Tracks(
            *(
                np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)
            )
        )


class InstanceTracker:
    """Follows the instances of one camera. Not safe to call from two threads at once."""

    def __init__(self, config: TrackConfig | None = None) -> None:
        """Start without tracks."""
        from scipy.optimize import linear_sum_assignment  # 0.2 s to import

        from seg_perception.perception import track_kernels

        self._kernels = track_kernels
        self._assign = linear_sum_assignment
        self.config = config or TrackConfig()
        self._segment_of_id = np.full(_TABLE_SIZE, -1, np.int32)
        self._ids = np.empty(_TABLE_SIZE, np.int32)
        self._runs = np.empty((_FIRST_BUFFER_RUNS, 4), np.int32)
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and which numbers were used."""
        self._free_ids: dict[int, deque[int]] = {}
        self._tracks = _make_no_tracks()
        self._size_hw = (0, 0)

    def forget_objects(self) -> None:
        """Forget all tracks but not which numbers were used, as after a pause."""
        self._forget(np.ones(self.count, np.bool_))

    def warm_up(self) -> None:
        """Compile, or load compiled code from the cache; call it before the first frame."""
        for _ in range(2):
            self.update(np.full((8, 8), INSTANCES_PER_CLASS + 1, np.int32))
        self.reset()

    @property
    def count(self) -> int:
        """Number of tracks, those that wait for their object included."""
        return len(self._tracks.ids)

    def update(self, panoptic: np.ndarray) -> TrackedIds:
        """Give the instances of the next map the ids of their tracks.

        Args:
            panoptic: (H, W) int32, C-contiguous, class * 1000 + instance; instance 0 (stuff, and
                things not told apart) and negative ids are left as they are. Changed in place. A
                map of another size than the last forgets where the objects were.

        Raises:
            ValueError: an array of another type or layout, or an id beyond class 254; nothing is
                changed.
        """
        _require_map(panoptic)
        segments = self._list_segments(panoptic)
        if panoptic.shape != self._size_hw:
            self.forget_objects()
            self._size_hw = panoptic.shape
        track_of = self._match(segments)
        after = np.zeros(len(segments.ids), np.int32)
        is_new = track_of < 0
        after[~is_new] = self._tracks.ids[track_of[~is_new]]
        after[is_new] = [self._take_id(id_ // INSTANCES_PER_CLASS) for id_ in segments.ids[is_new]]
        self._follow(segments, track_of)
        self._forget(self._tracks.missed > self.config.max_missed)
        self._start_tracks(segments, after, is_new)
        self._kernels.write_runs(segments.runs, after, panoptic)
        return TrackedIds(segments.ids, after, is_new)

    def _list_segments(self, panoptic: np.ndarray) -> _Segments:
        row_starts = np.empty(panoptic.shape[0] + 1, np.int64)
        while True:
            found, run_count = self._kernels.list_runs(
                panoptic, self._segment_of_id, self._ids, self._runs, row_starts
            )
            self._clear_table(panoptic, found)
            if found < 0:
                raise ValueError(
                    f'panoptic map holds id {run_count}, expected less than {_TABLE_SIZE}: '
                    f'class * {INSTANCES_PER_CLASS} + instance'
                )
            if run_count <= len(self._runs):
                break
            self._runs = np.empty((2 * run_count, 4), np.int32)
        runs = self._runs[:run_count]
        sums = np.zeros((found, 3))
        boxes = np.zeros((found, 4), np.int32)
        boxes[:, :2] = np.iinfo(np.int32).max
        self._kernels.measure_segments(runs, sums, boxes)
        areas = sums[:, 0]
        centroids = sums[:, 1:] / areas[:, None]
        return _Segments(
            self._ids[:found].copy(), areas, boxes.astype(np.float64), centroids, runs, row_starts
        )

    def _clear_table(self, panoptic: np.ndarray, found: int) -> None:
        if found < 0:
            self._segment_of_id.fill(-1)
        else:
            self._segment_of_id[self._ids[:found]] = -1

    def _match(self, segments: _Segments) -> np.ndarray:
        """Return (S,) int64, the track of each segment, -1 for none."""
        track_of = np.full(len(segments.ids), -1, np.int64)
        if not self.count or not len(segments.ids):
            return track_of
        fit = self._rate_pairs(segments)
        tracks, places = self._assign(fit, maximize=True)
        is_pair = fit[tracks, places] > 0
        track_of[places[is_pair]] = tracks[is_pair]
        return track_of

    def _rate_pairs(self, segments: _Segments) -> np.ndarray:
        """Return (T, S) float64: how well each segment fits each track, 0 where it cannot be."""
        tracks = self._tracks
        moves = tracks.velocities * (tracks.missed + 1)[:, None]
        shared, moved_areas = self._count_overlaps(segments, moves)
        fit = np.empty(shared.shape)
        self._kernels.rate_pairs(
            tracks.ids, tracks.areas, tracks.boxes, tracks.centroids, moves, moved_areas,
            segments.ids, segments.areas, segments.boxes, segments.centroids, shared,
            self.config.reach_px * self._size_hw[1] / _PIXELS_WIDTH, fit)  # fmt: skip
        return fit

    def _count_overlaps(
        self, segments: _Segments, moves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (T, S) pixels shared by moved tracks and segments, and (T,) those of tracks."""
        masks = self._tracks.runs
        runs = np.concatenate(list(masks))
        runs[:, 3] = np.repeat(np.arange(self.count), [len(mask) for mask in masks])
        shared = np.zeros((self.count, len(segments.ids)), np.int64)
        areas = np.zeros(self.count, np.int64)
        self._kernels.count_overlaps(
            runs, np.rint(moves).astype(np.int32), segments.runs, segments.row_starts,
            self._size_hw[1], shared, areas)  # fmt: skip
        return shared, areas

    def _follow(self, segments: _Segments, track_of: np.ndarray) -> None:
        """Update the tracks by what was seen of them; the others have missed a frame."""
        tracks = self._tracks
        places = np.flatnonzero(track_of >= 0)
        seen = track_of[places]
        frames = (tracks.missed[seen] + 1)[:, None]
        foreseen = tracks.boxes[seen] + np.tile(tracks.velocities[seen] * frames, 2)
        deviation = segments.boxes[places] - foreseen
        first, second = deviation[:, :2], deviation[:, 2:]
        step = np.where(np.abs(first) < np.abs(second), first, second)
        gain = np.where(tracks.ages[seen] == 1, 1.0, self.config.velocity_gain)
        tracks.velocities[seen] += gain[:, None] * step / frames
        tracks.areas[seen] = segments.areas[places]
        tracks.boxes[seen] = segments.boxes[places]
        tracks.centroids[seen] = segments.centroids[places]
        tracks.runs[seen] = _split_runs(segments, places)
        tracks.ages[seen] += 1
        tracks.missed += 1
        tracks.missed[seen] = 0

    def _forget(self, which: np.ndarray) -> None:
        for id_ in self._tracks.ids[which].tolist():
            self._free_ids[id_ // INSTANCES_PER_CLASS].append(id_)
        self._tracks = self._tracks.select(~which)

    def _take_id(self, class_id: int) -> int:
        first = class_id * INSTANCES_PER_CLASS
        free = self._free_ids.setdefault(
            class_id, deque(range(first + 1, first + INSTANCES_PER_CLASS))
        )
        return free.popleft() if free else first

    def _start_tracks(self, segments: _Segments, after: np.ndarray, is_new: np.ndarray) -> None:
        places = np.flatnonzero(is_new & (after % INSTANCES_PER_CLASS > 0))
        if not places.size:
            return
        velocities = self._interpolate_velocities(segments, places)
        started = _Tracks.start(after[places], segments, places, velocities)
        started.runs[:] = _split_runs(segments, places)
        self._tracks = self._tracks.join(started)

    def _interpolate_velocities(self, segments: _Segments, places: np.ndarray) -> np.ndarray:
        """Return (N, 2): the mean velocity of the other tracks, the nearest counting most."""
        tracks = self._tracks.select((self._tracks.missed == 0) & (self._tracks.ages > 1))
        if not len(tracks.ids):
            return np.zeros((len(places), 2))
        # Objects that stand on one row of the image are about as far away.
        rows = segments.boxes[places, 2][:, None] - tracks.boxes[:, 2]
        columns = segments.centroids[places, 1][:, None] - tracks.centroids[:, 1]
        least = _NEIGHBOUR_PX * self._size_hw[1] / _PIXELS_WIDTH
        weights = 1.0 / ((_ROW_WEIGHT * rows) ** 2 + columns**2 + least**2)
        return weights @ tracks.velocities / weights.sum(axis=1, keepdims=True)


def _make_no_tracks() -> _Tracks:
    return _Tracks(
        np.empty(0, np.int32), np.empty(0), np.empty((0, 4)), np.empty((0, 2)), np.empty((0, 2)),
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, object))  # fmt: skip


def _split_runs(segments: _Segments, places: np.ndarray) -> np.ndarray:
    """Return (N,) object: the runs of each of the segments, copied."""
    by_segment = segments.runs[np.argsort(segments.runs[:, 3], kind='stable')]
    edges = np.searchsorted(by_segment[:, 3], np.arange(len(segments.ids) + 1))
    masks = np.empty(len(places), object)
    for index, place in enumerate(places):
        masks[index] = by_segment[edges[place] : edges[place + 1]].copy()
    return masks


def _require_map(panoptic: np.ndarray) -> None:
    if panoptic.ndim != 2 or panoptic.dtype != np.int32 or not panoptic.flags.c_contiguous:
        layout = '' if panoptic.flags.c_contiguous else ', not C-contiguous'
        raise ValueError(
            f'panoptic map is {panoptic.dtype} of shape {panoptic.shape}{layout}, expected '
            'C-contiguous int32 of shape (H, W)'
        )
    if not panoptic.flags.writeable:
        raise ValueError('panoptic map is read-only, expected a buffer that can be written')
