# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compare squeeze-and-attention with squeeze-and-excitation: the claim of the SANet article.

Trains a SANet-R18 of either kind on the same frames of the sample drive for as many steps, for
several seeds, and scores both on streets that neither saw. The two runs of a seed start from the
same encoder and see the same crops. From random weights and on rendered streets: a small
stand-in for the article's experiment, which started from ImageNet and used Pascal VOC.

  python benchmarks/sa_vs_se.py --work out/sa_vs_se --json sa_vs_se.json
  python benchmarks/sa_vs_se.py --work out/sa_vs_se --max-minutes 60    goes on another time
  python benchmarks/sa_vs_se.py --work out/sa_vs_se --precision bfloat16 --iterations 200

A run that was interrupted, also by a kill, goes on from a checkpoint a minute old when the same
command is given again; finished ones are kept in the work folder. The last of these lines takes
half an hour on 2 quiet CPU cores with AVX512-BF16 (from 2.5 s of one core per step).
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.commands.arguments import parse_size
from seg_perception.evaluation.files import replace_file
from seg_perception.sample.drive import SampleDrive
from seg_perception.training.config import (
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    RunConfig,
    SourceConfig,
    StageConfig,
    TrainingConfig,
)
from seg_perception.training.rendering import FIRST_SEED, write_image
from seg_perception.training.schedule import LearningRateConfig
from seg_perception.training.trainer import Trainer

KINDS = ('sa', 'se')
DRIVE = 'sample_drive'
DRIVE_FRAMES = 100
FRAMES_PER_STREET = 4
FIRST_SCORED_SEED = 9000  # streets from here on are for scores, never for training
RESULTS_NAME = 'results.json'
SETTINGS = (
    'size', 'iterations', 'batch', 'learning_rate', 'streets', 'scored_streets', 'precision'
)  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--work', type=Path, default=Path('out/sa_vs_se'), metavar='FOLDER')
    parser.add_argument('--seeds', type=int, default=3, help='runs of each kind (default: 3)')
    parser.add_argument('--size', type=parse_size, default=(180, 240), metavar='HxW')
    parser.add_argument('--iterations', type=int, default=800, help='steps of a run')
    parser.add_argument('--batch', type=int, default=8, help='crops per step (default: 8)')
    parser.add_argument(
        '--learning-rate', type=float, default=1e-3, help='highest (default: 1e-3)'
    )
    parser.add_argument('--streets', type=int, default=100, help='to train on, 4 frames of each')
    parser.add_argument(
        '--scored-streets', type=int, default=20, help='to score, 4 frames of each'
    )
    parser.add_argument('--device', default='auto', choices=('auto', 'cpu', 'cuda'))
    parser.add_argument('--precision', default='float32', choices=('float32', 'bfloat16'))
    parser.add_argument(
        '--max-minutes',
        type=float,
        default=0.0,
        metavar='MIN',
        help='stop after that long; the same command then goes on (default: no limit)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures to this file')
    arguments = parser.parse_args()
    counts = ('seeds', 'iterations', 'batch', 'streets', 'scored_streets')
    if min(getattr(arguments, name) for name in counts) < 1 or arguments.max_minutes < 0:
        parser.error('counts have to be 1 or more, --max-minutes 0 or more')
    return arguments


def render_streets(folder: Path, first_seed: int, streets: int, size_hw: tuple[int, int]) -> None:
    """Render FRAMES_PER_STREET random frames of each street that is not there yet."""
    for seed in range(first_seed, first_seed + streets):
        if len(list(folder.glob(f'{seed:05d}_*_image.jpg'))) >= FRAMES_PER_STREET:
            continue
        drive = SampleDrive(seed, DRIVE_FRAMES, *size_hw)
        rng = np.random.default_rng(seed)
        for index in rng.choice(DRIVE_FRAMES, FRAMES_PER_STREET, replace=False):
            frame = drive.render(int(index))
            stem = f'{seed:05d}_{index:03d}'
            write_image(folder / f'{stem}_label.png', frame.label)
            write_image(folder / f'{stem}_image.jpg', np.ascontiguousarray(frame.image[..., ::-1]))


def make_config(arguments: argparse.Namespace, kind: str, seed: int) -> TrainingConfig:
    """Return the run of one kind and seed."""
    warmup = min(50, arguments.iterations)
    rate = LearningRateConfig(arguments.learning_rate, warmup=warmup, power=0.9)
    source = SourceConfig(1.0, 0.8, 1.4, balanced_share=0.3)
    height_px, width_px = arguments.size
    sources = {DRIVE: source}
    stage = StageConfig(
        'only', arguments.iterations, height_px, width_px, arguments.batch, rate, sources
    )
    run = RunConfig(
        output=str(arguments.work / f'{kind}_{seed}'),
        device=arguments.device,
        precision=arguments.precision,
        seed=seed,
        checkpoint_every_s=60.0,
        validate_every_s=1e9,  # at the end
        validation_height_px=height_px,
        validation_width_px=width_px,
    )
    return TrainingConfig(
        datasets=(DatasetConfig(DRIVE, 'frames', str(arguments.work / 'frames'), 'cityscapes'),),
        stages=(stage,),
        network=NetworkConfig(name='sanet', variant='r18', attention=kind),
        optimizer=OptimizerConfig(ema_decay=0.99),
        run=run,
    )


def load_results(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the finished runs; ends the program where they are of other settings."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    if content['settings'] != settings:
        raise SystemExit(
            f'{path} holds runs of {content["settings"]}, asked for are {settings}: give the same '
            'options, or another --work'
        )
    return content['runs']


def run_missing(arguments: argparse.Namespace, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Do the runs that are not finished, until the time is over; returns the finished ones."""
    path = arguments.work / RESULTS_NAME
    runs = load_results(path, settings)
    start = time.monotonic()
    for seed in range(arguments.seeds):
        for kind in KINDS:
            if any((run['seed'], run['kind']) == (seed, kind) for run in runs):
                continue
            left = 0.0
            if arguments.max_minutes:
                left = arguments.max_minutes - (time.monotonic() - start) / 60
                if left <= 0:
                    return runs
            trainer = Trainer(make_config(arguments, kind, seed), print_line, left)
            trainer.resume()
            print_line(f'{kind}, seed {seed}:')
            (score,) = trainer.run()
            if not trainer.is_finished:
                print_line(f'{kind}, seed {seed}: stopped at iteration {trainer.iteration}')
                return runs
            parameters = sum(p.numel() for p in trainer.learner.network.parameters())
            run = {'seed': seed, 'kind': kind, 'miou': score.miou, 'iou': score.iou}
            runs.append({**run, 'parameters': parameters})
            data = json.dumps({'settings': settings, 'runs': runs}, indent=2) + '\n'
            replace_file(path, partial(Path.write_text, data=data))
    return runs


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mIoU per seed and kind, means, and SA - SE of the seeds that have both."""
    scores = {kind: {r['seed']: r['miou'] for r in runs if r['kind'] == kind} for kind in KINDS}
    seeds = sorted(set(scores['sa']) & set(scores['se']))
    differences = [scores['sa'][seed] - scores['se'][seed] for seed in seeds]
    means = {k: float(np.mean([scores[k][s] for s in seeds])) if seeds else None for k in KINDS}
    return {'miou': scores, 'seeds': seeds, 'mean': means, 'differences': differences}


def report(summary: dict[str, Any]) -> None:
    """Print the table and which way it falls."""
    print_line('seed   SA mIoU   SE mIoU   SA - SE')
    for seed, difference in zip(summary['seeds'], summary['differences'], strict=True):
        sa, se = (summary['miou'][kind][seed] for kind in KINDS)
        print_line(f'{seed:4d}   {sa:7.4f}   {se:7.4f}   {difference:+7.4f}')
    if not summary['seeds']:
        print_line('no seed has both runs yet')
        return
    differences = summary['differences']
    means = summary['mean']
    print_line(f'mean   {means["sa"]:7.4f}   {means["se"]:7.4f}   {np.mean(differences):+7.4f}')
    better = sum(difference > 0 for difference in differences)
    spread = ''
    if len(differences) > 1:
        spread = f'; standard deviation of the difference {np.std(differences, ddof=1):.4f}'
    print_line(f'SA is better in {better} of {len(differences)} seeds{spread}')


def print_line(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    arguments = parse_arguments()
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    settings['size'] = list(arguments.size)
    load_results(arguments.work / RESULTS_NAME, settings)
    frames = arguments.work / 'frames'
    render_streets(frames / 'train', FIRST_SEED, arguments.streets, arguments.size)
    render_streets(frames / 'val', FIRST_SCORED_SEED, arguments.scored_streets, arguments.size)
    summary = summarise(run_missing(arguments, settings))
    report(summary)
    if arguments.json:
        text = json.dumps({'settings': settings, **summary}, indent=2) + '\n'
        replace_file(arguments.json, lambda temporary: temporary.write_text(text))


if __name__ == '__main__':
    main()
