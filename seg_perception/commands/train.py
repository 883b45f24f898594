# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception train`: fit a network to labelled images."""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path

from seg_perception.commands.arguments import require_packages

NAME = 'train'
HELP = 'train a network on labelled folders and recordings'
DESCRIPTION = """\
Trains what CONFIG.yaml describes (config/training/ has the recipe of the shipped model) and
writes to its run.output folder:

  latest.safetensors   averaged weights, ready for `seg_perception export --checkpoint`
  best.safetensors     those with the best validation mIoU so far
  checkpoint.pt        everything needed to go on
  curves.csv           loss and learning rate
  scores.csv           validation mIoU
  examples.png         images, masks and truth of validation images, at the end

A run that was interrupted (Ctrl-C, SIGTERM, power) goes on from checkpoint.pt when the same
command is given again. `seg_perception train CONFIG.yaml --render 50` first renders training
frames of the sample drive into the data sets of kind 'frames'.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('config', type=Path, help='training configuration, a YAML file')
    parser.add_argument(
        '--network',
        metavar='NAME',
        help="network and variant in place of the configuration's, such as segvit_s",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--resume', type=Path, default=None, help="checkpoint to go on from (default: the run's)"
    )
    start.add_argument('--fresh', action='store_true', help='ignore an earlier checkpoint')
    parser.add_argument(
        '--max-minutes',
        type=float,
        default=0.0,
        metavar='MIN',
        help='stop after that long with a checkpoint; the same command then goes on',
    )
    parser.add_argument(
        '--render',
        type=int,
        default=0,
        metavar='SEEDS',
        help='first render 4 frames each of that many streets into the frames data sets',
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the training; see DESCRIPTION."""
    require_packages('train', 'torch', 'safetensors')
    require_packages('opencv', 'cv2')
    # set before torch starts its threads: a spinning OpenMP thread starves the other processes
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

    from seg_perception.networks.registry import parse_full_name
    from seg_perception.training.config import load_config

    config = load_config(arguments.config)
    if any(dataset.kind == 'bag' for dataset in config.datasets):
        require_packages('bags', 'rosbags')
    if arguments.network is not None:
        name, variant = parse_full_name(arguments.network)
        config = replace(config, network=replace(config.network, name=name, variant=variant))
    if arguments.render:
        from seg_perception.training.rendering import render_datasets

        render_datasets(config, arguments.render, print)

    from seg_perception.training.trainer import Trainer

    trainer = Trainer(config, lambda line: print(line, flush=True), arguments.max_minutes)
    if not arguments.fresh:
        trainer.resume(arguments.resume)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: trainer.stop())
    trainer.run()
    if not trainer.is_finished:
        print(f'stopped at iteration {trainer.iteration}; the same command goes on from there')
    return 0
