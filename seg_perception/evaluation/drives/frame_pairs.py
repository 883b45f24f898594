# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The frames that two evaluations have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from seg_perception.errors import UserError
from seg_perception.evaluation.drives.frame_record import FrameRecord
from seg_perception.evaluation.drives.saved_result import SavedResult


@dataclass(frozen=True)
class FramePairs:
    """Frames that both evaluations have.

    Attributes:
        bags: (frames,) int64, number of the recording.
        stamps_ns: (frames,) int64.
        a: records of the first.
        b: records of the second.
    """

    bags: np.ndarray
    stamps_ns: np.ndarray
    a: list[FrameRecord]
    b: list[FrameRecord]

    def select(self, chosen: np.ndarray) -> FramePairs:
        """Return those where a (frames,) bool is True."""
        indices = np.flatnonzero(chosen)
        return FramePairs(
            self.bags[chosen],
            self.stamps_ns[chosen],
            [self.a[i] for i in indices],
            [self.b[i] for i in indices],
        )

    def judged(self, metric: str) -> np.ndarray:
        """Return (frames,) bool: a metric looked at both, and may have found nothing."""
        return np.array(
            [
                metric in a.metrics and metric in b.metrics
                for a, b in zip(self.a, self.b, strict=True)
            ],
            bool,
        )

    def have(self, metric: str) -> np.ndarray:
        """Return (frames,) bool: both have rows of a metric."""
        return np.array(
            [
                bool(a.metrics.get(metric)) and bool(b.metrics.get(metric))
                for a, b in zip(self.a, self.b, strict=True)
            ],
            bool,
        )


def pair_frames(a: SavedResult, b: SavedResult) -> FramePairs:
    """Return the frames of equal recording and stamp; UserError where there are none."""
    name_bag = _choose_bag_names(a, b)
    keys_a, keys_b = (_key_records(result, name_bag) for result in (a, b))
    common = [key for key in keys_a if key in keys_b]
    if not common:
        raise UserError(
            f'{a.name} and {b.name} have no frame in common: bags '
            f'{_list_bags(a)} and {_list_bags(b)}; evaluate the same recordings'
        )
    numbers = {bag: number for number, bag in enumerate(dict.fromkeys(key[0] for key in common))}
    return FramePairs(
        np.array([numbers[key[0]] for key in common], np.int64),
        np.array([key[1] for key in common], np.int64),
        [keys_a[key] for key in common],
        [keys_b[key] for key in common],
    )


def _choose_bag_names(a: SavedResult, b: SavedResult) -> Mapping[str, str]:
    """Return what each recording is called: its last folder, or the path where that is no name."""
    paths = [[bag.path for bag in result.bags] for result in (a, b)]
    shorts = [[PurePosixPath(path).name for path in side] for side in paths]
    is_clear = all(len(set(side)) == len(side) for side in shorts)
    return {
        path: short if is_clear else path
        for side, names in zip(paths, shorts, strict=True)
        for path, short in zip(side, names, strict=True)
    }


def _key_records(
    result: SavedResult, name_bag: Mapping[str, str]
) -> dict[tuple[str, int, int], FrameRecord]:
    """Return the readable records by recording, stamp, and which one of that stamp it is."""
    keyed = {}
    seen: Counter[tuple[str, int]] = Counter()
    for bag in result.bags:
        for record in bag.records:
            if record.metrics or record.times_ms:
                name = name_bag[bag.path]
                keyed[name, record.stamp_ns, seen[name, record.stamp_ns]] = record
                seen[name, record.stamp_ns] += 1
    return keyed


def _list_bags(result: SavedResult) -> str:
    return ', '.join(bag.path for bag in result.bags) or 'none'


def describe_frames(a: SavedResult, b: SavedResult, pairs: FramePairs) -> list[str]:
    """Return a line that says how many frames are in common, and one for each side's own."""
    notes = [f'{len(pairs.a)} frames in common']
    for result in (a, b):
        own = sum(bool(r.metrics or r.times_ms) for r in result.list_records()) - len(pairs.a)
        if own:
            notes.append(f'{own} frames are in {result.name} alone and are not compared')
    return notes
