# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The figures of a benchmark as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seg_perception.evaluation.benchmarks.benchmark_figures import PERCENTILES
from seg_perception.evaluation.reports.tables import format_table

# Name of the figures in front of _p50_ms, and what they are, in the order of the table.
TIMES = (
    ('e2e', 'camera message to mask message'),
    ('node_queue', '  waiting for the worker'),
    ('node_read', '  reading the image'),
    ('node_inference', '  inference'),
    ('node_decode', '  decode'),
    ('node_publish', '  publishing the mask'),
    ('transport', '  transport, both ways'),
    ('bare', 'bare engine'),
    ('eager', 'PyTorch eager'),
)
LARGE = '_camera_1024x2048'
# Figures below the table: name, what it is, format.
FACTS = (
    ('e2e_vs_bare', 'end to end by bare engine', '{:.3f} times'),
    ('e2e_vs_inference', '  by inference of the same frames', '{:.3f} times'),
    ('eager_vs_e2e', 'PyTorch eager by end to end', '{:.1f} times'),
    (f'e2e_p50_ms{LARGE}', 'end to end, camera 1024x2048, p50', '{:.1f} ms'),
    (f'e2e_vs_bare{LARGE}', '  by bare engine', '{:.3f} times'),
    (f'eager_vs_e2e{LARGE}', '  PyTorch eager by end to end', '{:.1f} times'),
    ('fps', 'masks per second, the next image always waiting', '{:.1f}'),
    ('overload_camera_hz', 'overload: images per second', '{:.1f}'),
    ('overload_age_p95_ms', '  age of masks p95', '{:.1f} ms'),
    ('overload_age_p95_vs_inference', '    by inference without overload', '{:.2f} times'),
    ('overload_fps', '  masks per second', '{:.1f}'),
    ('cameras_one_p50_ms', 'four cameras: one image to its mask, p50', '{:.1f} ms'),
    ('cameras_set_p50_ms', '  one image of each at once to the last mask', '{:.1f} ms'),
    ('cameras4_vs_1', '    by one image', '{:.2f} times'),
    ('cameras_overload_hz', '  overload: images per second of each', '{:.1f}'),
    ('cameras_overload_age_p95_ms', '    age of masks p95', '{:.1f} ms'),
    ('cameras_overload_age_p95_vs_inference', '      by inference alone', '{:.2f} times'),
    ('cameras_share_least', '    masks of the camera with the fewest, by its share', '{:.2f}'),
    ('cameras_share_most', '    of the one with the most', '{:.2f}'),
    ('cpu_percent', 'processor use of the node, 100 is a core', '{:.0f} %'),
    ('cpu_ms_per_mask', '  per mask', '{:.1f} ms'),
    ('rss_mb', 'memory of the node', '{:.0f} MB'),
    ('e2e_p50_ms_mask', 'end to end, mask subscribed', '{:.1f} ms'),
    ('e2e_p50_ms_mask_confidence', '  and confidence', '{:.1f} ms'),
    ('e2e_p50_ms_mask_confidence_overlay', '  and overlay', '{:.1f} ms'),
    ('cpu_ms_per_mask_mask', 'processor time per mask, mask subscribed', '{:.1f} ms'),
    ('cpu_ms_per_mask_mask_confidence', '  and confidence', '{:.1f} ms'),
    ('cpu_ms_per_mask_mask_confidence_overlay', '  and overlay', '{:.1f} ms'),
    ('panoptic_e2e_p50_ms', 'camera message to panoptic message, p50', '{:.1f} ms'),
    ('panoptic_e2e_vs_bare', '  by bare engine', '{:.3f} times'),
    ('node_panoptic_p50_ms', '  merge and tracks of these', '{:.2f} ms'),
    ('panoptic_merge_ms', 'merge of 60 instances at 1024x2048', '{:.2f} ms'),
    ('decode_ms', 'decode to 1024x2048, mask', '{:.2f} ms'),
    ('decode_confidence_ms', '  with confidence', '{:.2f} ms'),
    ('decode_vs_torch', '  PyTorch interpolate and argmax by decode', '{:.0f} times'),
    ('cuda_fps_768x1536', 'GPU, bytes to mask in host memory, 768x1536', '{:.0f} fps'),
    ('cuda_fps_1024x2048', '  1024x2048', '{:.0f} fps'),
    ('cuda_vs_eager', '  PyTorch eager on the GPU by this, the smaller ratio', '{:.1f} times'),
)


def format_benchmark(figures: Mapping[str, Any]) -> str:
    """Return what was measured, a table of times by stage, and the other figures."""
    machine = figures['machine']
    lines = [
        f'{figures["model"]}, network {figures["size"]}, camera {figures["camera"]} at '
        f'{figures["camera_rate_hz"]:.1f} Hz, {figures["received"]} of {figures["published"]} '
        'images made masks',
        f'{figures["engine"]}',
        f'{machine["cpu"]}, {machine["cores"]} cores, load {machine["load"]} before',
    ]
    rows = []
    for name, what in TIMES:
        cells = [figures.get(f'{name}_p{percent}_ms') for percent in PERCENTILES]
        if any(cell is not None for cell in cells):
            rows.append((what, *('' if cell is None else f'{cell:.2f}' for cell in cells)))
    lines.append(format_table(rows, ('ms', *(f'p{percent}' for percent in PERCENTILES))))
    facts = [(what, text.format(figures[name])) for name, what, text in FACTS if name in figures]
    lines.append(format_table(facts))
    return '\n'.join([*lines, *figures['notes']])
