# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Panoptic quality of a network in training, whole images at the deployed input size."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.metrics.metric import JudgedFrame
from seg_perception.evaluation.metrics.panoptic_quality import PanopticQuality
from seg_perception.networks.axial_deeplab import OUTPUT_STRIDE
from seg_perception.networks.panoptic_decoder import PanopticOutputs
from seg_perception.perception.geometry import place_image, sampling_grid
from seg_perception.perception.panoptic_reference import (
    MergeConfig,
    PanopticFrame,
    merge_panoptic,
)
from seg_perception.training.augmentation import Normalisation
from seg_perception.training.datasets import LabelledImages
from seg_perception.training.validation import (
    HEADLINE_MIN_SHARE,
    ValidationScore,
    decide_mask,
    run_network,
)


@torch.no_grad()
def predict_panoptic(
    network: nn.Module,
    image: np.ndarray,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
    thing_ids: tuple[int, ...],
    merge: MergeConfig,
) -> tuple[np.ndarray, PanopticFrame]:
    """Return the mask (H, W) uint8 of an (H, W, 3) uint8 RGB image, and what is merged with it."""
    outputs: PanopticOutputs = run_network(network, image, normalisation, network_hw)
    place = place_image(image.shape[:2], network_hw, 'letterbox')
    mask = decide_mask(outputs.logits, place)
    center, offset = (output[0].float().cpu().numpy() for output in outputs[1:])
    grid = sampling_grid(place, center.shape[1:], OUTPUT_STRIDE)
    return mask, merge_panoptic(mask, center[0], offset, grid, OUTPUT_STRIDE, thing_ids, merge)


def validate_panoptic(
    network: nn.Module,
    images: LabelledImages,
    normalisation: Normalisation,
    network_hw: tuple[int, int],
    step: int = 1,
    merge: MergeConfig | None = None,
) -> ValidationScore:
    """Score every `step`-th image of a data set with instances; the network is in evaluation then.

    PQ is that of the labels' classes, mIoU as `validation.validate`.
    """
    network.eval()
    merge = merge or MergeConfig()
    source, target = images.mapping.source, images.mapping.target
    confusion = ConfusionMatrix(source.num_classes, source.ignore_id)
    fold_lut = None
    if source != target:
        fold_lut = images.mapping.fold(np.arange(256, dtype=np.uint8))
    metric = PanopticQuality(source, fold_lut)
    rows = []
    indices = range(0, len(images), step)
    for index in indices:
        item = images[index]
        mask, frame = predict_panoptic(
            network, item.image, normalisation, network_hw, target.thing_ids, merge
        )
        confusion.add(item.label, images.mapping.fold(mask))
        judged = JudgedFrame(
            index, 0, item.image, 'rgb', mask,
            panoptic=frame.ids, true_panoptic=images.read_panoptic(index),
        )  # fmt: skip
        counted = metric.measure(judged)
        if counted is not None:
            rows.append(counted)
    iou = tuple(float(value) for value in confusion.iou())
    miou = confusion.mean_iou(HEADLINE_MIN_SHARE)
    return ValidationScore(images.name, miou, iou, len(indices), metric.summarize(rows))
