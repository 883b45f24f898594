# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Registered networks with one block per stage: every layer's code in a quarter of the graph.

Exporters and engines take time per node and per weight. The further blocks of a stage are the same
nodes again; ResNets are narrower by 4 and axial ones by 2 as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from seg_perception.networks import atm, axial_deeplab, resnet, sanet, segnext, segvit

MODULES: dict[str, Any] = {
    'segnext': segnext,
    'sanet': sanet,
    'segvit': segvit,
    'axial_deeplab': axial_deeplab,
}


def make_shallow(name: str, variant: Any) -> Any:
    """Return a variant with one block per stage; of SegViT's encoder one per output."""
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
    if name == 'axial_deeplab':
        inner = tuple(channels // 2 for channels in sizes.inner)  # the least for 8 heads
        return replace(variant, encoder=replace(sizes, inner=inner, depths=(1, 1, 1, 1)))
    return replace(variant, encoder=replace(sizes, depths=(1, 1, 1, 1)))


SHALLOW = {
    module: {key: make_shallow(name, variant) for key, variant in module.VARIANTS.items()}
    for name, module in MODULES.items()
}
WIDTHS = tuple(width // 4 for width in resnet.STAGE_WIDTHS)


@contextmanager
def know_shallow() -> Iterator[None]:
    """Let every variant of the registry be its shallow one."""
    with ExitStack() as stack:
        for module, variants in SHALLOW.items():
            stack.enter_context(patch.dict(module.VARIANTS, variants))
        stack.enter_context(patch.object(resnet, 'STAGE_WIDTHS', WIDTHS))
        stack.enter_context(patch.object(atm, 'LAYERS', 1))
        yield
