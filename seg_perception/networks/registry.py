# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The networks by name. Importing this module does not import torch."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from seg_perception.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkEntry:
    """Where a network is built: `builder(variant, num_classes, **options)` in `module`.

    is_panoptic: returns logits, centres and offsets, not logits alone.
    """

    name: str
    variants: tuple[str, ...]
    module: str
    builder: str
    is_panoptic: bool = False

    def load_builder(self) -> Callable[..., nn.Module]:
        """Import the network's module (and torch) and return its builder."""
        return getattr(import_module(self.module), self.builder)


NETWORKS = {
    entry.name: entry
    for entry in (
        NetworkEntry(
            'segnext', ('t', 's', 'b', 'l'), 'seg_perception.networks.segnext', 'build_segnext'
        ),
        NetworkEntry(
            'axial_deeplab',
            ('s', 'm', 'l', 'xl', 'nano'),
            'seg_perception.networks.axial_deeplab',
            'build_axial_deeplab',
            is_panoptic=True,
        ),
        NetworkEntry(
            'sanet', ('r18', 'r50', 'r101'), 'seg_perception.networks.sanet', 'build_sanet'
        ),
        NetworkEntry(
            'segvit',
            ('s', 'b', 'l', 's_shrunk', 'l_shrunk'),
            'seg_perception.networks.segvit',
            'build_segvit',
        ),
    )
}


def build_network(name: str, variant: str, num_classes: int, **options: Any) -> nn.Module:
    """Build a network with random weights; `options` are those of its builder.

    Raises UserError for a name or variant that is not known.
    """
    if name not in NETWORKS:
        raise UserError(
            f'no network {name!r}; use one of {", ".join(NETWORKS)}{suggest(name, NETWORKS)}'
        )
    return NETWORKS[name].load_builder()(variant, num_classes, **options)


def format_name(name: str, variant: str) -> str:
    """Return the name of network and variant together, for example 'segvit_s'."""
    return f'{name}_{variant}'


def list_full_names() -> list[str]:
    """Return the names of all networks and variants together."""
    return [format_name(entry.name, v) for entry in NETWORKS.values() for v in entry.variants]


def parse_full_name(text: str) -> tuple[str, str]:
    """Return network and variant of a name such as 'segvit_s'; raises UserError if unknown."""
    for entry in NETWORKS.values():
        for variant in entry.variants:
            if text == format_name(entry.name, variant):
                return entry.name, variant
    known = list_full_names()
    raise UserError(f'no network {text!r}; use one of {", ".join(known)}{suggest(text, known)}')


def suggest(text: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the nearest known name, or nothing."""
    nearest = difflib.get_close_matches(text.lower(), list(known), n=1)
    return f'; did you mean {nearest[0]}?' if nearest else ''
