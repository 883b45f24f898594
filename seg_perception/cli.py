# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The seg_perception command: one front door to bags, models, evaluation and the demo."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence

from seg_perception import __version__
from seg_perception.errors import UserError

# Explicit, so that --help has the order in which a newcomer meets them.
COMMAND_MODULES = (
    'demo',
    'doctor',
    'evaluate',
    'sweep',
    'compare',
    'evaluate_images',
    'bag',
    'models',
    'export',
    'build_engine',
    'calibrate',
    'quantize',
    'train',
    'benchmark',
)

DESCRIPTION = """\
Semantic segmentation for ROS 2 robots: try it, replay drives, score models.

first steps:
  seg_perception doctor                      what will work on this machine
  seg_perception demo                        the node on a rendered street, scored
  seg_perception demo --bag DRIVE            the same for your own bag
  seg_perception demo --video DRIVE.mp4      the same for a video file
  seg_perception evaluate DRIVE              mIoU of a labelled bag, without ROS
  ros2 launch seg_perception segnext.launch.py image_topic:=/camera/image_raw
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every subcommand; command modules are cheap to import."""
    parser = argparse.ArgumentParser(
        prog='seg_perception',
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'seg_perception {__version__}')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name in COMMAND_MODULES:
        module = importlib.import_module(f'seg_perception.commands.{name}')
        subparser = subparsers.add_parser(
            module.NAME,
            help=module.HELP,
            description=getattr(module, 'DESCRIPTION', module.HELP),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns 0 on success, 2 on a request that cannot be carried out (one line on stderr says
    why and how to fix it), 130 when interrupted, 141 when the reader of its output went away.
    """
    arguments = build_parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        # as an exception, so that a terminated demo stops its node and half-made files go
        signal.signal(signal.SIGTERM, raise_exit)
    try:
        status = int(arguments.run(arguments) or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, head say, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


def raise_exit(signal_number: int, frame: object) -> None:
    """End the process by way of SystemExit, with the shell's code for the signal."""
    raise SystemExit(128 + signal_number)


if __name__ == '__main__':
    sys.exit(main())
