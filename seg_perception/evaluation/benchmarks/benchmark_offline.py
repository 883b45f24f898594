# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Parts of a benchmark that need no node: full-size decode, and the network on a CUDA GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from seg_perception.engines.contract import EngineError
from seg_perception.engines.engine import Engine
from seg_perception.engines.select import BACKENDS, EngineConfig, load_engine
from seg_perception.evaluation.benchmarks.benchmark_figures import (
    ROUNDS_OF_TURNS,
    Figures,
    RoundFigures,
    add_ratio,
    summarize_turns,
)
from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.frame import Frame
from seg_perception.pipeline import SegmentationPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the mask is as large as in the published figures of this decode.
DECODE_HW = (1024, 2048)
DECODE_TURNS = 15
SLOW_DECODE_TURNS = 2
CUDA_SIZES_HW = ((768, 1536), (1024, 2048))
CUDA_TURNS = 100
CUDA_WARM_UP = 10
CPU_BACKENDS = ('openvino',)


def time_in_turns(
    calls: Mapping[str, Callable[[], object]], turns: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call all in turns, so that other load meets all alike; return the times of each in ms."""
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-warm_up, turns):
        for name, call in calls.items():
            start_s = time.perf_counter()
            call()
            if turn >= 0:
                times_ms[name].append((time.perf_counter() - start_s) * 1e3)
    return times_ms


def measure_decode(
    model_path: str, images: Sequence[np.ndarray], with_pytorch: bool
) -> tuple[Figures, RoundFigures]:
    """Time the decode of the model's own float32 logits at the images' size, full size.

    Args:
        model_path: the model file.
        images: (H, W, 3) uint8 RGB, all of one size, also the network's input.
        with_pytorch: time PyTorch's interpolate and argmax too.

    """
    camera_hw = images[0].shape[:2]
    with open_engine(model_path, 'auto', 'f32', camera_hw) as engine:
        frames = [engine.infer(image, 'rgb').copy() for image in images]
        grid, classes = engine.sampling_grid(camera_hw), engine.metadata.label_space.num_classes
    decoder = MaskDecoder(grid, classes)
    mask, confidence = np.empty(camera_hw, np.uint8), np.empty(camera_hw, np.uint8)
    calls = {
        'decode': alternate(lambda logits: decoder.decode(logits, mask), frames),
        'decode_confidence': alternate(
            lambda logits: decoder.decode(logits, mask, confidence), frames
        ),
    }
    slow: dict[str, Callable[[], object]] = {}
    if with_pytorch:
        from seg_perception.networks.eager import decide_with_pytorch

        slow['torch'] = alternate(lambda logits: decide_with_pytorch(logits, camera_hw), frames)
    times_ms: dict[str, list[float]] = {name: [] for name in (*calls, *slow)}
    for _ in range(ROUNDS_OF_TURNS):
        found_ms = time_in_turns(calls, DECODE_TURNS) | time_in_turns(slow, SLOW_DECODE_TURNS)
        for name, values in found_ms.items():
            times_ms[name] += values
    figures, by_round = summarize_turns(times_ms)
    if with_pytorch:
        add_ratio(figures, by_round, 'decode_vs_torch', 'torch_ms', 'decode_ms')
    return figures, by_round


def measure_cuda(
    model_path: str, backend: str, precision: str, images: Sequence[np.ndarray]
) -> tuple[Figures, RoundFigures]:
    """Time camera bytes in host memory to the mask in host memory on the GPU, one at a time.

    PyTorch eager on the same GPU takes turns where PyTorch has CUDA.

    Args:
        model_path: the model file.
        backend: a GPU backend, see `find_cuda_backend`.
        precision: of the backend.
        images: (H, W, 3) uint8 RGB; resized to each of CUDA_SIZES_HW.

    """
    figures: Figures = {}
    by_round: RoundFigures = {}
    for size_hw in CUDA_SIZES_HW:
        name = '{}x{}'.format(*size_hw)
        frames = [make_frame(image, size_hw) for image in images]
        with open_engine(model_path, backend, precision, size_hw) as engine:
            calls = make_cuda_calls(engine, size_hw, frames)
            times_ms = time_in_turns(calls, CUDA_TURNS, CUDA_WARM_UP)
            figures['cuda_engine'] = engine.description
        found, found_by_round = summarize_turns(
            {f'{call}_{name}': values for call, values in times_ms.items()}
        )
        figures |= found
        by_round |= found_by_round
        figures[f'cuda_fps_{name}'] = 1e3 / figures[f'cuda_{name}_ms']
        by_round[f'cuda_fps_{name}'] = [1e3 / value for value in by_round[f'cuda_{name}_ms']]
        if 'cuda_eager' in calls:
            ratio = f'cuda_vs_eager_{name}'
            add_ratio(figures, by_round, ratio, f'cuda_eager_{name}_ms', f'cuda_{name}_ms')
    ratios = [f'cuda_vs_eager_{height}x{width}' for height, width in CUDA_SIZES_HW]
    if all(ratio in figures for ratio in ratios):
        worst = min(ratios, key=lambda ratio: figures[ratio])
        figures['cuda_vs_eager'], by_round['cuda_vs_eager'] = figures[worst], by_round[worst]
    return figures, by_round


def find_cuda_backend(model_path: str, backend: str, precision: str) -> tuple[str, str]:
    """Return the first GPU backend that loads, and ''; or '' and why there is none."""
    names = [name for name in BACKENDS if name not in CPU_BACKENDS]
    backends_by_reason: dict[str, list[str]] = {}
    for name in names if backend == 'auto' else [backend] if backend in names else []:
        config = EngineConfig(
            model_path=model_path, backend=name, precision=precision, allow_fallback=False
        )
        try:
            engine = load_engine(config)
        except EngineError as error:
            # without the advice to allow a fallback
            reason = str(error.__cause__ or error)
        else:
            threads = engine.threads
            engine.close()
            if threads == 0:
                return name, ''
            reason = 'computes on the CPU here'
        backends_by_reason.setdefault(reason, []).append(name)
    reasons = [f'{", ".join(names)}: {reason}' for reason, names in backends_by_reason.items()]
    return '', '; '.join(reasons) or f'{backend} is no GPU backend'


@contextmanager
def open_engine(
    model_path: str, backend: str, precision: str, size_hw: tuple[int, int]
) -> Iterator[Engine]:
    """Load an engine for cameras of the network's size and close it in the end."""
    engine = load_engine(
        EngineConfig(
            model_path=model_path,
            backend=backend,
            precision=precision,
            height_px=size_hw[0],
            width_px=size_hw[1],
            fit='stretch',
        )
    )
    try:
        yield engine
    finally:
        engine.close()


def make_frame(image: np.ndarray, size_hw: tuple[int, int]) -> Frame:
    """Return an image at another size as the frame of a camera."""
    if image.shape[:2] != size_hw:
        image = np.asarray(cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA))
    return Frame(image, 'rgb', 1, 'camera', SimpleNamespace())


def alternate(call: Callable[[Any], object], items: Sequence[Any]) -> Callable[[], object]:
    """Return a function that calls with the next of the items each time."""
    index = 0

    def call_next() -> object:
        nonlocal index
        index = (index + 1) % len(items)
        return call(items[index])

    return call_next


def make_cuda_calls(
    engine: Engine, size_hw: tuple[int, int], frames: Sequence[Frame]
) -> dict[str, Callable[[], object]]:
    """Return what is timed on a GPU: the chain, and PyTorch's where it has CUDA too."""
    pipeline = SegmentationPipeline(engine)
    pipeline.warm_up(size_hw)
    mask = np.empty(size_hw, np.uint8)
    calls = {'cuda': alternate(lambda frame: pipeline.process(frame, mask), frames)}
    try:
        from seg_perception.networks.eager import EagerChain, describe_cuda
    except ImportError:
        return calls
    if describe_cuda():
        chain = EagerChain(engine.metadata, size_hw, 'cuda')
        calls['cuda_eager'] = alternate(chain.segment, [frame.image for frame in frames])
    return calls
