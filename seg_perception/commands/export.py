# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception export`: a trained checkpoint to one model file for every backend."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.commands.arguments import require_packages

NAME = 'export'
HELP = 'turn a checkpoint into a model file (ONNX) for the node'
DESCRIPTION = """\
Writes one ONNX file that takes camera bytes (uint8, any height and width) and gives class
logits. Channel order, resize and normalisation are inside; class names, colours and the hash of
the checkpoint are stored with it. Every backend runs this file.

  seg_perception export --checkpoint segnext_t.safetensors --out street.onnx
  seg_perception export --checkpoint segnext_s_ade20k.pth --labels ade20k --height 512 --width 512
  seg_perception export --checkpoint mine.pth --labels my_classes.yaml --fit stretch

Checkpoints: safetensors or torch.save files with the keys of SegNeXt's authors or of
mmsegmentation 1.x. The file is compared with PyTorch before it is moved into place.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        '--checkpoint', type=Path, required=True, help='.safetensors, .pth or .pt file'
    )
    parser.add_argument(
        '--out', type=Path, help='model file to write (default: the checkpoint with .onnx)'
    )
    parser.add_argument(
        '--labels',
        default='cityscapes',
        help='cityscapes, ade20k, camvid or a YAML file with the classes (default: cityscapes)',
    )
    parser.add_argument(
        '--variant', choices=('t', 's', 'b', 'l'), help="default: the checkpoint's own"
    )
    parser.add_argument(
        '--rank', type=int, help="rank of the Hamburger's bases (default: the checkpoint's own)"
    )
    parser.add_argument(
        '--height', type=int, default=512, help='network input, px; input.height can change it'
    )
    parser.add_argument(
        '--width', type=int, default=1024, help='network input, px; input.width can change it'
    )
    parser.add_argument(
        '--fit',
        choices=('letterbox', 'stretch'),
        default='letterbox',
        help='letterbox keeps the aspect ratio and pads (default), stretch fills the input',
    )
    parser.add_argument(
        '--channel-order',
        choices=('rgb', 'bgr'),
        default='rgb',
        help='of images given to the file directly; the node converts by itself (default: rgb)',
    )
    parser.add_argument('--name', help='name of the model in reports (default: from the file)')


def run(arguments: argparse.Namespace) -> int:
    """Export, compare and report."""
    require_packages('train', 'torch', 'safetensors')
    from seg_perception.engines.contract import InputContract, ModelMetadata
    from seg_perception.model_zoo.verify import compute_sha256
    from seg_perception.networks.checkpoints import (
        identify_segnext,
        load_checkpoint,
        load_weights,
    )
    from seg_perception.networks.export import write_model
    from seg_perception.networks.segnext import build_segnext
    from seg_perception.perception.labels import load_label_space

    contract = InputContract(
        arguments.height, arguments.width, arguments.fit, arguments.channel_order
    )
    labels = load_label_space(arguments.labels)
    identity = identify_segnext(load_checkpoint(arguments.checkpoint))
    variant = arguments.variant or (identity.variant if identity else 't')
    rank = arguments.rank or (identity.rank if identity else None)
    network = build_segnext(variant, labels.num_classes, rank)
    load_weights(network, arguments.checkpoint)
    out = arguments.out or arguments.checkpoint.with_suffix('.onnx')
    name = arguments.name or (out.parent.name if out.stem == 'model' else out.stem)
    metadata = ModelMetadata(
        labels, contract, name=name, source_sha256=compute_sha256(arguments.checkpoint)
    )
    report = write_model(network, metadata, out)
    print(
        f'{report.path}: SegNeXt-{variant.upper()}, {labels.num_classes} classes '
        f'({labels.name}), input {contract.height_px}x{contract.width_px} {contract.fit}, '
        f'{report.size_bytes / 1e6:.1f} MB'
    )
    print(
        f'difference from PyTorch ({report.backend}): {report.graph_difference:.2g} with the same '
        f'weights, {report.max_difference:.2g} with weights rounded to float16, at logits up to '
        f'{report.logits_range:.3g}; same class at {100 * report.mask_agreement:.2f} % of the '
        'positions'
    )
    return 0
