# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Time the panoptic merge and the tracks at 1024x2048, with outputs at 1/4 of that.

The street is that of seg_perception/sample/crowd.py. Random offsets, where hardly two neighbours
point to one centre, and things everywhere show the worst case. The plain work that no merge can
avoid, writing a map from a table, is timed beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seg_perception.evaluation.files import replace_file
from seg_perception.perception.geometry import place_image, sampling_grid
from seg_perception.perception.labels import load_label_space
from seg_perception.perception.panoptic import PanopticMerger
from seg_perception.perception.tracks import InstanceTracker
from seg_perception.sample.crowd import CAMERA_HW, CAR, GRID_HW, PERSON, STRIDE, draw_crowd

SHIFT_PX = 6  # how far everything moves from frame to frame
STEPS = 6  # frames that the tracks see before they start anew


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file')
    parser.add_argument('--instances', type=int, default=60)
    parser.add_argument('--rounds', type=int, default=60)
    parser.add_argument('--threads', type=int, default=0, help='0 for as many as there are cores')
    return parser.parse_args()


def time_ms(function: Callable[[], object], rounds: int) -> float:
    """Return the median."""
    times_s = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        function()
        times_s.append(time.perf_counter() - start_s)
    return 1e3 * float(np.median(times_s))


def measure_merge(merger: PanopticMerger, rounds: int, instances: int) -> dict[str, float]:
    """Return times of a street and of the worst case, and that of a table look-up beside them."""
    mask, heatmap, offsets = draw_crowd(instances)
    out = np.empty(CAMERA_HW, np.int32)
    random = np.random.default_rng(1)
    noise = random.normal(0, 200, offsets.shape).astype(np.float32)
    many = random.random(GRID_HW, np.float32)
    everywhere = np.full(CAMERA_HW, CAR, np.uint8)
    table = np.arange(256, dtype=np.int32)
    merger.warm_up()
    result = merger.merge(mask, heatmap, offsets)
    return {
        'panoptic_merge_ms': time_ms(lambda: merger.merge(mask, heatmap, offsets, out), rounds),
        'instances': len(result.instances.score),
        'thing_share': float(np.isin(mask, (PERSON, CAR)).mean()),
        'numpy_table_ms': time_ms(lambda: np.take(table, mask, out=out, mode='clip'), rounds),
        'all_things_ms': time_ms(lambda: merger.merge(everywhere, heatmap, offsets, out), rounds),
        'random_200_centers_ms': time_ms(
            lambda: merger.merge(everywhere, many, noise, out), max(3, rounds // 8)
        ),
    }


def measure_tracks(merger: PanopticMerger, rounds: int, instances: int) -> dict[str, float]:
    """Return the time of a frame in which everything has moved on."""
    maps = [
        merger.merge(*draw_crowd(instances, SHIFT_PX * step)).panoptic for step in range(STEPS)
    ]
    tracker = InstanceTracker()
    tracker.warm_up()
    times_s = []
    for index in range(rounds):
        panoptic = maps[index % STEPS].copy()
        if index % STEPS == 0:
            tracker.reset()
            tracker.update(panoptic)
            continue
        start_s = time.perf_counter()
        tracker.update(panoptic)
        times_s.append(time.perf_counter() - start_s)
    return {
        'panoptic_tracks_ms': 1e3 * float(np.median(times_s)),
        'panoptic_tracks': tracker.count,
    }


def make_merger(threads: int) -> PanopticMerger:
    space = load_label_space('cityscapes')
    grid = sampling_grid(place_image(CAMERA_HW, CAMERA_HW), GRID_HW, STRIDE)
    return PanopticMerger(grid, STRIDE, space.num_classes, space.thing_ids, threads=threads)


def main() -> None:
    arguments = parse_arguments()
    merger = make_merger(arguments.threads)
    figures = measure_merge(merger, arguments.rounds, arguments.instances)
    figures |= measure_tracks(merger, arguments.rounds, arguments.instances)
    for name, value in figures.items():
        print(f'{name:28} {value:.4g}')
    if arguments.json:
        text = json.dumps(figures, indent=2) + '\n'
        replace_file(Path(arguments.json), lambda draft: draft.write_text(text, encoding='utf-8'))


if __name__ == '__main__':
    main()
