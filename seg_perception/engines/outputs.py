# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model file's graph returns: logits alone, or with centres and offsets of instances.

All outputs of a graph are float32 and of one size, at metadata.stride of the network's input.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seg_perception.engines.contract import CENTER, LOGITS, OFFSET, ModelMetadata


class PanopticArrays(NamedTuple):
    """The outputs of a panoptic model for one image, float32, valid until the next.

    Attributes:
        logits: (C, h, w).
        center: (h, w), 1 at the centre of an instance, falling to 0 around it.
        offset: (2, h, w), from each cell to the centre of its instance, y and x, px of the
            network's input.
    """

    logits: np.ndarray
    center: np.ndarray
    offset: np.ndarray


def find_channels(metadata: ModelMetadata) -> dict[str, slice]:
    """Return which channels each output has where all stand one after the other."""
    counts = {LOGITS: metadata.label_space.num_classes, CENTER: 1, OFFSET: 2}
    channels, first = {}, 0
    for name in metadata.outputs:
        channels[name] = slice(first, first + counts[name])
        first += counts[name]
    return channels


def count_channels(metadata: ModelMetadata) -> int:
    """Return the channels of all outputs together."""
    return max(part.stop for part in find_channels(metadata).values())
