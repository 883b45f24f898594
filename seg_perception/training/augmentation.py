# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A batch of crops resized, recoloured and normalised in one go, on the CPU or a GPU.

3 ms per 224x320 crop on one CPU core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seg_perception.training.crops import IGNORE_SET, UNKNOWN_INSTANCE, CropBatch

BLUR_RADIUS_PX = 3


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the network's input, per RGB channel, 0..255 scale."""

    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]


def augment_batch(
    batch: CropBatch, normalisation: Normalisation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Make training images of cut crops.

    Returns (N, 3, h, w) float32, normalised RGB, channels last, and (N, h, w) uint8 set ids. The
    surroundings of an image are mean colour (0) and unlabelled.
    """
    pixels = _upload(batch.pixels, device).permute(0, 3, 1, 2).float()
    sets = _upload(batch.sets, device)[:, None].float()
    geometry = _upload(batch.geometry, device)
    colors = _upload(batch.colors, device)
    grid, inside = build_sampling_grid(geometry, batch)
    images = F.grid_sample(pixels, grid, 'bilinear', 'border', align_corners=False)
    ids = F.grid_sample(sets, grid, 'nearest', 'border', align_corners=False)[:, 0]
    ids = torch.where(inside, ids, float(IGNORE_SET)).to(torch.uint8)
    images = change_light(images, colors, normalisation)
    if bool((batch.colors[:, 7] > 0).any()):
        images = blur_images(images, colors[:, 7])
    if bool((batch.colors[:, 8] > 0).any()):
        generator = torch.Generator(device).manual_seed(batch.noise_seed)
        noise = torch.randn(images.shape, generator=generator, device=device)
        images = images + noise * colors[:, 8, None, None, None]
    images = images * inside[:, None]
    return images.contiguous(memory_format=torch.channels_last), ids


def warp_instances(batch: CropBatch, device: torch.device) -> Tensor:
    """Return the instance ids of the training images, (N, h, w) int64.

    Pixels beyond an image are unknown. Raises ValueError for a batch without instances.
    """
    if batch.instances is None:
        raise ValueError('a batch without instances')
    ids = _upload(batch.instances.astype('float32'), device)[:, None]  # exact up to 2 ** 24
    grid, inside = build_sampling_grid(_upload(batch.geometry, device), batch)
    ids = F.grid_sample(ids, grid, 'nearest', 'border', align_corners=False)[:, 0]
    return torch.where(inside, ids, float(UNKNOWN_INSTANCE)).long()


def _upload(array: object, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(array)
    if device.type == 'cuda':
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def build_sampling_grid(geometry: Tensor, batch: CropBatch) -> tuple[Tensor, Tensor]:
    """Where each pixel of a crop lies in its window.

    Returns (N, h, w, 2) for grid_sample (x, y; -1..1 over the padded window) and (N, h, w) bool,
    whether the place lies inside the window. Outside, the grid holds the nearest pixel's centre.
    """
    device = geometry.device
    step_y, step_x, start_y, start_x, height, width = geometry.T[:, :, None]
    rows = torch.arange(batch.size.height_px, device=device) + 0.5
    columns = torch.arange(batch.size.width_px, device=device) + 0.5
    y, x = start_y + step_y * rows, start_x + step_x * columns
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
    y = torch.minimum(y.clamp(min=0.5), height - 0.5) * (2.0 / batch.sets.shape[1]) - 1.0
    x = torch.minimum(x.clamp(min=0.5), width - 0.5) * (2.0 / batch.sets.shape[2]) - 1.0
    shape = (len(geometry), batch.size.height_px, batch.size.width_px)
    return torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], -1), inside


def change_light(images: Tensor, colors: Tensor, normalisation: Normalisation) -> Tensor:
    """Apply gamma, contrast, brightness, gains and saturation, and normalise.

    images: (N, 3, h, w) float, 0..255; colors: (N, 9), see CropBatch.
    """
    gamma, contrast, brightness, *_ = colors.T[:, :, None, None, None]
    values = (images / 255.0) ** gamma
    # around the crop's own mean: around 0.5 a third of dusk crops became all black
    mean_light = values.mean((1, 2, 3), keepdim=True)
    values = (values - mean_light) * contrast + (mean_light + brightness)
    values = (values * colors[:, 3:6, None, None]).clamp_(0.0, 1.0).mul_(255.0)
    mean = torch.tensor(normalisation.mean_rgb, device=images.device)[:, None, None]
    std = torch.tensor(normalisation.std_rgb, device=images.device)[:, None, None]
    values = (values - mean) / std
    return torch.lerp(values.mean(1, keepdim=True), values, colors[:, 6, None, None, None])


def blur_images(images: Tensor, sigmas_px: Tensor) -> Tensor:
    """Blur (N, C, h, w) with a Gaussian of its own sigma per image; 0 leaves an image as it is."""
    count, channels, height, width = images.shape
    offsets = torch.arange(-BLUR_RADIUS_PX, BLUR_RADIUS_PX + 1, device=images.device)
    sigmas = sigmas_px.clamp(min=1e-3)[:, None]
    taps = torch.exp(-0.5 * (offsets / sigmas) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    planes = images.reshape(1, count * channels, height, width)
    pad = (BLUR_RADIUS_PX,) * 4
    planes = F.pad(planes, pad, mode='replicate')
    planes = F.conv2d(planes, taps[:, None, None, :], groups=count * channels)
    planes = F.conv2d(planes, taps[:, None, :, None], groups=count * channels)
    return planes.reshape(images.shape)
