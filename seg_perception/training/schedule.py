# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Learning rate over iterations: warm-up, hold, polynomial decay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateConfig:
    """Learning rate of one stage, in iterations counted from the stage's start.

    peak: highest rate. warmup: linear from 0 over that many iterations. decay_from: held until
    there, then polynomial with `power` to `final_share` * peak at the stage's end; -1 holds it
    for the whole stage. decay_from 0 with power 1 is the schedule of the SegNeXt paper.
    """

    peak: float
    warmup: int = 0
    decay_from: int = 0
    power: float = 1.0
    final_share: float = 0.0

    def __post_init__(self) -> None:
        is_right = self.peak > 0 and self.warmup >= 0 and self.power >= 0
        if not is_right or not 0 <= self.final_share <= 1:
            raise ValueError(
                f'learning rate peak={self.peak}, warmup={self.warmup}, power={self.power}, '
                f'final_share={self.final_share}: expected peak > 0, warmup and power >= 0, '
                'final_share 0 to 1'
            )


def compute_learning_rate(config: LearningRateConfig, iteration: int, total: int) -> float:
    """Rate of step `iteration` (0 is the first) in a stage of `total` steps."""
    rate = config.peak * min(1.0, (iteration + 1) / max(1, config.warmup))
    start = config.decay_from
    if start < 0 or iteration < start:
        return rate
    progress = min(1.0, (iteration - start) / max(1, total - start))
    share = (1.0 - progress) ** config.power
    return rate * (config.final_share + (1.0 - config.final_share) * share)
