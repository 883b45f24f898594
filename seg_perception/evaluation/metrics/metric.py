# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a metric is: it counts single frames first, and makes figures of any set of frames later.

So recordings, machines and interrupted runs merge exactly, a comparison can resample frames, and a
report can draw them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# What a metric counted in one frame, as JSON.
Rows = Sequence[Sequence[int | float]]


@dataclass(frozen=True)
class JudgedFrame:
    """One segmented image and all that is known about it; arrays are views of one size (H, W).

    Attributes:
        index: of the image in its recording.
        stamp_ns: of its header.
        image: (H, W, 3) uint8.
        channel_order: 'rgb' or 'bgr'.
        mask: uint8, ids of the model's label space.
        confidence: uint8, probability of the class times 255.
        truth: uint8, ids of the labels' space, 255 where unlabelled; None without a label.
        folded: uint8, the mask in ids of the labels' space; None without a label.
        panoptic: int32, predicted class * 1000 + instance.
        true_panoptic: int32, the same of the labels, -1 void.
        depth_m: float32, 0 or NaN for none.
    """

    index: int
    stamp_ns: int
    image: np.ndarray
    channel_order: str
    mask: np.ndarray
    confidence: np.ndarray | None = None
    truth: np.ndarray | None = None
    folded: np.ndarray | None = None
    panoptic: np.ndarray | None = None
    true_panoptic: np.ndarray | None = None
    depth_m: np.ndarray | None = None


class Metric(Protocol):
    """Counts frames; one object judges the frames of one recording in their order.

    Attributes:
        name: key of its rows in a frame's record.
    """

    name: str

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Return what was counted, None where the frame has nothing for this metric."""

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return figures by their key, the same in any order of frames; None for none."""


def sum_rows(frames: Iterable[Rows], keys: int) -> dict[tuple[int, ...], list[int | float]]:
    """Add the rows of frames whose first `keys` numbers are equal; exact in any order.

    Integers are added as they are, floats without rounding in between (math.fsum).
    """
    columns: dict[tuple[int, ...], list[Sequence[int | float]]] = {}
    for rows in frames:
        for row in rows:
            columns.setdefault(tuple(int(key) for key in row[:keys]), []).append(row[keys:])
    return {key: [_add(column) for column in zip(*rows, strict=True)]
            for key, rows in columns.items()}  # fmt: skip


def _add(values: tuple[int | float, ...]) -> int | float:
    if all(isinstance(value, int) for value in values):
        return sum(values)
    return math.fsum(values)


def require_panoptic_maps(truth: np.ndarray, prediction: np.ndarray) -> None:
    """Raise ValueError for panoptic maps that are not int32 of one shape."""
    for what, ids in (('truth', truth), ('prediction', prediction)):
        if ids.dtype != np.int32 or ids.shape != truth.shape:
            raise ValueError(
                f'panoptic {what} is {ids.dtype} of shape {ids.shape}, expected int32 of '
                f'shape {truth.shape}'
            )


def to_json(value: float) -> float | None:
    """Return a figure as JSON has it: None for NaN."""
    return None if math.isnan(value) else float(value)
