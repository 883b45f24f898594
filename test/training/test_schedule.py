# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Learning rates at the corners of the schedule."""

from __future__ import annotations

import pytest

from seg_perception.training.schedule import LearningRateConfig, compute_learning_rate


def test_warmup_is_linear_and_reaches_the_peak():
    config = LearningRateConfig(peak=0.01, warmup=10, decay_from=-1)
    assert compute_learning_rate(config, 0, 100) == pytest.approx(0.001)
    assert compute_learning_rate(config, 4, 100) == pytest.approx(0.005)
    assert compute_learning_rate(config, 9, 100) == pytest.approx(0.01)
    assert compute_learning_rate(config, 99, 100) == pytest.approx(0.01)


def test_decay_is_polynomial_from_where_it_starts():
    config = LearningRateConfig(peak=1.0, decay_from=20, power=2.0)
    assert compute_learning_rate(config, 20, 100) == 1.0
    assert compute_learning_rate(config, 60, 100) == pytest.approx(0.25)
    assert compute_learning_rate(config, 100, 100) == 0.0
    assert compute_learning_rate(config, 500, 100) == 0.0


def test_decay_ends_at_the_final_share():
    config = LearningRateConfig(peak=2.0, final_share=0.1)
    assert compute_learning_rate(config, 100, 100) == pytest.approx(0.2)


def test_a_peak_of_zero_is_refused():
    with pytest.raises(ValueError, match='expected peak > 0'):
        LearningRateConfig(peak=0.0)
