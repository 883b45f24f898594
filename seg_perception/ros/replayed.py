# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a replay brings back from a node."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ReplayedMask:
    """A mask as it came back.

    Attributes:
        stamp_ns: stamp of its header, that of its image.
        mask: (H, W) uint8 class ids.
        confidence: (H, W) uint8; None when not subscribed or lost.
        latency_ms: from the call of publish() to the callback of the mask.

    """

    stamp_ns: int
    mask: np.ndarray
    confidence: np.ndarray | None
    latency_ms: float


@dataclass(frozen=True)
class ReplayedGrid:
    """A nav_msgs/OccupancyGrid as it came back.

    Attributes:
        name: one of the names asked for.
        stamp_ns: stamp of its header, that of its image.
        cells: (rows along y, columns along x) int8, -1 unknown, 0..100.

    """

    name: str
    stamp_ns: int
    cells: np.ndarray


@dataclass(frozen=True)
class ReplayedPanoptic:
    """A panoptic map as it came back.

    Attributes:
        stamp_ns: stamp of its header, that of its image.
        panoptic: (H, W) int32, class * 1000 + instance, -1 void.
        latency_ms: from the call of publish() to the callback of the map.

    """

    stamp_ns: int
    panoptic: np.ndarray
    latency_ms: float


@dataclass
class ReplayResult:
    """What came of a replay.

    Attributes:
        published: images sent.
        shown_before: times that the first image was sent before the replay; the node counts them.
        received: masks that came back.
        latencies_ms: of the masks, in the order in which they came.
        stamps_ns: of the masks, in the same order.
        receive_times_s: when they came, seconds since the first image was sent.
        duration_s: from the first image to the last mask.
        diagnostics: key and value of the node's last status on /diagnostics.
        diagnostics_level: its level, 0 OK, 1 WARN, 2 ERROR; -1 when none came.
        diagnostics_message: its message.

    """

    published: int = 0
    shown_before: int = 0
    received: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    receive_times_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0
    diagnostics: dict[str, str] = field(default_factory=dict)
    diagnostics_level: int = -1
    diagnostics_message: str = ''

    @property
    def fps(self) -> float:
        """Masks per second, from the first mask to the last."""
        if len(self.receive_times_s) < 2:
            return 0.0
        return (self.received - 1) / (self.receive_times_s[-1] - self.receive_times_s[0])
