# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception benchmark`: how fast the node is here, stage by stage and end to end."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from seg_perception.commands.arguments import parse_size
from seg_perception.errors import UserError
from seg_perception.evaluation.benchmarks.benchmark_samples import DEFAULT_PARTS, PARTS

NAME = 'benchmark'
HELP = 'time the running node, stage by stage and end to end'
DESCRIPTION = """\
Starts the segmentation node as a process of its own, sends it camera images over DDS from a second
process, and times the masks that come back. In turns with it, in the same run:

  bare engine    the same engine alone, as a lower bound
  PyTorch eager  float32, resize, normalise, forward, upsample, argmax: what one would write first

  seg_perception benchmark --size 512x1024 --json new.json --plot new.png
  seg_perception benchmark --size 512x1024 --compare old.json

End to end is from publish() of the camera image to the callback of the mask. The parts are:

  eager         PyTorch eager on the CPU (needs torch)
  fps           masks per second when the next image always waits
  overload      age of the masks when the camera is four times as fast as the node
  large-camera  end to end with a camera of 1024x2048
  decode        logits to a 1024x2048 mask
  cuda          camera bytes to mask on a GPU, at 768x1536 and 1024x2048
  panoptic      of a panoptic model: end to end to ~/panoptic, merge of 60 instances
  subscribers   mask alone, with confidence, with overlay (not by default)
  cameras       one node with four cameras: what a set costs, ages and shares at overload (not by
                default)

--compare exits with 1 when a figure is worse than in the old run by more than 5 % and by more than
it varied between the rounds. Let nothing else run meanwhile. With the defaults it takes about
five minutes on two cores.
"""


def parse_parts(text: str) -> tuple[str, ...]:
    """Return the parts of a text such as eager,fps; '' and 'none' are none.

    Raises:
        argparse.ArgumentTypeError: a part that there is not.

    """
    parts = tuple(part for part in text.split(',') if part not in ('', 'none'))
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(
                f'{part!r} is no part; expected some of {",".join(PARTS)}, or none'
            )
    return parts


def parse_count(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: anything else.

    """
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number of at least 1')
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        'model', metavar='MODEL', nargs='?', default='', help='name of a model, or an .onnx file'
    )
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(512, 1024),
        metavar='HxW',
        help="size of the network's input, px (default: 512x1024)",
    )
    parser.add_argument(
        '--camera',
        type=parse_size,
        metavar='HxW',
        help='size of the camera images, px (default: that of the network)',
    )
    parser.add_argument(
        '--backend', default='auto', help='auto, tensorrt, tensorrt_rtx, openvino or torch'
    )
    parser.add_argument('--precision', default='auto', help='as the parameter model.precision')
    parser.add_argument(
        '--threads', type=int, default=0, help='CPU threads, of PyTorch eager too (default: all)'
    )
    parser.add_argument('--rounds', type=parse_count, default=4, help='default: 4')
    parser.add_argument(
        '--frames', type=parse_count, default=40, help='images per round (default: 40)'
    )
    parser.add_argument(
        '--eager-frames',
        type=parse_count,
        default=4,
        help='images per round for PyTorch eager (default: 4)',
    )
    parser.add_argument(
        '--parts',
        type=parse_parts,
        default=DEFAULT_PARTS,
        metavar='PART[,PART]',
        help='what to measure besides node and bare engine, see above; none for nothing',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='draw the figures here')
    parser.add_argument(
        '--compare',
        type=Path,
        metavar='OLD.json',
        help='compare with the figures of an earlier run; exit with 1 when some are worse',
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, report, compare."""
    if importlib.util.find_spec('rclpy') is None:
        raise UserError(
            'the benchmark runs the node and needs ROS 2 (rclpy), which is not there; source a '
            'ROS 2 installation'
        )
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.evaluation.benchmarks.benchmark_comparison import (
        compare_figures,
        format_comparison,
        load_figures,
        require_comparable,
    )
    from seg_perception.evaluation.benchmarks.benchmark_plot import write_benchmark_plot
    from seg_perception.evaluation.benchmarks.benchmark_table import format_benchmark
    from seg_perception.evaluation.reports.pictures import require_picture_name
    from seg_perception.evaluation.reports.report import write_json
    from seg_perception.resources import find_model
    from seg_perception.ros.benchmark import BenchmarkConfig, name_run, run_benchmark

    # all that can be wrong is said before minutes of work
    for path in (arguments.json, arguments.plot):
        require_writable(path)
    if arguments.plot is not None:
        require_picture_name(arguments.plot)
    model_path = find_model(arguments.model)
    config = BenchmarkConfig(
        model_path=str(model_path),
        size_hw=arguments.size,
        camera_hw=arguments.camera,
        backend=arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        rounds=arguments.rounds,
        frames=arguments.frames,
        eager_frames=arguments.eager_frames,
        parts=arguments.parts,
    )
    old = None
    if arguments.compare is not None:
        old = load_figures(arguments.compare)
        identity = name_run(config, load_model_file(model_path).metadata)
        require_comparable(arguments.compare, old, identity)
    figures = run_benchmark(config, lambda line: print(line, flush=True))
    print(format_benchmark(figures))
    if arguments.json is not None:
        write_json(arguments.json, figures)
        print(f'wrote {arguments.json}')
    if arguments.plot is not None:
        write_benchmark_plot(arguments.plot, figures)
        print(f'wrote {arguments.plot}')
    if old is None:
        return 0
    comparison = compare_figures(figures, old)
    print(f'compared with {arguments.compare}:')
    print(format_comparison(comparison))
    return 1 if comparison.regressions else 0


def require_writable(path: Path | None) -> None:
    """Raise UserError for a file that cannot be written where it is to be."""
    if path is None:
        return
    if path.is_dir():
        raise UserError(f'cannot write {path}: it is a folder; name a file')
    if not path.absolute().parent.is_dir():
        raise UserError(f'cannot write {path}: there is no folder {path.absolute().parent}')
