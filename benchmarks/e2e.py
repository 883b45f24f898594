# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Time camera message to mask message through the running node, over DDS, against two others.

  e2e    from publish() in a second process to the callback of the mask there; node in a process
         of its own, shipped transport profile, mask and confidence subscribed, no overlay
  bare   the same compiled graph and threads alone, node inactive, camera publisher running
  eager  PyTorch f32 NCHW, 2 threads, the network as trained (not folded): normalise, forward,
         upsample to the size of the camera, argmax

All three are taken in turns in one run; camera size = network size. The camera is slow enough
that no frame is overtaken: what is measured is latency, not throughput.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.commands.arguments import parse_size
from seg_perception.engines.engine import Engine
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.evaluation.report import write_json
from seg_perception.resources import find_model

TOPIC = '/seg_perception_benchmark/image'
NAMESPACE = '/seg_perception_benchmark'
DRIVE_SEED = 4242
DRIVE_FRAMES = 4
MAX_RATE_HZ = 10.0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=parse_size, default=(512, 1024), metavar='HxW')
    parser.add_argument('--model', default='', help='shipped model name or .onnx file')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--rounds', type=int, default=4)
    parser.add_argument('--frames', type=int, default=40, help='per round')
    parser.add_argument('--eager-frames', type=int, default=4, help='per round; 0: no eager')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    parser.add_argument('--role', default='main', help=argparse.SUPPRESS)
    parser.add_argument('--rate', type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument('--images', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def render_images(size_px: tuple[int, int]) -> np.ndarray:
    """Return (N, H, W, 3) uint8 frames of a sample drive."""
    from seg_perception.sample.drive import SampleDrive

    drive = SampleDrive(DRIVE_SEED, DRIVE_FRAMES, *size_px)
    return np.stack([drive.render(index).image for index in range(DRIVE_FRAMES)])


def make_messages(images: np.ndarray, count: int, rate_hz: float) -> Iterator[tuple[int, Any]]:
    """Yield (time in ns, sensor_msgs/Image) as a camera of this rate would send them."""
    from sensor_msgs.msg import Image

    messages = []
    for image in images:
        height_px, width_px = image.shape[:2]
        message = Image(height=height_px, width=width_px, step=3 * width_px, encoding='rgb8')
        message.header.frame_id = 'camera_optical_frame'
        message.data.frombytes(memoryview(image).cast('B'))
        messages.append(message)
    first_ns = time.time_ns()
    for index in range(count):
        offset_ns = int(index * 1e9 / rate_hz)
        stamp = messages[index % len(messages)].header.stamp
        stamp.sec, stamp.nanosec = divmod(first_ns + offset_ns, 10**9)
        yield offset_ns, messages[index % len(messages)]


def run_camera(arguments: argparse.Namespace) -> None:
    """Second process of an e2e round: play to the node, print what came back as JSON."""
    from seg_perception.ros.replay import LiveReplay, ReplayConfig

    images = np.load(arguments.images)
    messages = make_messages(images, arguments.frames, arguments.rate)
    config = ReplayConfig(image_topic=TOPIC, node_name=f'{NAMESPACE}/segnext')
    result = LiveReplay(messages, config).run()
    print(
        json.dumps(
            {
                'latencies_ms': result.latencies_ms,
                'published': result.published,
                'received': result.received,
                'node': result.diagnostics,
            }
        )
    )


def run_lone_camera(arguments: argparse.Namespace) -> None:
    """Second process of a bare round: publish until killed, nobody listens."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    from seg_perception.ros.environment import prepare_this_process

    prepare_this_process()
    # SIGTERM is to end it at once, in the middle of publish() or not
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('benchmark_camera')
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    start_s = time.perf_counter()
    print('ready', flush=True)
    for offset_ns, message in make_messages(np.load(arguments.images), 10**9, arguments.rate):
        time.sleep(max(0.0, start_s + offset_ns * 1e-9 - time.perf_counter()))
        publisher.publish(message)


def start_role(
    arguments: argparse.Namespace, role: str, images_path: Path, rate_hz: float
) -> subprocess.Popen[str]:
    """Start this file again as a camera process."""
    from seg_perception.ros.environment import child_environment

    command = [sys.executable, str(Path(__file__).resolve()), '--role', role]
    command += ['--images', str(images_path), '--rate', str(rate_hz)]
    command += ['--frames', str(arguments.frames)]
    return subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, text=True)


def time_e2e(arguments: argparse.Namespace, images_path: Path, rate_hz: float) -> dict[str, Any]:
    """Run one e2e round in a second process and return its report."""
    process = start_role(arguments, 'camera', images_path, rate_hz)
    output, _ = process.communicate(timeout=60 + 3 * arguments.frames / rate_hz)
    if process.returncode != 0:
        raise RuntimeError(f'the camera process ended with exit code {process.returncode}')
    return json.loads(output)


def time_bare(
    arguments: argparse.Namespace,
    engine: Engine,
    images: np.ndarray,
    images_path: Path,
    rate_hz: float,
) -> list[float]:
    """Return the times in ms of inference alone, at the camera's rate, beside its publisher."""
    process = start_role(arguments, 'lone-camera', images_path, rate_hz)
    assert process.stdout is not None
    process.stdout.readline()
    times_ms = []
    start_s = time.perf_counter()
    for index in range(arguments.frames):
        time.sleep(max(0.0, start_s + index / rate_hz - time.perf_counter()))
        begin_s = time.perf_counter()
        engine.infer(images[index % len(images)], 'rgb')
        times_ms.append((time.perf_counter() - begin_s) * 1e3)
    process.terminate()
    process.wait()
    return times_ms


class EagerChain:
    """What a node without any of this package's engines does on a CPU."""

    def __init__(self, engine: Engine) -> None:
        import torch

        from seg_perception.networks.registry import build_network

        torch.set_num_threads(2)
        self._torch = torch
        network = engine.metadata.network
        # Random weights take as long as trained ones.
        self._network = build_network(
            network['name'], network['variant'], engine.metadata.label_space.num_classes
        ).eval()
        self._mean = torch.tensor(engine.input.mean_rgb).reshape(1, 3, 1, 1)
        self._std = torch.tensor(engine.input.std_rgb).reshape(1, 3, 1, 1)

    def time_ms(self, image: np.ndarray) -> float:
        """Segment one (H, W, 3) RGB image and return how long it took."""
        torch = self._torch
        begin_s = time.perf_counter()
        with torch.inference_mode():
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
            logits = self._network(((pixels - self._mean) / self._std).contiguous())
            full = torch.nn.functional.interpolate(
                logits, image.shape[:2], mode='bilinear', align_corners=False
            )
            full.argmax(dim=1).to(torch.uint8).numpy()
        return (time.perf_counter() - begin_s) * 1e3


def run_rounds(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all rounds in turns and return the figures."""
    from seg_perception.ros.lifecycle_client import LifecycleClient
    from seg_perception.ros.node_process import NodeProcess

    height_px, width_px = arguments.size
    images = render_images(arguments.size)
    images_path = folder / 'images.npy'
    np.save(images_path, images)
    model_path = str(find_model(arguments.model))
    engine = load_engine(
        EngineConfig(model_path, arguments.backend, height_px=height_px, width_px=width_px)
    )
    engine.prepare(arguments.size, 'rgb')
    eager = EagerChain(engine) if arguments.eager_frames else None
    parameters = {
        'model.path': model_path,
        'model.backend': arguments.backend,
        'input.height': height_px,
        'input.width': width_px,
        'diagnostics.period_s': 0.5,
    }
    reports, bare_ms, eager_ms = [], [], []
    with NodeProcess(parameters, {'image': TOPIC}, NAMESPACE) as node:
        node.wait_active(300)
        rate_hz = choose_rate_hz(engine, images)
        with LifecycleClient(node.node_name) as client:
            for index in range(arguments.rounds):
                reports.append(time_e2e(arguments, images_path, rate_hz))
                client.change_state('deactivate')
                bare_ms += time_bare(arguments, engine, images, images_path, rate_hz)
                if eager is not None:
                    eager_ms += [
                        eager.time_ms(images[i % len(images)])
                        for i in range(arguments.eager_frames + 1)
                    ][1:]
                client.change_state('activate')
                print(
                    f'round {index + 1}: e2e {np.median(reports[-1]["latencies_ms"]):.1f} ms, '
                    f'bare {np.median(bare_ms[-arguments.frames :]):.1f} ms',
                    flush=True,
                )
    return summarize(reports, bare_ms, eager_ms, rate_hz, engine, arguments)


def choose_rate_hz(engine: Engine, images: np.ndarray) -> float:
    """Return a camera rate at which inference fills half of the time."""
    times_s = []
    for index in range(12):
        begin_s = time.perf_counter()
        engine.infer(images[index % len(images)], 'rgb')
        times_s.append(time.perf_counter() - begin_s)
    return float(min(MAX_RATE_HZ, 0.5 / np.median(times_s[2:])))


def summarize(
    reports: list[dict[str, Any]],
    bare_ms: list[float],
    eager_ms: list[float],
    rate_hz: float,
    engine: Engine,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return the figures that are written to --json."""
    latencies_ms = np.concatenate([report['latencies_ms'] for report in reports])
    e2e_ms, bare = float(np.median(latencies_ms)), float(np.median(bare_ms))
    figures: dict[str, Any] = {
        'size': '{}x{}'.format(*arguments.size),
        'engine': engine.description,
        'camera_rate_hz': rate_hz,
        'published': sum(report['published'] for report in reports),
        'received': sum(report['received'] for report in reports),
        'e2e_p50_ms': e2e_ms,
        'e2e_p95_ms': float(np.percentile(latencies_ms, 95)),
        'bare_p50_ms': bare,
        'e2e_vs_bare': e2e_ms / bare,
    }
    if eager_ms:
        figures['eager_p50_ms'] = float(np.median(eager_ms))
        figures['eager_vs_e2e'] = figures['eager_p50_ms'] / e2e_ms
    for stage in ('total', 'inference', 'decode'):
        values = [float(report['node'][f'{stage} p50 (ms)']) for report in reports]
        figures[f'node_{stage}_p50_ms'] = float(np.median(values))
    return figures


def main() -> None:
    arguments = parse_arguments()
    if arguments.role == 'camera':
        run_camera(arguments)
        return
    if arguments.role == 'lone-camera':
        run_lone_camera(arguments)
        return
    # so that "timeout" and CI leave no node behind
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # away from a robot's own topics
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    with tempfile.TemporaryDirectory() as folder:
        figures = run_rounds(arguments, Path(folder))
    for name, value in figures.items():
        print(f'{name:22} {value if isinstance(value, str) else format(value, ".4g")}')
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == '__main__':
    main()
