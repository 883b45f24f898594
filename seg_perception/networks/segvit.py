# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegViT (Zhang et al., NeurIPS 2022, arXiv 2210.05844): a plain ViT and attention to mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks.atm import AtmHead, AtmOutputs, ShrunkHead, score_classes
from seg_perception.networks.vit import PATCH_PX, VisionTransformer, VisionTransformerSizes

NAME = 'segvit'
# At 1/4 the masks are 99.5 % of the paper's at full size, at 1/8 96.6 % (crowded images, 192x256).
LOGITS_STRIDE = 4
# Added to the scores before the logarithm: a class that no query sees keeps a finite logit, -14.
SCORE_FLOOR = 1e-6
# Keys whose first side is the number of classes (queries) or one more ("no object").
CLASSIFIER_KEYS = (
    'decode_head.queries',
    'decode_head.class_head.weight',
    'decode_head.class_head.bias',
)


@dataclass(frozen=True)
class SegViTVariant:
    """Sizes of one SegViT.

    Attributes:
        name: of the variant.
        encoder: its sizes; its outputs are the levels of the decoder.
        drop_path: rate of the encoder.
        head_width: channels of the decoder.
        head_heads: of each attention of the decoder.
        image_size_px: side of the square crops that it was published with; the table of position
            embeddings has one entry per patch of them.
        window_stride_px: steps of the windows of that size in the paper's evaluation.
    """

    name: str
    encoder: VisionTransformerSizes
    drop_path: float
    head_width: int
    head_heads: int
    image_size_px: int
    window_stride_px: int


# 's' and 's_shrunk' are ours, not the paper's: they train on two CPU cores. The width is that of
# ViT-Ti, whose first nine blocks they can start from.
VARIANTS = {
    variant.name: variant
    for variant in (
        SegViTVariant('s', VisionTransformerSizes(192, 9, 3, (2, 5, 8)), 0.1, 96, 3, 512, 341),
        SegViTVariant(
            'b', VisionTransformerSizes(768, 12, 12, (5, 7, 11)), 0.1, 384, 12, 512, 341
        ),
        SegViTVariant(
            'l', VisionTransformerSizes(1024, 24, 16, (7, 15, 23)), 0.3, 512, 16, 640, 608
        ),
        SegViTVariant(
            's_shrunk',
            VisionTransformerSizes(192, 9, 3, (2, 8), shrink_at=3),
            *(0.1, 96, 3, 512, 341),
        ),
        SegViTVariant(
            'l_shrunk',
            VisionTransformerSizes(1024, 24, 16, (7, 23), shrink_at=8),
            *(0.3, 512, 16, 640, 608),
        ),
    )
}


class SegViT(nn.Module):
    """Normalised RGB images to class logits at 1/4 of their size."""

    logits_stride = LOGITS_STRIDE

    def __init__(
        self,
        variant: SegViTVariant,
        num_classes: int,
        image_size_px: int,
        drop_path: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.image_size_px = image_size_px
        sizes, grid_side = variant.encoder, image_size_px // PATCH_PX
        self.backbone = VisionTransformer(sizes, grid_side, drop_path)
        self.decode_head: nn.Module
        if sizes.shrink_at:
            self.decode_head = ShrunkHead(
                sizes.width,
                variant.head_width,
                variant.head_heads,
                grid_side,
                num_classes,
                dropout,
            )
        else:
            self.decode_head = AtmHead(
                *(sizes.width, variant.head_width, variant.head_heads),
                *(len(sizes.outputs), num_classes, dropout),
            )

    @property
    def float32_layers(self) -> tuple[nn.Module, ...]:
        """Layers that stay in float32 when the others compute in a half type."""
        return (self.decode_head.class_head,)  # type: ignore[return-value]

    def decode(self, image: Tensor) -> AtmOutputs:
        """Return class logits and masks of (N, 3, H, W) normalised RGB, as the loss takes them.

        Raises UserError for an image smaller than a patch.
        """
        height, width = image.shape[2:]
        if not torch.jit.is_tracing() and min(height, width) < PATCH_PX:
            raise UserError(
                f'the image has {height}x{width} px, smaller than a patch of SegViT: give it '
                f'{PATCH_PX}x{PATCH_PX} px or more'
            )
        return self.decode_head(self.backbone(image))

    def forward(self, image: Tensor) -> Tensor:
        """Segment (N, 3, H, W) float RGB, normalised by segnext.MEAN_RGB and STD_RGB.

        Returns logits (N, num_classes, ceil(H / 4), ceil(W / 4)) float32: the logarithm of the
        scores (`score_classes`) of the masks at 1/4. Their argmax is that of the scores, and
        their softmax a class's share of the sum of all scores. Between two logits a logarithm of
        a sigmoid is close to a straight line, so bilinear logits come close to the scores of the
        masks at full size, which the paper takes: see `score_pixels`.
        """
        outputs = self.decode(image)
        factor = PATCH_PX // LOGITS_STRIDE
        masks = F.interpolate(
            outputs.masks[-1], scale_factor=float(factor), mode='bilinear', align_corners=False
        )
        height, width = (-(-side // LOGITS_STRIDE) for side in image.shape[2:])
        scores = score_classes(outputs.class_logits[-1], masks[:, :, :height, :width])
        return torch.log(scores + SCORE_FLOOR)

    def score_pixels(self, image: Tensor) -> Tensor:
        """Return the paper's scores (N, num_classes, H, W) float32: masks at full size."""
        outputs = self.decode(image)
        masks = outputs.masks[-1]
        rows, columns = (PATCH_PX * side for side in masks.shape[2:])
        masks = F.interpolate(masks, (rows, columns), mode='bilinear', align_corners=False)
        height, width = image.shape[2:]
        return score_classes(outputs.class_logits[-1], masks[:, :, :height, :width])


def build_segvit(
    variant: str,
    num_classes: int,
    *,
    image_size_px: int | None = None,
    drop_path: float | None = None,
    dropout: float = 0.1,
) -> SegViT:
    """Build SegViT 's' (ours), 'b', 'l', 's_shrunk' (ours) or 'l_shrunk' with random weights.

    image_size_px: of the crops that the tables of positions are laid out for, a multiple of 16;
    None takes the published size. drop_path: None takes the published rate. dropout: of the
    decoder. Raises UserError for an unknown variant, a class count under 1 or another size.
    """
    if variant not in VARIANTS:
        raise UserError(f'SegViT has no variant {variant!r}; use one of {", ".join(VARIANTS)}')
    if num_classes < 1:
        raise UserError(f'SegViT needs at least 1 class, got num_classes={num_classes}')
    sizes = VARIANTS[variant]
    size_px = sizes.image_size_px if image_size_px is None else image_size_px
    if size_px < PATCH_PX or size_px % PATCH_PX:
        raise UserError(f'image_size_px is {size_px}, expected a multiple of {PATCH_PX}')
    rate = sizes.drop_path if drop_path is None else drop_path
    return SegViT(sizes, num_classes, size_px, rate, dropout)


@dataclass(frozen=True)
class SegViTIdentity:
    """What a state dict is."""

    variant: str
    num_classes: int
    image_size_px: int

    @property
    def text(self) -> str:
        """Return for example 'SegViT-S with 19 classes'."""
        return f'SegViT-{self.variant.upper()} with {self.num_classes} classes'

    @property
    def options(self) -> dict[str, Any]:
        """Options of `build_segvit`."""
        return {'image_size_px': self.image_size_px}


def identify_segvit(state: Mapping[str, Tensor]) -> SegViTIdentity | None:
    """Tell variant, classes and image size from the shapes of a state dict; None if no SegViT."""
    queries = state.get('decode_head.queries')
    positions = state.get('backbone.pos_embed')
    if queries is None or positions is None or positions.ndim != 4:
        return None
    depth = sum(f'backbone.blocks.{index}.norm1.weight' in state for index in range(64))
    is_shrunk = 'decode_head.upsampling_queries' in state
    for variant in VARIANTS.values():
        sizes = variant.encoder
        found = (positions.shape[1], depth, is_shrunk)
        if found == (sizes.width, sizes.depth, sizes.shrink_at > 0):
            size_px = PATCH_PX * positions.shape[-1]
            return SegViTIdentity(variant.name, queries.shape[0], size_px)
    return None


def describe_segvit(network: SegViT) -> dict[str, Any]:
    """Return what a model file records to build the network again."""
    return {
        'name': NAME,
        'variant': network.variant.name,
        'image_size_px': network.image_size_px,
    }


def fold_segvit(network: SegViT) -> SegViT:
    """Return a copy in evaluation mode: it is deployed as it was trained."""
    deployed = build_deployed_segvit(describe_segvit(network), network.num_classes)
    deployed.load_state_dict(network.state_dict())
    return deployed


def build_deployed_segvit(description: Mapping[str, Any], num_classes: int) -> SegViT:
    """Build the network of a model file, with weights to be loaded.

    Raises UserError for a description that is not one of this network.
    """
    variant, size_px = description.get('variant'), description.get('image_size_px')
    if variant not in VARIANTS or not isinstance(size_px, int):
        raise UserError(
            f'network {dict(description)} is not known; expected a variant of SegViT, '
            f'{", ".join(VARIANTS)}, and image_size_px; export the model again'
        )
    network = build_segvit(variant, num_classes, image_size_px=size_px)
    return network.eval().requires_grad_(False)
