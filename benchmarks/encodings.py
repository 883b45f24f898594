# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Time from a camera message to an 8-bit colour image, for each encoding that the node reads.

The encodings take turns, so that a busy moment of the machine touches all of them. On a machine
that others use, the 10th percentile is nearer to what a quiet one gives than the median.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from seg_perception.perception.encodings import ENCODINGS
from seg_perception.perception.frame import FrameReader
from seg_perception.sample.drive import SampleDrive

BAR_MS = 6.0
HEADER = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id='camera')
WARM_UPS = 3
VARIANTS: dict[str, dict[str, Any]] = {
    '': {},
    ', padded rows': {'padding': 32},
    ', big-endian': {'bigendian': True},
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file')
    parser.add_argument('--size', default='1024x2048', help='HEIGHTxWIDTH of the images')
    parser.add_argument('--rounds', type=int, default=60, help='times each encoding is read')
    return parser.parse_args()


def make_raw(
    name: str, size_hw: tuple[int, int], padding: int = 0, bigendian: bool = False
) -> Any:
    """Return a message of random samples: the time does not depend on what an image shows."""
    encoding = ENCODINGS[name]
    height, width = size_hw
    step = width * encoding.channels * encoding.sample_bytes + padding
    rows = encoding.count_rows(height)
    data = np.random.default_rng(0).integers(0, 256, rows * step, np.uint8)
    return SimpleNamespace(
        header=HEADER,
        height=height,
        width=width,
        encoding=name,
        is_bigendian=int(bigendian),
        step=step,
        data=data.tobytes(),
    )


def make_compressed(size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return JPEG and PNG messages of a frame of the sample drive."""
    bgr = SampleDrive(4242, 1, *size_hw).render(0).image[..., ::-1]
    grey16 = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257
    files = {
        'rgb8; jpeg compressed bgr8': ('.jpg', bgr),
        'rgb8; png compressed bgr8': ('.png', bgr),
        'mono16; png compressed': ('.png', grey16),
    }
    return {
        text: SimpleNamespace(
            header=HEADER, format=text, data=cv2.imencode(suffix, pixels)[1].tobytes()
        )
        for text, (suffix, pixels) in files.items()
    }


def list_cases(size_hw: tuple[int, int]) -> dict[str, tuple[Callable[[Any], Any], Any]]:
    """Return what to time: a reader of its own and a message for each name."""
    cases: dict[str, tuple[Callable[[Any], Any], Any]] = {}
    for name, encoding in ENCODINGS.items():
        for suffix, options in VARIANTS.items():
            if options.get('bigendian') and encoding.sample_bytes == 1:
                continue
            cases[name + suffix] = (FrameReader().read_image, make_raw(name, size_hw, **options))
    for text, message in make_compressed(size_hw).items():
        cases[text] = (FrameReader().read_compressed, message)
    return cases


def measure(
    cases: dict[str, tuple[Callable[[Any], Any], Any]], rounds: int
) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + WARM_UPS):
        for name, (read, message) in cases.items():
            start_s = time.perf_counter()
            read(message)
            times[name].append((time.perf_counter() - start_s) * 1e3)
    return {
        name: {
            'p10_ms': float(np.percentile(values[WARM_UPS:], 10)),
            'median_ms': float(np.median(values[WARM_UPS:])),
            'p95_ms': float(np.percentile(values[WARM_UPS:], 95)),
        }
        for name, values in times.items()
    }


def main() -> None:
    arguments = parse_arguments()
    height, width = (int(part) for part in arguments.size.split('x'))
    figures = measure(list_cases((height, width)), arguments.rounds)
    print(f'{height}x{width}, {arguments.rounds} rounds, OpenCV {cv2.__version__}')
    for name, values in figures.items():
        print(
            f'{name:32} {values["median_ms"]:7.3f} ms  '
            f'p10 {values["p10_ms"]:7.3f} ms  p95 {values["p95_ms"]:7.3f} ms'
        )
    raw = {name: values['median_ms'] for name, values in figures.items() if ';' not in name}
    slowest = max(raw, key=lambda name: raw[name])
    verdict = 'kept' if raw[slowest] <= BAR_MS else 'missed'
    print(f'slowest raw encoding: {slowest}, {raw[slowest]:.2f} ms; {BAR_MS} ms are {verdict}')
    if arguments.json:
        target = Path(arguments.json)
        content = {
            'height_px': height,
            'width_px': width,
            'opencv': cv2.__version__,
            'encodings': figures,
            'slowest_raw': slowest,
        }
        draft = target.with_name(target.name + '.tmp')
        draft.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        os.replace(draft, target)


if __name__ == '__main__':
    main()
