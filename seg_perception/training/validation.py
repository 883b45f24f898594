# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scores of a network in training, whole images at the deployed input size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.perception.geometry import Placement, place_image
from seg_perception.training.augmentation import Normalisation
from seg_perception.training.datasets import LabelledImages

HEADLINE_MIN_SHARE = 0.001  # classes with fewer of the pixels are left out of the mean


@dataclass(frozen=True)
class ValidationScore:
    """mIoU over the classes with a headline share, and IoU per class (NaN where absent).

    panoptic: figures of evaluation.panoptic_quality ('pq', 'pq_per_class', ...), None for a
    network without instances.
    """

    dataset: str
    miou: float
    iou: tuple[float, ...]
    images: int
    panoptic: Mapping[str, Any] | None = None

    @property
    def headline(self) -> float:
        """PQ where there is one, else mIoU."""
        return self.miou if self.panoptic is None else float(self.panoptic['pq'] or 0.0)

    @property
    def text(self) -> str:
        """Return the scores in a line."""
        if self.panoptic is None:
            return f'mIoU {self.miou:.4f} on {self.images} images'
        figures = {key: self.panoptic[key] or 0.0 for key in ('pq', 'pq_things', 'pq_stuff')}
        return (
            f'PQ {figures["pq"]:.4f} (things {figures["pq_things"]:.4f}, stuff '
            f'{figures["pq_stuff"]:.4f}), mIoU {self.miou:.4f} on {self.images} images'
        )


@torch.no_grad()
def predict_mask(
    network: nn.Module,
    image: np.ndarray,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
) -> np.ndarray:
    """Segment one (H, W, 3) uint8 RGB image, letterboxed to `network_hw`; (H, W) uint8."""
    outputs = run_network(network, image, normalisation, network_hw)
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    return decide_mask(logits, place_image(image.shape[:2], network_hw, 'letterbox'))


@torch.no_grad()
def run_network(
    network: nn.Module,
    image: np.ndarray,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
) -> Any:
    """Return what the network makes of an (H, W, 3) uint8 RGB image letterboxed to its input."""
    place = place_image(image.shape[:2], network_hw, 'letterbox')
    rows, columns = find_window(place)
    size = (place.resized_width_px, place.resized_height_px)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((*network_hw, 3), np.float32)
    mean = np.array(normalisation.mean_rgb, np.float32)
    canvas[rows, columns] = (resized - mean) / np.array(normalisation.std_rgb, np.float32)
    device = next(network.parameters()).device
    batch = torch.from_numpy(canvas).to(device).permute(2, 0, 1)[None]
    return network(batch.contiguous(memory_format=torch.channels_last))


def find_window(place: Placement) -> tuple[slice, slice]:
    """Return the rows and columns of the network's input that the image lies in."""
    bottom = place.pad_top_px + place.resized_height_px
    right = place.pad_left_px + place.resized_width_px
    return slice(place.pad_top_px, bottom), slice(place.pad_left_px, right)


def decide_mask(logits: Tensor, place: Placement) -> np.ndarray:
    """Return the (H, W) uint8 mask of the camera image from (1, C, h, w) logits."""
    network_hw = (place.network_height_px, place.network_width_px)
    camera_hw = (place.camera_height_px, place.camera_width_px)
    logits = F.interpolate(logits, size=network_hw, mode='bilinear', align_corners=False)
    rows, columns = find_window(place)
    logits = logits[:, :, rows, columns]
    if logits.shape[2:] != camera_hw:
        logits = F.interpolate(logits, camera_hw, mode='bilinear', align_corners=False)
    return logits[0].argmax(0).cpu().numpy().astype(np.uint8)


def validate(
    network: nn.Module,
    images: LabelledImages,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
    step: int = 1,
) -> ValidationScore:
    """Score every `step`-th image of a data set, in the label space of its labels.

    The network stays in evaluation mode.
    """
    network.eval()
    source = images.mapping.source
    confusion = ConfusionMatrix(source.num_classes, source.ignore_id)
    indices = range(0, len(images), step)
    for index in indices:
        item = images[index]
        mask = predict_mask(network, item.image, normalisation, network_hw)
        confusion.add(item.label, images.mapping.fold(mask))
    iou = tuple(float(value) for value in confusion.iou())
    return ValidationScore(images.name, confusion.mean_iou(HEADLINE_MIN_SHARE), iou, len(indices))
