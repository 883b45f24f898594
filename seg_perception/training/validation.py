# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scores of a network in training, whole images at the deployed input size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from seg_perception.evaluation.metrics import ConfusionMatrix
from seg_perception.perception.geometry import place_image
from seg_perception.training.augmentation import Normalisation
from seg_perception.training.datasets import LabelledImages

HEADLINE_MIN_SHARE = 0.001  # classes with fewer of the pixels are left out of the mean


@dataclass(frozen=True)
class ValidationScore:
    """mIoU over the classes with a headline share, and IoU per class (NaN where absent)."""

    dataset: str
    miou: float
    iou: tuple[float, ...]
    images: int


@torch.no_grad()
def predict_mask(
    network: nn.Module,
    image: np.ndarray,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
) -> np.ndarray:
    """Segment one (H, W, 3) uint8 RGB image, letterboxed to `network_hw`; (H, W) uint8."""
    height, width = image.shape[:2]
    place = place_image((height, width), network_hw, 'letterbox')
    rows = slice(place.pad_top_px, place.pad_top_px + place.resized_height_px)
    columns = slice(place.pad_left_px, place.pad_left_px + place.resized_width_px)
    size = (place.resized_width_px, place.resized_height_px)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((*network_hw, 3), np.float32)
    mean = np.array(normalisation.mean_rgb, np.float32)
    canvas[rows, columns] = (resized - mean) / np.array(normalisation.std_rgb, np.float32)
    device = next(network.parameters()).device
    batch = torch.from_numpy(canvas).to(device).permute(2, 0, 1)[None]
    logits = network(batch.contiguous(memory_format=torch.channels_last))
    logits = F.interpolate(logits, size=network_hw, mode='bilinear', align_corners=False)
    logits = logits[:, :, rows, columns]
    if logits.shape[2:] != (height, width):
        logits = F.interpolate(logits, (height, width), mode='bilinear', align_corners=False)
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
