# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""How large a network is: trained values, and the multiplications of one forward.

The papers' "GFLOPs" are multiply-accumulates of convolutions, linear layers and the products of
attention. They are counted where PyTorch carries them out, so no layer can be forgotten.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_PRODUCTS = (aten.mm.default, aten.bmm.default)
_PRODUCTS_PLUS = (aten.addmm.default, aten.baddbmm.default)
_ATTENTIONS = (
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
)


class _ProductCounter(TorchDispatchMode):
    """Adds up the multiplications of every operation between `with` and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function in _PRODUCTS:
            self.macs += result.numel() * args[0].shape[-1]
        elif function in _PRODUCTS_PLUS:
            self.macs += result.numel() * args[1].shape[-1]
        elif function is aten.convolution.default:
            self.macs += result.numel() * math.prod(args[1].shape[1:])
        elif function in _ATTENTIONS:
            query, key, value = (tuple(tensor.shape) for tensor in args[:3])
            pairs = math.prod(query[:-1]) * key[-2]
            self.macs += pairs * (query[-1] + value[-1])
        return result


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, height_px: int, width_px: int, method: str = '') -> int:
    """Return the multiply-accumulates for one image.

    network: in evaluation mode; on the device 'meta' only shapes are computed.
    method: of the network, called with (1, 3, H, W); '' is its forward.
    """
    device = next(network.parameters()).device
    image = torch.zeros(1, 3, height_px, width_px, device=device)
    call = getattr(network, method) if method else network
    with torch.no_grad(), _ProductCounter() as counter:
        call(image)
    return counter.macs
