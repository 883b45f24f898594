# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Time the exact lazy decode against PyTorch's interpolate and argmax, in one run.

19x128x256 logits to a 1024x2048 mask. The logits are those of the shipped SegNeXt-T on frames of
the sample drive; random logits, where hardly two neighbours agree, show the worst case.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.geometry import SamplingGrid, place_image, sampling_grid
from seg_perception.resources import find_model
from seg_perception.sample.drive import SampleDrive

CAMERA_HW = (1024, 2048)
LOGITS_HW = (128, 256)
NUM_CLASSES = 19
DRIVE_SEED = 4242
DRIVE_FRAMES = 60


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file')
    parser.add_argument('--model', default='', help='name or file; default: the shipped SegNeXt-T')
    parser.add_argument('--frames', type=int, default=3, help='frames of the sample drive to take')
    parser.add_argument('--rounds', type=int, default=40, help='times each frame is decoded')
    parser.add_argument('--threads', type=int, default=0, help='0 for as many as there are cores')
    return parser.parse_args()


def compute_model_logits(model: Path, images: list[np.ndarray]) -> list[np.ndarray]:
    """Run the model at 1024x2048 in float32."""
    from seg_perception.engines.select import EngineConfig, load_engine

    height_px, width_px = CAMERA_HW
    config = EngineConfig(str(model), precision='f32', height_px=height_px, width_px=width_px)
    engine = load_engine(config)
    logits = [engine.infer(image, 'rgb').copy() for image in images]
    engine.close()
    return logits


def time_ms(function: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    function()
    return (time.perf_counter() - start_s) * 1e3


def measure(
    frames: list[np.ndarray], grid: SamplingGrid, rounds: int, threads: int
) -> dict[str, float]:
    """Return medians in ms of mask, mask with confidence, and PyTorch, taken in turns."""
    import torch

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    decoder = MaskDecoder(grid, NUM_CLASSES, threads=threads)
    decoder.warm_up()
    mask = np.empty(CAMERA_HW, np.uint8)
    confidence = np.empty(CAMERA_HW, np.uint8)
    batches = [torch.from_numpy(logits)[None] for logits in frames]

    def run_torch(batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(
            batch, size=CAMERA_HW, mode='bilinear', align_corners=False
        ).argmax(dim=1)

    agreement = [
        np.mean(decoder.decode(logits, mask)[0] == run_torch(batch)[0].numpy())
        for logits, batch in zip(frames, batches, strict=True)
    ]
    times: dict[str, list[float]] = {'mask': [], 'confidence': [], 'torch': []}
    for index in range(rounds):
        for logits, batch in zip(frames, batches, strict=True):
            times['mask'].append(time_ms(partial(decoder.decode, logits, mask)))
            times['confidence'].append(time_ms(partial(decoder.decode, logits, mask, confidence)))
            if index % 8 == 0:
                times['torch'].append(time_ms(partial(run_torch, batch)))
    medians = {name: float(np.median(values)) for name, values in times.items()}
    return {**medians, 'agreement': float(np.mean(agreement))}


def measure_mixed_share(frames: list[np.ndarray]) -> float:
    """Return the share of cells between four centres that do not all have the same winner."""
    shares = []
    for logits in frames:
        winner = logits.argmax(axis=0)
        corners = np.stack([winner[:-1, :-1], winner[:-1, 1:], winner[1:, :-1], winner[1:, 1:]])
        shares.append(np.mean(corners.min(axis=0) != corners.max(axis=0)))
    return float(np.mean(shares))


def main() -> None:
    arguments = parse_arguments()
    drive = SampleDrive(DRIVE_SEED, DRIVE_FRAMES, *CAMERA_HW)
    indices = np.linspace(0, DRIVE_FRAMES - 1, arguments.frames).astype(int)
    samples = [drive.render(int(index)) for index in indices]
    model = find_model(arguments.model)
    frames = compute_model_logits(model, [sample.image for sample in samples])
    random = np.random.default_rng(0)
    noise = [random.standard_normal((NUM_CLASSES, *LOGITS_HW), dtype=np.float32) * 3]
    grid = sampling_grid(place_image(CAMERA_HW, CAMERA_HW), LOGITS_HW)
    real = measure(frames, grid, arguments.rounds, arguments.threads)
    worst = measure(noise, grid, arguments.rounds, arguments.threads)
    figures = {
        'logits': f'{model.parent.name} on the sample drive',
        'mixed_cells_share': measure_mixed_share(frames),
        'agreement_with_torch': real['agreement'],
        'decode_ms': real['mask'],
        'decode_confidence_ms': real['confidence'],
        'torch_ms': real['torch'],
        'decode_vs_torch': real['torch'] / real['mask'],
        'decode_random_ms': worst['mask'],
        'decode_random_confidence_ms': worst['confidence'],
        'torch_random_ms': worst['torch'],
        'decode_random_vs_torch': worst['torch'] / worst['mask'],
    }
    for name, value in figures.items():
        print(f'{name:28} {value if isinstance(value, str) else format(value, ".4g")}')
    if arguments.json:
        target = Path(arguments.json)
        draft = target.with_name(target.name + '.tmp')
        draft.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
        os.replace(draft, target)


if __name__ == '__main__':
    main()
