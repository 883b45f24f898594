# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Registered networks with one block per stage: every layer's code in a quarter of the graph.

Exporters and engines take time per node, and the further blocks of a stage are the same nodes
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from seg_perception.networks import axial_deeplab, sanet, segnext, segvit

MODULES: dict[str, Any] = {
    'segnext': segnext,
    'sanet': sanet,
    'segvit': segvit,
    'axial_deeplab': axial_deeplab,
}


def make_shallow(name: str, variant: Any) -> Any:
    """Return a variant with one block per stage; of SegViT one per output."""
    if name == 'segnext':
        return replace(variant, depths=(1, 1, 1, 1))
    sizes = variant.encoder
    if name == 'segvit':
        count = len(sizes.outputs) + (sizes.shrink_at > 0)
        outputs = (*range(len(sizes.outputs) - 1), count - 1)
        shrink_at = min(sizes.shrink_at, 1)  # between the two outputs that such a one has
        return replace(
            variant, encoder=replace(sizes, depth=count, outputs=outputs, shrink_at=shrink_at)
        )
    return replace(variant, encoder=replace(sizes, depths=(1, 1, 1, 1)))


@contextmanager
def know_shallow() -> Iterator[None]:
    """Let every variant of the registry be its shallow one."""
    with ExitStack() as stack:
        for name, module in MODULES.items():
            shallow = {key: make_shallow(name, value) for key, value in module.VARIANTS.items()}
            stack.enter_context(patch.dict(module.VARIANTS, shallow))
        yield
