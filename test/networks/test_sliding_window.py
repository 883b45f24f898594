# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Windows cover the image, overlap as asked, and their scores are averaged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seg_perception.errors import UserError
from seg_perception.networks.segvit import SCORE_FLOOR, build_segvit
from seg_perception.networks.sliding_window import SlidingWindow, list_starts


class LeftHalf(nn.Module):
    """Says 1 in the left half of what it sees and 0 in the right one."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros_like(image[:, :1])
        mask[:, :, :, : image.shape[3] // 2] = 1
        return mask


@pytest.mark.parametrize(
    ('length', 'window', 'stride', 'starts'),
    [
        (512, 512, 341, [0]),
        (1024, 512, 341, [0, 341, 512]),
        (1194, 512, 341, [0, 341, 682]),
        (2048, 640, 608, [0, 608, 1216, 1408]),
        (300, 512, 341, [0]),
    ],
)
def test_windows_are_those_of_the_paper(length, window, stride, starts):
    assert list_starts(length, window, stride) == starts


def test_scores_are_averaged_where_windows_overlap():
    found = SlidingWindow(LeftHalf(), 4, 2)(torch.zeros(1, 3, 4, 8))
    # windows start at 0, 2 and 4: columns 2, 3 are right in the first and left in the second
    assert found[0, 0, 0].tolist() == [1, 1, 0.5, 0.5, 0.5, 0.5, 0, 0]


def test_segvit_in_one_window_has_the_scores_of_its_masks_at_full_size():
    network = build_segvit('s', 3, image_size_px=32).eval()
    image = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        found = SlidingWindow(network, 64, 48)(image)
        expected = torch.log(network.score_pixels(image) + SCORE_FLOOR)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('stride', [0, 65])
def test_strides_that_leave_gaps_are_refused(stride):
    with pytest.raises(UserError, match=f'every {stride} px: expected a stride from 1 to 64'):
        SlidingWindow(nn.Identity(), 64, stride)
