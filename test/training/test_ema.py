# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seg_perception.training.ema import WeightAverage


def test_the_average_follows_its_recurrence_and_copies_counters():
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, 0.9)
    expected = 1.0
    for step in range(1, 30):
        with torch.no_grad():
            network.weight.fill_(step)
            network.num_batches_tracked.fill_(step)
        average.update(network)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.state['weight'].item() == pytest.approx(expected, rel=1e-5)
    assert average.state['num_batches_tracked'] == 29


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match='expected 0 <= decay < 1'):
        WeightAverage(nn.BatchNorm1d(1), 1.0)
