# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Score ground occupancy against the sample drive's true one, and time the projection.

Score: evaluation seed 9 of the sample drive, 512x1024, cells of 0.2 m within 25 m of the camera,
with the true masks (confidence 1) and with the masks of the shipped model.
`evaluation/metrics/occupancy_score.py` defines the figures. Time: a 1024x2048 mask to 40 m x 20 m
at 0.1 m, 8 classes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from seg_perception.evaluation.files import replace_file
from seg_perception.evaluation.metrics.occupancy_score import OccupancyScorer
from seg_perception.perception.camera_model import CameraModel
from seg_perception.perception.camera_pose import CameraPose
from seg_perception.perception.ground_grid import GroundGrid
from seg_perception.perception.labels import load_label_space
from seg_perception.perception.occupancy_config import GridConfig, OccupancyConfig
from seg_perception.sample.drive import SampleDrive, SampleFrame

SEED, FRAMES = 9, 100
IMAGE_HW = (512, 1024)
TIMED_HW = (1024, 2048)
SCORED_GRID = GridConfig(0.2, 0.0, 40.0, -20.0, 20.0)
TIMED_GRID = GridConfig(0.1, 0.0, 40.0, -10.0, 10.0)
REACH_M = 25.0
MODEL = Path(__file__).resolve().parent.parent / 'models/segnext_t_street/model.onnx'


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file')
    parser.add_argument('--model', metavar='FILE', default=str(MODEL), help='model file')
    parser.add_argument('--seed', type=int, default=SEED, help='which drive (default: 9)')
    parser.add_argument('--stride', type=int, default=1, help='take every n-th frame of 100')
    parser.add_argument('--rounds', type=int, default=100, help='times the projection is timed')
    parser.add_argument('--threads', type=int, default=0, help='0 for as many as there are cores')
    return parser.parse_args()


def make_camera(drive: SampleDrive) -> tuple[CameraModel, CameraPose]:
    """Return the sample camera of a drive."""
    k = drive.camera_matrix
    model = CameraModel(
        drive.height_px, drive.width_px, (float(k[0, 0]), float(k[1, 1])),
        (float(k[0, 2]), float(k[1, 2])))  # fmt: skip
    return model, CameraPose.from_matrix(drive.base_from_camera)


def segment(drive: SampleDrive, model_path: str, stride: int) -> Iterator[tuple]:
    """Yield (frame, mask, confidence) of every stride-th frame."""
    from seg_perception.engines.select import EngineConfig, load_engine
    from seg_perception.perception.frame import Frame
    from seg_perception.pipeline import SegmentationPipeline

    pipeline = SegmentationPipeline(load_engine(EngineConfig(model_path)))
    for index in range(0, len(drive), stride):
        sample: SampleFrame = drive.render(index)
        frame = Frame(sample.image, 'rgb', sample.stamp_ns, 'camera', None)
        result = pipeline.process(frame, confidence_out=np.empty(IMAGE_HW, np.uint8))
        yield sample, result.mask, result.confidence
    pipeline.close()


def score(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, dict]:
    """Return the figures with true masks and with the model's."""
    drive = SampleDrive(arguments.seed, FRAMES, *IMAGE_HW)
    config = OccupancyConfig(names, SCORED_GRID)
    grid = GroundGrid(config, arguments.threads)
    grid.set_camera(*make_camera(drive))
    assert grid.view is not None
    scorers = {kind: OccupancyScorer(config, grid.view, REACH_M) for kind in ('true', 'model')}
    certain = np.full(IMAGE_HW, 255, np.uint8)
    for sample, mask, confidence in segment(drive, arguments.model, arguments.stride):
        # The drive counts cells forward first, a grid's columns go along x.
        truth = np.ascontiguousarray(sample.ground_classes.T)
        grid.project(sample.label, certain)
        scorers['true'].add(grid.label, truth, sample.label)
        grid.project(mask, confidence)
        scorers['model'].add(grid.label, truth, sample.label)
    return {kind: scorer.counts.summarize() for kind, scorer in scorers.items()}


def measure_time(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, float]:
    """Return the median projection in ms, and how long an OpenCV remap of the mask takes."""
    drive = SampleDrive(arguments.seed, FRAMES, *TIMED_HW)
    grid = GroundGrid(OccupancyConfig(names, TIMED_GRID), arguments.threads)
    started_s = time.perf_counter()
    grid.set_camera(*make_camera(drive))
    tables_s = time.perf_counter() - started_s
    mask = drive.render(FRAMES // 2).label
    confidence = np.full(TIMED_HW, 230, np.uint8)
    map_x, map_y = np.meshgrid(np.arange(TIMED_HW[1], dtype=np.float32) * 0.999,
                               np.arange(TIMED_HW[0], dtype=np.float32) * 0.999)  # fmt: skip
    grid.project(mask, confidence)
    project_s, remap_s = [], []
    for _ in range(arguments.rounds):
        started_s = time.perf_counter()
        grid.project(mask, confidence)
        middle_s = time.perf_counter()
        cv2.remap(mask, map_x, map_y, cv2.INTER_NEAREST)
        project_s.append(middle_s - started_s)
        remap_s.append(time.perf_counter() - middle_s)
    project_ms, remap_ms = (1e3 * float(np.median(times)) for times in (project_s, remap_s))
    return {
        'project_ms': project_ms,
        'remap_ms': remap_ms,
        'project_vs_remap': project_ms / remap_ms,
        'tables_s': tables_s,
    }


def find_worst(shares: dict[str, float | None], pick: object) -> dict[str, object]:
    """Return the worst of the classes and all of them."""
    known = [share for share in shares.values() if share is not None]
    return {'worst': pick(known) if known else None, 'per_class': shares}  # type: ignore[operator]


def summarize(scores: dict[str, dict]) -> dict[str, object]:
    """Name the figures as they are asked for; shares 0..1."""
    out: dict[str, object] = {}
    for kind, name in (('true', 'true_mask'), ('model', 'model')):
        figures = scores[kind]
        out[f'road_iou_{name}'] = figures['road_iou']
        groups = figures['contact_f1']
        out[f'contact_f1_{name}'] = min(groups['vehicles'] or 0.0, groups['persons'] or 0.0)
        for key in ('contact_f1', 'contact_precision', 'contact_recall'):
            out[f'{key}_{name}_groups'] = figures[key]
    for key, pick in (('occupied_reported_free', max), ('free_reported_free', min),
                      ('contact_reported_free', max)):  # fmt: skip
        out[key] = {
            'true_mask': find_worst(scores['true'][key], pick),
            'model': find_worst(scores['model'][key], pick),
        }
    out['occupied_cells'] = scores['true']['occupied_cells']
    return out


def main() -> None:
    arguments = parse_arguments()
    names = load_label_space('cityscapes').class_names
    drive = SampleDrive(arguments.seed, FRAMES, *IMAGE_HW)
    setup = {
        'seed': arguments.seed,
        'frames': len(range(0, FRAMES, arguments.stride)),
        'image_hw': IMAGE_HW,
        'focal_px': float(drive.camera_matrix[0, 0]),
        'camera_height_m': drive.camera.height_m,
        'camera_pitch_deg': float(np.degrees(drive.camera.pitch_rad)),
        'cell_m': SCORED_GRID.resolution_m,
        'reach_m': REACH_M,
        'processors': len(os.sched_getaffinity(0)),
    }
    times = measure_time(arguments, names)
    figures = {**times, **summarize(score(arguments, names)), 'setup': setup}
    text = json.dumps(figures, indent=2) + '\n'
    print(text, end='')
    if arguments.json:
        replace_file(Path(arguments.json), lambda path: path.write_text(text, encoding='utf-8'))


if __name__ == '__main__':
    main()
