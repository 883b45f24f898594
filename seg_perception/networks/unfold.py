# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Trained weights out of a model file, the inverse of `deploy.fold_segnext`.

A model's `weights.safetensors` need not repeat its matrices: folding scaled them, channel by
channel, by norms and layer scales that are small. A file that says so in its metadata holds these
alone, and the matrices are read from the model file beside it and scaled back. Both store 11 bits
of each weight, so nothing is lost but half a bit of rounding.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from seg_perception.errors import UserError
from seg_perception.networks.deploy import Weights, compute_affine, take_prefix
from seg_perception.networks.segnext import VARIANTS, SegNeXtVariant

# Metadata of a safetensors file: the model file beside it that has the matrices.
MATRICES_KEY = 'matrices'
_SMALLEST = 1e-12  # of a layer scale or norm that a matrix can be divided by


def complete_weights(path: Path, rest: Weights) -> Weights:
    """Return the weights of a file, with matrices from the model file that it names.

    Raises:
        UserError: that file is missing, or is of another network.
    """
    with safe_open(path, 'pt') as file:
        name = (file.metadata() or {}).get(MATRICES_KEY)
    if name is None:
        return rest
    from seg_perception.engines.model_file import load_model_file

    model = load_model_file(path.parent / name)
    network = model.metadata.network
    if network.get('name') != 'segnext' or network.get('variant') not in VARIANTS:
        raise UserError(
            f'{path} takes its matrices from {name}, which holds the network {dict(network)}; '
            'expected a SegNeXt; keep the two files of a model together'
        )
    folded = {key: torch.from_numpy(value) for key, value in model.read_weights().items()}
    # A temperature divides the last layer of the model file.
    for part in ('weight', 'bias'):
        folded[f'decode_head.conv_seg.{part}'] *= model.metadata.temperature
    try:
        return rest | unfold_segnext(folded, rest, VARIANTS[network['variant']])
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f'{path} and {name} beside it are not of one network: {error}; keep the two files of '
            'a model together'
        ) from error


def drop_matrices(weights: Weights) -> Weights:
    """Return what a file needs that takes its matrices from the model file beside it."""
    return {
        name: value
        for name, value in weights.items()
        if (value.ndim < 2 or name.endswith('ham.bases')) and 'num_batches' not in name
    }


def unfold_segnext(folded: Weights, rest: Weights, variant: SegNeXtVariant) -> Weights:
    """Return the matrices and convolutions of a SegNeXt by their names in training.

    Args:
        folded: weights of the deployed network, float32.
        rest: norms, layer scales and biases of the trained network.
        variant: its sizes.
    """
    out: Weights = {}
    embeds = [
        ('stem_1', 'patch_embed1.proj.0', 'patch_embed1.proj.1'),
        ('stem_2', 'patch_embed1.proj.3', 'patch_embed1.proj.4'),
    ]
    for stage in (2, 3, 4):
        embed = f'patch_embed{stage}'
        embeds.append((f'downsample.{stage - 2}', f'{embed}.proj', f'{embed}.norm'))
    for source, convolution, norm in embeds:
        scale, _ = compute_affine(rest, f'backbone.{norm}')
        weight = folded[f'backbone.{source}.weight']
        out[f'backbone.{convolution}.weight'] = _divide(weight, scale[:, None])
    for stage, depth in enumerate(variant.depths, start=1):
        for block in range(depth):
            deployed = take_prefix(folded, f'backbone.blocks.{stage - 1}.{block}.')
            target = f'backbone.block{stage}.{block}.'
            unfolded = unfold_block(deployed, take_prefix(rest, target))
            out.update({target + name: value for name, value in unfolded.items()})
    head, hamburger = 'decode_head.', 'decode_head.hamburger.'
    levels = [folded[f'{head}squeeze.{index}.weight'] for index in range(3)]
    out[head + 'squeeze.conv.weight'] = torch.cat(levels, dim=1)
    for source, target in (
        ('ham_in', hamburger + 'ham_in.conv'),
        ('ham_out', hamburger + 'ham_out.conv'),
        ('align', head + 'align.conv'),
        ('conv_seg', head + 'conv_seg'),
    ):
        out[f'{target}.weight'] = folded[f'{head}{source}.weight'][:, :, None, None]
    return out


def unfold_block(folded: Weights, rest: Weights) -> Weights:
    """Return the convolutions of a Block."""
    gate = 'attn.spatial_gating_unit.'
    names = ('conv0', 'conv0_1', 'conv0_2', 'conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3')
    out = {f'{gate}{name}.weight': folded[f'{name}.weight'] for name in names}
    scale_1, _ = compute_affine(rest, 'norm1')
    scale_2, _ = compute_affine(rest, 'norm2')
    out['attn.proj_1.weight'] = _divide(folded['proj_1.weight'], scale_1[None])
    out['attn.proj_2.weight'] = _divide(folded['proj_2.weight'], rest['layer_scale_1'][:, None])
    out['mlp.fc1.weight'] = _divide(folded['fc1.weight'], scale_2[None])
    out['mlp.dwconv.weight'] = folded['dwconv.weight']
    out['mlp.fc2.weight'] = _divide(folded['fc2.weight'], rest['layer_scale_2'][:, None])
    return out


def _divide(weight: Tensor, scale: Tensor) -> Tensor:
    """Divide the channels (out, in, ...) of a weight; a channel scaled by 0 was lost and is 0."""
    scale = scale.float().reshape(*scale.shape, *[1] * (weight.ndim - scale.ndim))
    is_usable = scale.abs() > _SMALLEST
    return torch.where(is_usable, weight / torch.where(is_usable, scale, 1.0), 0.0)
