# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Live evaluation: a recording played over DDS to a real node, and what came back judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.bags.camera_geometry import read_recorded_camera
from seg_perception.evaluation.bags.frame_source import FrameSource, ReadFrame, read_camera_frame
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE
from seg_perception.evaluation.drives.drive_judge import is_asked_for, open_judge
from seg_perception.evaluation.drives.evaluate import (
    DriveConfig,
    DriveEvaluation,
    Watcher,
    list_faults,
)
from seg_perception.evaluation.drives.frame_record import DROPPED, UNREADABLE, FrameRecord
from seg_perception.evaluation.drives.judge import FrameJudge
from seg_perception.evaluation.drives.node_config import read_node_parameters
from seg_perception.evaluation.process_usage import ProcessUsage, read_usage
from seg_perception.perception.frame import FrameError, FrameReader
from seg_perception.perception.labels import LabelSpace
from seg_perception.ros.node_process import NodeProcess
from seg_perception.ros.panoptic_store import PanopticStore
from seg_perception.ros.replay import LiveReplay, ReplayConfig
from seg_perception.ros.replayed import ReplayedMask, ReplayResult
from seg_perception.ros.stores import ConfidenceStore, MaskStore, list_camera_parameters

# Names of our own, so that a robot's camera and segmentation node are not disturbed.
NAMESPACE = '/seg_perception_evaluation'
IMAGE_TOPIC = f'{NAMESPACE}/image_raw'
SAMPLE_PERIOD_S = 0.5
HEADER_BYTES = 12  # of a CDR message, to the end of its stamp


@dataclass(frozen=True)
class LiveConfig:
    """How a recording is played, and to which node.

    Attributes:
        drive: what is played and judged.
        parameters: of the node, by full name; they overrule params_file.
        params_file: ROS parameter file of the node; None for its defaults.
        rate_factor: 1.0 plays at the recording's own rate.
        with_clock: publish /clock from the recording's time, the node with use_sim_time.
    """

    drive: DriveConfig
    parameters: dict[str, Any] = field(default_factory=dict)
    params_file: Path | None = None
    rate_factor: float = 1.0
    with_clock: bool = False


@dataclass
class LiveEvaluation:
    """What came of a live run.

    Attributes:
        drive: records and figures, as of an offline run.
        replay: what was sent and came back, and the node's last diagnostics.
        watcher: what looked on.
        timeline: t_s since the first image, cpu_percent of one processor, rss_mb of the node.
    """

    drive: DriveEvaluation
    replay: ReplayResult
    watcher: Any
    timeline: list[dict[str, float]]


def evaluate_live(
    config: LiveConfig,
    model_space: LabelSpace,
    metric_names: Sequence[str],
    is_panoptic: bool = False,
    make_watcher: Callable[[Path, int], Any] = lambda bag, count: None,
    show_progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> LiveEvaluation:
    """Play a recording to a node of its own, then judge each mask that came back.

    Args:
        config: what and how.
        model_space: label space of the node's model.
        metric_names: see `drive_judge.METRICS`; the confidence is recorded where the calibration
            error is asked for by name, not among all: the node then sends twice as much.
        is_panoptic: whether the node's model gives instances.
        make_watcher: returns what sees each judged image, in order, for a recording and the
            number of its images; or None.
        show_progress: wraps the messages' iterable given their number.

    Raises:
        UserError: the recording cannot be used, or the node does not start.
    """
    with BagReader(config.drive.bag, tolerate_damage=True) as reader:
        topic = find_image_topic(reader, config.drive.image_topic)
        count = reader.count_messages(topic)
        out = DriveEvaluation(config.drive.bag, topic, model_space, model_space)
        out.frames_in_bag = min(count, config.drive.limit) if config.drive.limit else count
        judge, out.label_space = open_judge(
            config.drive.bag, config.drive.truth, model_space, metric_names, is_panoptic
        )
        try:
            products = _Products(
                MaskStore(),
                PanopticStore() if judge.scores_instances else None,
                ConfidenceStore() if is_asked_for('ece', metric_names) else None,
            )
            watcher = make_watcher(config.drive.bag, out.frames_in_bag)
            replay, timeline = _play(config, reader, topic, products, show_progress, out)
            messages = islice(reader.iterate_raw_messages([topic]), config.drive.limit or None)
            out.records = [
                _judge(read, products, judge, watcher) for read in FrameSource(reader, messages)
            ]
        finally:
            judge.close()
        damage = reader.damage
    out.costs_ms = judge.costs_ms
    out.faults = [damage] * bool(damage) + judge.faults + list_faults(out.records)
    out.faults += list_lost_maps(out.records, products)
    out.seconds = replay.duration_s
    return LiveEvaluation(out, replay, watcher, timeline)


@dataclass(frozen=True)
class _Products:
    """What the node published; None for what is not scored."""

    masks: MaskStore
    panoptic: PanopticStore | None
    confidences: ConfidenceStore | None

    def add_mask(self, replayed: ReplayedMask) -> None:
        """Keep a mask and its confidence."""
        self.masks.add(replayed)
        if self.confidences is not None:
            self.confidences.add(replayed)


def _play(
    config: LiveConfig,
    reader: BagReader,
    topic: str,
    products: _Products,
    show_progress: Callable[[Iterable, int], Iterable],
    out: DriveEvaluation,
) -> tuple[ReplayResult, list[dict[str, float]]]:
    parameters, transport = list_node_parameters(reader, topic)
    camera = read_recorded_camera(reader, topic)
    parameters |= list_camera_parameters(camera) | config.parameters
    if config.params_file is not None:
        # not the file itself: its sections may name a node that is called otherwise here
        parameters = read_node_parameters(config.params_file) | parameters
    if config.with_clock:
        parameters['use_sim_time'] = True
    with NodeProcess(parameters, {'image': IMAGE_TOPIC}, NAMESPACE) as node:
        node.wait_active()
        replay = LiveReplay(
            _iterate(reader, topic, out.frames_in_bag, show_progress),
            ReplayConfig(
                image_topic=IMAGE_TOPIC,
                image_transport=transport,
                node_name=node.node_name,
                rate_factor=config.rate_factor,
                with_confidence=products.confidences is not None,
                with_panoptic=products.panoptic is not None,
                camera_info=camera.info if camera else b'',
                with_clock=config.with_clock,
            ),
            products.add_mask,
            on_panoptic=None if products.panoptic is None else products.panoptic.add,
        )
        with UsageSampler(node.pid) as sampler:
            result = replay.run()
        return result, sampler.list_samples()


def list_node_parameters(reader: BagReader, topic: str) -> tuple[dict[str, Any], str]:
    """Return the node's parameters for a recorded camera, and its transport.

    The node then compiles for the camera before the first image comes.
    """
    parameters: dict[str, Any] = {}
    transport = 'raw'
    for raw in reader.iterate_raw_messages([topic]):
        transport = 'compressed' if raw.type_name == COMPRESSED_IMAGE_TYPE else 'raw'
        try:
            frame = read_camera_frame(FrameReader(), raw.type_name, reader.decode(raw))
        except (FrameError, UserError):
            continue
        parameters = {
            'camera.height': frame.image.shape[0],
            'camera.width': frame.image.shape[1],
            'camera.channel_order': frame.channel_order,
        }
        break
    return parameters | {'image_transport': transport}, transport


def _iterate(
    reader: BagReader,
    topic: str,
    total: int,
    show_progress: Callable[[Iterable, int], Iterable],
) -> Iterator[tuple[int, Any]]:
    for raw in show_progress(islice(reader.iterate_raw_messages([topic]), total), total):
        if len(raw.data) >= HEADER_BYTES:  # what is cut shorter cannot even be sent
            yield raw.log_time_ns, raw.data


def list_lost_maps(records: Sequence[FrameRecord], products: _Products) -> list[str]:
    """Return a line on masks whose panoptic map did not come back, if there are any."""
    if products.panoptic is None:
        return []
    came = [record for record in records if record.stamp_ns in products.masks]
    lost = sum(record.stamp_ns not in products.panoptic for record in came)
    return [f'{lost} of {len(came)} masks came back without their panoptic map'] * bool(lost)


def _judge(
    read: ReadFrame, products: _Products, judge: FrameJudge, watch: Watcher | None
) -> FrameRecord:
    if read.frame is None:
        return FrameRecord(read.index, read.stamp_ns, UNREADABLE, read.reason)
    if read.stamp_ns not in products.masks:
        return FrameRecord(read.index, read.stamp_ns, DROPPED)
    mask, latency_ms = products.masks.read(read.stamp_ns)
    panoptic = None if products.panoptic is None else products.panoptic.read(read.stamp_ns)
    confidence = None
    if products.confidences is not None:
        confidence = products.confidences.read(read.stamp_ns)
    times_ms = {'latency': latency_ms}
    record, judged = judge.judge(read.index, read.frame, mask, confidence, times_ms, panoptic)
    if watch is not None:
        watch(record, judged, judge)
    return record


class UsageSampler:
    """Context manager that samples what a process uses of processor and memory."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[ProcessUsage] = []
        self._is_done = threading.Event()
        self._start_s = 0.0
        self._thread = threading.Thread(target=self._run, name='usage_sampler', daemon=True)

    def __enter__(self) -> UsageSampler:
        self._start_s = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def list_samples(self) -> list[dict[str, float]]:
        """Return time, share of one processor since the sample before, and memory."""
        return [
            {
                't_s': round(now.moment_s - self._start_s, 3),
                'cpu_percent': round(
                    100 * (now.cpu_s - before.cpu_s) / (now.moment_s - before.moment_s), 1
                ),
                'rss_mb': round(now.resident_mb, 1),
            }
            for before, now in zip(self._samples, self._samples[1:], strict=False)
        ]

    def _run(self) -> None:
        while True:
            usage = read_usage(self._pid)
            if usage is not None:
                self._samples.append(usage)
            if self._is_done.wait(SAMPLE_PERIOD_S):
                return
