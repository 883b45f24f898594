# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lets the layers of a deployed network compute in float16 or bfloat16, in PyTorch.

The same split as in the graphs of `engines.half_precision`: layers and what is element by element
between them are half; normalisations, the Hamburger's decomposition with the layer that reads its
bases, and the last layer stay float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seg_perception.engines.contract import EngineError
from seg_perception.networks.deploy import DeployBlock, PlaneNorm, TokenGroupNorm


def convert_layers(network: nn.Module, dtype: torch.dtype) -> None:
    """Change the type of a deployed network's layers, in place; input and logits stay float32.

    Raises:
        EngineError: a weight is beyond the range of the type.
    """
    kept: tuple[nn.Module, ...] = network.float32_layers  # type: ignore[assignment]
    for name, module in network.named_modules():
        if module in kept:
            module.register_forward_pre_hook(make_cast(torch.float32))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            require_range(name, module, dtype)
            module.to(dtype)
            module.register_forward_pre_hook(make_cast(dtype))
        elif isinstance(module, DeployBlock):
            module.shortcut_scale.data = module.shortcut_scale.data.to(dtype)
        elif isinstance(module, PlaneNorm | TokenGroupNorm | nn.LayerNorm):
            module.register_forward_pre_hook(make_cast(torch.float32))


def make_cast(dtype: torch.dtype):  # type: ignore[no-untyped-def]
    """Return a hook that gives a module its one input in a type."""

    def cast(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].to(dtype),)

    return cast


def require_range(name: str, module: nn.Module, dtype: torch.dtype) -> None:
    """Raise EngineError where a weight of a layer would become infinite."""
    largest = max(float(weight.abs().max()) for weight in module.parameters())
    if not largest <= torch.finfo(dtype).max:
        raise EngineError(
            f'layer {name} of the model file has a weight of {largest:.3g}, more than {dtype} '
            'holds; use precision f32'
        )
