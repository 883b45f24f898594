# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception export`: a trained checkpoint to one model file for every backend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import require_packages
from seg_perception.errors import UserError

if TYPE_CHECKING:
    from seg_perception.networks.identity import NetworkIdentity
    from seg_perception.perception.labels import LabelSpace

NAME = 'export'
HELP = 'turn a checkpoint into a model file (ONNX) for the node'
DESCRIPTION = """\
Writes one ONNX file that takes camera bytes (uint8, any height and width) and gives class
logits. Channel order, resize and normalisation are inside; class names, colours and the hash of
the checkpoint are stored with it. Every backend runs this file.

  seg_perception export --checkpoint segnext_t.safetensors --out street.onnx
  seg_perception export --checkpoint segnext_b.pth --variant b --rank 64 --name street_b
  seg_perception export --checkpoint segnext_s_ade20k.pth --labels ade20k --height 512 --width 512
  seg_perception export --checkpoint mine.pth --labels my_classes.yaml --fit stretch
  seg_perception export --checkpoint best.safetensors --network segvit_s --out street.onnx

Checkpoints: safetensors or torch.save files of `seg_perception train`; for SegNeXt also with the
keys of its authors or of mmsegmentation 1.x, and `seg_perception models fetch` brings published
ones. Which network a file holds is found out; --network makes sure. The file is compared with
PyTorch before it is moved into place.

With --name and no --out the model goes, with a card, into your folder of models, where the node
finds it: ros2 launch seg_perception segnext.launch.py model:=street_b
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        '--checkpoint', type=Path, required=True, help='.safetensors, .pth or .pt file'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='model file to write (default: the checkpoint with .onnx, or see --name)',
    )
    parser.add_argument(
        '--labels',
        default='cityscapes',
        help='cityscapes, ade20k, camvid or a YAML file with the classes (default: cityscapes)',
    )
    parser.add_argument(
        '--network',
        metavar='NAME',
        help="network and variant, such as segnext_t or segvit_s (default: the checkpoint's own)",
    )
    parser.add_argument('--variant', help="of that network (default: the checkpoint's own)")
    parser.add_argument(
        '--rank',
        type=int,
        help="rank of SegNeXt's Hamburger's bases (default: the checkpoint's own)",
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
    parser.add_argument(
        '--name',
        help='name of the model, for reports and, without --out, for the node to find it by',
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, compare and report."""
    require_packages('train', 'torch', 'safetensors')
    from seg_perception.engines.contract import InputContract, ModelMetadata
    from seg_perception.model_zoo.cards import write_card
    from seg_perception.model_zoo.exported import make_card
    from seg_perception.model_zoo.verify import compute_sha256
    from seg_perception.networks.checkpoints import load_weights
    from seg_perception.networks.export import write_model
    from seg_perception.networks.registry import NETWORKS, build_network
    from seg_perception.perception.labels import load_label_space

    contract = InputContract(
        arguments.height, arguments.width, arguments.fit, arguments.channel_order
    )
    labels = load_label_space(arguments.labels)
    out = choose_place(arguments)
    identity = identify_checkpoint(arguments, labels)
    options = identity.options | ({'rank': arguments.rank} if arguments.rank else {})
    network = build_network(identity.name, identity.variant, labels.num_classes, **options)
    load_weights(network, arguments.checkpoint)
    name = arguments.name or (out.parent.name if out.stem == 'model' else out.stem)
    metadata = ModelMetadata(
        labels, contract, name=name, source_sha256=compute_sha256(arguments.checkpoint)
    )
    report = write_model(network, metadata, out)
    print(
        f'{report.path}: {identity.text} ({labels.name}), '
        f'input {contract.height_px}x{contract.width_px} {contract.fit}, '
        f'{report.size_bytes / 1e6:.1f} MB'
    )
    print(
        f'difference from PyTorch ({report.backend}): {report.graph_difference:.2g} with the same '
        f'weights, {report.max_difference:.2g} with weights rounded to float16, at logits up to '
        f'{report.logits_range:.3g}; same class at {100 * report.mask_agreement:.2f} % of the '
        'positions'
    )
    if is_for_the_node(arguments):
        parameters = sum(weight.numel() for weight in network.parameters())
        card = make_card(out, arguments.checkpoint, parameters)
        write_card(card, out.parent)
        print(f'licence: {card.licence.word}. {card.licence.notes}')
        launch = 'panoptic' if NETWORKS[identity.name].is_panoptic else 'segnext'
        print(f'use it: ros2 launch seg_perception {launch}.launch.py model:={name}')
    return 0


def is_for_the_node(arguments: argparse.Namespace) -> bool:
    """Tell whether the model goes where the node finds it by name."""
    return arguments.name is not None and arguments.out is None


def choose_place(arguments: argparse.Namespace) -> Path:
    """Return the model file to write; UserError for a name that cannot be used."""
    from seg_perception.model_zoo.cards import MODEL_FILE, is_model_name
    from seg_perception.resources import find_model_folders, find_user_directory

    if not is_for_the_node(arguments):
        return arguments.out or arguments.checkpoint.with_suffix('.onnx')
    folder = find_user_directory() / 'models' / arguments.name
    if not is_model_name(arguments.name):
        raise UserError(
            f'--name is {arguments.name!r}, expected letters, digits, _ . and -, without .onnx'
        )
    if find_model_folders().get(arguments.name, folder) != folder:
        raise UserError(
            f'a model named {arguments.name} comes with the package; choose another --name, or '
            'write a file with --out'
        )
    return folder / MODEL_FILE


def identify_checkpoint(arguments: argparse.Namespace, labels: LabelSpace) -> NetworkIdentity:
    """Return what the checkpoint holds; UserError names the options that fit it."""
    from seg_perception.networks.checkpoints import load_checkpoint
    from seg_perception.networks.identity import identify_network
    from seg_perception.networks.registry import NETWORKS, parse_full_name

    name, variant = None, arguments.variant
    if arguments.network is not None:
        name, variant = parse_full_name(arguments.network)
    state = load_checkpoint(arguments.checkpoint)
    identity = identify_network(state)
    if identity is None:
        raise UserError(
            f'{arguments.checkpoint} holds none of {", ".join(NETWORKS)}: its first keys are '
            f'{", ".join(list(state)[:3])}; expected backbone.* and decode_head.* of one of them'
        )
    if identity.num_classes is None:
        raise UserError(
            f'{arguments.checkpoint} holds the encoder alone of {identity.text}: there is nothing '
            'to segment with; train from it, with network.encoder_weights'
        )
    options = []
    if (name or identity.name, variant or identity.variant) != (identity.name, identity.variant):
        is_full = name is not None
        options.append(
            f'--network {identity.full_name}' if is_full else f'--variant {identity.variant}'
        )
    if arguments.variant not in (None, variant):
        options.append('no --variant')
    if labels.num_classes != identity.num_classes:
        options.append(f'--labels {name_label_spaces(identity.num_classes)}')
    if arguments.rank is not None and 'rank' not in identity.options:
        options.append('no --rank')
    elif identity.has_stored_rank and arguments.rank not in (None, identity.options['rank']):
        options.append(f'--rank {identity.options["rank"]}')
    if options:
        raise UserError(
            f'{arguments.checkpoint} holds {identity.text}: use {" and ".join(options)}'
        )
    return identity


def name_label_spaces(num_classes: int) -> str:
    """Return the label spaces of a number of classes, for messages."""
    from seg_perception.perception.labels import list_label_spaces, load_label_space

    spaces = [load_label_space(name) for name in list_label_spaces()]
    fitting = [space.name for space in spaces if space.num_classes == num_classes]
    return ' or '.join(fitting) or f'a YAML file of {num_classes} classes'
