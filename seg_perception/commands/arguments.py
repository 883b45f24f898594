# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Argument types and checks that several commands share."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.errors import UserError

if TYPE_CHECKING:
    from seg_perception.engines.engine import Engine
    from seg_perception.engines.select import EngineConfig
    from seg_perception.evaluation.images.labelled_split import SplitConfig
    from seg_perception.pipeline import SegmentationPipeline


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) in px of a text such as 512x1024.

    Raises:
        argparse.ArgumentTypeError: Not two positive whole numbers, or above 16384.
    """
    match = re.fullmatch(r'(\d{1,5})[xX](\d{1,5})', text)
    height_px, width_px = (int(part) for part in match.groups()) if match else (0, 0)
    if not (1 <= height_px <= 16384 and 1 <= width_px <= 16384):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no size; expected HEIGHTxWIDTH in px, such as 512x1024'
        )
    return height_px, width_px


def require_packages(extra: str, *modules: str) -> None:
    """Raise UserError when a module of an optional part of the installation is missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'this needs {", ".join(missing)}, not installed here; '
            f'pip install "seg_perception[{extra}]"'
        )


def show_progress(items: Iterable, name: str, total: int, unit: str) -> Iterable:
    """Wrap an iterable in a progress bar, which is drawn on a terminal and not into a log."""
    from tqdm import tqdm

    return tqdm(items, name, total, unit=unit, disable=None)


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which model runs and how; `load_pipeline` reads them."""
    parser.add_argument('--model', default='', help='name of a model, or an .onnx file')
    parser.add_argument(
        '--backend', default='auto', help='auto, tensorrt, tensorrt_rtx, openvino or torch'
    )
    parser.add_argument('--precision', default='auto', help='auto, f32, bf16, f16 or int8')
    parser.add_argument(
        '--input-size',
        type=parse_size,
        default=(0, 0),
        metavar='HxW',
        help="size of the network's input, px (default: the model's own)",
    )
    parser.add_argument(
        '--fit', default='', choices=('letterbox', 'stretch'), help="default: the model's own"
    )
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (default: all)')


def make_engine_config(arguments: argparse.Namespace) -> EngineConfig:
    """Return the engine of `add_engine_arguments`; raises UserError for an unknown model."""
    from seg_perception.engines.select import EngineConfig
    from seg_perception.resources import find_model

    return EngineConfig(
        model_path=str(find_model(arguments.model).absolute()),
        backend=arguments.backend,
        precision=arguments.precision,
        height_px=arguments.input_size[0],
        width_px=arguments.input_size[1],
        fit=arguments.fit,
        threads=arguments.threads,
    )


def load_pipeline(arguments: argparse.Namespace) -> tuple[Path, SegmentationPipeline]:
    """Return the model's file and the chain that runs it, of `add_engine_arguments`.

    Raises:
        UserError: No such model, or it cannot be run here.
    """
    from seg_perception.engines.select import load_engine
    from seg_perception.pipeline import SegmentationPipeline

    config = make_engine_config(arguments)
    return Path(config.model_path), SegmentationPipeline(load_engine(config))


def open_chain(
    config: EngineConfig, parameters: Mapping[str, Any] | None = None
) -> tuple[SegmentationPipeline, dict[str, Any]]:
    """Return the chain of an engine, and as JSON values what it is; raises UserError.

    Instances of a panoptic model are made and followed as the node does with these parameters.
    """
    from seg_perception.engines.select import load_engine
    from seg_perception.evaluation.drives.node_config import read_instance_configs
    from seg_perception.pipeline import SegmentationPipeline

    merge, tracks = read_instance_configs(parameters or {})
    engine = load_engine(config)
    facts = describe_engine(Path(config.model_path), engine)
    if engine.metadata.is_panoptic:
        facts['merge'] = asdict(merge)
        facts['tracks'] = None if tracks is None else asdict(tracks)
    return SegmentationPipeline(engine, merge, tracks), facts


def describe_engine(model_path: Path, engine: Engine) -> dict[str, Any]:
    """Return as JSON values which model ran, and how."""
    from seg_perception.model_zoo.verify import compute_sha256

    return {
        'model': str(model_path),
        'model_sha256': compute_sha256(model_path),
        'model_label_space': engine.metadata.label_space.name,
        'temperature': engine.metadata.temperature,
        'input_size': list(engine.input.network_hw),
        'fit': engine.input.fit,
        'backend': engine.backend_name,
        'precision': engine.precision,
    }


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which labelled images are read; `make_split_config` reads them."""
    parser.add_argument(
        '--layout', required=True, help='camvid, cityscapes or frames'
    )
    parser.add_argument('--root', type=Path, required=True, help='folder of the data set')
    parser.add_argument('--split', required=True, help='such as train or val')
    parser.add_argument(
        '--label-space',
        default='',
        metavar='NAME',
        help='camvid, cityscapes, ade20k or a YAML file (default: that of the layout)',
    )
    parser.add_argument('--limit', type=int, default=0, help='use only the first N images')


def make_split_config(arguments: argparse.Namespace) -> SplitConfig:
    """Return the labelled images of `add_split_arguments`; raises UserError."""
    from seg_perception.evaluation.images.labelled_split import SplitConfig

    return SplitConfig(
        layout=arguments.layout,
        root=arguments.root,
        split=arguments.split,
        label_space=arguments.label_space,
        limit=arguments.limit,
    )
