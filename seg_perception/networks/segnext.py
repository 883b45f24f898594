# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegNeXt (Guo et al., NeurIPS 2022, arXiv 2209.08575): MSCAN encoder, light Hamburger head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks.hamburger import LightHamHead
from seg_perception.networks.mscan import MSCAN

LOGITS_STRIDE = 8
MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SegNeXtVariant:
    """Sizes of one published SegNeXt; `rank` is that of the authors' own code."""

    name: str
    embed_dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path: float
    head_channels: int
    rank: int
    mlp_ratios: tuple[int, int, int, int] = (8, 8, 4, 4)


VARIANTS = {
    variant.name: variant
    for variant in (
        SegNeXtVariant('t', (32, 64, 160, 256), (3, 3, 5, 2), 0.1, 256, 16),
        SegNeXtVariant('s', (64, 128, 320, 512), (2, 2, 4, 2), 0.1, 256, 16),
        SegNeXtVariant('b', (64, 128, 320, 512), (3, 3, 12, 3), 0.1, 512, 64),
        SegNeXtVariant('l', (64, 128, 320, 512), (3, 5, 27, 3), 0.3, 1024, 64),
    )
}


class SegNeXt(nn.Module):
    """Normalised RGB images to class logits at 1/8 of their size."""

    def __init__(
        self,
        variant: SegNeXtVariant,
        num_classes: int,
        rank: int,
        seed: int,
        drop_path: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.rank = rank
        self.backbone = MSCAN(variant.embed_dims, variant.depths, variant.mlp_ratios, drop_path)
        self.decode_head = LightHamHead(
            variant.embed_dims[1:], variant.head_channels, num_classes, rank, seed, dropout
        )

    def forward(self, image: Tensor) -> Tensor:
        """Segment (N, 3, H, W) float RGB, normalised by MEAN_RGB and STD_RGB.

        Returns logits (N, num_classes, ceil(H / 8), ceil(W / 8)); to image size they are
        bilinear with align_corners=False.
        """
        return self.decode_head(self.backbone(image))


def build_segnext(
    variant: str,
    num_classes: int,
    rank: int | None = None,
    *,
    seed: int = 0,
    drop_path: float | None = None,
    dropout: float = 0.1,
) -> SegNeXt:
    """Build SegNeXt `variant` ('t', 's', 'b' or 'l') with random weights.

    rank: of the Hamburger bases; None takes the authors' (16 for t and s, 64 for b and l).
    mmsegmentation's published b and l were trained with 16. seed: of the bases alone; weights
    follow torch.manual_seed. drop_path: None takes the published rate.
    Raises UserError for an unknown variant, or a class count or rank under 1.
    """
    if variant not in VARIANTS:
        raise UserError(f'SegNeXt has no variant {variant!r}; use one of {", ".join(VARIANTS)}')
    sizes = VARIANTS[variant]
    rank = sizes.rank if rank is None else rank
    if num_classes < 1:
        raise UserError(f'SegNeXt needs at least 1 class, got num_classes={num_classes}')
    if rank < 1:
        raise UserError(f'the Hamburger needs a rank of at least 1, got rank={rank}')
    rate = sizes.drop_path if drop_path is None else drop_path
    return SegNeXt(sizes, num_classes, rank, seed, rate, dropout)


@dataclass(frozen=True)
class SegNeXtIdentity:
    """What a state dict is: `num_classes` None when it holds the encoder alone."""

    variant: str
    num_classes: int | None
    rank: int
    has_bases: bool = False

    @property
    def text(self) -> str:
        """Return for example 'SegNeXt-T with 19 classes'."""
        if self.num_classes is None:
            return f'SegNeXt-{self.variant.upper()}'
        return f'SegNeXt-{self.variant.upper()} with {self.num_classes} classes'


def identify_segnext(state: Mapping[str, Tensor]) -> SegNeXtIdentity | None:
    """Tell variant, class count and rank from the shapes of a state dict; None if no SegNeXt.

    Both published key styles are known, with or without `backbone.`. Without bases the rank
    follows from the key style: mmsegmentation trained all variants with 16, the authors b and
    l with 64.
    """
    encoder = {key.removeprefix('backbone.'): tensor for key, tensor in state.items()}
    norms = [encoder.get(f'norm{stage}.weight') for stage in (1, 2, 3, 4)]
    embed_dims = tuple(0 if norm is None else norm.shape[0] for norm in norms)
    depths = tuple(
        sum(f'block{stage}.{index}.layer_scale_1' in encoder for index in range(64))
        for stage in (1, 2, 3, 4)
    )
    for variant in VARIANTS.values():
        if (variant.embed_dims, variant.depths) == (embed_dims, depths):
            break
    else:
        return None
    classifier = state.get('decode_head.conv_seg.weight')
    num_classes = None if classifier is None else classifier.shape[0]
    bases = state.get('decode_head.hamburger.ham.bases')
    if bases is not None:
        return SegNeXtIdentity(variant.name, num_classes, bases.shape[-1], has_bases=True)
    authors = any('.mlp.dwconv.dwconv.' in key for key in state)
    return SegNeXtIdentity(variant.name, num_classes, variant.rank if authors else 16)
