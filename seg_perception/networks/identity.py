# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which of our networks a state dict holds, told from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seg_perception.networks.axial_deeplab import identify_axial_deeplab
from seg_perception.networks.registry import format_name
from seg_perception.networks.sanet import identify_sanet
from seg_perception.networks.segnext import identify_segnext
from seg_perception.networks.segvit import identify_segvit


@dataclass(frozen=True)
class NetworkIdentity:
    """A network that `registry.build_network` can build again.

    Attributes:
        name: of the network in the registry.
        variant: of the network.
        num_classes: None where the encoder alone was found.
        text: for people, for example 'SegViT-S with 19 classes'.
        options: of the network's builder.
        has_stored_rank: whether SegNeXt's bases, and so their rank, are among the tensors.
    """

    name: str
    variant: str
    num_classes: int | None
    text: str
    options: dict[str, Any] = field(default_factory=dict)
    has_stored_rank: bool = False

    @property
    def full_name(self) -> str:
        """Name of network and variant, for example 'segvit_s'."""
        return format_name(self.name, self.variant)


def identify_network(state: Mapping[str, Tensor]) -> NetworkIdentity | None:
    """Tell what a state dict holds; None where it is no network of ours."""
    segnext = identify_segnext(state)
    if segnext is not None:
        options = {'rank': segnext.rank}
        facts = (segnext.variant, segnext.num_classes, segnext.text)
        return NetworkIdentity('segnext', *facts, options, segnext.has_bases)
    segvit = identify_segvit(state)
    if segvit is not None:
        facts = (segvit.variant, segvit.num_classes, segvit.text)
        return NetworkIdentity('segvit', *facts, {'image_size_px': segvit.image_size_px})
    sanet = identify_sanet(state)
    if sanet is not None:
        facts = (sanet.variant, sanet.num_classes, sanet.text)
        return NetworkIdentity('sanet', *facts, {'attention': sanet.attention})
    axial = identify_axial_deeplab(state)
    if axial is not None:
        facts = (axial.variant, axial.num_classes, axial.text)
        return NetworkIdentity('axial_deeplab', *facts, {'stem': axial.stem})
    return None
