# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Runs the real node on a recorded drive over DDS, then scores and pictures what came back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader, read_header_stamp_ns
from seg_perception.evaluation.bags.bag_topics import find_image_topic, find_label_topic
from seg_perception.evaluation.bags.camera_geometry import read_recorded_camera
from seg_perception.evaluation.bags.frame_source import read_camera_frame
from seg_perception.evaluation.bags.recording import CameraBagConfig, write_camera_bag
from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.evaluation.bags.sources import VideoSource
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE
from seg_perception.evaluation.metrics.score import BagScorer, BagTruth, MaskScore
from seg_perception.evaluation.reports.pictures import SheetFrame, write_contact_sheet
from seg_perception.evaluation.reports.report import format_score, percentile_ms, write_json
from seg_perception.evaluation.reports.tables import print_summary_table
from seg_perception.evaluation.reports.video import OverlayVideo
from seg_perception.perception.frame import Frame, FrameError, FrameReader
from seg_perception.perception.labels import LabelSpace
from seg_perception.resources import find_model
from seg_perception.ros.node_process import NodeProcess
from seg_perception.ros.replay import LiveReplay, ReplayConfig
from seg_perception.ros.replayed import ReplayedMask, ReplayResult
from seg_perception.ros.stores import GroundStore, MaskStore, list_camera_parameters
from seg_perception.sample.drive import SAMPLE_DRIVE_VERSION

SHEET_ROWS = 5
# Tables of the ground take 0.3 s, on a busy machine some seconds.
GROUND_TIMEOUT_S = 10.0
# Names of our own, so that a robot's camera and segmentation node are not disturbed.
NAMESPACE = '/seg_perception_demo'
REPLAY_TOPIC = f'{NAMESPACE}/image_raw'


@dataclass(frozen=True)
class DemoConfig:
    """What is replayed and where the results go; see the command's --help."""

    out: Path
    bag: Path | None = None
    video: Path | None = None
    image_topic: str = ''
    model: str = ''
    backend: str = 'auto'
    network_size_px: tuple[int, int] = (0, 0)
    rate_factor: float = 1.0
    limit: int = 0
    seed: int = 9
    frames: int = 100
    size_px: tuple[int, int] = (512, 1024)

    def __post_init__(self) -> None:
        if not 0.0 < self.rate_factor <= 100.0:
            raise UserError(f'--rate {self.rate_factor} is not possible; expected above 0 to 100')
        if self.limit < 0:
            raise UserError(f'--limit {self.limit} is not possible; 0 means all frames')

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> DemoConfig:
        """Return the configuration of a command line."""
        return cls(
            out=arguments.out,
            bag=arguments.bag,
            video=arguments.video,
            image_topic=arguments.image_topic,
            model=arguments.model,
            backend=arguments.backend,
            network_size_px=arguments.input_size,
            rate_factor=arguments.rate,
            limit=arguments.limit,
            seed=arguments.seed,
            frames=arguments.frames,
            size_px=arguments.size,
        )


def run_demo(config: DemoConfig) -> dict[str, Any]:
    """Replay a drive through the node; write summary, video and contact sheet; print a table.

    Returns the content of summary.json.

    Raises:
        UserError: the drive cannot be read, the node does not start, or no mask came back.

    """
    label_space = load_model_file(find_model(config.model)).metadata.label_space
    config.out.mkdir(parents=True, exist_ok=True)
    bag = prepare_bag(config)
    with BagReader(bag) as reader:
        topic = find_image_topic(reader, config.image_topic)
        masks, ground = MaskStore(), GroundStore(label_space)
        result = replay_through_node(config, reader, topic, masks, ground)
        if not len(masks):
            raise UserError(
                f'none of the {result.published} images came back as a mask; the node says: '
                f'{result.diagnostics_message or "nothing"}'
            )
        score = draw_and_score(config, reader, topic, masks, ground, label_space, result.fps)
    summary = summarize(result, score) | {'ground_grids_received': len(ground)}
    write_json(config.out / 'summary.json', summary)
    print_report(config, bag, summary, score)
    return summary


def prepare_bag(config: DemoConfig) -> Path:
    """Return the recording to replay; renders the sample drive or converts the video first."""
    if config.bag is not None:
        return config.bag
    if config.video is not None:
        path = config.out / f'{config.video.stem}_bag'
        source = VideoSource(config.video)
        frames = draw_progress(source, 'reading the video', len(source))
        write_camera_bag(frames, path, CameraBagConfig(str(config.video.name), overwrite=True))
        return path
    height_px, width_px = config.size_px
    name = f'sample_drive_v{SAMPLE_DRIVE_VERSION}_seed{config.seed}'
    path = config.out / f'{name}_{config.frames}x{height_px}x{width_px}'
    if path.exists():
        print(f'using the sample drive in {path}')
        return path
    sample = SampleBagConfig(config.seed, config.frames, height_px, width_px)
    write_sample_bag(
        path,
        sample,
        lambda drive: draw_progress(drive, 'rendering the sample drive', config.frames),
    )
    return path


def draw_progress(frames: Iterable[Any] | None, what: str, total: int) -> tqdm:
    """Draw a bar on a terminal; in a log one line says what is done."""
    if not sys.stderr.isatty():
        print(f'{what}: {total} frames ...', flush=True)
    return tqdm(frames, what, total, unit='frame', disable=None)


def replay_through_node(
    config: DemoConfig, reader: BagReader, topic: str, masks: MaskStore, ground: GroundStore
) -> ReplayResult:
    """Start the node as a process of its own, play the camera to it, collect its masks."""
    first = next(reader.iterate_raw_messages([topic]))
    frame = read_camera_frame(FrameReader(), first.type_name, reader.decode(first))
    transport = 'compressed' if first.type_name == COMPRESSED_IMAGE_TYPE else 'raw'
    camera = read_recorded_camera(reader, topic)
    if camera is None:
        print('no ground from above: the recording has no camera_info or no /tf_static')
    parameters: dict[str, Any] = {
        'image_transport': transport,
        'model.path': str(find_model(config.model)),
        'model.backend': config.backend,
        'input.height': config.network_size_px[0],
        'input.width': config.network_size_px[1],
        'camera.height': frame.image.shape[0],
        'camera.width': frame.image.shape[1],
        'camera.channel_order': frame.channel_order,
        **list_camera_parameters(camera),
    }
    with NodeProcess(parameters, {'image': REPLAY_TOPIC}, NAMESPACE) as node:
        print('starting the node ...', flush=True)
        node.wait_active()
        total = reader.count_messages(topic)
        total = min(total, config.limit) if config.limit else total
        with draw_progress(None, 'replaying over DDS', total) as bar:
            latencies_ms: list[float] = []

            def show(replayed: ReplayedMask) -> None:
                masks.add(replayed)
                latencies_ms.append(replayed.latency_ms)
                latency_ms = percentile_ms(latencies_ms[-20:], 50)
                bar.set_postfix_str(f'{len(masks)} masks, latency {latency_ms:.0f} ms')

            replay = LiveReplay(
                iterate_for_replay(reader, topic, total, bar),
                ReplayConfig(
                    image_topic=REPLAY_TOPIC,
                    image_transport=transport,
                    node_name=node.node_name,
                    rate_factor=config.rate_factor,
                    camera_info=camera.info if camera else b'',
                    grids=ground.topics if camera else (),
                    lead_in_s=GROUND_TIMEOUT_S if camera else 0.0,
                ),
                show,
                ground.add,
            )
            return replay.run()


def iterate_for_replay(
    reader: BagReader, topic: str, total: int, bar: tqdm
) -> Iterator[tuple[int, Any]]:
    """Yield (log time, CDR bytes) of the first messages of a topic, and move the bar."""
    for index, raw in enumerate(reader.iterate_raw_messages([topic])):
        if index == total:
            return
        yield raw.log_time_ns, raw.data
        bar.update()


def draw_and_score(
    config: DemoConfig,
    reader: BagReader,
    topic: str,
    masks: MaskStore,
    ground: GroundStore,
    label_space: LabelSpace,
    rate_hz: float,
) -> MaskScore | None:
    """Draw the video and the contact sheet; return the score, None for an unlabelled drive."""
    scorer = None
    if find_label_topic(reader):
        scorer = BagScorer(BagTruth(reader.path), label_space)
    sheet_indices = set(np.linspace(0, len(masks) - 1, SHEET_ROWS).round().astype(int).tolist())
    rows: list[SheetFrame] = []
    with OverlayVideo(config.out / 'overlay.mp4', max(rate_hz, 1.0), label_space) as video:
        frames = enumerate(iterate_masked_frames(reader, topic, masks))
        for index, frame in draw_progress(frames, 'scoring', len(masks)):
            mask, latency_ms = masks.read(frame.stamp_ns)
            truth = None
            if scorer is not None:
                scorer.add(frame.stamp_ns, mask)
                label = scorer.read_truth(frame.stamp_ns)
                truth = None if label is None else scorer.scorer.to_model_space(label)
            lines = (f'{rate_hz:.1f} masks/s', f'latency {latency_ms:.0f} ms')
            above = ground.draw(frame.stamp_ns, label_space, frame.image.shape[0])
            video.write(frame.image, frame.channel_order, mask, lines, above)
            if index in sheet_indices:
                rows.append(
                    SheetFrame(
                        frame.image.copy(),
                        frame.channel_order,
                        mask,
                        truth,
                        f'image {index + 1} of {len(masks)}, latency {latency_ms:.0f} ms',
                        above,
                    )
                )
    write_contact_sheet(config.out / 'contact_sheet.png', rows, label_space)
    if scorer is None:
        return None
    scorer.truth.close()
    return scorer.summarize()


def iterate_masked_frames(reader: BagReader, topic: str, masks: MaskStore) -> Iterator[Frame]:
    """Yield the frames whose mask came back, in the order of the recording."""
    frame_reader = FrameReader()
    for raw in reader.iterate_raw_messages([topic]):
        if read_header_stamp_ns(raw.data) not in masks:
            continue
        try:
            yield read_camera_frame(frame_reader, raw.type_name, reader.decode(raw))
        except FrameError:
            continue  # a damaged image with the stamp of a good one: the node counted it as bad


def summarize(result: ReplayResult, score: MaskScore | None) -> dict[str, Any]:
    """Return the figures as JSON values; frames_* are the node's own counts during the replay."""
    counts = {
        f'frames_{name}': int(result.diagnostics.get(f'frames {name}', -1))
        for name in ('received', 'used', 'dropped', 'bad')
    }
    for name in ('frames_received', 'frames_used'):
        counts[name] = max(counts[name] - result.shown_before, -1)
    return {
        'miou': None if score is None else score.miou,
        'per_class_iou': {} if score is None else score.per_class_iou(),
        'fps': result.fps,
        'latency_p50_ms': percentile_ms(result.latencies_ms, 50),
        'latency_p95_ms': percentile_ms(result.latencies_ms, 95),
        'frames_published': result.published,
        **counts,
        'masks_received': result.received,
        'inference_p50_ms': float(result.diagnostics.get('inference p50 (ms)', 'nan')),
        'backend': result.diagnostics.get('backend', ''),
        'model': result.diagnostics.get('model', ''),
        'pixel_accuracy': None if score is None else score.pixel_accuracy,
    }


def print_report(
    config: DemoConfig, bag: Path, summary: dict[str, Any], score: MaskScore | None
) -> None:
    """Print the table that ends the demo, and where the pictures are."""
    if score is not None:
        print(format_score(score))
    entries = {
        'drive': bag,
        'model': summary['model'],
        'backend': summary['backend'],
        'mIoU': summary['miou'],
        'masks per second': summary['fps'],
        'latency p50 (ms)': summary['latency_p50_ms'],
        'latency p95 (ms)': summary['latency_p95_ms'],
        'images sent': summary['frames_published'],
        'images used': summary['frames_used'],
        'overtaken by a newer one': summary['frames_dropped'],
        'bad': summary['frames_bad'],
    }
    print_summary_table('live over DDS, camera image published to mask received', entries)
    for name in ('overlay.mp4', 'contact_sheet.png', 'summary.json'):
        if (config.out / name).exists():
            print(f'  {config.out / name}')
