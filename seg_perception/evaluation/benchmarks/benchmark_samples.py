# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark can measure, and what it measured, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

# What can be left out, or taken in; node and bare engine are always measured.
DEFAULT_PARTS = ('eager', 'fps', 'overload', 'large-camera', 'decode', 'cuda', 'panoptic')
PARTS = (*DEFAULT_PARTS, 'subscribers', 'cameras')


@dataclass(frozen=True)
class CameraReport:
    """What came back from one replay to the node; masks of the warm-up are left out.

    Attributes:
        latencies_ms: from the call of publish() to the callback of the mask. Images are stamped
            as they are published: this is also the age of the mask's stamp when it arrived.
        published: images sent.
        received: masks that came back.
        masks_per_s: from the first mask to the last.
        images_per_s: rate at which the camera managed to send.
        cpu_percent: processor time of the node per wall time, while masks came; 100 is one core.
            None where the system has no /proc.
        cpu_ms_per_mask: processor time of the node per mask, ms.
        resident_mb: memory of the node at the last mask, MiB.
        node: key and value of the node's last status on /diagnostics.
        panoptic_ms: from the call of publish() to the callback of ~/panoptic; empty where it is
            not subscribed.

    """

    latencies_ms: list[float]
    published: int
    received: int
    masks_per_s: float
    images_per_s: float
    cpu_percent: float | None
    cpu_ms_per_mask: float | None
    resident_mb: float | None
    node: dict[str, str]
    panoptic_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """Node, bare engine and reference chain, one after the other, on one camera.

    Attributes:
        e2e: the node, at the camera's rate.
        bare_ms: the engine alone, node inactive, the same camera publishing beside it.
        eager_ms: the reference chain; empty without PyTorch.
        unthrottled: the node, the next image always waiting; None where not measured.
        overload: the node, with more images than it can take; None where not measured.

    """

    e2e: CameraReport
    bare_ms: list[float]
    eager_ms: list[float] = field(default_factory=list)
    unthrottled: CameraReport | None = None
    overload: CameraReport | None = None
