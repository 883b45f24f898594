# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: the running node over DDS against the bare engine and plain PyTorch, in turns.

  e2e    from publish() in a second process to the callback of the mask there; node in a process
         of its own, shipped transport profile, mask and confidence subscribed, no overlay
  bare   the same compiled graph and threads alone, node inactive, camera publisher running
  cameras  one node with four: one image, and one of each at once, in turns; then four times as
           many as it can take
  eager  PyTorch f32 NCHW, the network as trained (not folded): normalise, forward, upsample to
         the size of the camera, argmax

The camera of these is slow enough that no frame is overtaken: they are about latency. Throughput
is measured with a camera that always has the next image ready, freshness with one that is four
times as fast as the node.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg_perception.engines.contract import ModelMetadata
from seg_perception.engines.engine import Engine
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.evaluation.benchmarks.benchmark_figures import (
    BENCHMARK_FORMAT,
    Figures,
    RoundFigures,
    summarize_overload,
    summarize_rounds,
    summarize_stages,
    summarize_subscribers,
    summarize_unthrottled,
    summarize_use,
)
from seg_perception.evaluation.benchmarks.benchmark_offline import (
    DECODE_HW,
    find_cuda_backend,
    measure_cuda,
    measure_decode,
)
from seg_perception.evaluation.benchmarks.benchmark_samples import DEFAULT_PARTS
from seg_perception.evaluation.machine import count_cores, describe_machine
from seg_perception.ros.benchmark_camera import CameraTask, run_task
from seg_perception.ros.benchmark_cameras import (
    MODULE,
    NAMES,
    RigReport,
    RigTask,
    summarize_rig,
)
from seg_perception.ros.benchmark_panoptic import measure_merge, summarize_panoptic
from seg_perception.ros.benchmark_rounds import DriveImages, RoundRunner
from seg_perception.ros.lifecycle_client import LifecycleClient
from seg_perception.ros.node_process import NodeProcess

LARGE_CAMERA_HW = (1024, 2048)
START_TIMEOUT_S = 300.0
CAMERAS_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured.

    Attributes:
        model_path: the model file.
        size_hw: (height, width) of the network's input, px.
        camera_hw: (height, width) of the camera, px; None for that of the network.
        backend: as the node's parameter model.backend.
        precision: as model.precision.
        threads: as model.threads; the reference chain uses as many, 0 for all cores.
        rounds: how often all are measured, in turns.
        frames: images per round.
        eager_frames: images per round for the reference chain, which is slow.
        parts: of benchmark_samples.PARTS.

    """

    model_path: str
    size_hw: tuple[int, int] = (512, 1024)
    camera_hw: tuple[int, int] | None = None
    backend: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    rounds: int = 4
    frames: int = 40
    eager_frames: int = 4
    parts: tuple[str, ...] = DEFAULT_PARTS


def name_run(config: BenchmarkConfig, metadata: ModelMetadata) -> dict[str, str]:
    """Return what has to agree for two runs to be comparable."""
    return {
        'size': '{}x{}'.format(*config.size_hw),
        'camera': '{}x{}'.format(*(config.camera_hw or config.size_hw)),
        'model': metadata.name or Path(config.model_path).name,
    }


def run_benchmark(config: BenchmarkConfig, say: Callable[[str], None]) -> Figures:
    """Measure everything and return the figures, as JSON values.

    Args:
        config: what to measure.
        say: called with a line per round.

    Raises:
        UserError: the node does not start, or no mask comes back.

    """
    # away from a robot's own topics
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix='seg_perception_benchmark_') as folder:
        benchmark = Benchmark(config, DriveImages(Path(folder)), say)
        benchmark.measure_node()
        if 'cameras' in config.parts:
            benchmark.measure_cameras()
        if 'decode' in config.parts:
            benchmark.measure_decode()
        if 'cuda' in config.parts:
            benchmark.measure_cuda()
    return {
        'benchmark_format': BENCHMARK_FORMAT,
        **benchmark.figures,
        'rounds': benchmark.by_round,
        'notes': benchmark.notes,
        'machine': machine,
    }


class Benchmark:
    """One run of all parts; what they find gathers in its attributes.

    Attributes:
        figures: by name.
        by_round: medians by round, under the same names.
        notes: what was not measured and why, one line each.

    """

    def __init__(
        self, config: BenchmarkConfig, images: DriveImages, say: Callable[[str], None]
    ) -> None:
        self.figures: Figures = {}
        self.by_round: RoundFigures = {}
        self.notes: list[str] = []
        self._config = config
        self._images = images
        self._say = say
        self._camera_hw = config.camera_hw or config.size_hw

    def measure_node(self) -> None:
        """Measure the running node, with the bare engine and the reference chain in turns."""
        config = self._config
        engine = load_engine(
            EngineConfig(
                model_path=config.model_path,
                backend=config.backend,
                precision=config.precision,
                height_px=config.size_hw[0],
                width_px=config.size_hw[1],
                threads=config.threads,
            )
        )
        namespace = f'/seg_perception_benchmark_{os.getpid()}'
        topic = f'{namespace}/image'
        try:
            # first here, so that the node finds an engine that takes minutes to build
            engine.prepare(self._camera_hw, 'rgb')
            with NodeProcess(self._list_parameters(), {'image': topic}, namespace) as node:
                self._say('starting the node')
                node.wait_active(START_TIMEOUT_S)
                with LifecycleClient(node.node_name) as client:
                    runner = RoundRunner(
                        client=client,
                        engine=engine,
                        eager=self._make_eager_chain(engine),
                        images=self._images,
                        task=CameraTask(
                            image_topic=topic,
                            node_name=node.node_name,
                            node_pid=node.pid,
                            frames=config.frames,
                        ),
                        rounds=config.rounds,
                        eager_frames=config.eager_frames,
                        say=self._say,
                    )
                    self._run_rounds(runner)
        finally:
            engine.close()

    def measure_cameras(self) -> None:
        """Measure a node of its own with several cameras."""
        config = self._config
        self._say(f'{len(NAMES)} cameras')
        namespace = f'/seg_perception_benchmark_{os.getpid()}_cameras'
        parameters = {**self._list_parameters(), 'cameras': list(NAMES)}
        with NodeProcess(parameters, namespace=namespace) as node:
            node.wait_active(START_TIMEOUT_S)
            task = RigTask(
                namespace=namespace,
                node_name=node.node_name,
                images=str(self._images.save(self._camera_hw)),
                sets=config.rounds * config.frames // len(NAMES),
                overload_masks=config.rounds * config.frames,
            )
            report = RigReport(**run_task(task, CAMERAS_TIMEOUT_S, MODULE))
        self._add(*summarize_rig(report))

    def measure_decode(self) -> None:
        """Measure the decode of the model's own logits, full size."""
        self._say('decode, {}x{}'.format(*DECODE_HW))
        images = list(self._images.render(DECODE_HW))
        with_pytorch = 'eager_p50_ms' in self.figures
        self._add(*measure_decode(self._config.model_path, images, with_pytorch))

    def measure_cuda(self) -> None:
        """Measure the way from camera bytes to the mask on a GPU, or note why there is none."""
        config = self._config
        backend, reason = find_cuda_backend(config.model_path, config.backend, config.precision)
        if not backend:
            self.notes.append(f'nothing was measured on CUDA: {reason}')
            return
        self._say(f'GPU, backend {backend}')
        images = list(self._images.render(LARGE_CAMERA_HW))
        self._add(*measure_cuda(config.model_path, backend, config.precision, images))

    def _run_rounds(self, runner: RoundRunner) -> None:
        parts = self._config.parts
        has_overload = 'overload' in parts
        rounds, rate_hz = runner.run(self._camera_hw, 'fps' in parts or has_overload, has_overload)
        self._describe(runner.engine, rate_hz)
        node_backend = rounds[-1].e2e.node.get('backend', '')
        if node_backend != runner.engine.backend_name:
            self.notes.append(
                f'the node ran on {node_backend}, the bare engine on '
                f'{runner.engine.backend_name}: their ratio says nothing'
            )
        self._add(*summarize_rounds(rounds))
        self.figures['p95_ms'] = self.figures['e2e_p95_ms']
        self.figures['p99_ms'] = self.figures['e2e_p99_ms']
        self._add(*summarize_stages(rounds))
        self._add(*summarize_use([entry.e2e for entry in rounds]))
        unthrottled = [entry.unthrottled for entry in rounds if entry.unthrottled]
        if unthrottled:
            self._add(*summarize_unthrottled(unthrottled))
        overload = [entry.overload for entry in rounds if entry.overload]
        if overload:
            self._add(*summarize_overload(overload, self.by_round['node_inference_p50_ms']))
        if 'subscribers' in parts:
            reports = runner.compare_subscribers(self._camera_hw, rate_hz)
            self._add(*summarize_subscribers(reports))
        if 'panoptic' in parts and runner.engine.metadata.is_panoptic:
            self._add(*summarize_panoptic(runner.run_panoptic(self._camera_hw, rate_hz)))
            self._add(*measure_merge())
        if 'large-camera' in parts:
            self._measure_large_camera(runner)

    def _measure_large_camera(self, runner: RoundRunner) -> None:
        """Measure with a camera that is larger than the network's input, as most are."""
        suffix = '_camera_{}x{}'.format(*LARGE_CAMERA_HW)
        if self._camera_hw == LARGE_CAMERA_HW:
            for name in ('eager_vs_e2e', 'e2e_vs_bare'):
                if name in self.figures:
                    self.figures[name + suffix] = self.figures[name]
                    self.by_round[name + suffix] = self.by_round[name]
            return
        self._say('camera {}x{}'.format(*LARGE_CAMERA_HW))
        rounds, _ = runner.run(LARGE_CAMERA_HW, with_throughput=False, with_overload=False)
        self._add(*summarize_rounds(rounds, suffix))

    def _list_parameters(self) -> dict[str, Any]:
        config = self._config
        return {
            'model.path': config.model_path,
            'model.backend': config.backend,
            'model.precision': config.precision,
            'model.threads': config.threads,
            'model.build_in_background': False,
            'input.height': config.size_hw[0],
            'input.width': config.size_hw[1],
            'camera.height': self._camera_hw[0],
            'camera.width': self._camera_hw[1],
            'diagnostics.period_s': 0.5,
        }

    def _make_eager_chain(self, engine: Engine) -> Any:
        if 'eager' not in self._config.parts:
            return None
        try:
            from seg_perception.networks.eager import EagerChain
        except ImportError as error:
            self.notes.append(f'no reference chain: PyTorch is not installed ({error})')
            return None
        threads = self._config.threads or count_cores()
        return EagerChain(engine.metadata, self._config.size_hw, threads=threads)

    def _describe(self, engine: Engine, rate_hz: float) -> None:
        self.figures |= {
            **name_run(self._config, engine.metadata),
            'engine': engine.description,
            'backend': engine.backend_name,
            'precision': engine.precision,
            'threads': engine.threads,
            'camera_rate_hz': rate_hz,
        }

    def _add(self, figures: Figures, by_round: RoundFigures) -> None:
        self.figures |= figures
        self.by_round |= by_round
