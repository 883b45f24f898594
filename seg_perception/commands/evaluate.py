# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception evaluate`: how good and how fast a model is on a recording, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.commands.arguments import (
    add_engine_arguments,
    load_pipeline,
    require_packages,
    show_progress,
)

NAME = 'evaluate'
HELP = 'score and time a model on a bag, offline'
DESCRIPTION = """\
Runs every camera image of a bag through the same chain as the node. A bag with labels gives mean
IoU, IoU per class and pixel accuracy; any bag gives times per stage.

  seg_perception evaluate --bag out/street
  seg_perception evaluate --bag out/camvid --model my_model.onnx --json score.json
  seg_perception evaluate --bag out/drive --video out/drive.mp4 --limit 200

A model of 19 Cityscapes classes on CamVid labels is scored in CamVid's 11 classes. Classes with
less than 0.1 % of the labelled pixels are listed in brackets and left out of the mean.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        '--bag', type=Path, required=True, help='bag folder, or one .mcap/.db3 file'
    )
    add_engine_arguments(parser)
    parser.add_argument('--image-topic', default='', help='camera topic (default: found)')
    parser.add_argument('--label-topic', default='', help='default: /ground_truth/label')
    parser.add_argument('--label-space', default='', help='default: as recorded in the bag')
    parser.add_argument('--limit', type=int, default=0, help='use only the first N images')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here too')
    parser.add_argument('--video', type=Path, metavar='FILE', help='write an overlay video (.mp4)')
    parser.add_argument(
        '--contact-sheet', type=Path, metavar='FILE', help='write images, masks and truth (.png)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and report."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    from seg_perception.evaluation.evaluate import EvaluationConfig, evaluate_bag

    config = EvaluationConfig(
        bag=arguments.bag,
        image_topic=arguments.image_topic,
        label_topic=arguments.label_topic,
        label_space=arguments.label_space,
        limit=arguments.limit,
        video=arguments.video,
    )
    model_path, pipeline = load_pipeline(arguments)
    try:
        result = evaluate_bag(
            pipeline,
            config,
            lambda items, total: show_progress(items, 'evaluate', total, 'image'),
        )
        report(arguments, model_path, pipeline.engine, result)
    finally:
        pipeline.close()
    return 0


def report(arguments: argparse.Namespace, model_path: Path, engine, result) -> None:
    """Print the figures and write the files that were asked for."""
    from seg_perception.evaluation.report import (
        format_score,
        print_summary_table,
        write_contact_sheet,
        write_json,
    )

    summary = result.summarize()
    summary['backend'] = engine.backend_name
    summary['precision'] = engine.precision
    summary['model'] = str(model_path)
    summary['bag'] = str(arguments.bag)
    stages = summary['stages_p50_ms']
    print_summary_table(
        f'{arguments.bag}  {result.image_topic}',
        {
            'model': model_path,
            'engine': engine.description,
            'images': f'{result.frames_used} used, {result.frames_bad} bad',
            'mean IoU': summary['miou'],
            'pixel accuracy': summary['pixel_accuracy'],
            'latency p50': f'{summary["latency_p50_ms"]:.1f} ms',
            'latency p95': f'{summary["latency_p95_ms"]:.1f} ms',
            'stages p50': ', '.join(f'{name} {value:.1f} ms' for name, value in stages.items()),
            'fps': summary['fps'],
        },
    )
    for fault in result.faults:
        print(f'  bad image: {fault}')
    if result.score is not None:
        print(format_score(result.score))
    if arguments.json is not None:
        write_json(arguments.json, summary)
    if arguments.contact_sheet is not None:
        write_contact_sheet(
            arguments.contact_sheet, result.sheet_frames, engine.metadata.label_space
        )
    for written in (arguments.json, result.video, arguments.contact_sheet):
        if written is not None:
            print(f'  wrote {written}')
