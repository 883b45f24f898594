# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Evaluation in windows, as SegViT's paper has it: the size of the training crops, overlapping.

The node sees the whole image at once: one pass, and no seams to average.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks.segvit import SCORE_FLOOR, SegViT


class SlidingWindow(nn.Module):
    """A network that sees an image in square windows, in evaluation.

    Where windows overlap their scores are averaged: SegViT's at full size (`score_pixels`), of
    other networks the logits, enlarged bilinearly. The last window of a row or column ends with
    the image, and an image smaller than a window is one window.

    Args:
        network: that gives logits.
        window_px: side of a window.
        stride_px: from one window to the next; 341 for 512 and 608 for 640 in the paper.

    Raises:
        UserError: a stride that leaves gaps, or is none.
    """

    def __init__(self, network: nn.Module, window_px: int, stride_px: int) -> None:
        super().__init__()
        if not 0 < stride_px <= window_px:
            raise UserError(
                f'windows of {window_px} px every {stride_px} px: expected a stride from 1 to '
                f'{window_px}'
            )
        self.network = network
        self.window_px = window_px
        self.stride_px = stride_px

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of (N, 3, H, W) normalised RGB."""
        count, _, height, width = image.shape
        rows = list_starts(height, self.window_px, self.stride_px)
        columns = list_starts(width, self.window_px, self.stride_px)
        total: Tensor | None = None
        times = image.new_zeros(1, 1, height, width)
        for top in rows:
            for left in columns:
                window = (slice(top, top + self.window_px), slice(left, left + self.window_px))
                scores = self._score(image[:, :, window[0], window[1]])
                if total is None:
                    total = scores.new_zeros(count, scores.shape[1], height, width)
                total[:, :, window[0], window[1]] += scores
                times[:, :, window[0], window[1]] += 1
        assert total is not None
        mean = total / times
        return torch.log(mean + SCORE_FLOOR) if isinstance(self.network, SegViT) else mean

    def _score(self, window: Tensor) -> Tensor:
        if isinstance(self.network, SegViT):
            return self.network.score_pixels(window)
        logits = self.network(window)
        return F.interpolate(logits, window.shape[2:], mode='bilinear', align_corners=False)


def list_starts(length_px: int, window_px: int, stride_px: int) -> list[int]:
    """Return where windows start along an axis."""
    last = max(length_px - window_px, 0)
    return [*range(0, last, stride_px), last]
