# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Results of evaluations as they are written to files, built of numbers that a test chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

CLASS_NAMES = ('road', 'building', 'car', 'sky')
PALETTE = ((128, 64, 128), (70, 70, 70), (0, 0, 142), (70, 130, 180))
START_NS = 1_700_000_000_000_000_000
FRAME_NS = 100_000_000


def make_record(index: int, **changes: Any) -> dict[str, Any]:
    """Return the record of an image: 1000 pixels of each of three classes, all right."""
    return {
        'index': index,
        'stamp_ns': START_NS + index * FRAME_NS,
        'status': 'scored',
        'reason': '',
        'metrics': {
            'confusion': [[0, 0, 1000], [1, 1, 1000], [2, 2, 1000]],
            'calibration': [[14, 3000, 3000, 3000 * 255]],
            'boundary': [[0, 0.9], [1, 0.8]],
        },
        'times_ms': {'read': 1.0, 'inference': 40.0, 'decode': 1.0, 'total': 42.0},
        **changes,
    }


def make_confusion(right_pixels: int, total_pixels: int = 1000) -> list[list[int]]:
    """Return rows in which so many road pixels are right and the rest is building."""
    wrong = total_pixels - right_pixels
    rows = [[0, 0, right_pixels], [1, 1, total_pixels]]
    return [*rows, [0, 1, wrong]] if wrong else rows


def make_result(records: list[dict[str, Any]], bag: str = 'bags/street', **changes: Any) -> dict:
    """Return a whole result around records; its figures are of the first kind of records alone."""
    return {
        'schema': 'seg_perception/evaluation/1',
        'miou': 0.75,
        'per_class_iou': {'road': 0.9, 'building': 0.8, 'car': 0.55, 'sky': None},
        'category_iou': {'flat': 0.9},
        'pixel_accuracy': 0.93,
        'boundary_f': 0.61,
        'ece': 0.02,
        'pq': None,
        'sq': None,
        'rq': None,
        'temporal_consistency': 0.97,
        'flicker': {'road': 0.01, 'building': 0.02, 'car': 0.05, 'sky': None},
        'iou_by_distance': {},
        'latency_p50_ms': 42.0,
        'latency_p95_ms': 44.0,
        'frames_in_bag': len(records),
        'frames_scored': len(records),
        'frames_dropped': 0,
        'frames_unreadable': 0,
        'seconds': 5.0,
        'seconds_inference': 4.0,
        'setup': {
            'bags': [bag],
            'model': 'models/m.onnx',
            'model_sha256': 'ab' * 32,
            'engine': 'OpenVINO on a CPU',
            'backend': 'openvino',
            'precision': 'f32',
            'mode': 'offline',
            'label_space': 'street',
            'class_names': list(CLASS_NAMES),
            'palette': [list(color) for color in PALETTE],
            'machine': {'cpu': 'a processor', 'cores': 2, 'libraries': {'numpy': '2.0'}},
            'version': '0.1.0',
            'metrics': ['confusion', 'calibration', 'boundary'],
        },
        'metric_cost_ms': {'confusion': 3.0, 'calibration': 2.0, 'boundary': 60.0},
        'faults': [],
        'bags': [{'bag': bag, 'frames': records}],
        **changes,
    }


def make_drive(
    frames: int = 100, right_pixels: int = 950, noise: int = 20, seed: int = 0, ms: float = 42.0
) -> list[dict[str, Any]]:
    """Return records in which the share of right road pixels and the time vary a little."""
    generator = np.random.default_rng(seed)
    records = []
    for index in range(frames):
        right = int(np.clip(right_pixels + generator.normal(0, noise), 0, 1000))
        records.append(
            make_record(
                index,
                metrics={
                    'confusion': make_confusion(right),
                    'calibration': [[14, 2000, 1000 + right, 2000 * 240]],
                    'boundary': [[0, right / 1000], [1, 0.8]],
                },
                times_ms={'total': ms * (1 + 0.02 * float(generator.random()))},
            )
        )
    return records


def write_result(path: Path, result: Any) -> Path:
    """Write JSON values to a file and return its path."""
    path.write_text(json.dumps(result), encoding='utf-8')
    return path
