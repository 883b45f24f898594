# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation costs beside the inference that it cannot do without.

  offline: bags of 1024x2048 with IoU and ECE against the bare engine on the same images, in turns;
  metrics: the median of each metric, and counting one pair of masks;
  fleet: two Ray workers of one inference thread each against one process with two, in turns, each
      from the first image to the last record, the start of the cluster left out;
  memory: growth over a recording of many small images.

Ratios are of rounds beside each other: the machine may drift.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from seg_perception.commands.arguments import open_chain, parse_size
from seg_perception.engines.select import EngineConfig
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.frame_source import read_camera_frame
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.evaluation.bags.topics import IMAGE_TOPIC
from seg_perception.evaluation.drives.drive_judge import METRICS
from seg_perception.evaluation.drives.drive_result import build_result
from seg_perception.evaluation.drives.evaluate import DriveConfig, DriveEvaluation
from seg_perception.evaluation.drives.fleet import FleetConfig, evaluate_on_ray
from seg_perception.evaluation.drives.offline_job import OfflineJob, evaluate_here
from seg_perception.evaluation.drives.offline_run import OfflineConfig, OfflineRun
from seg_perception.evaluation.machine import describe_machine
from seg_perception.evaluation.metrics.pixel_kernels import count_pairs
from seg_perception.evaluation.reports.report import write_json
from seg_perception.perception.frame import FrameReader
from seg_perception.pipeline import SegmentationPipeline
from seg_perception.resources import find_model

CAMERA_HW = (1024, 2048)
NETWORKS_HW = ((512, 1024), (1024, 2048))
FLEET_HW = (512, 1024)
SMALL_HW = (64, 128)
HEADLINE = ('iou', 'ece')
PARTS = ('offline', 'metrics', 'fleet', 'memory')
MEGABYTE = 2**20


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', default='', help='name of a model or .onnx file')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--frames', type=int, default=20, help='images of each bag')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--networks', type=parse_size, nargs='+', default=NETWORKS_HW, metavar='HxW'
    )
    parser.add_argument('--memory-frames', type=int, default=2000)
    parser.add_argument('--parts', default=','.join(PARTS), help='default: %(default)s')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    return parser.parse_args()


def make_bag(folder: Path, seed: int, frames: int, size_hw: tuple[int, int]) -> Path:
    path = folder / f'seed{seed}_{frames}x{size_hw[0]}x{size_hw[1]}'
    if not path.exists():
        write_sample_bag(path, SampleBagConfig(seed, frames, *size_hw))
    return path


def make_engine(
    arguments: argparse.Namespace, size_hw: tuple[int, int] = (0, 0), threads: int = 0
) -> EngineConfig:
    return EngineConfig(
        str(find_model(arguments.model).absolute()),
        precision=arguments.precision,
        height_px=size_hw[0],
        width_px=size_hw[1],
        threads=threads,
    )


def read_images(bag: Path) -> list[tuple[np.ndarray, str]]:
    """Return all images of a bag in memory, with their channel order."""
    images = []
    with BagReader(bag) as reader:
        for raw in reader.iterate_raw_messages([IMAGE_TOPIC]):
            frame = read_camera_frame(FrameReader(), raw.type_name, reader.decode(raw))
            images.append((frame.image.copy(), frame.channel_order))
    return images


def evaluate(
    pipeline: SegmentationPipeline, bag: Path, metrics: tuple[str, ...]
) -> DriveEvaluation:
    return OfflineRun(pipeline, OfflineConfig(metrics)).evaluate(DriveConfig(bag))[0]


def time_bare(pipeline: SegmentationPipeline, images: list[tuple[np.ndarray, str]]) -> float:
    """Return seconds of the engine alone on all images."""
    start_s = time.perf_counter()
    for image, channel_order in images:
        pipeline.engine.infer(image, channel_order)
    return time.perf_counter() - start_s


def measure_offline(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare the evaluation with the bare engine, in turns."""
    bag = make_bag(folder, 9, arguments.frames, CAMERA_HW)
    images = read_images(bag)
    figures: dict[str, Any] = {}
    for size_hw in arguments.networks:
        pipeline, facts = open_chain(make_engine(arguments, size_hw))
        pipeline.warm_up(CAMERA_HW, images[0][1])
        evaluate(pipeline, bag, HEADLINE)
        rounds: dict[str, list[float]] = {'bare_s': [], 'evaluation_s': [], 'inference_s': []}
        for _ in range(arguments.rounds):
            before_s = time_bare(pipeline, images)
            drive = evaluate(pipeline, bag, HEADLINE)
            # the machine as it was around the evaluation
            rounds['bare_s'].append((before_s + time_bare(pipeline, images)) / 2)
            rounds['evaluation_s'].append(drive.seconds)
            rounds['inference_s'].append(drive.seconds_inference)
        pipeline.close()
        name = f'network_{size_hw[0]}x{size_hw[1]}'
        figures[name] = {key: float(np.median(values)) for key, values in rounds.items()} | {
            'precision': facts['precision'],
            'evaluation_vs_bare': divide(rounds['evaluation_s'], rounds['bare_s']),
            'evaluation_vs_own_inference': divide(rounds['evaluation_s'], rounds['inference_s']),
            'rounds': rounds,
        }
    return figures


def divide(values: list[float], others: list[float]) -> float:
    """Return the median of the ratios of rounds beside each other."""
    return float(np.median(np.divide(values, others)))


def measure_metrics(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time each metric alone while the engine runs, and counting alone."""
    bag = make_bag(folder, 9, arguments.frames, CAMERA_HW)
    pipeline, _ = open_chain(make_engine(arguments, arguments.networks[0]))
    drive = evaluate(pipeline, bag, tuple(METRICS))
    pipeline.close()
    random = np.random.default_rng(0)
    truth, mask = (random.integers(0, 19, CAMERA_HW[0] * CAMERA_HW[1], np.uint8) for _ in '12')
    times_ms = []
    for _ in range(20):
        pairs = np.zeros((256, 256), np.int64)
        start_s = time.perf_counter()
        count_pairs(truth, mask, pairs)
        times_ms.append((time.perf_counter() - start_s) * 1e3)
    return {
        'metric_cost_ms': build_result([drive], tuple(METRICS), {})['metric_cost_ms'],
        'evaluation_vs_own_inference': drive.seconds / drive.seconds_inference,
        'count_random_pair_ms': float(np.median(times_ms[1:])),
    }


def measure_fleet(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare two workers of one thread with one process of two, in turns."""
    drives = [
        DriveConfig(make_bag(folder, seed, arguments.frames, FLEET_HW)) for seed in (9, 15)
    ]
    config = OfflineConfig(HEADLINE)
    rounds: dict[str, list[float]] = {'local_s': [], 'fleet_s': []}
    counts = []
    for _ in range(arguments.rounds):
        job = OfflineJob(drives, config, make_engine(arguments, threads=2), open_chain)
        watch = StopWatch()
        counts.append(list_counts(evaluate_here(job, watch.show)))
        rounds['local_s'].append(watch.seconds)
        fleet = evaluate_on_ray(job, FleetConfig(workers=2, threads=1), lambda items, total: items)
        assert fleet.seconds is not None
        counts.append(list_counts(fleet))
        rounds['fleet_s'].append(fleet.seconds)
    return {
        'fleet_vs_local': divide(rounds['fleet_s'], rounds['local_s']),
        'counts_are_equal': all(count == counts[0] for count in counts),
        'rounds': rounds,
    }


class StopWatch:
    """Times from the first recording's first image to the last one's last record.

    Compiling for the camera is within, as it is in the fleet's time.
    """

    def __init__(self) -> None:
        self._start_s = 0.0
        self.seconds = 0.0

    def show(self, items: Iterable, total: int) -> Iterator:
        self._start_s = self._start_s or time.perf_counter()
        yield from items
        self.seconds = time.perf_counter() - self._start_s


def list_counts(outcome: Any) -> list[Any]:
    return [[record.metrics for record in drive.records] for drive in outcome.drives]


def measure_memory(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Watch the resident memory over many small images; records are kept in it."""
    bag = make_bag(folder, 9, arguments.memory_frames, SMALL_HW)
    pipeline, _ = open_chain(make_engine(arguments, SMALL_HW))
    process, resident_mb = psutil.Process(), []

    def show(items: Iterable, total: int) -> Iterator:
        for index, item in enumerate(items):
            if index % 20 == 0:
                resident_mb.append(process.memory_info().rss / MEGABYTE)
            yield item

    OfflineRun(pipeline, OfflineConfig(HEADLINE)).evaluate(DriveConfig(bag), show)
    pipeline.close()
    tenth = max(1, len(resident_mb) // 10)
    early = float(np.median(resident_mb[tenth : 2 * tenth]))
    late = float(np.median(resident_mb[-tenth:]))
    return {
        'frames': arguments.memory_frames,
        'resident_early_mb': early,
        'resident_late_mb': late,
        'resident_growth_mb': late - early,
    }


def main() -> None:
    arguments = parse_arguments()
    measures = {
        'offline': measure_offline,
        'metrics': measure_metrics,
        'fleet': measure_fleet,
        'memory': measure_memory,
    }
    figures: dict[str, Any] = {'machine': describe_machine()}
    with tempfile.TemporaryDirectory(prefix='evaluation_') as name:
        for part in arguments.parts.split(','):
            figures[part] = measures[part](arguments, Path(name))
            for key, value in figures[part].items():
                print(f'{part:8} {key:28} {value}', flush=True)
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == '__main__':
    main()
