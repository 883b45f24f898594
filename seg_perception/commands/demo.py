# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception demo`: the real node on a drive, watched, scored and pictured."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.commands.arguments import parse_size, require_packages

NAME = 'demo'
HELP = 'run the node on a drive over DDS; score and picture what it publishes'
DESCRIPTION = """\
Starts the segmentation node as a process of its own, replays a drive to it over DDS at the
drive's own rate, and writes to --out:

  summary.json        mIoU, fps, latency, drops
  overlay.mp4         the drive with the node's masks drawn in
  contact_sheet.png   camera, mask and (where the drive is labelled) truth, side by side

Without --bag or --video it renders a sample drive: a street with exact labels.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--bag', type=Path, help='a rosbag2 folder with a camera topic')
    source.add_argument('--video', type=Path, help='a video file that OpenCV can read')
    parser.add_argument('--image-topic', default='', help='camera topic in the bag')
    parser.add_argument('--out', type=Path, default=Path('out'), help='folder for the results')
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    parser.add_argument(
        '--backend', default='auto', help='auto, openvino or torch (default: auto)'
    )
    parser.add_argument(
        '--input-size',
        type=parse_size,
        default=(0, 0),
        metavar='HxW',
        help="network input (default: the model's own)",
    )
    parser.add_argument(
        '--rate', type=float, default=1.0, metavar='FACTOR', help='replay speed (default: 1)'
    )
    parser.add_argument('--limit', type=int, default=0, help='use only the first N frames')
    parser.add_argument('--seed', type=int, default=9, help='seed of the sample drive')
    parser.add_argument('--frames', type=int, default=100, help='frames of the sample drive')
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(512, 1024),
        metavar='HxW',
        help='size of the sample drive',
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; see DESCRIPTION."""
    require_packages('bags', 'rosbags', 'tqdm')
    from seg_perception.ros.demo import DemoConfig, run_demo

    run_demo(DemoConfig.from_arguments(arguments))
    return 0
