# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Everything that wants an NVIDIA GPU, in commands of a few minutes that go on where they ended.

  outputs     logits and masks on the GPU against those on the CPU
  throughput  training crops per second at 360x480
  eager       the network as trained, PyTorch eager in half precision, image and logits on the GPU
  inference   the torch backend, camera bytes to logits in main memory (wants onnx)
  masks       the same to the mask in main memory, frames per second, eager in turns (GPU only)
  tests       test/engines/test_cuda_real.py (GPU only, wants pytest)
  frames      training frames of the sample drive, rendered on all cores
  training    config/training/segnext_t_street_gpu.yaml
  held out    a shorter run without the CamVid drive 0006R0, scored on that drive

DATA/camvid holds CamVid; frames and checkpoints go to DATA/sample_drive and the output folder.
Figures gather in OUT/gpu.json; a part that is there is not run again. Weights are copied to
OUT/segnext_t_street.safetensors after each command.

--device cpu rehearses every part in a few minutes, with tiny crops, batches and images and two
iterations a stage; its figures mean nothing. All that it makes, but the streets, is in
OUT/rehearsal.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import load_network
from seg_perception.training.config import TrainingConfig, load_config
from seg_perception.training.rendering import (
    FRAMES_PER_SEED,
    list_missing_streets,
    render_frames,
)
from seg_perception.training.trainer import BEST_NAME, LATEST_NAME, Trainer
from seg_perception.training.validation import ValidationScore

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / 'config' / 'training' / 'segnext_t_street_gpu.yaml'
MODEL = ROOT / 'models' / 'segnext_t_street' / 'model.onnx'
WEIGHTS = MODEL.with_name('weights.safetensors')
TESTS = ROOT / 'test' / 'engines' / 'test_cuda_real.py'
HELD_OUT_DRIVE = '0006R0'
STREETS = 400
LEAST_MINUTES = 0.5  # a training part with less time left waits for the next command
# (height, width) in px and calls of the inference parts; on a CPU these are a rehearsal.
INFERENCE_SIZES = {'cuda': ((512, 1024), (768, 1536), (1024, 2048)), 'cpu': ((128, 256),)}
INFERENCE_CALLS = {'cuda': 30, 'cpu': 3}
WARM_UP_CALLS = {'cuda': 5, 'cpu': 1}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='folder that holds camvid/')
    parser.add_argument('--out', type=Path, default=Path('out/gpu'))
    parser.add_argument('--minutes', type=float, default=9.0, help='of this command (default: 9)')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument(
        '--streets', type=int, help=f'sample streets to render (default: {STREETS}, on a CPU 2)'
    )
    parser.add_argument('--scale', type=float, default=1.0, help='of the recipe (1: as written)')
    arguments = parser.parse_args()
    if arguments.device == 'cpu':
        arguments.out /= 'rehearsal'
    if arguments.streets is None:
        arguments.streets = STREETS if arguments.device == 'cuda' else 2
    return arguments


class Ledger:
    """Figures by part, kept in a JSON file, so that a part is run once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figures: dict[str, Any] = {}
        if path.exists():
            self.figures = json.loads(path.read_text(encoding='utf-8'))

    def run(self, name: str, part: Callable[[], Any]) -> None:
        """Run a part unless its figures are there; None means it is not finished."""
        if name in self.figures:
            return
        figures = part()
        if figures is None:
            return
        print(f'{name}: {json.dumps(figures)}', flush=True)
        self.figures[name] = figures
        temporary = self.path.with_suffix('.tmp')
        temporary.write_text(json.dumps(self.figures, indent=2) + '\n', encoding='utf-8')
        os.replace(temporary, self.path)


def describe_machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    figures: dict[str, Any] = {'torch': torch.__version__, 'cores': os.cpu_count()}
    if torch.cuda.is_available():
        figures['gpu'] = torch.cuda.get_device_name()
        figures['compute_capability'] = '.'.join(map(str, torch.cuda.get_device_capability()))
    return figures


@torch.inference_mode()
def compare_outputs(device: str) -> dict[str, float]:
    """Compare the network's logits and masks on a device with float32 on the CPU."""
    network = load_network(WEIGHTS).eval()
    height, width = INFERENCE_SIZES['cpu'][0] if device == 'cpu' else (256, 512)
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = network(image)
    network.to(device)
    figures = {}
    for name in ('float32', 'float16', 'bfloat16'):
        reduced = name != 'float32'
        dtype = getattr(torch, name) if reduced else torch.bfloat16
        # TF32 is PyTorch's default in convolutions: 10 bits would not be float32
        with (
            torch.backends.cudnn.flags(allow_tf32=False),
            torch.autocast(device, dtype, enabled=reduced),
        ):
            found = network(image.to(device)).float().cpu()
        figures[f'{name}_max_difference'] = float((found - expected).abs().max())
        same = (found.argmax(1) == expected.argmax(1)).float().mean()
        figures[f'{name}_same_class'] = float(same)
    return figures


@torch.inference_mode()
def time_eager(device: str) -> dict[str, float]:
    """Time the network alone, batch 1; the image is on the device and the logits stay there."""
    network = load_network(WEIGHTS).eval().to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = torch.float16 if device == 'cuda' else torch.bfloat16
    figures = {}
    for height, width in INFERENCE_SIZES[device]:
        image = torch.randn(1, 3, height, width, device=device)
        image = image.contiguous(memory_format=torch.channels_last)

        def call(image: torch.Tensor = image) -> None:
            with torch.autocast(device, dtype):
                network(image)[0, 0, 0, 0].item()  # waits for the device

        name = f'eager_{str(dtype).removeprefix("torch.")}_{height}x{width}_ms'
        figures[name] = time_calls(call, device)
    return figures


def time_backend(device: str) -> dict[str, Any] | None:
    """Time the engine of the torch backend, camera bytes to logits, both in main memory.

    None where it cannot run here; the reason is printed.
    """
    figures: dict[str, Any] = {}
    try:
        from seg_perception.engines.select import EngineConfig, load_engine

        for height, width in INFERENCE_SIZES[device]:
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            config = EngineConfig(
                str(MODEL), 'torch', height_px=height, width_px=width, allow_fallback=False
            )
            engine = load_engine(config)
            name = f'torch_{engine.precision}_{height}x{width}_ms'
            figures[name] = time_calls(functools.partial(engine.infer, image, 'rgb'), device)
            figures['engine'] = engine.description
            engine.close()
    except (ImportError, UserError) as error:
        print_now(f'inference: the torch backend cannot be timed here: {error}')
        return None
    return figures


def time_masks() -> dict[str, Any] | None:
    """Time camera bytes to the mask, both in main memory, with PyTorch eager in turns.

    None where it cannot run here; the reason is printed.
    """
    try:
        from seg_perception.evaluation.benchmarks.benchmark_offline import (
            find_cuda_backend,
            measure_cuda,
        )

        backend, reason = find_cuda_backend(str(MODEL), 'auto', 'auto')
        if not backend:
            raise UserError(reason)
        generator = np.random.default_rng(0)
        images = [generator.integers(0, 256, (768, 1536, 3), np.uint8) for _ in range(4)]
        return measure_cuda(str(MODEL), backend, 'auto', images)[0]
    except (ImportError, UserError) as error:
        print_now(f'masks: no GPU backend can be timed here: {error}')
        return None


def run_tests() -> dict[str, Any]:
    """Run the tests that want a GPU; return the exit status and the last line."""
    command = [sys.executable, '-m', 'pytest', '-q', '--rootdir', str(ROOT), str(TESTS)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (found.stdout + found.stderr).strip().splitlines()
    return {'exit_status': found.returncode, 'summary': lines[-1] if lines else ''}


def time_calls(call: Callable[[], Any], device: str) -> float:
    """Return the median milliseconds of a call, after some to warm up."""
    times_ms = []
    for _ in range(INFERENCE_CALLS[device]):
        start = time.perf_counter()
        call()
        times_ms.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times_ms[WARM_UP_CALLS[device] :]))


def time_training(device: str, out: Path) -> dict[str, Any]:
    """Run benchmarks/training.py at the size of CamVid."""
    path = out / 'training_throughput.json'
    script = str(ROOT / 'benchmarks' / 'training.py')
    batch, threads, seconds = ('64', '10', '15') if device == 'cuda' else ('2', '1', '1')
    command = [sys.executable, script, '--device', device, '--crop', '360x480']
    command += ['--batch', batch, '--threads', threads, '--seconds', seconds]
    subprocess.run([*command, '--json', str(path)], check=True)
    return json.loads(path.read_text(encoding='utf-8'))


def render_streets(folder: Path, streets: int) -> dict[str, int]:
    """Render the training streets that are not there yet, one process per core."""
    jobs = [(folder, seed) for seed in list_missing_streets(folder, streets)]
    with multiprocessing.get_context('spawn').Pool() as pool:
        pool.starmap(render_frames, jobs, chunksize=1)
    return {'streets': streets, 'frames': streets * FRAMES_PER_SEED}


def rehearse(config: TrainingConfig, out: Path) -> TrainingConfig:
    """Make every part of a run so small that a CPU does it in a minute."""
    stages = tuple(
        dataclasses.replace(stage, iterations=2, crop_height_px=64, crop_width_px=96, batch_size=2)
        for stage in config.stages
    )
    datasets = tuple(
        dataclasses.replace(dataset, validation_step=20) for dataset in config.datasets
    )
    run = dataclasses.replace(
        config.run,
        output=str(out / 'training'),
        loader_threads=1,
        validation_height_px=128,
        validation_width_px=256,
    )
    return dataclasses.replace(config, stages=stages, datasets=datasets, run=run)


def shorten(config: TrainingConfig, scale: float) -> TrainingConfig:
    """Scale the iterations of every stage."""
    stages = tuple(
        dataclasses.replace(stage, iterations=max(1, round(stage.iterations * scale)))
        for stage in config.stages
    )
    return dataclasses.replace(config, stages=stages)


def hold_out_drive(config: TrainingConfig, drive: str) -> TrainingConfig:
    """Leave a CamVid drive out of training and score on it, in half the iterations."""
    camvid, *others = config.datasets
    kept = dataclasses.replace(camvid, exclude=drive)
    held_out = dataclasses.replace(
        camvid,
        name=f'camvid {drive}',
        train_split='',
        validation_split='train',
        only=drive,
    )
    run = dataclasses.replace(config.run, output=f'{config.run.output}_without_{drive}')
    shorter = shorten(config, 0.5)
    return dataclasses.replace(shorter, datasets=(kept, held_out, *others), run=run)


def train(config: TrainingConfig, device: str, minutes: float) -> dict[str, float] | None:
    """Train for the time that is left; returns the scores once the run is finished."""
    if minutes < LEAST_MINUTES:
        return None
    run = dataclasses.replace(config.run, device=device)
    trainer = Trainer(dataclasses.replace(config, run=run), print_now, minutes)
    trainer.resume()
    scores: list[ValidationScore] = trainer.run()
    if not trainer.is_finished:
        return None
    return {score.dataset: score.miou for score in scores}


def print_now(line: str) -> None:
    print(line, flush=True)


def copy_weights(run: Path, target: Path) -> None:
    """Copy the newest and the best weights of a run, where there are some."""
    for name, suffix in ((LATEST_NAME, ''), (BEST_NAME, '_best')):
        if (run / name).exists():
            shutil.copyfile(run / name, target.with_stem(target.stem + suffix))


def main() -> None:
    arguments = parse_arguments()
    start = time.monotonic()
    if arguments.device == 'cuda' and not torch.cuda.is_available():
        raise SystemExit('error: PyTorch finds no CUDA GPU here; --device cpu tries the script')
    os.environ['SEG_PERCEPTION_DATA'] = str(arguments.data.resolve())
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = arguments.device
    config = shorten(load_config(RECIPE), arguments.scale)
    if device == 'cpu':
        config = rehearse(config, arguments.out)
    ledger = Ledger(arguments.out / 'gpu.json')

    def left_min() -> float:
        # the last validation and the copies take some seconds
        return arguments.minutes - (time.monotonic() - start) / 60 - 0.5

    ledger.run('machine', describe_machine)
    ledger.run('outputs', lambda: compare_outputs(device))
    ledger.run('throughput', lambda: time_training(device, arguments.out))
    ledger.run('eager', lambda: time_eager(device))
    ledger.run('inference', lambda: time_backend(device))
    if device == 'cuda':
        ledger.run('masks', time_masks)
        ledger.run('tests', run_tests)
    frames = arguments.data / 'sample_drive' / 'train'
    ledger.run('frames', lambda: render_streets(frames, arguments.streets))
    ledger.run('training', lambda: train(config, device, left_min()))
    copy_weights(Path(config.run.output), arguments.out / 'segnext_t_street.safetensors')
    if 'training' in ledger.figures:
        held_out = hold_out_drive(config, HELD_OUT_DRIVE)
        ledger.run('held out', lambda: train(held_out, device, left_min()))
    parts = ['outputs', 'throughput', 'eager', 'inference', 'frames', 'training', 'held out']
    if device == 'cuda':
        parts += ['masks', 'tests']
    missing = [name for name in parts if name not in ledger.figures]
    print('all parts are done' if not missing else f'to do, run again: {", ".join(missing)}')


if __name__ == '__main__':
    main()
