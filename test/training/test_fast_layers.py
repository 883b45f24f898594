# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The gradients of fast convolutions against PyTorch's, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seg_perception.training.fast_layers import (
    FastDepthwiseConv2d,
    PointwiseConv2d,
    use_fast_layers,
)


@pytest.mark.parametrize('kernel', [(3, 3), (5, 5), (1, 7), (21, 1), (1, 21)])
@pytest.mark.parametrize(('size', 'bias'), [((6, 9), True), ((2, 3), True), ((6, 9), False)])
def test_gradients_equal_those_of_torch(kernel, size, bias):
    torch.manual_seed(0)
    padding = (kernel[0] // 2, kernel[1] // 2)
    fast = nn.Conv2d(8, 8, kernel, padding=padding, groups=8, bias=bias)
    exact = nn.Conv2d(8, 8, kernel, padding=padding, groups=8, bias=bias).double()
    exact.load_state_dict(fast.state_dict())
    assert use_fast_layers(fast) == 1
    x = torch.randn(2, 8, *size)
    gradient = torch.randn(2, 8, *size)
    inputs = [x.clone().requires_grad_(), x.double().requires_grad_()]
    fast(inputs[0]).backward(gradient)
    exact(inputs[1]).backward(gradient.double())
    assert torch.allclose(inputs[0].grad.double(), inputs[1].grad, atol=1e-5)
    assert torch.allclose(fast.weight.grad.double(), exact.weight.grad, atol=1e-4)
    if bias:
        assert torch.allclose(fast.bias.grad.double(), exact.bias.grad, atol=1e-4)


def test_only_eligible_convolutions_are_switched():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, dilation=2),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1),
    )
    assert use_fast_layers(network) == 2
    assert isinstance(network[1], FastDepthwiseConv2d)
    assert isinstance(network[5], PointwiseConv2d)


def test_gradients_of_pointwise_convolution_equal_those_of_torch():
    torch.manual_seed(0)
    fast = nn.Conv2d(8, 6, 1)
    exact = nn.Conv2d(8, 6, 1)
    exact.load_state_dict(fast.state_dict())
    assert use_fast_layers(fast) == 1
    x, gradient = torch.randn(2, 8, 5, 7), torch.randn(2, 6, 5, 7)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    with torch.autocast('cpu', torch.bfloat16):
        fast(inputs[0]).float().backward(gradient)
    exact(inputs[1]).backward(gradient)
    # bfloat16 keeps 8 bits
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=0.03)
    assert torch.allclose(fast.weight.grad, exact.weight.grad, atol=0.2)
    assert torch.allclose(fast.bias.grad, exact.bias.grad, atol=0.2)


@pytest.mark.parametrize('kernel', [(5, 5), (1, 21)])
def test_depthwise_gradients_under_autocast_are_close_to_those_of_float32(kernel):
    torch.manual_seed(0)
    fast = nn.Conv2d(8, 8, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=8)
    exact = nn.Conv2d(8, 8, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=8)
    exact.load_state_dict(fast.state_dict())
    use_fast_layers(fast)
    x, gradient = torch.randn(2, 8, 9, 12), torch.randn(2, 8, 9, 12)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    with torch.autocast('cpu', torch.bfloat16):
        fast(inputs[0]).float().backward(gradient)
    exact(inputs[1]).backward(gradient)
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=0.05)
    assert torch.allclose(fast.weight.grad, exact.weight.grad, atol=0.3)
