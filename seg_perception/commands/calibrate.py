# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception calibrate`: a model file whose confidence is honest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import (
    add_engine_arguments,
    add_split_arguments,
    describe_engine,
    load_pipeline,
    make_split_config,
    require_packages,
    show_progress,
)
from seg_perception.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from seg_perception.engines.model_file import ModelFile

NAME = 'calibrate'
HELP = "make a model's confidence honest, its masks unchanged"
DESCRIPTION = """\
Fits one temperature on labelled images that the model was not trained on, and writes a model file
whose last layer is divided by it: the same masks at the same speed, another confidence.

  seg_perception calibrate --layout camvid --root camvid --split val --out calibrated.onnx
  seg_perception evaluate-images --layout camvid --root camvid --split val --model calibrated.onnx

The temperature minimises the negative log-likelihood (NLL) of the labels; a label that accepts
several of the model's classes has the sum of their probabilities. ECE is the expected calibration
error, 15 bins. Both are measured on pixels drawn from the same images and their logits;
`evaluate-images` measures what the node publishes. A better NLL can come with a worse ECE, most
of all for a model that is honest already: that is said in a line of its own, and `ece_is_worse`
is true in the JSON. The layouts are those of
`seg_perception evaluate-images --help`. A file that is calibrated already is refined: its new
temperature is the product. Calibrate anew after each `seg_perception export`. SegViT is refused:
no last layer makes its logits.
"""
# Of the logits' range, and of the mask: float32 rounding of the divided weights.
MAX_RELATIVE_DIFFERENCE = 1e-3
MIN_MASK_AGREEMENT = 0.9999


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_split_arguments(parser)
    add_engine_arguments(parser)
    parser.add_argument('--out', type=Path, required=True, help='model file to write (.onnx)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here too')


def run(arguments: argparse.Namespace) -> int:
    """Fit, write and report."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    from seg_perception.engines.classifier import calibrate_model, require_linear_classifier
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.evaluation.files import replace_file
    from seg_perception.evaluation.images.labelled_split import open_split
    from seg_perception.evaluation.images.temperature import (
        collect_logits,
        fit_temperature,
        measure_calibration,
    )
    from seg_perception.evaluation.reports.report import format_table, write_json

    if arguments.out.suffix.lower() != '.onnx':
        raise UserError(f'{arguments.out} is no model file name; expected .onnx')
    config = make_split_config(arguments)
    model_path, pipeline = load_pipeline(arguments)
    try:
        model = load_model_file(model_path)
        require_linear_classifier(model)  # before minutes of work, not after
        engine = pipeline.engine
        split = open_split(config, engine.metadata.label_space)
        sample = collect_logits(
            engine,
            split,
            lambda items, total: show_progress(items, 'calibrate', total, 'image'),
        )
        summary = describe_engine(model_path, engine)
        image = split.read(split.pairs[0]).image
    finally:
        pipeline.close()
    temperature = fit_temperature(sample)
    before, after = measure_calibration(sample), measure_calibration(sample, temperature)
    calibrated = calibrate_model(model, temperature)
    content = calibrated.SerializeToString()

    def write(path: Path) -> None:
        path.write_bytes(content)
        require_same_masks(model, load_model_file(path), temperature, image)

    replace_file(arguments.out, write)
    total = model.metadata.temperature * temperature
    print(f'{arguments.out}: {model_path} with logits divided by {temperature:.4f}')
    if model.metadata.temperature != 1.0:
        print(f'  divided by {model.metadata.temperature:.4f} before, by {total:.4f} in all')
    print(f'  {len(sample.labels)} pixels of {sample.images} images, {split.label_space.name}')
    rows = [
        ('before', f'{before.nll:.4f}', f'{before.ece:.4f}'),
        ('after', f'{after.nll:.4f}', f'{after.ece:.4f}'),
    ]
    print(format_table(rows, ('', 'NLL', 'ECE')))
    ece_is_worse = after.has_worse_ece_than(before)
    if ece_is_worse:
        print(
            f'  WARNING: the calibration error rose from {before.ece:.4f} to {after.ece:.4f}, '
            f'though the likelihood is better: keep {model_path}, or compare both on other '
            'images with evaluate-images before you use the new file'
        )
    if arguments.json is not None:
        summary |= {
            'out': str(arguments.out),
            'temperature_before': model.metadata.temperature,
            'temperature_fitted': temperature,
            'temperature': total,
            'nll_before': before.nll,
            'nll_after': after.nll,
            'ece_before': before.ece,
            'ece_after': after.ece,
            'ece_is_worse': ece_is_worse,
            'pixels': len(sample.labels),
            'images': sample.images,
            'label_space': split.label_space.name,
            'layout': arguments.layout,
            'split': arguments.split,
        }
        write_json(arguments.json, summary)
        print(f'  wrote {arguments.json}')
    return 0


def require_same_masks(
    model: ModelFile, calibrated: ModelFile, temperature: float, image: np.ndarray
) -> None:
    """Run both files on an image (H, W, 3) uint8 RGB; raise EngineError if the masks differ."""
    import numpy as np

    from seg_perception.engines.contract import EngineError
    from seg_perception.engines.select import EngineConfig, load_engine

    logits = []
    for file in (model, calibrated):
        engine = load_engine(EngineConfig(str(file.path), precision='f32'))
        try:
            logits.append(engine.infer(image, 'rgb').copy())
        finally:
            engine.close()
    difference = float(np.abs(logits[1] * np.float32(temperature) - logits[0]).max())
    agreement = float((logits[0].argmax(0) == logits[1].argmax(0)).mean())
    limit = MAX_RELATIVE_DIFFERENCE * float(np.abs(logits[0]).max())
    if not (difference <= limit and agreement >= MIN_MASK_AGREEMENT):
        raise EngineError(
            f'the calibrated graph differs by {difference:.3g} in its logits, expected at most '
            f'{limit:.3g}, and agrees in {100 * agreement:.2f} % of the mask; nothing was written'
        )
