# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Networks whose every part counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from random_network import randomise

from seg_perception.networks.segnext import SegNeXt, build_segnext


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
