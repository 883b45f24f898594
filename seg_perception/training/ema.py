# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of a network's weights and batch statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RAMP_STEPS = 10.0


class WeightAverage:
    """Average of every floating-point entry of a state dict; counters are copied.

    decay: share of the old average kept per step. It ramps up as (1 + n) / (10 + n), so that
    the random start weighs nothing after the first tens of steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f'EMA decay is {decay}, expected 0 <= decay < 1')
        self.decay = decay
        self.steps = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    def share_memory(self) -> None:
        """Move the average to shared memory, for workers in other processes."""
        for value in self.state.values():
            value.share_memory_()

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step towards the network's weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (RAMP_STEPS + self.steps))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.state[key])
                values.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(averages, values, 1.0 - decay)
