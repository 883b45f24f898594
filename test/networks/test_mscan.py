# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seg_perception.networks.mscan import MSCAN, ChannelNorm, DropPath


def test_channel_norm_normalises_every_pixel():
    x = torch.randn(2, 16, 3, 5) * 4 + 2
    y = ChannelNorm(16)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 3, 5), atol=1e-4, rtol=0)


def test_drop_path_keeps_the_mean_and_drops_whole_samples():
    torch.manual_seed(0)
    y = DropPath(0.25).train()(torch.ones(4000, 2, 1, 1))
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(y[:, 0], y[:, 1])
    assert abs(y.mean().item() - 1) < 0.04  # 4.4 standard deviations


def test_drop_path_does_nothing_in_evaluation():
    x = torch.randn(3, 2, 1, 1)
    assert DropPath(0.9).eval()(x) is x


def test_drop_path_rises_linearly_over_the_blocks():
    encoder = MSCAN((8, 8, 8, 8), (1, 2, 1, 1), (2, 2, 2, 2), drop_path=0.4)
    rates = [m.probability for m in encoder.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_stages_round_odd_sizes_up():
    encoder = MSCAN((8, 8, 8, 8), (1, 1, 1, 1), (2, 2, 2, 2)).eval()
    sizes = [tuple(stage.shape[2:]) for stage in encoder(torch.randn(1, 3, 33, 95))]
    assert sizes == [(9, 24), (5, 12), (3, 6), (2, 3)]


def test_convolutions_start_with_the_variance_of_their_fan_out():
    torch.manual_seed(0)
    encoder = MSCAN((64, 128, 320, 512), (1, 1, 1, 1), (8, 8, 4, 4))
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 4000:
            fan_out = math.prod(module.kernel_size) * module.out_channels / module.groups
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
            assert module.bias.abs().max() == 0
