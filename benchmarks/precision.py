# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What each precision costs: masks against those of float32, on frames of the sample drive.

  bf16, int8   OpenVINO, as the node runs them (bf16 only where the CPU computes it)
  f16 graph    the graph that TensorRT is given, on ONNX Runtime, which rounds to float16 after
               every operator that the graph has in float16
  int8 graph   the same for int8

Pixels are compared at camera size; mIoU is over the classes of the truth with at least 0.1 % of
the pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seg_perception.commands.arguments import parse_size
from seg_perception.engines.half_precision import convert_precision
from seg_perception.engines.int8_file import load_int8_file
from seg_perception.engines.model_file import ModelFile, load_model_file
from seg_perception.engines.prelude import IMAGE, specialise
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.evaluation.reports.report import write_json
from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.labels import UNLABELLED_ID
from seg_perception.resources import find_model
from seg_perception.sample.drive import SampleDrive

MIN_CLASS_SHARE = 0.001
Infer = Callable[[np.ndarray], np.ndarray]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures to this file')
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    parser.add_argument('--seed', type=int, default=9, help='of the drive (default: 9)')
    parser.add_argument('--frames', type=int, default=30, help='of the drive (default: 30)')
    parser.add_argument(
        '--size', type=parse_size, default=(512, 1024), metavar='HxW', help='camera images'
    )
    return parser.parse_args()


def make_openvino(model: ModelFile, precision: str) -> Infer:
    """Return what runs a model in OpenVINO; EngineError where that precision is not here."""
    config = EngineConfig(str(model.path), 'openvino', precision, allow_fallback=False)
    engine = load_engine(config)
    return lambda image: engine.infer(image, 'rgb')


def make_tensorrt_graph(model: ModelFile, precision: str, camera_hw: tuple[int, int]) -> Infer:
    """Return what runs, on ONNX Runtime, the graph that TensorRT gets in a precision."""
    import onnxruntime

    metadata = model.metadata
    source = load_int8_file(model) if precision == 'int8' else model
    graph = specialise(
        source.graph, metadata, camera_hw, metadata.input.network_hw, metadata.input.fit, 'rgb'
    )
    options = onnxruntime.SessionOptions()
    # merged operators would keep float32 between them
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        convert_precision(graph, precision).SerializeToString(),
        options,
        providers=['CPUExecutionProvider'],
    )
    return lambda image: session.run(None, {IMAGE: image})[0][0]


def list_runs(model: ModelFile, camera_hw: tuple[int, int]) -> dict[str, Infer]:
    """Return what can be compared here, float32 first."""
    runs: dict[str, Infer] = {}
    for precision in ('f32', 'bf16', 'int8'):
        try:
            runs[precision] = make_openvino(model, precision)
        except UserError as error:
            print(f'{precision}: {error}')
    for precision in ('f16', 'int8'):
        try:
            runs[f'{precision} graph'] = make_tensorrt_graph(model, precision, camera_hw)
        except (ImportError, UserError) as error:
            print(f'{precision} graph: {error}')
    return runs


def compute_miou(confusion: ConfusionMatrix) -> float:
    """Return the mean IoU over the classes that are no traces in the truth."""
    is_counted = confusion.shares() >= MIN_CLASS_SHARE
    return float(np.nanmean(confusion.iou()[is_counted]))


def measure(model: ModelFile, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return for each run its agreement with float32 and its mIoU."""
    classes = model.metadata.label_space.num_classes
    runs = list_runs(model, arguments.size)
    reference = load_engine(EngineConfig(str(model.path), 'openvino', 'f32'))
    decoder = MaskDecoder(reference.sampling_grid(arguments.size), classes)
    confusions = {name: ConfusionMatrix(classes, UNLABELLED_ID) for name in runs}
    agreements: dict[str, list[float]] = {name: [] for name in runs}
    for frame in SampleDrive(arguments.seed, arguments.frames, *arguments.size):
        masks: dict[str, np.ndarray] = {}
        for name, infer in runs.items():
            logits = np.ascontiguousarray(infer(frame.image))
            mask, _ = decoder.decode(logits, np.empty(arguments.size, np.uint8))
            masks[name] = mask
            confusions[name].add(frame.label, mask)
            agreements[name].append(float((mask == masks['f32']).mean()))
    return {
        name: {
            'agreement': float(np.mean(agreements[name])),
            'worst_agreement': float(np.min(agreements[name])),
            'miou': compute_miou(confusions[name]),
        }
        for name in runs
    }


def main() -> None:
    arguments = parse_arguments()
    model = load_model_file(find_model(arguments.model))
    figures = measure(model, arguments)
    for name, run in figures.items():
        print(
            f'{name:11} same class {100 * run["agreement"]:6.2f} % of pixels, worst frame '
            f'{100 * run["worst_agreement"]:6.2f} %, mIoU {run["miou"]:.4f} '
            f'({run["miou"] - figures["f32"]["miou"]:+.4f})'
        )
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == '__main__':
    main()
