# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception doctor`: what will work on this machine, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = 'doctor'
HELP = 'say what will work on this machine, and how to mend what will not'
DESCRIPTION = """\
Checks Python and its packages, ROS 2 and its transport (6 MB images are sent from one process to
another), processor and GPU, the model and its hashes, the engine (its masks beside those of the
model file in float32, on 10 frames) and the camera topics now on the network.

  OK       works
  WARN     works, but something is missing, slow or not tested
  FAIL     the node will not run, or not with the topic that was asked for
  skipped  not looked at, for the reason given

Below each line that is not right stands how to mend it. Takes about half a minute. Run it in the
shell in which the node or the camera driver is started: what that shell has set is what counts.

exit status: 0 the node will run, 1 something is FAIL
"""


def parse_seconds(text: str) -> float:
    """Return a duration; argparse.ArgumentTypeError unless it is from 0.1 to 600 s."""
    try:
        duration_s = float(text)
    except ValueError:
        duration_s = 0.0
    if not 0.1 <= duration_s <= 600.0:
        raise argparse.ArgumentTypeError(f'{text!r} is no duration from 0.1 to 600 seconds')
    return duration_s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    parser.add_argument(
        '--backend', default='auto', help='auto, tensorrt, tensorrt_rtx, openvino or torch'
    )
    parser.add_argument(
        '--image-topic',
        default='',
        metavar='TOPIC',
        help='camera topic that has to work (default: look at all there are)',
    )
    parser.add_argument(
        '--seconds',
        type=parse_seconds,
        default=3.0,
        help='how long to listen on the camera topics (default: 3)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the page as JSON too')


def run(arguments: argparse.Namespace) -> int:
    """Print the page section by section; see DESCRIPTION."""
    from seg_perception.commands.build_engine import require_writable
    from seg_perception.doctor.examine import ExamineConfig, examine
    from seg_perception.doctor.finding import find_exit_status
    from seg_perception.doctor.page import format_section, format_verdict, write_findings

    require_writable(None, arguments.json)
    config = ExamineConfig(
        arguments.model, arguments.backend, arguments.image_topic, arguments.seconds
    )
    findings = []
    for section in examine(config):
        print(format_section(section), end='\n\n', flush=True)
        findings += section
    print(format_verdict(findings))
    if arguments.json is not None:
        write_findings(findings, arguments.json)
    return find_exit_status(findings)
