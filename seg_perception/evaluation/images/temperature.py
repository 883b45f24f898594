# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: one number that makes a model's confidence honest.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: the
temperature T minimises the negative log-likelihood of held-out labels under softmax(logits / T).
A label that accepts several of the model's classes (CamVid's car: car, truck, bus, train) has the
sum of their probabilities. The winner, and with it the mask, is the same for every T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from seg_perception.engines.engine import Engine
from seg_perception.errors import UserError
from seg_perception.evaluation.images.labelled_split import LabelledSplit
from seg_perception.evaluation.metrics.calibration_error import CalibrationError
from seg_perception.perception.geometry import SamplingGrid
from seg_perception.perception.labels import UNLABELLED_ID

ECE_DECIMALS = 4
MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
# 4M logits, 210000 pixels of 19 classes: T then varies by less than 0.5 % with the pixels drawn.
MAX_LOGITS = 4_000_000
MAX_PIXELS_PER_IMAGE = 16_384
_GRID_STEPS = 13
_LOG_TOLERANCE = 1e-4
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class LogitSample:
    """Logits at labelled pixels.

    Attributes:
        logits: (N, C) float32, sampled bilinearly at the pixels, as the decode defines them.
        labels: (N,) uint8 label ids.
        accepts: (L, C) bool, True where a model class is right for a label.
        images: Images that they are from.
    """

    logits: np.ndarray
    labels: np.ndarray
    accepts: np.ndarray
    images: int


@dataclass(frozen=True)
class Calibration:
    """How honest the confidence is: mean negative log-likelihood (nats) and ECE."""

    nll: float
    ece: float

    def has_worse_ece_than(self, other: Calibration) -> bool:
        """Whether the ECE is larger in the four decimals that are shown.

        A temperature fitted to the likelihood may raise it: few pixels that are wrong and very
        sure cost likelihood, and making all less sure leaves those that are right too unsure.
        """
        return round(self.ece, ECE_DECIMALS) > round(other.ece, ECE_DECIMALS)


def sample_logits(
    logits: np.ndarray, grid: SamplingGrid, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Interpolate logits at camera pixels.

    Args:
        logits: (C, h, w) float32.
        grid: Where each camera pixel reads them.
        rows: (N,) int, camera rows; `columns` likewise.

    Returns:
        (N, C) float32.
    """
    y = np.clip(grid.scale_y * rows + grid.offset_y, 0.0, grid.logits_height - 1.0)
    x = np.clip(grid.scale_x * columns + grid.offset_x, 0.0, grid.logits_width - 1.0)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom = np.minimum(top + 1, grid.logits_height - 1)
    right = np.minimum(left + 1, grid.logits_width - 1)
    down, across = (y - top).astype(np.float32), (x - left).astype(np.float32)
    upper = logits[:, top, left] * (1 - across) + logits[:, top, right] * across
    lower = logits[:, bottom, left] * (1 - across) + logits[:, bottom, right] * across
    return np.ascontiguousarray((upper * (1 - down) + lower * down).T)


def collect_logits(
    engine: Engine,
    split: LabelledSplit,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
    seed: int = 0,
) -> LogitSample:
    """Run every image of a split and keep the logits at some of its labelled pixels.

    Pixels are drawn with the same probability in every image; those that are unlabelled, or whose
    label accepts none of the model's classes, are left out.

    Args:
        engine: The loaded model.
        split: Images and labels.
        show_progress: Wraps the images' iterable given their number.
        seed: Of the draw.

    Raises:
        ImageFolderError: A fault in an image or a label.
        UserError: No labelled pixel at all, or logits that are not finite.
        EngineError: The engine failed.
    """
    num_classes = engine.metadata.label_space.num_classes
    num_labels = split.label_space.num_classes
    accepts = split.fold_lut[None, :num_classes] == np.arange(num_labels)[:, None]
    is_known = np.zeros(256, bool)
    is_known[:num_labels] = accepts.any(axis=1)
    is_known[UNLABELLED_ID] = False
    count = min(MAX_PIXELS_PER_IMAGE, MAX_LOGITS // (num_classes * len(split.pairs)) + 1)
    generator = np.random.default_rng(seed)
    logits, labels = [], []
    for pair in show_progress(split.pairs, len(split.pairs)):
        item = split.read(pair)
        pixels = generator.choice(
            item.label.size, min(count, item.label.size), replace=False, shuffle=False
        )
        pixels = pixels[is_known[item.label.reshape(-1)[pixels]]]
        rows, columns = np.divmod(pixels, item.label.shape[1])
        hw = (item.label.shape[0], item.label.shape[1])
        image_logits = engine.infer(item.image, 'rgb')
        logits.append(sample_logits(image_logits, engine.sampling_grid(hw), rows, columns))
        labels.append(item.label.reshape(-1)[pixels])
    sample = LogitSample(np.concatenate(logits), np.concatenate(labels), accepts, len(logits))
    if not len(sample.labels):
        raise UserError(
            f'no pixel of {sample.images} label images has a label that the model knows, e.g. '
            f'{split.pairs[0].label}; nothing can be calibrated'
        )
    if not np.isfinite(sample.logits).all():
        raise UserError(
            'logits hold NaN or infinity: the network overflowed or its weights are damaged; try '
            '--precision f32 or export the model again'
        )
    return sample


def compute_nll(sample: LogitSample, temperature: float) -> float:
    """Return the mean negative log-likelihood (nats) of the labels at a temperature."""
    total = 0.0
    for first in range(0, len(sample.labels), _CHUNK_ROWS):
        rows = slice(first, first + _CHUNK_ROWS)
        scaled = sample.logits[rows] / np.float32(temperature)
        accepted = np.where(sample.accepts[sample.labels[rows]], scaled, -np.inf)
        total += float((_log_sum_exp(scaled) - _log_sum_exp(accepted)).sum(dtype=np.float64))
    return total / len(sample.labels)


def measure_calibration(sample: LogitSample, temperature: float = 1.0) -> Calibration:
    """Return negative log-likelihood and expected calibration error at a temperature.

    The confidence is rounded to 8 bits, as the decode's.
    """
    error = CalibrationError()
    for first in range(0, len(sample.labels), _CHUNK_ROWS):
        rows = slice(first, first + _CHUNK_ROWS)
        scaled = sample.logits[rows] / np.float32(temperature)
        winner = scaled.argmax(axis=1)
        confidence = np.exp(scaled.max(axis=1) - _log_sum_exp(scaled))
        is_right = sample.accepts[sample.labels[rows], winner]
        error.add(np.round(255 * confidence).astype(np.uint8), is_right)
    return Calibration(compute_nll(sample, temperature), error.error())


def fit_temperature(sample: LogitSample) -> float:
    """Return the temperature with the smallest negative log-likelihood.

    A coarse search over the logarithm of 0.05 to 20, then a golden-section search between the
    neighbours of the best, to 0.01 %.

    Raises:
        UserError: The likelihood still rises at an end of that range.
    """

    def compute(log_temperature: float) -> float:
        return compute_nll(sample, math.exp(log_temperature))

    grid = np.linspace(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE), _GRID_STEPS)
    values = [compute(float(step)) for step in grid]
    best = int(np.argmin(values))
    if best in (0, _GRID_STEPS - 1):
        raise UserError(
            f'no temperature from {MIN_TEMPERATURE} to {MAX_TEMPERATURE} fits: the likelihood of '
            f'{len(sample.labels)} labelled pixels still rises at '
            f'{math.exp(grid[best]):.3g}; a model that is always right or never better than '
            'chance on these labels cannot be calibrated with them, check label space and split'
        )
    low, high = float(grid[best - 1]), float(grid[best + 1])
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = compute(left), compute(right)
    while high - low > _LOG_TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = compute(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = compute(right)
    return math.exp((low + high) / 2)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Return log(sum(exp)) over the last axis; -inf entries count as absent."""
    highest = values.max(axis=-1)
    return highest + np.log(np.exp(values - highest[..., None]).sum(axis=-1))
