# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Measure how many crops per second a training step takes, data loading included.

Whole steps as `seg_perception train` runs them: crops cut in threads, augmentation on the device,
forward, backward, AdamW, moving average. On the CPU the workers run beside each other.

  python benchmarks/training.py                          2 workers, 224x320, float32 and bfloat16
  python benchmarks/training.py --device cuda --crop 360x480 --batch 64 --threads 12
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from seg_perception.commands.arguments import parse_size
from seg_perception.training.config import (
    DatasetConfig,
    NetworkConfig,
    RunConfig,
    SourceConfig,
    StageConfig,
    TrainingConfig,
)
from seg_perception.training.feeder import BatchFeeder
from seg_perception.training.schedule import LearningRateConfig
from seg_perception.training.state import Learner

IMAGES = 64
IMAGE_HW = (360, 480)
WARM_UP_STEPS = 3


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--variant', default='t', choices=('t', 's', 'b', 'l'))
    parser.add_argument('--crop', type=parse_size, default=(224, 320), metavar='HxW')
    parser.add_argument('--batch', type=int, default=4, help='crops per step (default: 4)')
    parser.add_argument('--workers', type=int, default=2, help='CPU processes (default: 2)')
    parser.add_argument('--threads', type=int, default=1, help='threads that cut crops')
    parser.add_argument('--seconds', type=float, default=20.0, help='per figure (default: 20)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures to this file')
    return parser.parse_args()


def write_images(folder: Path) -> None:
    """Write labelled noise in CamVid's layout: the time does not depend on what is seen."""
    rng = np.random.default_rng(0)
    for kind in ('images', 'labels'):
        (folder / 'train' / kind).mkdir(parents=True)
    for index in range(IMAGES):
        coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
        image = cv2.resize(coarse, IMAGE_HW[::-1], interpolation=cv2.INTER_CUBIC)
        label = cv2.resize(coarse[..., 0] % 11, IMAGE_HW[::-1], interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / 'train' / 'images' / f'{index}.jpg'), image)
        cv2.imwrite(str(folder / 'train' / 'labels' / f'{index}.png'), label)


def make_config(arguments: argparse.Namespace, folder: Path, precision: str) -> TrainingConfig:
    """Return a run that draws and augments as the shipped model's recipe does."""
    data = DatasetConfig('noise', 'camvid', str(folder), 'camvid', validation_split='')
    source = SourceConfig(1.0, 0.6, 1.7, letterbox_share=0.5, balanced_share=0.4)
    rate = LearningRateConfig(1e-4)
    height_px, width_px = arguments.crop
    stage = StageConfig(
        'only', 10**9, height_px, width_px, arguments.batch, rate, {'noise': source}
    )
    run = RunConfig(
        device=arguments.device, precision=precision, loader_threads=arguments.threads
    )
    return TrainingConfig((data,), (stage,), NetworkConfig(variant=arguments.variant), run=run)


def measure_steps(config: TrainingConfig, seconds: float, start: int = 0) -> dict[str, float]:
    """Run steps for a while: images per second and, on a GPU, the most memory used."""
    learner = Learner(config)
    on_gpu = learner.device.type == 'cuda'
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    learner.prepare_loss()
    feeder = BatchFeeder(learner.draw_batches, start, threads=config.run.loader_threads)
    begin, steps = time.perf_counter(), 0
    while True:
        if steps == WARM_UP_STEPS:
            begin = time.perf_counter()
        if steps > WARM_UP_STEPS and time.perf_counter() - begin > seconds:
            break
        float(learner.step(start + steps, feeder.get()))
        learner.average.update(learner.network)
        steps += 1
    elapsed = time.perf_counter() - begin
    feeder.stop()
    images = (steps - WARM_UP_STEPS) * config.stages[0].images_per_step
    figures = {'images_per_s': images / elapsed}
    if on_gpu:
        figures['memory_gib'] = torch.cuda.max_memory_allocated() / 2**30
    return figures


def measure_worker(job: tuple[TrainingConfig, float, int]) -> dict[str, float]:
    """Measure in a process of one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return measure_steps(*job)


def main() -> None:
    arguments = parse_arguments()
    cv2.setNumThreads(1)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        for precision in ('float32', 'bfloat16'):
            config = make_config(arguments, Path(folder), precision)
            if arguments.device == 'cuda':
                figures[precision] = measure_steps(config, arguments.seconds)
            else:
                jobs = [(config, arguments.seconds, 1000 * i) for i in range(arguments.workers)]
                with multiprocessing.get_context('spawn').Pool(arguments.workers) as pool:
                    rates = [r['images_per_s'] for r in pool.map(measure_worker, jobs)]
                figures[precision] = {'images_per_s': sum(rates)}
            print(f'{precision}: {figures[precision]["images_per_s"]:.1f} images/s', flush=True)
    ratio = figures['bfloat16']['images_per_s'] / figures['float32']['images_per_s']
    print(f'bfloat16 over float32: {ratio:.2f}')
    if arguments.json:
        settings = {k: v for k, v in vars(arguments).items() if k != 'json'}
        arguments.json.write_text(json.dumps({'settings': settings, **figures}, indent=2) + '\n')


if __name__ == '__main__':
    main()
