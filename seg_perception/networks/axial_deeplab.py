# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Axial-DeepLab (Wang et al., ECCV 2020, arXiv 2003.07853): one network for panoptic output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks.axial_resnet import (
    STEMS,
    AxialResNet,
    AxialResNetSizes,
    init_residual,
)
from seg_perception.networks.panoptic_decoder import (
    DecoderSizes,
    PanopticDecoder,
    PanopticOutputs,
)

NAME = 'axial_deeplab'
OUTPUT_STRIDE = 4  # pixels of the input per output


@dataclass(frozen=True)
class AxialDeepLabVariant:
    """Sizes of one Axial-DeepLab; span_px: of its attention where nothing else is said, 0 all."""

    name: str
    encoder: AxialResNetSizes
    decoder: DecoderSizes
    span_px: int = 0


def scale_variant(name: str, factor: float) -> AxialDeepLabVariant:
    """Return a published variant: L's widths times a factor."""
    stage1, stage2, stage3, stage4 = (int(channels * factor) for channels in (128, 256, 512, 1024))
    stem = (int(64 * factor), int(64 * factor), int(128 * factor))
    sizes = AxialResNetSizes((stage1, stage2, stage3, stage4), (3, 4, 6, 3), stem)
    return AxialDeepLabVariant(name, sizes, DecoderSizes())


# 'nano' is ours, not the paper's: for CPUs and small inputs. Its first two stages keep the 3x3
# convolution, since at 1/4 and 1/8 of a small input they cost a fraction of the attention;
# axial attention sees 31 cells of 1/16 either way, all that a crop of 512x512 has: trained on such
# crops, it meets no offset in larger inputs that it has not learnt.
NANO = AxialDeepLabVariant(
    'nano',
    AxialResNetSizes(
        inner=(32, 48, 64, 96),
        depths=(2, 3, 3, 2),
        stem=(16, 16, 32),
        heads=4,
        convolutional_stages=2,
    ),
    DecoderSizes(
        semantic=96, instance=64, semantic_low=(48, 32), instance_low=(32, 16), instance_head=32
    ),
    span_px=63,
)
VARIANTS = {
    variant.name: variant
    for variant in (
        scale_variant('s', 0.5),
        scale_variant('m', 0.75),
        scale_variant('l', 1.0),
        scale_variant('xl', 2.0),
        NANO,
    )
}


class AxialDeepLab(nn.Module):
    """Normalised RGB images to class logits, a centre heatmap and offsets, at 1/4."""

    logits_stride = OUTPUT_STRIDE

    def __init__(
        self, variant: AxialDeepLabVariant, num_classes: int, stem: str, span_px: int
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.stem = stem
        self.span_px = span_px
        self.backbone = AxialResNet(variant.encoder, stem, span_px)
        init_residual(self.backbone)
        self.decode_head = PanopticDecoder(
            variant.encoder.stage_channels, variant.decoder, num_classes
        )

    def forward(self, image: Tensor) -> PanopticOutputs:
        """Segment (N, 3, H, W) float RGB, normalised by segnext.MEAN_RGB and STD_RGB."""
        return self.decode_head(self.backbone(image))


def build_axial_deeplab(
    variant: str,
    num_classes: int,
    *,
    stem: str = 'conv',
    span_px: int | None = None,
) -> AxialDeepLab:
    """Build Axial-DeepLab 's', 'm', 'l', 'xl' or 'nano' (ours) with random weights.

    stem: 'conv', or 'axial' for the full-axial variant. span_px: pixels that attention sees along
    an axis, an odd number (the paper takes 65 for very large inputs); 0 is the whole axis, None
    the variant's own, the whole axis but for 'nano'. Weights fit any span.
    Raises UserError for an unknown variant or stem, a class count under 1 or an even span.
    """
    if variant not in VARIANTS:
        raise UserError(
            f'Axial-DeepLab has no variant {variant!r}; use one of {", ".join(VARIANTS)}'
        )
    if num_classes < 1:
        raise UserError(f'Axial-DeepLab needs at least 1 class, got num_classes={num_classes}')
    if stem not in STEMS:
        raise UserError(f'Axial-DeepLab has no stem {stem!r}; use one of {", ".join(STEMS)}')
    if span_px is None:
        span_px = VARIANTS[variant].span_px
    if span_px < 0 or (span_px and span_px % 2 == 0):
        raise UserError(f'span_px is {span_px}, expected an odd number of pixels, or 0 for all')
    return AxialDeepLab(VARIANTS[variant], num_classes, stem, span_px)


@dataclass(frozen=True)
class AxialDeepLabIdentity:
    """What a state dict is; the span leaves no trace in it."""

    variant: str
    num_classes: int
    stem: str

    @property
    def text(self) -> str:
        """Return for example 'Axial-DeepLab-S with 19 classes'."""
        stem = 'full-axial ' if self.stem == 'axial' else ''
        return f'{stem}Axial-DeepLab-{self.variant.upper()} with {self.num_classes} classes'


def identify_axial_deeplab(state: Mapping[str, Tensor]) -> AxialDeepLabIdentity | None:
    """Tell variant, classes and stem from the shapes of a state dict; None for another network."""
    classifier = state.get('decode_head.semantic_head.predict.weight')
    if classifier is None:
        return None
    stem = 'axial' if 'backbone.stem.embed.conv.weight' in state else 'conv'
    reduces = [state.get(f'backbone.stages.{i}.0.reduce.conv.weight') for i in range(4)]
    inner = tuple(0 if weight is None else weight.shape[0] for weight in reduces)
    for variant in VARIANTS.values():
        if variant.encoder.inner == inner:
            return AxialDeepLabIdentity(variant.name, classifier.shape[0], stem)
    return None
