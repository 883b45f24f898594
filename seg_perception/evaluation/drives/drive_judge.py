# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The judge of a recording: which metrics, and where their truth comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_images import BagDepth, BagImages
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_label_space
from seg_perception.evaluation.bags.label_truth import open_truth
from seg_perception.evaluation.bags.topics import (
    DEPTH_TOPIC,
    INSTANCES_TRACKED_KEY,
    PANOPTIC_TOPIC,
)
from seg_perception.evaluation.drives.judge import FrameJudge
from seg_perception.evaluation.metrics.boundary_metric import BoundaryMetric
from seg_perception.evaluation.metrics.distance_iou import DistanceIou
from seg_perception.evaluation.metrics.id_switches import IdSwitches
from seg_perception.evaluation.metrics.metric import Metric
from seg_perception.evaluation.metrics.panoptic_quality import PanopticQuality
from seg_perception.evaluation.metrics.pixel_metrics import CalibrationMetric, ConfusionMetric
from seg_perception.evaluation.metrics.score import make_fold_lut
from seg_perception.evaluation.metrics.temporal import TemporalConsistency
from seg_perception.perception.labels import LabelSpace

# By the name that a user gives; each takes the label spaces of the truth and of the model.
METRICS: dict[str, Callable[[LabelSpace, LabelSpace], Metric]] = {
    'iou': lambda label_space, model_space: ConfusionMetric(label_space),
    'ece': lambda label_space, model_space: CalibrationMetric(),
    'boundary': lambda label_space, model_space: BoundaryMetric(label_space),
    'temporal': lambda label_space, model_space: TemporalConsistency(model_space),
    'distance': lambda label_space, model_space: DistanceIou(label_space),
    'panoptic': lambda label_space, model_space: PanopticQuality(
        label_space, make_fold_lut(label_space, model_space)
    ),
    'id_switches': lambda label_space, model_space: IdSwitches(
        label_space, make_fold_lut(label_space, model_space)
    ),
}
# What only a panoptic model has.
INSTANCE_METRICS = ('panoptic', 'id_switches')


@dataclass(frozen=True)
class TruthConfig:
    """Where the truth of a recording is.

    Attributes:
        label_topic: of the label images; '' for the usual one.
        labels_folder: label images in place of a topic.
        label_space: of the labels; '' for the recorded one.
    """

    label_topic: str = ''
    labels_folder: Path | None = None
    label_space: str = ''


def choose_metrics(text: str) -> tuple[str, ...]:
    """Return the names in a text such as 'iou,ece' or 'all'; UserError for an unknown one."""
    if text == 'all':
        return tuple(METRICS)
    names = tuple(name.strip() for name in text.split(',') if name.strip())
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise UserError(
            f"metrics '{text}': expected all, or some of {', '.join(METRICS)}"
        )
    return names


def is_asked_for(name: str, names: Sequence[str]) -> bool:
    """Whether a metric was asked for by its name, and not as one of all."""
    return name in names and tuple(names) != tuple(METRICS)


def require_instances(names: Sequence[str], is_panoptic: bool, model: str) -> None:
    """Raise UserError where metrics of instances were asked for by name and a model has none."""
    asked = [name for name in INSTANCE_METRICS if is_asked_for(name, names)]
    if asked and not is_panoptic:
        raise UserError(
            f"metrics {', '.join(asked)}: model '{model}' gives classes alone, no instances; "
            'choose a panoptic model, or other metrics'
        )


def make_metrics(
    names: Sequence[str], label_space: LabelSpace, model_space: LabelSpace
) -> list[Metric]:
    """Return the metrics of these names, for truth and masks of these label spaces."""
    return [METRICS[name](label_space, model_space) for name in names]


def open_judge(
    bag: Path,
    truth: TruthConfig,
    model_space: LabelSpace,
    metric_names: Sequence[str],
    is_panoptic: bool = False,
) -> tuple[FrameJudge, LabelSpace]:
    """Return the judge of a recording, and the label space in which it scores.

    Args:
        bag: the recording.
        truth: where its labels are.
        model_space: label space of the masks.
        metric_names: see METRICS.
        is_panoptic: whether the model gives instances; else their truth is not read.

    Raises:
        UserError: labels that were asked for are not there, or masks cannot be scored in theirs.
    """
    labels = open_truth(
        bag, truth.label_topic, truth.labels_folder, truth.label_space, tolerate_damage=True
    )
    with contextlib.ExitStack() as opened:
        if labels is not None:
            opened.callback(labels.close)
        label_space = model_space if labels is None else labels.label_space
        with BagReader(bag, tolerate_damage=True) as reader:
            topics = {topic.name for topic in reader.topics}
            recorded_space = find_label_space(reader)
            is_tracked = reader.custom_data.get(INSTANCES_TRACKED_KEY) != 'false'
        depth = panoptic = None
        faults = []
        if 'distance' in metric_names and labels is not None and DEPTH_TOPIC in topics:
            depth = BagDepth(bag, DEPTH_TOPIC, tolerate_damage=True)
            opened.callback(depth.close)
        needs_instances = is_panoptic and not set(INSTANCE_METRICS).isdisjoint(metric_names)
        if needs_instances and PANOPTIC_TOPIC in topics:
            if labels is None:
                label_space = recorded_space or model_space
            if recorded_space is None or recorded_space.class_names == label_space.class_names:
                panoptic = BagImages(bag, PANOPTIC_TOPIC, tolerate_damage=True)
                opened.callback(panoptic.close)
            else:
                faults.append(
                    f'instances are not scored: {PANOPTIC_TOPIC} has classes of '
                    f'{recorded_space.name}, the labels those of {label_space.name}'
                )
        names = [name for name in metric_names if is_tracked or name != 'id_switches']
        judge = FrameJudge(
            make_metrics(names, label_space, model_space), model_space, labels, depth, panoptic
        )
        judge.faults += faults
        opened.pop_all()
    return judge, label_space
