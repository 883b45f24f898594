# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Figures of a panoptic model: the way to ~/panoptic, and the merge of a crowded street."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from seg_perception.evaluation.benchmarks.benchmark_figures import (
    ROUNDS_OF_TURNS,
    Figures,
    RoundFigures,
    add_ratio,
    list_percentiles,
    summarize_turns,
)
from seg_perception.evaluation.benchmarks.benchmark_samples import Round
from seg_perception.perception.geometry import place_image, sampling_grid
from seg_perception.perception.labels import load_label_space
from seg_perception.perception.panoptic import PanopticMerger

MERGE_TURNS = 15


def summarize_panoptic(rounds: Sequence[Round]) -> tuple[Figures, RoundFigures]:
    """Return figures of rounds in which ~/panoptic was subscribed, named panoptic_...

    panoptic_e2e is from publish() of the image to the callback of ~/panoptic, with the mask on its
    way too; panoptic_e2e_vs_bare its median by that of the engine alone in the same rounds.
    """
    figures: Figures = {}
    by_round: RoundFigures = {}
    times_ms = {
        'panoptic_e2e': [entry.e2e.panoptic_ms for entry in rounds],
        'panoptic_bare': [entry.bare_ms for entry in rounds],
    }
    for name, lists_ms in times_ms.items():
        figures |= list_percentiles(name, np.concatenate(lists_ms))
        by_round[f'{name}_p50_ms'] = [float(np.median(values)) for values in lists_ms]
    add_ratio(
        figures, by_round, 'panoptic_e2e_vs_bare', 'panoptic_e2e_p50_ms', 'panoptic_bare_p50_ms'
    )
    in_node_ms = [float(entry.e2e.node['panoptic p50 (ms)']) for entry in rounds]
    figures['node_panoptic_p50_ms'] = float(np.median(in_node_ms))
    by_round['node_panoptic_p50_ms'] = in_node_ms
    return figures, by_round


def measure_merge() -> tuple[Figures, RoundFigures]:
    """Return 'panoptic_merge_ms', of 60 instances at 1024x2048 with outputs at 1/4."""
    from seg_perception.sample.crowd import CAMERA_HW, GRID_HW, STRIDE, draw_crowd

    space = load_label_space('cityscapes')
    grid = sampling_grid(place_image(CAMERA_HW, CAMERA_HW), GRID_HW, STRIDE)
    merger = PanopticMerger(grid, STRIDE, space.num_classes, space.thing_ids)
    merger.warm_up()
    mask, heatmap, offsets = draw_crowd()
    panoptic = np.empty(CAMERA_HW, np.int32)
    times_ms = []
    for _ in range(ROUNDS_OF_TURNS * MERGE_TURNS):
        start_s = time.perf_counter()
        merger.merge(mask, heatmap, offsets, panoptic)
        times_ms.append((time.perf_counter() - start_s) * 1e3)
    return summarize_turns({'panoptic_merge': times_ms})
