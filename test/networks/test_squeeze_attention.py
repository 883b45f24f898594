# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The SA and SE modules against formulations in explicit loops, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seg_perception.networks.squeeze_attention import (
    MODULES,
    SqueezeAttention,
    SqueezeExcitation,
)

Weights = dict[str, np.ndarray]


def convolve(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    """3x3 convolution with zeros outside, batch norm of evaluation, ReLU; (C, H, W)."""
    kernel = weights[f'{name}.conv.weight']
    _, height, width = x.shape
    result = np.zeros((len(kernel), height, width))
    for v in range(height):
        for u in range(width):
            for dv in (-1, 0, 1):
                for du in (-1, 0, 1):
                    if 0 <= v + dv < height and 0 <= u + du < width:
                        result[:, v, u] += kernel[:, :, dv + 1, du + 1] @ x[:, v + dv, u + du]
    mean, variance = weights[f'{name}.norm.running_mean'], weights[f'{name}.norm.running_var']
    scale = weights[f'{name}.norm.weight'] / np.sqrt(variance + 1e-5)
    result = (result - mean[:, None, None]) * scale[:, None, None]
    return np.maximum(result + weights[f'{name}.norm.bias'][:, None, None], 0)


def pool(x: np.ndarray) -> np.ndarray:
    """Mean of each 8x8 cell, of what there is of it at the border."""
    channels, height, width = x.shape
    result = np.zeros((channels, -(-height // 8), -(-width // 8)))
    for v in range(result.shape[1]):
        for u in range(result.shape[2]):
            for c in range(channels):
                pixels = [
                    x[c, row, column]
                    for row in range(8 * v, min(8 * v + 8, height))
                    for column in range(8 * u, min(8 * u + 8, width))
                ]
                result[c, v, u] = sum(pixels) / len(pixels)
    return result


def upsample(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between the centres of the 8x8 cells, constant beyond the outermost."""
    result = np.zeros((len(x), height, width))
    for v in range(height):
        for u in range(width):
            y = min(max((v + 0.5) / 8 - 0.5, 0), x.shape[1] - 1)
            z = min(max((u + 0.5) / 8 - 0.5, 0), x.shape[2] - 1)
            top, left = int(y), int(z)
            bottom, right = min(top + 1, x.shape[1] - 1), min(left + 1, x.shape[2] - 1)
            fy, fx = y - top, z - left
            upper = (1 - fx) * x[:, top, left] + fx * x[:, top, right]
            lower = (1 - fx) * x[:, bottom, left] + fx * x[:, bottom, right]
            result[:, v, u] = (1 - fy) * upper + fy * lower
    return result


def compute_sa(x: np.ndarray, weights: Weights) -> np.ndarray:
    """X_out = X_attn * X_res + X_attn, X_attn = Upsample(F_attn(Pool(X_in)))."""
    attention = convolve(convolve(pool(x), weights, 'attention.0'), weights, 'attention.1')
    attention = upsample(attention, *x.shape[1:])
    residual = convolve(convolve(x, weights, 'main.0'), weights, 'main.1')
    return attention * residual + attention


def compute_se(x: np.ndarray, weights: Weights) -> np.ndarray:
    """X_out = s * X_res, s = sigmoid(W2 ReLU(W1 mean(X_res)))."""
    residual = convolve(convolve(x, weights, 'main.0'), weights, 'main.1')
    squeezed = np.array([plane.sum() / plane.size for plane in residual])
    reduce, expand = (weights[f'{name}.weight'][:, :, 0, 0] for name in ('reduce', 'expand'))
    hidden = np.maximum(reduce @ squeezed + weights['reduce.bias'], 0)
    gate = 1 / (1 + np.exp(-(expand @ hidden + weights['expand.bias'])))
    return residual * gate[:, None, None]


def make_module(kind: str, channels: int) -> torch.nn.Module:
    """Make a module whose norms all count."""
    torch.manual_seed(0)
    module = MODULES[kind](channels)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith(('running_var', 'norm.weight')):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(('bias', 'running_mean')):
                tensor.uniform_(-0.3, 0.3)
    return module.eval()


@pytest.mark.parametrize('kind', ['sa', 'se'])
@pytest.mark.parametrize('size', [(16, 24), (11, 18), (3, 9)])
def test_modules_equal_explicit_loops(kind, size):
    module = make_module(kind, 16)
    x = torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = module(x).numpy()
    weights = {name: value.double().numpy() for name, value in module.state_dict().items()}
    compute = compute_sa if kind == 'sa' else compute_se
    expected = np.stack([compute(image.double().numpy(), weights) for image in x])
    assert found.shape == (2, 4, *size)
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() <= 1e-5


def test_widths_are_the_articles():
    module = SqueezeAttention(256)
    shapes = {
        k: tuple(v.shape) for k, v in module.state_dict().items() if k.endswith('conv.weight')
    }
    assert shapes == {
        'main.0.conv.weight': (64, 256, 3, 3),
        'main.1.conv.weight': (64, 64, 3, 3),
        'attention.0.conv.weight': (4, 256, 3, 3),
        'attention.1.conv.weight': (64, 4, 3, 3),
    }


def test_the_main_path_of_the_ablation_is_that_of_sa():
    sa, se = SqueezeAttention(64), SqueezeExcitation(64)
    shapes = [{k: v.shape for k, v in m.main.state_dict().items()} for m in (sa, se)]
    assert shapes[0] == shapes[1]


def test_sa_tells_places_apart_and_se_does_not():
    """With a main path of ones, SE weighs all places alike."""
    x = torch.zeros(1, 16, 16, 32)
    x[..., :16] = 1.0
    spread = {}
    for kind in ('sa', 'se'):
        module = make_module(kind, 16)
        module.main = torch.nn.AvgPool2d(1)
        module.main.forward = lambda y: torch.ones(1, 4, *y.shape[2:])
        with torch.inference_mode():
            out = module(x)
        spread[kind] = float((out - out.mean((2, 3), keepdim=True)).abs().max())
    assert spread['sa'] > 1e-3
    assert spread['se'] < 1e-6
