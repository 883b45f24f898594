# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The record of one image of an evaluation: one JSON line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from seg_perception.errors import UserError
from seg_perception.evaluation.metrics.metric import Rows

SCORED = 'scored'
UNLABELLED = 'unlabelled'
UNREADABLE = 'unreadable'
DROPPED = 'dropped'
MISMATCHED = 'mismatched'
STATUSES = (SCORED, UNLABELLED, UNREADABLE, DROPPED, MISMATCHED)


@dataclass(frozen=True)
class FrameRecord:
    """What was found in one image.

    Attributes:
        index: of the image in its recording.
        stamp_ns: of its header; 0 where that could not be read.
        status: 'scored'; 'unlabelled', no truth of its stamp; 'unreadable', the image is damaged;
            'dropped', the live node took a newer one; 'mismatched', the truth cannot be used.
        reason: why it was not scored.
        metrics: rows by metric.
        times_ms: by stage; live mode has the latency from publisher to subscriber.
    """

    index: int
    stamp_ns: int
    status: str
    reason: str = ''
    metrics: dict[str, Rows] = field(default_factory=dict)
    times_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status is '{self.status}', expected one of: {', '.join(STATUSES)}")

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, which share its rows."""
        # dataclasses.asdict copies every number of every row: 2 ms of a frame's 8 000
        return dict(vars(self))

    def to_line(self) -> str:
        """Return the record as a line of JSON."""
        return json.dumps(self.to_json(), separators=(',', ':'), allow_nan=False) + '\n'

    @classmethod
    def from_json(cls, values: Any) -> FrameRecord:
        """Return a record from its JSON values.

        Raises:
            UserError: these are not the values of a record.
        """
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UserError(f'not the record of a frame: {error}') from error
