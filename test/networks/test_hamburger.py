# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from seg_perception.networks.hamburger import EVALUATION_STEPS, NMF2D, Hamburger, build_bases


def reconstruct_in_float64(features: np.ndarray, bases: np.ndarray, steps: int) -> np.ndarray:
    """Apply the multiplicative updates of Lee and Seung as they are written, to one (C, N)."""
    scores = features.T @ bases
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    coefficients = exponentials / exponentials.sum(axis=1, keepdims=True)

    def improve(coefficients: np.ndarray) -> np.ndarray:
        denominator = coefficients @ (bases.T @ bases) + 1e-6
        return coefficients * (features.T @ bases) / denominator

    for _ in range(steps):
        coefficients = improve(coefficients)
        bases = (
            bases * (features @ coefficients) / (bases @ (coefficients.T @ coefficients) + 1e-6)
        )
    return bases @ improve(coefficients).T


def test_bases_are_nonnegative_unit_columns():
    bases = build_bases(256, 16, seed=0)
    assert bases.shape == (1, 256, 16)
    assert bases.dtype == torch.float32
    assert (bases >= 0).all()
    torch.testing.assert_close(bases.norm(dim=1), torch.ones(1, 16))


def test_bases_are_the_same_in_another_process():
    code = (
        'from seg_perception.networks.hamburger import build_bases;'
        'print(build_bases(64, 4, seed=9).numpy().tobytes().hex())'
    )
    other = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == build_bases(64, 4, seed=9).numpy().tobytes().hex()


def test_seed_alone_decides_the_bases():
    torch.manual_seed(0)
    first = NMF2D(32, 4, seed=1).bases
    torch.manual_seed(1)
    assert torch.equal(NMF2D(32, 4, seed=1).bases, first)
    assert not torch.equal(NMF2D(32, 4, seed=2).bases, first)


@pytest.mark.parametrize('size', [(1, 1), (5, 7)])
def test_reconstruction_follows_the_update_rules(size):
    nmf = NMF2D(64, 8, seed=4).eval()
    x = torch.rand(2, 64, *size)
    ours = nmf(x)
    assert ours.shape == x.shape
    for image in range(2):
        features = x[image].flatten(1).double().numpy()
        expected = reconstruct_in_float64(features, nmf.bases[0].double().numpy(), 7)
        np.testing.assert_allclose(ours[image].flatten(1).numpy(), expected, atol=1e-5)
    assert EVALUATION_STEPS == 7


def test_training_takes_six_steps():
    nmf = NMF2D(64, 8, seed=4).train()
    x = torch.rand(1, 64, 5, 7)
    features = x[0].flatten(1).double().numpy()
    bases = nmf.bases[0].double().numpy()
    ours = nmf(x)[0].flatten(1).numpy()
    np.testing.assert_allclose(ours, reconstruct_in_float64(features, bases, 6), atol=1e-5)
    assert np.abs(ours - reconstruct_in_float64(features, bases, 7)).max() > 1e-4


def test_zero_features_stay_zero():
    assert torch.equal(NMF2D(32, 4).eval()(torch.zeros(1, 32, 3, 3)), torch.zeros(1, 32, 3, 3))


def test_gradients_flow_through_all_steps():
    nmf = NMF2D(16, 4, seed=0).double().train()
    x = torch.rand(1, 16, 2, 3, dtype=torch.float64) + 0.1
    x.requires_grad_()
    # the numbers are computed in float32, so the difference quotient is coarse
    direction = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).double() - 0.5
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)).double()
    (nmf(x) * weight).sum().backward()
    step = 1e-2
    with torch.no_grad():
        change = ((nmf(x + step * direction) - nmf(x - step * direction)) * weight).sum()
    torch.testing.assert_close((x.grad * direction).sum(), change / (2 * step), rtol=5e-3, atol=0)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_networks_factorise_in_float32(dtype):
    nmf = NMF2D(256, 16).eval()
    x = (torch.rand(1, 256, 32, 32) * 100).to(dtype)  # sums of squares pass float16's 65504
    expected = nmf(x.float())
    ours = nmf.to(dtype)(x)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.float(), expected, rtol=2e-2, atol=0.5)


def test_autocast_leaves_the_factorisation_in_float32():
    nmf = NMF2D(64, 8).eval()
    x = torch.rand(1, 64, 6, 6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(nmf(x), nmf(x.clone()))
        inside = nmf(x)
    assert torch.equal(inside, nmf(x))


def test_rank_of_the_file_must_be_that_of_the_network():
    with pytest.raises(RuntimeError, match='ham.bases'):
        Hamburger(32, 8).load_state_dict(Hamburger(32, 4).state_dict())
