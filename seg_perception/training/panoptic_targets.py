# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a panoptic network is to return, from instance ids (Panoptic-DeepLab, arXiv 1911.10194).

Made after cropping, scaling and flipping: a mirrored image has mirrored offsets, and the centre of
an instance is that of its visible part, as at inference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seg_perception.training.crops import UNKNOWN_INSTANCE


class PanopticTargets(NamedTuple):
    """All at 1 / stride of the image.

    Attributes:
        center: (N, 1, h, w) float32, the highest of a Gaussian around each centre.
        offset: (N, 2, h, w) float32, y and x from the middle of a cell to the centre of its
            instance, px of the image; 0 where there is none.
        is_thing: (N, h, w) bool, cells of an instance.
        is_known: (N, h, w) bool, cells where instances are known: not void, no crowd.
        is_small: (N, h, w) bool, cells of an instance below the area that weighs more.
    """

    center: Tensor
    offset: Tensor
    is_thing: Tensor
    is_known: Tensor
    is_small: Tensor


def make_targets(
    instances: Tensor,
    stride: int,
    sigma_px: float,
    small_area_px: int,
    ignored_area_px: int = 0,
) -> PanopticTargets:
    """Make the targets of (N, H, W) int64 instance ids; 0 none, UNKNOWN_INSTANCE unknown.

    H and W are multiples of the stride. A cell takes the id of the pixel in its middle, the lower
    right one of the four. Instances of fewer than ignored_area_px are unknown.
    """
    half = stride // 2
    cells = instances[:, half::stride, half::stride]
    count, height, width = cells.shape
    device = instances.device
    rows = (torch.arange(height, device=device) + 0.5) * stride
    columns = (torch.arange(width, device=device) + 0.5) * stride
    center = torch.zeros(count, 1, height, width, device=device)
    offset = torch.zeros(count, 2, height, width, device=device)
    is_small = torch.zeros(count, height, width, dtype=torch.bool, device=device)
    is_known = cells != UNKNOWN_INSTANCE
    is_thing = is_known & (cells > 0)
    for image in range(count):
        ids, centers, areas = find_centers(instances[image])
        is_ignored = areas < ignored_area_px
        unknown = torch.isin(cells[image], ids[is_ignored])
        is_known[image] &= ~unknown
        is_thing[image] &= ~unknown
        ids, centers, areas = (values[~is_ignored] for values in (ids, centers, areas))
        if not len(ids):
            continue
        distance_y = (rows - centers[:, :1]) ** 2
        distance_x = (columns - centers[:, 1:]) ** 2
        scale = -0.5 / sigma_px**2
        heat = torch.exp(scale * distance_y)[:, :, None] * torch.exp(scale * distance_x)[:, None]
        center[image, 0] = heat.amax(0)
        place = torch.searchsorted(ids, cells[image].clamp(max=int(ids[-1])).contiguous())
        own = is_thing[image]
        offset[image, 0] = torch.where(own, centers[place, 0] - rows[:, None], 0.0)
        offset[image, 1] = torch.where(own, centers[place, 1] - columns, 0.0)
        is_small[image] = own & (areas[place] < small_area_px)
    return PanopticTargets(center, offset, is_thing, is_known, is_small)


def find_centers(instances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the centres of mass of the instances of one image (H, W).

    Returns ids (K,) ascending, centres (K, 2) float32 y and x in px, the middle of the first
    pixel at 0.5, and areas (K,) int64.
    """
    is_thing = (instances > 0) & (instances != UNKNOWN_INSTANCE)
    rows, columns = torch.nonzero(is_thing, as_tuple=True)
    ids, place, areas = torch.unique(
        instances[rows, columns], return_inverse=True, return_counts=True
    )
    sums = torch.zeros(len(ids), 2, dtype=torch.float64, device=instances.device)
    positions = torch.stack([rows, columns], 1).double() + 0.5
    sums.index_add_(0, place, positions)
    return ids, (sums / areas[:, None]).float(), areas
