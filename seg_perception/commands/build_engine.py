# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception build-engine`: a model file to a TensorRT engine, with or without a GPU."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seg_perception.commands.arguments import parse_size, require_packages
from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

if TYPE_CHECKING:
    from seg_perception.engines.base import CompileRequest
    from seg_perception.engines.build_watch import BuildWatch
    from seg_perception.engines.engine_cache import CachedEngine, EngineKey
    from seg_perception.engines.model_file import ModelFile
    from seg_perception.engines.tensorrt_backend import TensorRtBackend
    from seg_perception.engines.tensorrt_plan import PlanMaker

NAME = 'build-engine'
HELP = 'build a TensorRT engine of a model, also on a machine without a GPU'
DESCRIPTION = """\
Builds the engine that the node would build at its first start, and keeps it where the node finds
it: seg_perception/engines in $XDG_CACHE_HOME, by default in ~/.cache.

  seg_perception build-engine segnext_t_street                       for the GPU of this machine
  seg_perception build-engine segnext_t_street --target sm89         ahead of time, no GPU needed
  seg_perception build-engine street.onnx --target sm86,sm89,sm120 --size 512x1024 --out engines/

An engine is for one camera size, network size and channel order. Building for targets takes
TensorRT-RTX. To use an engine on another machine, copy its two files, .engine and .engine.json,
into the folder named above, of the user who runs the node there. Keep their names.
"""
PRECISIONS = {'fp16': 'f16', 'int8': 'int8', 'bf16': 'bf16', 'fp32': 'f32'}


def parse_targets(text: str) -> tuple[str, ...]:
    """Return the compute capabilities of a text such as sm86,sm89.

    Raises:
        argparse.ArgumentTypeError: something in it does not look like one.
    """
    targets = tuple(part.strip().lower() for part in text.split(','))
    for target in targets:
        if not re.fullmatch(r'sm\d{2,3}', target):
            raise argparse.ArgumentTypeError(
                f'{target!r} is no compute capability; expected such as sm89, or sm86,sm89,sm120'
            )
    return tuple(dict.fromkeys(targets))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', metavar='MODEL', help='name of a model, or an .onnx file')
    parser.add_argument(
        '--target',
        type=parse_targets,
        default=(),
        metavar='SM[,SM]',
        help='compute capabilities to build for, without such a GPU (default: the GPU here)',
    )
    parser.add_argument(
        '--precision', choices=tuple(PRECISIONS), default='fp16', help='default: fp16'
    )
    parser.add_argument(
        '--size',
        type=parse_size,
        default=(0, 0),
        metavar='HxW',
        help="size of the network's input, px (default: the model's own)",
    )
    parser.add_argument(
        '--camera',
        type=parse_size,
        metavar='HxW',
        help='size of the camera images, px (default: that of the network)',
    )
    parser.add_argument('--channel-order', choices=('rgb', 'bgr'), default='rgb')
    parser.add_argument(
        '--fit', default='', choices=('letterbox', 'stretch'), help="default: the model's own"
    )
    parser.add_argument(
        '--library',
        choices=('auto', 'tensorrt', 'tensorrt_rtx'),
        default='auto',
        help='default: tensorrt_rtx with --target, else the one for this GPU',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FOLDER',
        help='write the two files there, to be copied, and not into the cache',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write what was built as JSON')


def run(arguments: argparse.Namespace) -> int:
    """Build, or find built, and report."""
    from seg_perception.engines.base import CompileRequest
    from seg_perception.engines.model_file import load_model_file
    from seg_perception.resources import find_model

    require_packages('tensorrt-rtx', 'tqdm')
    logging.basicConfig(format='%(message)s', level=logging.WARNING)
    require_writable(arguments.out, arguments.json)
    model = load_model_file(find_model(arguments.model))
    contract = model.metadata.input.override(
        arguments.size[0], arguments.size[1], arguments.fit
    )
    camera = CompileRequest(
        arguments.camera or contract.network_hw,
        contract.network_hw,
        contract.fit,
        arguments.channel_order,
    )
    start_s = time.perf_counter()
    maker = make_maker(arguments, model, camera)
    with show_build() as watch:
        cached = find_or_build(maker, arguments.out, watch)
    report(maker.key, cached, time.perf_counter() - start_s, arguments.json)
    if (arguments.target or arguments.out) and cached.path is not None:
        print(
            f'for another machine, copy it and {cached.path.name}.json into '
            '~/.cache/seg_perception/engines of the user who runs the node there'
        )
    return 0


def find_or_build(maker: PlanMaker, folder: Path | None, watch: BuildWatch) -> CachedEngine:
    """Return the engine in a folder, or in the user's cache, built where it was not there.

    Raises:
        UserError: it cannot be built, or not be written into the folder.
    """
    if folder is None:
        return maker.find() or maker.get(watch)
    cache = maker.open_cache(folder)
    found = cache.find() or cache.get(lambda: maker.build(watch), watch)
    if found.path is None:
        raise UserError(found.problem)
    return found


def require_writable(folder: Path | None, file: Path | None) -> None:
    """Raise UserError for what cannot be written, before minutes of work."""
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'cannot make the folder {folder}: {error}') from error
    if file is not None and not file.absolute().parent.is_dir():
        raise UserError(f'cannot write {file}: there is no folder {file.absolute().parent}')
    if file is not None and file.is_dir():
        raise UserError(f'cannot write {file}: it is a folder; name a file')


def make_maker(
    arguments: argparse.Namespace, model: ModelFile, camera: CompileRequest
) -> PlanMaker:
    """Return what builds: for the targets, or else for the GPU of this machine.

    Raises:
        UserError: no such library or GPU, or a target or precision that it does not have.
    """
    from seg_perception.engines.tensorrt_build import load_library, require_targets
    from seg_perception.engines.tensorrt_plan import PlanMaker, PlanRequest

    precision = PRECISIONS[arguments.precision]
    if not arguments.target:
        return open_backend(arguments.library, model, precision).make_plan_maker(camera)
    name = 'tensorrt_rtx' if arguments.library == 'auto' else arguments.library
    library = load_library(name)
    require_targets(library, arguments.target)
    return PlanMaker(library, model, PlanRequest(camera, precision, arguments.target))


def open_backend(library: str, model: ModelFile, precision: str) -> TensorRtBackend:
    """Open the GPU of this machine with a library, the first that works for 'auto'."""
    from seg_perception.engines.contract import BackendUnavailableError
    from seg_perception.engines.tensorrt_backend import TensorRtBackend, TensorRtRtxBackend

    reasons = []
    for backend_class in (TensorRtBackend, TensorRtRtxBackend):
        if library in ('auto', backend_class.name):
            try:
                return backend_class(model, precision)
            except BackendUnavailableError as error:
                reasons.append(str(error))
    raise UserError(
        f'cannot build for the GPU of this machine: {"; ".join(dict.fromkeys(reasons))}; to build '
        'without one, name what to build for, such as --target sm86,sm89,sm120'
    )


def report(key: EngineKey, cached: CachedEngine, seconds: float, json_path: Path | None) -> None:
    """Print what was built, or found, and write it as JSON."""
    facts = cached.engine.facts
    values = {
        'seconds': round(seconds, 3),
        'bytes': len(cached.engine.plan),
        'inputs': facts['inputs'],
        'outputs': facts['outputs'],
        'key': key.digest,
        'from_cache': cached.is_hit,
        'path': str(cached.path) if cached.path else None,
        **dataclasses.asdict(key),
    }
    verb = 'found' if cached.is_hit else 'built'
    tensors = ', '.join(
        f'{tensor["name"]} {tensor["dtype"]} {"x".join(map(str, tensor["shape"]))}'
        for tensor in (*facts['inputs'], *facts['outputs'])
    )
    print(
        f'{verb} in {seconds:.1f} s: {key.library} {key.library_version}, {key.precision}, '
        f'{", ".join(key.compute_capabilities)}, {values["bytes"] / 1e6:.1f} MB; {tensors}'
    )
    print(cached.path or 'not kept: see the warning above')
    if json_path is not None:
        text = json.dumps(values, indent=2) + '\n'
        replace_file(json_path, lambda temporary: temporary.write_text(text, encoding='utf-8'))


@contextlib.contextmanager
def show_build() -> Iterator[BuildWatch]:
    """Show a bar over a build, on a terminal and not in a log."""
    from tqdm import tqdm

    from seg_perception.engines.build_watch import BuildWatch

    layout = '{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}'
    with tqdm(
        desc='building', total=100, bar_format=layout, disable=None, leave=False
    ) as bar:

        def show(phase: str, share: float) -> None:
            bar.n = 100 * share
            bar.set_postfix_str(phase)

        yield BuildWatch(show)
