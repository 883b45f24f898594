# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The parameters `panoptic.*`: their table, and what they ask of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seg_perception.engines.contract import PANOPTIC_OUTPUTS, ModelMetadata
from seg_perception.errors import UserError
from seg_perception.perception.panoptic_reference import (
    INSTANCES_PER_CLASS,
    MAX_CENTERS,
    MergeConfig,
)
from seg_perception.perception.tracks import TrackConfig
from seg_perception.resources import find_model
from seg_perception.ros.parameter_spec import AT_START, LIVE, UNCONFIGURED, ParameterSpec

PREFIX = 'panoptic.'
DETECTIONS, POINTS = 'detections', 'points'
_MERGE = MergeConfig()
_TRACKS = TrackConfig()

PANOPTIC_SPECS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        f'{PREFIX}required',
        False,
        'Refuse a model without instances. A panoptic model offers ~/panoptic and ~/instances '
        'either way, each computed only while somebody listens.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}instances_as',
        'auto',
        'Type of ~/instances: detections is vision_msgs/Detection2DArray, points '
        'sensor_msgs/PointCloud2 with a point for each. auto is detections where vision_msgs is '
        'installed.',
        UNCONFIGURED,
        choices=('auto', DETECTIONS, POINTS),
    ),
    ParameterSpec(
        f'{PREFIX}outlines', True, 'Draw the outlines of instances into ~/overlay.', LIVE
    ),
    ParameterSpec(
        f'{PREFIX}tracks',
        True,
        'Keep the number of an object from image to image. false: numbers of each image from 1, '
        'by falling score.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        f'{PREFIX}max_missed',
        _TRACKS.max_missed,
        'Images that a track survives without its object.',
        UNCONFIGURED,
        minimum=0,
        maximum=1000,
    ),
    ParameterSpec(
        f'{PREFIX}center_threshold',
        _MERGE.center_threshold,
        'Least score of a centre; lower finds more instances, and more that are none.',
        UNCONFIGURED,
        minimum=0.0,
        maximum=1.0,
    ),
    ParameterSpec(
        f'{PREFIX}center_kernel_px',
        _MERGE.center_kernel_px,
        'A centre is the best of a square with that side, pixels of the network input, odd.',
        UNCONFIGURED,
        minimum=1,
        maximum=255,
    ),
    ParameterSpec(
        f'{PREFIX}top_k',
        _MERGE.top_k,
        'Most instances of an image, the best ones.',
        UNCONFIGURED,
        minimum=1,
        maximum=MAX_CENTERS,
    ),
    ParameterSpec(
        f'{PREFIX}stuff_area_share',
        _MERGE.stuff_area_share,
        'Classes without instances on less of the image than this share are void (-1) in '
        '~/panoptic.',
        UNCONFIGURED,
        minimum=0.0,
        maximum=1.0,
    ),
    ParameterSpec(
        f'{PREFIX}label_divisor',
        INSTANCES_PER_CLASS,
        'Fixed, for consumers to read: a pixel of ~/panoptic is class * label_divisor + number.',
        AT_START,
        minimum=INSTANCES_PER_CLASS,
        maximum=INSTANCES_PER_CLASS,
    ),
)


def read_merge_config(get_parameter: Callable[[str], Any]) -> MergeConfig:
    """Return how outputs become instances; raises UserError for an even kernel."""
    names = ('center_threshold', 'center_kernel_px', 'top_k', 'stuff_area_share', 'label_divisor')
    try:
        return MergeConfig(**{name: get_parameter(f'{PREFIX}{name}') for name in names})
    except UserError as error:
        raise UserError(f'{PREFIX}{error}') from error


def read_track_config(get_parameter: Callable[[str], Any]) -> TrackConfig | None:
    """Return how instances are followed, None where they are not."""
    if not get_parameter(f'{PREFIX}tracks'):
        return None
    return TrackConfig(max_missed=get_parameter(f'{PREFIX}max_missed'))


def find_required_model(name_or_path: str, needs_instances: bool) -> Path:
    """Return the model file of a name or path, as `find_model`.

    Raises:
        UserError: there is none; where it needs instances the message says how to make one.
    """
    try:
        return find_model(name_or_path)
    except UserError as error:
        if not needs_instances:
            raise
        raise UserError(
            f'{error}. panoptic.required is set: make a panoptic model of a trained checkpoint '
            'with "seg_perception export --checkpoint axial_deeplab.safetensors --name '
            f'{Path(name_or_path).stem or "NAME"}"'
        ) from error


def require_instances(metadata: ModelMetadata, model_path: str) -> None:
    """Raise UserError where panoptic.required is set and a model returns no instances."""
    if metadata.is_panoptic:
        return
    name = f"'{metadata.name}' ({model_path})" if metadata.name else model_path
    raise UserError(
        f'model {name} returns {", ".join(metadata.outputs)} alone, but panoptic.required is set, '
        f'which needs {", ".join(PANOPTIC_OUTPUTS)}; set model.path to a panoptic model '
        '("seg_perception export" of an axial_deeplab checkpoint), or panoptic.required to false '
        'for masks alone'
    )
