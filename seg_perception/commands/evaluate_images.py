# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception evaluate-images`: how good a model is on a folder of labelled images."""

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

if TYPE_CHECKING:
    from seg_perception.engines.engine import Engine
    from seg_perception.evaluation.images.image_score import ImageSetResult
    from seg_perception.evaluation.images.labelled_split import LabelledSplit

NAME = 'evaluate-images'
HELP = 'score a model on a folder of labelled images'
DESCRIPTION = """\
Runs every image through the same chain as the node (whole image, one scale, camera size) and
gives mean IoU, pixel accuracy, boundary F-score and expected calibration error (ECE).

  seg_perception evaluate-images --layout camvid --root camvid --split val --json score.json
  seg_perception evaluate-images --layout cityscapes --root cityscapes --split val \\
      --model segnext_b.onnx --input-size 1024x2048 --figure confusion.png

layouts:
  camvid      ROOT/SPLIT/images/NAME.jpg or .png, ROOT/SPLIT/labels/NAME.png
  cityscapes  ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and ROOT/gtFine/SPLIT/CITY/
              *_gtFine_labelTrainIds.png or *_gtFine_labelIds.png; or both side by side in
              ROOT/SPLIT or ROOT
  frames      ROOT/SPLIT/NAME_image.jpg or .png and NAME_label.png

A model of 19 Cityscapes classes on CamVid labels is scored in CamVid's 11 classes, folded by
ROOT/classes.json where it is there. mIoU counts every class that occurs or is predicted, as the
Cityscapes benchmark does; `evaluate` leaves out those with less than 0.1 % of the pixels.
Boundary F: Csurka et al. 2013, within 0.75 % of the diagonal. ECE: Guo et al. 2017, 15 bins.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_split_arguments(parser)
    add_engine_arguments(parser)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here too')
    parser.add_argument(
        '--figure', type=Path, metavar='FILE', help='write the confusion matrix (.png)'
    )
    parser.add_argument(
        '--contact-sheet', type=Path, metavar='FILE', help='write images, masks and truth (.png)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and report."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    from seg_perception.evaluation.images.image_score import evaluate_images
    from seg_perception.evaluation.images.labelled_split import open_split
    from seg_perception.evaluation.reports.pictures import require_picture_name

    for picture in (arguments.figure, arguments.contact_sheet):
        if picture is not None:  # before minutes of work, not after
            require_picture_name(picture)
    config = make_split_config(arguments)
    model_path, pipeline = load_pipeline(arguments)
    try:
        split = open_split(config, pipeline.engine.metadata.label_space)
        result = evaluate_images(
            pipeline,
            split,
            lambda items, total: show_progress(items, 'evaluate', total, 'image'),
        )
        report(arguments, model_path, pipeline.engine, split, result)
    finally:
        pipeline.close()
    return 0


def report(
    arguments: argparse.Namespace,
    model_path: Path,
    engine: Engine,
    split: LabelledSplit,
    result: ImageSetResult,
) -> None:
    """Print the figures and write the files that were asked for."""
    from seg_perception.evaluation.reports.confusion_figure import write_confusion
    from seg_perception.evaluation.reports.report import (
        print_summary_table,
        write_contact_sheet,
        write_json,
    )

    summary = {
        **result.score.summarize(),
        **describe_engine(model_path, engine),
        'layout': arguments.layout,
        'root': str(arguments.root),
        'split': arguments.split,
        'limit': arguments.limit,
        'fold': split.fold,
    }
    title = f'{arguments.layout} {arguments.split}, {model_path.parent.name}/{model_path.name}'
    print_summary_table(
        f'{arguments.root}  {arguments.layout} {arguments.split}',
        {
            'model': model_path,
            'engine': engine.description,
            'temperature': engine.metadata.temperature,
            'images': result.score.images,
            'scored in': f'{split.label_space.name}, {split.label_space.num_classes} classes',
            'folded by': split.fold,
            'mean IoU': summary['miou'],
            'pixel accuracy': summary['pixel_accuracy'],
            'boundary F': summary['boundary_f'],
            'ECE': summary['ece'],
        },
    )
    if split.fold_differences:
        print(f'  folded otherwise than by the package: {", ".join(split.fold_differences)}')
    print(result.score.format_classes())
    if arguments.json is not None:
        write_json(arguments.json, summary)
    if arguments.figure is not None:
        names = split.label_space.class_names
        write_confusion(arguments.figure, result.score.confusion, names, title)
    if arguments.contact_sheet is not None:
        space = engine.metadata.label_space
        write_contact_sheet(arguments.contact_sheet, result.sheet_frames, space, title)
    for written in (arguments.json, arguments.figure, arguments.contact_sheet):
        if written is not None:
            print(f'  wrote {written}')
