# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception sweep`: which parameters of the node are best on recordings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.commands.arguments import open_chain, require_packages, show_progress
from seg_perception.commands.evaluate import describe_setup, list_drives
from seg_perception.errors import UserError

if TYPE_CHECKING:
    from seg_perception.evaluation.drives.offline_job import ShowProgress
    from seg_perception.evaluation.drives.sweep import FindProblem, SweepPoint

NAME = 'sweep'
HELP = 'find the best parameters: accuracy against latency over bags'
DESCRIPTION = """\
Evaluates bags with every combination of parameters and draws mean IoU, or panoptic quality,
against the median latency from image bytes to mask (and instances).

  seg_perception sweep drive/ --param input.scale=0.75,1,1.25 --param model.precision=bf16,f32
  seg_perception sweep drive/ --param input.scale=0.5,0.75,1 --choose 'miou>=0.7'
  seg_perception sweep drive/ --param model.path=street_t,street_b --max-latency-ms 60
  seg_perception sweep drive/ --model axial_deeplab_nano_street \\
      --param panoptic.center_threshold=0.1,0.2,0.3

Parameters are those of the node that decide masks and latency: model.path, model.backend,
model.precision, model.threads, input.height, input.width, input.fit. input.scale stands for
input.height and input.width: times the model's own size, in steps of 32 px. Of panoptic models
also panoptic.center_threshold, center_kernel_px, top_k, stuff_area_share, tracks and max_missed;
then points are ranked by panoptic quality. One value alone holds for all points.

The best point is the fastest with the mean IoU (or panoptic quality) of --choose, or the most
accurate within --max-latency-ms. Without either it is the knee of the Pareto front: the point
nearest to the lowest latency and the highest score, both scaled to the range of the front.

DIR gets sweep.json, sweep.png, best.yaml (params_file of the launch files) and a result of each
point (for compare). Run again with the same DIR, it does only what is not there yet.

Exit status: 0 when all points were measured, 1 when some could not be, 2 when none is the best.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        'bags', type=Path, nargs='+', metavar='BAG', help='bag folder, or one .mcap/.db3 file'
    )
    parser.add_argument(
        '--param',
        action='append',
        default=[],
        metavar='NAME=VALUE,...',
        help='values of a parameter; give it for each parameter',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('sweep'), metavar='DIR', help='default: sweep'
    )
    parser.add_argument(
        '--choose', default='', metavar="'miou>=X'", help="fastest of at least X; also 'pq>=X'"
    )
    parser.add_argument(
        '--max-latency-ms', type=float, metavar='MS', help='most accurate that is not slower'
    )
    parser.add_argument(
        '--config', type=Path, metavar='FILE', help='parameter file that all points share'
    )
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    parser.add_argument('--image-topic', default='', help='camera topic (default: found)')
    parser.add_argument('--label-topic', default='', help='default: /ground_truth/label')
    parser.add_argument(
        '--labels', type=Path, metavar='DIR', help='folder of label images, found by stamp'
    )
    parser.add_argument('--label-space', default='', help='default: as recorded in the bag')
    parser.add_argument('--metrics', default='iou', help='more for the results (default: iou)')
    parser.add_argument('--limit', type=int, default=0, help='use only the first N images')


def run(arguments: argparse.Namespace) -> int:
    """Evaluate all points, choose one and write what came of it."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    from seg_perception.evaluation.drives.drive_judge import choose_metrics
    from seg_perception.evaluation.drives.sweep import list_points, parse_choice, parse_sweep
    from seg_perception.evaluation.drives.sweep_run import SweepJob, evaluate_points
    from seg_perception.model_zoo.verify import compute_sha256

    metric_names = choose_metrics(arguments.metrics)
    if 'iou' not in metric_names:
        raise UserError('a sweep compares mean IoU; --metrics must have iou')
    sweep = parse_sweep(arguments.param)
    choice = parse_choice(arguments.choose, arguments.max_latency_ms, sweep)
    if choice.score == 'pq' and 'panoptic' not in metric_names:
        metric_names = (*metric_names, 'panoptic')
    base = read_base(arguments)
    points = list_points(sweep, base, read_model_size, choose_check(), choice.score)
    job = SweepJob(
        list_drives(arguments),
        metric_names,
        arguments.out / 'points',
        open_chain,
        compute_sha256,
        lambda facts, engine: describe_setup('offline', facts, engine),
    )

    def show(point: SweepPoint) -> ShowProgress:
        return lambda items, total: show_progress(items, point.name, total, 'image')

    measured = evaluate_points(job, points, show)
    print(format_points(measured))
    best = choice.choose(measured)
    write_outputs(arguments, measured, best)
    return 0 if all(point.is_measured for point in measured) else 1


def read_base(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the node's parameters that all points share."""
    from seg_perception.evaluation.drives.node_config import read_node_parameters

    base = {} if arguments.config is None else read_node_parameters(arguments.config)
    return base | ({'model.path': arguments.model} if arguments.model else {})


def read_model_size(model: str) -> tuple[int, int]:
    """Return the (height, width) that a model was exported for, px."""
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.resources import find_model

    return load_model_file(find_model(model)).metadata.input.network_hw


def choose_check() -> FindProblem:
    """Return the node's own check of a value; where ROS is not installed, one that takes all.

    A bad value then fails when its engine is loaded.
    """
    try:
        from seg_perception.ros.parameters import SPEC_BY_NAME, find_problem
    except ImportError:
        return lambda name, value: ''
    return lambda name, value: find_problem(SPEC_BY_NAME[name], value)


def format_points(points: Sequence[SweepPoint]) -> str:
    """Return the table of points; a star marks the Pareto front."""
    from seg_perception.evaluation.drives.sweep import list_pareto
    from seg_perception.evaluation.reports.tables import format_table

    front = list_pareto(points)
    has_instances = any(point.pq is not None for point in points)
    rows = [
        (
            point.name,
            '-' if point.miou is None else f'{point.miou:.4f}',
            *(['-' if point.pq is None else f'{point.pq:.4f}'] if has_instances else []),
            '-' if point.latency_ms is None else f'{point.latency_ms:.1f} ms',
            '*' if any(point is other for other in front) else '',
        )
        for point in points
    ]
    quality = ['PQ'] if has_instances else []
    table = format_table(rows, ('point', 'mean IoU', *quality, 'latency p50', 'Pareto'))
    return '\n'.join([table, *(f'  {p.name}: {p.reason}' for p in points if p.reason)])


def write_outputs(
    arguments: argparse.Namespace, points: Sequence[SweepPoint], best: SweepPoint
) -> None:
    """Write table, plot and parameter file, and say which point is the best."""
    from seg_perception.evaluation.drives.sweep import (
        SCORE_NAMES,
        format_parameters,
        list_pareto,
    )
    from seg_perception.evaluation.drives.sweep_plot import write_sweep_plot
    from seg_perception.evaluation.files import replace_file
    from seg_perception.evaluation.machine import describe_machine
    from seg_perception.evaluation.reports.report import write_json

    bags = ', '.join(str(bag) for bag in arguments.bags)
    score = f'{SCORE_NAMES[best.ranked_by]} {best.score:.4f}'
    figures = f'{score}, latency p50 {best.latency_ms:.1f} ms'
    print(f'  best: {best.name}, {figures}')
    files = {name: arguments.out / name for name in ('sweep.json', 'sweep.png', 'best.yaml')}
    front = list_pareto(points)
    write_json(
        files['sweep.json'],
        {
            'schema': 'seg_perception/sweep/1',
            'bags': [str(bag) for bag in arguments.bags],
            'machine': describe_machine(),
            'points': [
                describe_point(point) | {'pareto': any(point is other for other in front)}
                for point in points
            ],
            'best': describe_point(best),
        },
    )
    write_sweep_plot(files['sweep.png'], points, best, f'sweep over {bags}')
    comments = ['Made by "seg_perception sweep".', f'On {bags}: {figures}.']
    text = format_parameters(best.parameters, comments)
    replace_file(files['best.yaml'], lambda path: path.write_text(text, encoding='utf-8'))
    for path in files.values():
        print(f'  wrote {path}')


def describe_point(point: SweepPoint) -> dict[str, Any]:
    """Return a point as JSON values."""
    return {
        'swept': dict(point.swept),
        'parameters': dict(point.parameters),
        'miou': point.miou,
        'pq': point.pq,
        'latency_p50_ms': point.latency_ms,
        'reason': point.reason,
    }
