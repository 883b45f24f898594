# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Watch the resident memory of the node over many frames.

The node runs in a process of its own with mask and confidence subscribed; its resident set is
read every 20 masks. Growth is the median of the last tenth of the readings over that of the
second tenth (the first one still fills allocators and caches).
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from seg_perception.commands.arguments import parse_size
from seg_perception.evaluation.reports.report import write_json
from seg_perception.resources import find_model
from seg_perception.ros.node_process import NodeProcess
from seg_perception.ros.replay import LiveReplay, ReplayConfig
from seg_perception.ros.replayed import ReplayedMask

TOPIC = '/seg_perception_benchmark/image'
NAMESPACE = '/seg_perception_benchmark'
SAMPLE_EVERY = 20
MEGABYTE = 2**20


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=parse_size, default=(256, 512), metavar='HxW')
    parser.add_argument('--model', default='', help='shipped model name or .onnx file')
    parser.add_argument('--frames', type=int, default=2000, help='masks to wait for')
    parser.add_argument('--rate', type=float, default=15.0, help='of the camera, Hz')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    return parser.parse_args()


def make_messages(
    size_px: tuple[int, int], rate_hz: float, is_done: Callable[[], bool]
) -> Iterator[tuple[int, Any]]:
    """Yield (time in ns, sensor_msgs/Image): a few noisy pictures again and again, until done."""
    from sensor_msgs.msg import Image

    rng = np.random.default_rng(0)
    height_px, width_px = size_px
    messages = []
    for _ in range(4):
        message = Image(height=height_px, width=width_px, step=3 * width_px, encoding='rgb8')
        message.data.frombytes(rng.bytes(height_px * width_px * 3))
        messages.append(message)
    for index in itertools.count():
        if is_done():
            return
        offset_ns = int(index * 1e9 / rate_hz)
        stamp = messages[index % 4].header.stamp
        stamp.sec, stamp.nanosec = divmod(1_700_000_000 * 10**9 + offset_ns, 10**9)
        yield offset_ns, messages[index % 4]


def main() -> None:
    arguments = parse_arguments()
    # so that "timeout" and CI leave no node behind
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    height_px, width_px = arguments.size
    parameters = {
        'model.path': str(find_model(arguments.model)),
        'input.height': height_px,
        'input.width': width_px,
    }
    resident_mb: list[float] = []
    masks = 0
    with NodeProcess(parameters, {'image': TOPIC}, NAMESPACE) as node:
        node.wait_active(300)
        process = psutil.Process(node.pid)

        def sample(replayed: ReplayedMask) -> None:
            nonlocal masks
            masks += 1
            if masks % SAMPLE_EVERY == 0:
                resident_mb.append(process.memory_info().rss / MEGABYTE)
            if masks % 200 == 0:
                print(f'{masks} masks, {resident_mb[-1]:.1f} MB', flush=True)

        messages = make_messages(arguments.size, arguments.rate, lambda: masks >= arguments.frames)
        config = ReplayConfig(image_topic=TOPIC, node_name=node.node_name)
        result = LiveReplay(messages, config, sample).run()
    tenth = max(1, len(resident_mb) // 10)
    early = float(np.median(resident_mb[tenth : 2 * tenth]))
    late = float(np.median(resident_mb[-tenth:]))
    figures = {
        'size': f'{height_px}x{width_px}',
        'published': result.published,
        'masks': masks,
        'resident_early_mb': early,
        'resident_late_mb': late,
        'resident_max_mb': max(resident_mb),
        'resident_growth': late / early - 1.0,
    }
    for name, value in figures.items():
        print(f'{name:20} {value if isinstance(value, str) else format(value, ".6g")}')
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == '__main__':
    main()
