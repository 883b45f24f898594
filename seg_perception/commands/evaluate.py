# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception evaluate`: how good and how fast a model is on recordings."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.commands.arguments import (
    add_engine_arguments,
    make_engine_config,
    open_chain,
    require_packages,
    show_progress,
)
from seg_perception.errors import UserError

if TYPE_CHECKING:
    from seg_perception.evaluation.drives.evaluate import DriveConfig, DriveEvaluation
    from seg_perception.evaluation.drives.offline_job import OfflineJob, OfflineOutcome
    from seg_perception.evaluation.reports.watchers import PictureKeeper

NAME = 'evaluate'
HELP = 'score and time a model on bags, offline or live over DDS'
DESCRIPTION = """\
Runs every camera image of a bag through the chain of the node and scores the masks against the
labels: mean IoU, pixel accuracy, calibration, outlines, steadiness over time; instances of a
panoptic model by PQ, SQ, RQ and ID switches. Offline as fast as the machine goes; --mode live
plays the bag over DDS to a real node and judges what comes back, with latency, drops, processor
and memory.

  seg_perception evaluate out/street
  seg_perception evaluate out/camvid --model my_model.onnx --json score.json --report out/report
  seg_perception evaluate drives/*/ --config config/segnext.yaml --metrics iou,ece
  seg_perception evaluate drives/*/ --engine ray --json score.json
  seg_perception evaluate out/street --mode live --rate 2 --report out/live

An interrupted run with --json or --report goes on where it was when it is started again. A model
of 19 Cityscapes classes on CamVid labels is scored in CamVid's 11 classes. Classes with less than
0.1 % of the labelled pixels are left out of the mean.

Exit status: 0 when all images were scored or had no label, 1 when some images or bags could not
be, 2 when nothing could be done.
"""
REPORT_PICTURES = 60
SHEET_PICTURES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        'bags', type=Path, nargs='+', metavar='BAG', help='bag folder, or one .mcap/.db3 file'
    )
    parser.add_argument(
        '--mode', choices=('offline', 'live'), default='offline', help='default: offline'
    )
    parser.add_argument(
        '--config', type=Path, metavar='FILE', help='parameter file of the node (ROS YAML)'
    )
    add_engine_arguments(parser)
    parser.add_argument('--image-topic', default='', help='camera topic (default: found)')
    parser.add_argument('--label-topic', default='', help='default: /ground_truth/label')
    parser.add_argument(
        '--labels', type=Path, metavar='DIR', help='folder of label images, found by stamp'
    )
    parser.add_argument('--label-space', default='', help='default: as recorded in the bag')
    parser.add_argument(
        '--metrics',
        default='all',
        help='all, or some of iou,ece,boundary,temporal,distance,panoptic,id_switches; live, ece '
        'only by its name: the node then publishes the confidence too',
    )
    parser.add_argument('--limit', type=int, default=0, help='use only the first N images')
    parser.add_argument(
        '--rate', type=float, default=1.0, help='live: speed of the replay (default: 1)'
    )
    parser.add_argument('--clock', action='store_true', help='live: publish /clock')
    parser.add_argument(
        '--engine',
        choices=('local', 'ray'),
        default='local',
        help='ray: share the bags out to worker processes (default: local)',
    )
    parser.add_argument(
        '--address', default='', help='ray: of a running cluster (default: start one here)'
    )
    parser.add_argument(
        '--workers', type=int, default=0, help='ray: worker processes (default: one per core)'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the result here')
    parser.add_argument('--report', type=Path, metavar='DIR', help='write an HTML report here')
    parser.add_argument('--video', type=Path, metavar='FILE', help='write an overlay video (.mp4)')
    parser.add_argument(
        '--contact-sheet', type=Path, metavar='FILE', help='write images, masks and truth (.png)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and report."""
    require_packages('bags', 'rosbags', 'tqdm', 'cv2')
    if arguments.video is not None and len(arguments.bags) > 1:
        raise UserError('--video is of one bag; give one bag, or no --video')
    if arguments.engine == 'local' and (arguments.address or arguments.workers):
        raise UserError('--address and --workers belong to --engine ray')
    if arguments.engine == 'ray' and (arguments.mode == 'live' or arguments.video is not None):
        raise UserError('--mode live and --video are made here; leave out --engine ray')
    apply_config(arguments)
    result = run_live(arguments) if arguments.mode == 'live' else run_offline(arguments)
    if not result['frames_segmented']:
        return 2
    failed = ('frames_unreadable', 'frames_mismatched', 'bags_failed')
    return 1 if any(result.get(key) for key in failed) else 0


def apply_config(arguments: argparse.Namespace) -> None:
    """Take engine arguments that were not given from the parameter file of the node."""
    if arguments.config is None:
        return
    from seg_perception.evaluation.drives.node_config import (
        list_engine_arguments,
        read_node_parameters,
    )

    defaults = argparse.ArgumentParser()
    add_engine_arguments(defaults)
    for name, value in list_engine_arguments(read_node_parameters(arguments.config)).items():
        if getattr(arguments, name) == defaults.get_default(name):
            setattr(arguments, name, value)


def list_drives(arguments: argparse.Namespace) -> list[DriveConfig]:
    """Return what is evaluated of each bag."""
    from seg_perception.evaluation.drives.drive_judge import TruthConfig
    from seg_perception.evaluation.drives.evaluate import DriveConfig

    truth = TruthConfig(arguments.label_topic, arguments.labels, arguments.label_space)
    return [
        DriveConfig(bag, arguments.image_topic, truth, arguments.limit) for bag in arguments.bags
    ]


def run_offline(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate the bags here or on a cluster, and write what was asked for."""
    job = make_job(arguments)
    outcome = evaluate_job(arguments, job)
    facts = outcome.facts
    setup = describe_setup(arguments.mode, facts.values, facts.description)
    result = outcome.build_result(job.config.metric_names, setup)
    write_outputs(arguments, result, outcome.keepers)
    outcome.discard_journals()
    return result


def make_job(arguments: argparse.Namespace) -> OfflineJob:
    """Return what is evaluated offline, and how."""
    from seg_perception.evaluation.drives.drive_judge import choose_metrics
    from seg_perception.evaluation.drives.node_config import read_node_parameters
    from seg_perception.evaluation.drives.offline_job import OfflineJob
    from seg_perception.evaluation.drives.offline_run import OfflineConfig

    config = OfflineConfig(
        metric_names=choose_metrics(arguments.metrics),
        journal_folder=choose_journal_folder(arguments),
        spaced_pictures=count_pictures(arguments),
        with_worst=arguments.report is not None,
        video=arguments.video,
    )
    parameters = {} if arguments.config is None else read_node_parameters(arguments.config)
    return OfflineJob(
        list_drives(arguments),
        config,
        make_engine_config(arguments),
        partial(open_chain, parameters=parameters),
    )


def evaluate_job(arguments: argparse.Namespace, job: OfflineJob) -> OfflineOutcome:
    """Evaluate a job with the engine that was asked for: this process, or Ray."""
    from seg_perception.evaluation.drives.offline_job import evaluate_here

    def show(items: Iterable, total: int) -> Iterable:
        return show_progress(items, 'evaluate', total, 'image')

    if arguments.engine == 'local':
        return evaluate_here(job, show)
    require_packages('fleet', 'ray')
    from seg_perception.evaluation.drives.fleet import FleetConfig, evaluate_on_ray

    fleet = FleetConfig(arguments.address, arguments.workers, arguments.threads)
    return evaluate_on_ray(job, fleet, show)


def run_live(arguments: argparse.Namespace) -> dict[str, Any]:
    """Play the bags to a node one after the other and write what was asked for."""
    require_packages('ros', 'rclpy')
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.evaluation.drives.drive_judge import choose_metrics, require_instances
    from seg_perception.evaluation.drives.drive_result import build_result
    from seg_perception.evaluation.reports.watchers import PictureKeeper
    from seg_perception.model_zoo.verify import compute_sha256
    from seg_perception.resources import find_model
    from seg_perception.ros.live_evaluation import LiveConfig, evaluate_live

    if arguments.video is not None:
        raise UserError('--video is made offline; leave out --mode live')
    metric_names, model_path = choose_metrics(arguments.metrics), find_model(arguments.model)
    metadata = load_model_file(model_path).metadata
    model_space = metadata.label_space
    require_instances(metric_names, metadata.is_panoptic, metadata.name)
    facts: dict[str, Any] = {
        'model': str(model_path), 'model_sha256': compute_sha256(model_path)
    }  # fmt: skip
    drives: list[DriveEvaluation] = []
    keepers: list[PictureKeeper] = []
    timeline: list[dict[str, Any]] = []
    for drive in list_drives(arguments):
        live_config = LiveConfig(
            drive,
            list_node_parameters(arguments, model_path),
            arguments.config,
            arguments.rate,
            arguments.clock,
        )
        live = evaluate_live(
            live_config,
            model_space,
            metric_names,
            metadata.is_panoptic,
            lambda bag, count: PictureKeeper(
                str(bag), count, model_space, count_pictures(arguments), True
            ),
            lambda items, total: show_progress(items, 'replay', total, 'image'),
        )
        told = live.replay.diagnostics
        facts |= {key: told.get(key, '') for key in ('backend', 'precision', 'engine')}
        timeline += live.timeline
        drives.append(live.drive)
        keepers.append(live.watcher)
    setup = describe_setup(arguments.mode, facts, facts['engine'])
    setup['rate'] = arguments.rate
    result = build_result(drives, metric_names, setup, timeline)
    write_outputs(arguments, result, keepers)
    return result


def list_node_parameters(arguments: argparse.Namespace, model_path: Path) -> dict[str, Any]:
    """Return the node's parameters that were given as arguments."""
    height_px, width_px = arguments.input_size
    return {
        'model.path': str(model_path),
        'model.backend': arguments.backend,
        'model.precision': arguments.precision,
        'model.threads': arguments.threads,
        'input.height': height_px,
        'input.width': width_px,
        'input.fit': arguments.fit or 'model',
    }


def describe_setup(mode: str, engine_facts: dict[str, Any], engine: str) -> dict[str, Any]:
    """Return what ran, how and where."""
    from seg_perception import __version__
    from seg_perception.evaluation.machine import describe_machine

    return {
        **engine_facts,
        'engine': engine,
        'mode': mode,
        'version': __version__,
        'machine': describe_machine(),
    }


def choose_journal_folder(arguments: argparse.Namespace) -> Path | None:
    """Return where records are kept while the evaluation runs."""
    if arguments.report is not None:
        return Path(arguments.report)
    return None if arguments.json is None else Path(arguments.json).resolve().parent


def count_pictures(arguments: argparse.Namespace) -> int:
    """Return how many pictures are kept of each bag."""
    if arguments.report is not None:
        return REPORT_PICTURES
    return 0 if arguments.contact_sheet is None else SHEET_PICTURES


def write_outputs(
    arguments: argparse.Namespace, result: dict[str, Any], keepers: list[PictureKeeper]
) -> None:
    """Print the figures and write the files that were asked for."""
    from seg_perception.evaluation.reports.html_report import write_report
    from seg_perception.evaluation.reports.report import write_contact_sheet, write_json
    from seg_perception.evaluation.reports.result_text import format_result

    print(format_result(result))
    written: list[Path] = []
    if arguments.json is not None:
        write_json(arguments.json, result)
        written.append(arguments.json)
    if arguments.contact_sheet is not None:
        rows = [row for keeper in keepers for row in keeper.list_sheet_frames()]
        if rows:
            write_contact_sheet(arguments.contact_sheet, rows, keepers[0].model_space)
            written.append(arguments.contact_sheet)
        else:
            print('  no image was read: no contact sheet')
    if arguments.report is not None:
        frames = [frame for keeper in keepers for frame in keeper.list_frames()]
        written.append(write_report(arguments.report, result, frames))
    for path in written:
        print(f'  wrote {path}')
