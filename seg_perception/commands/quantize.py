# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception quantize`: an int8 file beside a model file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import (
    add_split_arguments,
    make_split_config,
    require_packages,
    show_progress,
)
from seg_perception.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from seg_perception.evaluation.images.labelled_split import LabelledSplit

NAME = 'quantize'
HELP = 'an int8 file beside a model, for CPUs without bfloat16 and for TensorRT'
DESCRIPTION = """\
Quantises a model's convolutions to int8 and writes the result beside the model file
(model.onnx: model.int8.onnx), where `precision: int8` finds it, and `auto` on CPUs that multiply
bytes (VNNI, AMX, ARM dot product) but not bfloat16.

  seg_perception quantize --layout camvid --root camvid --split train --validation-split val

Ranges are taken from images of --split (labels are not used), spread over all of it. The mIoU of
--validation-split decides: layers are put back to float, the most harmful first, until not more
than --max-drop of it is lost; nothing is written where that cannot be. The layouts are those of
`seg_perception evaluate-images --help`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    add_split_arguments(parser)
    parser.add_argument('--validation-split', required=True, help='such as val')
    parser.add_argument(
        '--images', type=int, default=64, help='number of images for the ranges (default: 64)'
    )
    parser.add_argument(
        '--max-drop',
        type=float,
        default=0.005,
        help='mIoU that may be lost, a share of 1 (default: 0.005)',
    )
    parser.add_argument('--out', type=Path, help='file to write (default: beside the model)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here too')


def run(arguments: argparse.Namespace) -> int:
    """Quantise, compare, write and report."""
    require_packages('quantize', 'nncf', 'onnxruntime', 'openvino')
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    from dataclasses import replace

    from seg_perception.engines.int8_file import SUFFIX, name_int8_file
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.evaluation.files import replace_file
    from seg_perception.evaluation.images.labelled_split import open_split
    from seg_perception.evaluation.images.quantization import quantize_model
    from seg_perception.evaluation.reports.report import write_json
    from seg_perception.resources import find_model

    if arguments.images < 1:
        raise UserError(f'--images is {arguments.images}, expected 1 or more')
    if not 0 <= arguments.max_drop <= 1:
        raise UserError(f'--max-drop is {arguments.max_drop}, expected a share from 0 to 1')
    model = load_model_file(find_model(arguments.model))
    out = arguments.out or name_int8_file(model.path)
    if not out.name.endswith('.onnx'):
        raise UserError(f'{out} is no model file name; expected .onnx, best {SUFFIX}')
    config = make_split_config(arguments)
    space = model.metadata.label_space
    calibration = open_split(config, space)
    # --limit is for quick tries of either
    validation = open_split(replace(config, split=arguments.validation_split), space)
    images = read_images(calibration, arguments.images, model.metadata.input.channel_order)
    result = quantize_model(model, images, validation, arguments.max_drop)
    facts = {
        'out': str(out),
        'model': str(model.path),
        'layers': result.layers,
        'layers_left_float': result.skipped,
        'miou_before': result.miou_before,
        'miou_after': result.miou_after,
        'drop': result.drop,
        'calibration_images': len(images),
        'validation_images': len(validation.pairs),
    }
    if result.drop > arguments.max_drop:
        raise UserError(
            f'int8 loses {result.drop:.4f} of {result.miou_before:.4f} mIoU, more than '
            f'{arguments.max_drop}; nothing was written'
        )
    content = result.model.SerializeToString()
    replace_file(out, lambda path: path.write_bytes(content))
    print(f'{out}: {result.layers} convolutions in int8, {result.skipped} put back to float')
    print(
        f'  mIoU {result.miou_before:.4f} in float32, {result.miou_after:.4f} in int8, '
        f'{len(validation.pairs)} images of {arguments.validation_split}'
    )
    if arguments.json is not None:
        write_json(arguments.json, facts)
        print(f'  wrote {arguments.json}')
    return 0


def read_images(split: LabelledSplit, count: int, channel_order: str) -> list[np.ndarray]:
    """Read up to count images, spread over the split, (H, W, 3) uint8 in the channel order."""
    step = max(1, len(split.pairs) // count)
    pairs = split.pairs[::step][:count]
    images = [split.read(pair).image for pair in show_progress(pairs, 'read', len(pairs), 'image')]
    if channel_order == 'bgr':
        images = [image[:, :, ::-1].copy() for image in images]
    return images
