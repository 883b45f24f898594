# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The table of the node's parameters."""

from __future__ import annotations

from collections.abc import Mapping

from seg_perception.ros.camera_parameters import CAMERAS_SPEC
from seg_perception.ros.occupancy_parameters import OCCUPANCY_SPECS
from seg_perception.ros.panoptic_parameters import PANOPTIC_SPECS
from seg_perception.ros.parameter_spec import AT_START, LIVE, UNCONFIGURED, ParameterSpec

SPECS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        'autostart',
        True,
        'Configure and activate the node by itself. Set false when a lifecycle manager owns it.',
        AT_START,
    ),
    ParameterSpec(
        'build_only',
        False,
        'Load the model, building and keeping its engine if need be, say what came of it, and '
        'end: exit code 0 where the backend asked for is ready, 1 where it is not.',
        AT_START,
    ),
    CAMERAS_SPEC,
    ParameterSpec(
        'image_transport',
        'raw',
        'raw subscribes to sensor_msgs/Image on the image topic; compressed to '
        'sensor_msgs/CompressedImage (JPEG or PNG) on <image topic>/compressed.',
        UNCONFIGURED,
        choices=('raw', 'compressed'),
    ),
    ParameterSpec(
        'model.path',
        '',
        'Name of a model (see "seg_perception models list"), or path of a file made by '
        '"seg_perception export". Empty is the default model.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        'model.backend',
        'auto',
        'Inference library. auto takes the fastest one that works on this machine and says which.',
        UNCONFIGURED,
        choices=('auto', 'tensorrt', 'tensorrt_rtx', 'openvino', 'torch'),
    ),
    ParameterSpec(
        'model.precision',
        'auto',
        'Arithmetic of the network. auto takes f16 with TensorRT; else bf16 where the processor '
        'has it, else int8 where the model has an int8 file and the processor multiplies bytes, '
        'else f32.',
        UNCONFIGURED,
        choices=('auto', 'f32', 'bf16', 'f16', 'int8'),
    ),
    ParameterSpec(
        'model.threads',
        0,
        'Processor threads for inference; 0 takes all physical cores.',
        UNCONFIGURED,
        minimum=0,
        maximum=256,
    ),
    ParameterSpec(
        'model.dla_core',
        -1,
        'Jetson with the backend tensorrt: DLA core for the layers that it knows, in f16; the '
        'others stay on the GPU. -1 is the GPU alone.',
        UNCONFIGURED,
        minimum=-1,
        maximum=3,
    ),
    ParameterSpec(
        'model.allow_fallback',
        True,
        'When the backend asked for does not work: go on with a slower one (a warning in the '
        'log and in /diagnostics) instead of refusing to start.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        'model.build_in_background',
        True,
        'Where an engine has to be built for minutes (TensorRT), run on the next backend until '
        'it is ready, then switch between two images. false waits for it, with no image used.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        'input.width',
        0,
        'Width in pixels at which the network sees the image; 0 is the width the model was '
        'exported for. Smaller is faster and coarser. The mask always has the size of the '
        'camera image.',
        UNCONFIGURED,
        minimum=0,
        maximum=8192,
    ),
    ParameterSpec(
        'input.height',
        0,
        'Height in pixels at which the network sees the image; 0 is the height the model was '
        'exported for.',
        UNCONFIGURED,
        minimum=0,
        maximum=8192,
    ),
    ParameterSpec(
        'input.fit',
        'model',
        'How the camera image is fitted into the network input: letterbox keeps its shape and '
        'pads, stretch fills. model is what the model was exported for.',
        UNCONFIGURED,
        choices=('model', 'letterbox', 'stretch'),
    ),
    ParameterSpec(
        'camera.width',
        0,
        'Width in pixels of the camera images to prepare for while configuring; 0 is the '
        'network width. Any other size still works: its first frame then waits for a compile.',
        UNCONFIGURED,
        minimum=0,
        maximum=16384,
    ),
    ParameterSpec(
        'camera.height',
        0,
        'Height in pixels of the camera images to prepare for; 0 is the network height.',
        UNCONFIGURED,
        minimum=0,
        maximum=16384,
    ),
    ParameterSpec(
        'camera.channel_order',
        'rgb',
        'Channel order of the camera images to prepare for. The other one still works, see '
        'camera.width.',
        UNCONFIGURED,
        choices=('rgb', 'bgr'),
    ),
    ParameterSpec(
        'output.scale',
        1.0,
        'Size of ~/mask, ~/confidence, ~/overlay, ~/panoptic and ~/points as a share of the '
        'camera image, sampled at their own pixels.',
        UNCONFIGURED,
        minimum=0.05,
        maximum=1.0,
    ),
    ParameterSpec(
        'output.height',
        0,
        'Height of them in pixels instead, with output.width: to match a registered depth cloud.',
        UNCONFIGURED,
        minimum=0,
        maximum=16384,
    ),
    ParameterSpec(
        'output.width',
        0,
        'Width of them in pixels, with output.height.',
        UNCONFIGURED,
        minimum=0,
        maximum=16384,
    ),
    ParameterSpec(
        'output.camera_info',
        True,
        'Publish ~/camera_info (while somebody listens): the calibration of the masks, that of '
        'the camera rescaled.',
        UNCONFIGURED,
    ),
    ParameterSpec(
        'output.confidence',
        True,
        'Publish ~/confidence (while somebody listens): mono8, probability of the winning class '
        'times 255.',
        LIVE,
    ),
    ParameterSpec(
        'output.overlay',
        True,
        'Publish ~/overlay (while somebody listens): the camera image with the mask drawn in.',
        LIVE,
    ),
    ParameterSpec(
        'output.overlay_alpha',
        0.5,
        'Weight of the class colours in ~/overlay: 0.0 shows the camera image, 1.0 the colours.',
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
    ParameterSpec(
        'output.queue_depth',
        2,
        'Depth of the reliable publishers of mask, confidence and overlay.',
        UNCONFIGURED,
        minimum=1,
        maximum=100,
    ),
    *OCCUPANCY_SPECS,
    *PANOPTIC_SPECS,
    ParameterSpec(
        'diagnostics.period_s',
        1.0,
        'Seconds between two messages on /diagnostics.',
        LIVE,
        minimum=0.1,
        maximum=10.0,
    ),
    ParameterSpec(
        'diagnostics.stale_timeout_s',
        2.0,
        'Seconds without a camera image after which the node warns.',
        LIVE,
        minimum=0.1,
        maximum=3600.0,
    ),
)
SPEC_BY_NAME: Mapping[str, ParameterSpec] = {spec.name: spec for spec in SPECS}
