# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Time a model file on every backend against the eager PyTorch chain, in one run.

  engine    camera bytes to logits, on the backend that 'auto' chooses
  pipeline  camera bytes to mask: engine and decode
  camera2x  the same engine with a camera of twice the network's height and width
  torch     the folded network in PyTorch, camera bytes to logits
  eager     PyTorch f32 NCHW, the network as trained: normalise, forward, upsample, argmax

They take turns, so that other load on the machine hits all alike; cpu figures are process time
per call over all threads, which such load changes least. Without --model a SegNeXt of random
weights is exported first: the time does not depend on the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seg_perception.commands.arguments import parse_size
from seg_perception.engines.contract import InputContract, ModelMetadata
from seg_perception.engines.engine import Engine
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.networks.eager import EagerChain
from seg_perception.networks.export import write_model
from seg_perception.networks.segnext import SegNeXt, build_segnext
from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.labels import load_label_space


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures to this file')
    parser.add_argument('--model', metavar='FILE', help='model file (default: random weights)')
    parser.add_argument('--variant', default='t', choices=('t', 's', 'b', 'l'))
    parser.add_argument(
        '--size', type=parse_size, default=(512, 1024), metavar='HxW', help='network input'
    )
    parser.add_argument('--precision', default='auto', help='auto, f32 or bf16')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of all (default: 2)')
    parser.add_argument('--rounds', type=int, default=15, help='calls of each (default: 15)')
    return parser.parse_args()


def export_random_model(network: SegNeXt, size_hw: tuple[int, int], folder: Path) -> Path:
    """Write a model file of the network for 19 classes."""
    metadata = ModelMetadata(load_label_space('cityscapes'), InputContract(*size_hw))
    return write_model(network, metadata, folder / 'random.onnx').path


def make_pipeline(engine: Engine, image: np.ndarray) -> Callable[[], object]:
    """Make the way from camera bytes to a mask."""
    camera_hw = (image.shape[0], image.shape[1])
    decoder = MaskDecoder(engine.sampling_grid(camera_hw), engine.metadata.label_space.num_classes)
    decoder.warm_up()
    mask = np.empty(camera_hw, np.uint8)
    return lambda: decoder.decode(engine.infer(image, 'rgb'), mask)


def measure(
    calls: dict[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Call all in turns; return medians of wall time and of process time, both in ms."""
    wall_ms: dict[str, list[float]] = {name: [] for name in calls}
    cpu_ms: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            call()
            wall_ms[name].append((time.perf_counter() - wall_s) * 1e3)
            cpu_ms[name].append((time.process_time() - cpu_s) * 1e3)
    return (
        {name: float(np.median(values)) for name, values in wall_ms.items()},
        {name: float(np.median(values)) for name, values in cpu_ms.items()},
    )


def main() -> None:
    arguments = parse_arguments()
    height_px, width_px = arguments.size
    torch.set_num_threads(arguments.threads)
    network = build_segnext(arguments.variant, 19).eval()
    image = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), np.uint8)
    double = image.repeat(2, axis=0).repeat(2, axis=1)
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or export_random_model(network, arguments.size, Path(folder))
        engines = {
            backend: load_engine(
                EngineConfig(
                    str(model),
                    backend,
                    arguments.precision if backend == 'auto' else 'f32',
                    height_px,
                    width_px,
                    threads=arguments.threads,
                )
            )
            for backend in ('auto', 'torch')
        }
        size_mb = os.path.getsize(model) / 1e6
    engine = engines['auto']
    eager = EagerChain(engine.metadata, arguments.size, threads=arguments.threads)
    calls = {
        'engine': lambda: engine.infer(image, 'rgb'),
        'pipeline': make_pipeline(engine, image),
        'camera2x': lambda: engine.infer(double, 'rgb'),
        'torch': lambda: engines['torch'].infer(image, 'rgb'),
        'eager': lambda: eager.segment(image),
    }
    wall_ms, cpu_ms = measure(calls, arguments.rounds)
    figures: dict[str, object] = {
        'size': f'{height_px}x{width_px}',
        'engine': engine.description,
        'model_mb': size_mb,
        **{f'{name}_ms': value for name, value in wall_ms.items()},
        **{f'{name}_cpu_ms': value for name, value in cpu_ms.items()},
        'eager_vs_engine': wall_ms['eager'] / wall_ms['engine'],
        'eager_vs_pipeline': wall_ms['eager'] / wall_ms['pipeline'],
    }
    for name, figure in figures.items():
        print(f'{name:18} {figure:.4g}' if isinstance(figure, float) else f'{name:18} {figure}')
    if arguments.json:
        draft = arguments.json.with_name(arguments.json.name + '.tmp')
        draft.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
        os.replace(draft, arguments.json)


if __name__ == '__main__':
    main()
