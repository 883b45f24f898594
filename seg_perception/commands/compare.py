# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception compare`: is evaluation B worse than A, beyond chance."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = 'compare'
HELP = 'tell whether one evaluation is worse than another, beyond chance'
DESCRIPTION = """\
Reads two files of `seg_perception evaluate BAG --json FILE` over the same recordings and shows
B - A of every figure, with 95 % intervals.

  seg_perception compare before.json after.json
  seg_perception compare before.json after.json --threshold 1 --json difference.json

Frames of equal recording and stamp are compared. For the intervals, blocks of 1 s of consecutive
frames are drawn at random 2000 times, the same for both: neighbouring frames show nearly the same
and are no independent evidence. With less than 8 s in common the intervals are rough, with less
than 4 s the blocks are shorter too.

exit status:
  0  no regression
  1  mIoU, pixel accuracy, boundary F or PQ is worse by more than --threshold points, or a
     latency by more than --latency-threshold percent, and the interval of the difference
     excludes zero
  2  the files cannot be compared: damaged, other label spaces, no frame in common

In a CI job, keep the file of the last release and let the job fail on 1:

  seg_perception evaluate bags/street --json new.json
  seg_perception compare release.json new.json

Latencies are judged where both were measured on the same processor in the same mode.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('a', metavar='A.json', type=Path, help='the evaluation to compare with')
    parser.add_argument('b', metavar='B.json', type=Path, help='the evaluation to judge')
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        metavar='POINTS',
        help='how much worse a score may be, in points of 100 (default: 0.5)',
    )
    parser.add_argument(
        '--latency-threshold',
        type=float,
        default=10.0,
        metavar='PERCENT',
        help='how much longer a latency may be (default: 10)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the differences here too')


def run(arguments: argparse.Namespace) -> int:
    """Compare, print, and return 1 on a regression."""
    from seg_perception.evaluation.drives.compare import Limits, compare_results
    from seg_perception.evaluation.drives.saved_result import load_result
    from seg_perception.evaluation.reports.comparison_table import format_comparison

    limits = Limits(arguments.threshold, arguments.latency_threshold)
    comparison = compare_results(load_result(arguments.a), load_result(arguments.b), limits)
    print(format_comparison(comparison))
    if arguments.json is not None:
        from seg_perception.evaluation.reports.report import write_json

        write_json(arguments.json, comparison.to_json())
        print(f'wrote {arguments.json}')
    return 1 if comparison.regressions else 0
