# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency: does a thing keep its class from one image to the next? Needs no labels.

Dense optical flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016)
tells where each pixel of an image is in the next one. Consistency is the share of the pixels
whose class is the same there, flicker the share of a class' pixels whose class is not.

- Flow is computed on grey images of at most 512 px width, one sampled pixel for each of theirs;
  classes are looked up in the masks as they are.
- Pixels are left out that the next image does not show: those that flow leads out of the image,
  and those that flow back does not lead to where they came from (occlusion).
- Pairs of which too little can be followed, as at a cut, are skipped; so are images that are not
  consecutive.
- Flow is not exact at outlines: the truth itself reaches 0.97 on CamVid's val clip, and 0.98 on
  the sample drive. Poles suffer most: 0.26 of their pixels seem to flicker. Compare figures of
  the same recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seg_perception.evaluation.metrics.metric import JudgedFrame, Rows, sum_rows
from seg_perception.evaluation.metrics.temporal_kernels import count_changes
from seg_perception.perception.labels import LabelSpace

FLOW_WIDTH_PX = 512
# Of consecutive images 0.85 to 0.9 can be followed in CamVid (15 Hz), 0.45 to 0.7 in the sample
# drive (10 Hz); across cuts 0.02 to 0.37.
MIN_FOLLOWED_SHARE = 0.4
# How far flow and flow back may miss each other: this, and a share of the squared lengths.
TOLERANCE_PX = 0.7
SLACK = 0.01
# The preset's 5 follow 2 % more of the pixels for a third more time, and are no truer.
_REFINEMENTS = 2
# The flow's patches are 8 px wide, also on its coarser scales: it fails on images below this.
_MIN_FLOW_SIZE_PX = 16


@dataclass(frozen=True)
class _Seen:
    """What is kept of the last image: its small grey image and the ids of its sampled pixels."""

    index: int
    size_hw: tuple[int, ...]
    grey: np.ndarray
    ids: np.ndarray


class TemporalConsistency:
    """Rows: class in an image, pixels followed into the next, those that change their class.

    Args:
        label_space: of the model; pixels without a class are not followed, though a pixel that
            loses its class has changed.
    """

    name = 'temporal'

    def __init__(self, label_space: LabelSpace) -> None:
        self._label_space = label_space
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setVariationalRefinementIterations(_REFINEMENTS)
        self._last: _Seen | None = None

    def measure(self, frame: JudgedFrame) -> Rows | None:
        """Follow the last image's pixels into this one; None at a cut, a gap and the first."""
        last, self._last = self._last, None
        if min(_flow_size(frame.mask)) < _MIN_FLOW_SIZE_PX:
            return None
        seen = _Seen(frame.index, frame.mask.shape, make_grey(frame), sample(frame.mask))
        self._last = seen
        if last is None or frame.index != last.index + 1 or last.size_hw != seen.size_hw:
            return None
        counts = np.zeros((self._label_space.num_classes, 2), np.int64)
        height, width = frame.mask.shape
        followed = count_changes(
            self._find_flow(last.grey, seen.grey),
            self._find_flow(seen.grey, last.grey),
            last.ids, frame.mask, width / last.grey.shape[1], height / last.grey.shape[0],
            TOLERANCE_PX, SLACK, counts)  # fmt: skip
        if followed < MIN_FOLLOWED_SHARE * last.ids.size:
            return None
        return [
            [int(id_), int(counts[id_, 0]), int(counts[id_, 1])]
            for id_ in np.flatnonzero(counts[:, 0])
        ]

    def summarize(self, frames: Sequence[Rows]) -> dict[str, Any]:
        """Return temporal_consistency, and flicker by class; None for what was not followed."""
        by_class = {key[0]: sums for key, sums in sum_rows(frames, 1).items()}
        followed = sum(pixels for pixels, _ in by_class.values())
        changed = sum(changes for _, changes in by_class.values())
        return {
            'temporal_consistency': 1 - changed / followed if followed else None,
            'flicker': {
                name: by_class[id_][1] / by_class[id_][0] if id_ in by_class else None
                for id_, name in enumerate(self._label_space.class_names)
            },
        }

    def _find_flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return (h, w, 2) float32: how far each pixel of the first image moves, x and y."""
        return np.asarray(self._flow.calc(first, second, np.zeros((*first.shape, 2), np.float32)))


def make_grey(frame: JudgedFrame) -> np.ndarray:
    """Return the image as (h, w) uint8 of at most 512 px width, for flow."""
    small = cv2.resize(frame.image, _flow_size(frame.mask)[::-1], interpolation=cv2.INTER_AREA)
    order = cv2.COLOR_RGB2GRAY if frame.channel_order == 'rgb' else cv2.COLOR_BGR2GRAY
    return cv2.cvtColor(small, order)


def sample(mask: np.ndarray) -> np.ndarray:
    """Return the mask's pixels in the middle of those of the small grey image, (h, w) uint8."""
    rows, columns = (
        ((np.arange(count) + 0.5) * (full / count)).astype(np.intp)
        for full, count in zip(mask.shape, _flow_size(mask), strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _flow_size(mask: np.ndarray) -> tuple[int, int]:
    height, width = mask.shape
    scale = min(1.0, FLOW_WIDTH_PX / width)
    return max(1, round(height * scale)), max(1, round(width * scale))
