# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Networks whose every part counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from seg_perception.networks.segnext import SegNeXt, build_segnext


def randomise(network: nn.Module, seed: int) -> None:
    """Draw norms, scales and biases far from 1 and 0, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf == 'running_mean' or leaf == 'bias':
                draw(tensor, -0.3, 0.3)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                draw(tensor, 0.5, 1.5)
            elif leaf.startswith('layer_scale'):
                # up to 0.4 the blocks amplify float32 rounding to 2e-4 of the logits
                draw(tensor, 0.05, 0.15)
            elif name.endswith('conv_seg.weight'):
                draw(tensor, -0.3, 0.3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: for layers this small a second one only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def make_segnext() -> Callable[..., SegNeXt]:
    """Make a SegNeXt in evaluation mode, random in all its tensors."""

    def make(variant: str = 't', num_classes: int = 19, rank: int | None = None) -> SegNeXt:
        torch.manual_seed(1)
        network = build_segnext(variant, num_classes, rank, seed=3)
        randomise(network, seed=2)
        return network.eval()

    return make
