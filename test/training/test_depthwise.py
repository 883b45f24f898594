# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The weight gradient of depth-wise convolutions against PyTorch's, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seg_perception.training.depthwise import FastDepthwiseConv2d, use_fast_depthwise


@pytest.mark.parametrize('kernel', [(3, 3), (5, 5), (1, 7), (21, 1), (1, 21)])
@pytest.mark.parametrize('size', [(6, 9), (2, 3)])
def test_gradients_equal_those_of_torch(kernel, size):
    torch.manual_seed(0)
    padding = (kernel[0] // 2, kernel[1] // 2)
    fast = nn.Conv2d(8, 8, kernel, padding=padding, groups=8)
    exact = nn.Conv2d(8, 8, kernel, padding=padding, groups=8).double()
    exact.load_state_dict(fast.state_dict())
    assert use_fast_depthwise(fast) == 1
    x = torch.randn(2, 8, *size)
    gradient = torch.randn(2, 8, *size)
    inputs = [x.clone().requires_grad_(), x.double().requires_grad_()]
    fast(inputs[0]).backward(gradient)
    exact(inputs[1]).backward(gradient.double())
    assert torch.allclose(inputs[0].grad.double(), inputs[1].grad, atol=1e-5)
    assert torch.allclose(fast.weight.grad.double(), exact.weight.grad, atol=1e-4)
    assert torch.allclose(fast.bias.grad.double(), exact.bias.grad, atol=1e-4)


def test_only_eligible_convolutions_are_switched():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
    )
    assert use_fast_depthwise(network) == 1
    assert isinstance(network[1], FastDepthwiseConv2d)
