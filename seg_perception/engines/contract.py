# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model file says about itself: its labels, its input and the network inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from seg_perception.errors import UserError
from seg_perception.perception.geometry import FITS
from seg_perception.perception.labels import LabelSpace

FORMAT_VERSION = 1
METADATA_PREFIX = 'seg_perception.'
CHANNEL_ORDERS = ('rgb', 'bgr')
LOGITS, CENTER, OFFSET = 'logits', 'center', 'offset'
# what graphs return, in this order
SEMANTIC_OUTPUTS = (LOGITS,)
PANOPTIC_OUTPUTS = (LOGITS, CENTER, OFFSET)
# The coarsest stage has stride 32: below that it would look at padding alone.
MIN_INPUT_PX = 32
MAX_INPUT_PX = 8192


class EngineError(UserError):
    """A model or backend that cannot be used; the message says why and how to fix it."""


class BackendUnavailableError(EngineError):
    """A backend that this machine cannot run; another one may."""


class NoDeviceError(BackendUnavailableError):
    """A backend for hardware that this machine does not have: nothing is wrong, or missing."""


@dataclass(frozen=True)
class InputContract:
    """How camera bytes become the network's input.

    Attributes:
        height_px: height of the network input.
        width_px: width of the network input.
        fit: 'letterbox' keeps the camera's aspect ratio and pads with the mean colour,
            'stretch' fills the input.
        channel_order: order of the channels of the camera image, 'rgb' or 'bgr'.
        mean_rgb: subtracted from the pixels, 0..255.
        std_rgb: divides them after that.

    Raises:
        EngineError: a size, fit or channel order that cannot be used.
    """

    height_px: int
    width_px: int
    fit: str = 'letterbox'
    channel_order: str = 'rgb'
    mean_rgb: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std_rgb: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def __post_init__(self) -> None:
        for name, size_px in (('height', self.height_px), ('width', self.width_px)):
            is_whole = isinstance(size_px, int) and not isinstance(size_px, bool)
            if not is_whole or not MIN_INPUT_PX <= size_px <= MAX_INPUT_PX:
                raise EngineError(
                    f'network input {name} is {size_px}, expected a whole number of pixels from '
                    f'{MIN_INPUT_PX} to {MAX_INPUT_PX}; use for example 512x1024 (height x width)'
                )
        if self.fit not in FITS:
            raise EngineError(f"input fit is '{self.fit}', expected one of: {', '.join(FITS)}")
        require_channel_order(self.channel_order)

    @property
    def network_hw(self) -> tuple[int, int]:
        """(height, width) of the network input, px."""
        return (self.height_px, self.width_px)

    def override(self, height_px: int = 0, width_px: int = 0, fit: str = '') -> InputContract:
        """Return the contract with other sizes or fit; 0 and '' keep what is there."""
        return replace(
            self,
            height_px=self.height_px if height_px == 0 else height_px,
            width_px=self.width_px if width_px == 0 else width_px,
            fit=fit or self.fit,
        )


@dataclass(frozen=True)
class ModelMetadata:
    """Everything besides weights and graph that a model file carries.

    Attributes:
        label_space: names and colours of the classes, in the order of the logits.
        input: the input contract that the file was exported for.
        name: of the model, for reports and diagnostics.
        network: 'name', 'variant' and what else it takes to build the network again.
        stride: pixels of the network input per logit.
        precision: type in which the graph computes: 'f32' (weights are stored as float16), or
            'int8' where convolutions are quantised.
        source_sha256: hash of the checkpoint file that the weights came from.
        folded: True where norms and scales are folded into the weights (networks.deploy).
        temperature: the trained network's logits are divided by it in the file, see
            `seg_perception calibrate`; 1 where the confidence is as trained.
        quantized_from: hash of the model file that an int8 file was made from, '' for others.
        outputs: of the graph, SEMANTIC_OUTPUTS or PANOPTIC_OUTPUTS.
        version: version of this metadata.
    """

    label_space: LabelSpace
    input: InputContract
    name: str = ''
    network: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 8
    precision: str = 'f32'
    source_sha256: str = ''
    folded: bool = True
    temperature: float = 1.0
    quantized_from: str = ''
    outputs: tuple[str, ...] = SEMANTIC_OUTPUTS
    version: int = FORMAT_VERSION

    @property
    def is_panoptic(self) -> bool:
        """Whether the graph returns centres and offsets of instances too."""
        return self.outputs == PANOPTIC_OUTPUTS

    def to_properties(self) -> dict[str, str]:
        """Return the key-value pairs for ONNX metadata_props; every value is JSON."""
        values: dict[str, str] = {
            'version': json.dumps(self.version),
            'label_space': self.label_space.to_json(),
            'name': json.dumps(self.name),
            'input': json.dumps(asdict(self.input)),
            'network': json.dumps(dict(self.network)),
            'stride': json.dumps(self.stride),
            'precision': json.dumps(self.precision),
            'source_sha256': json.dumps(self.source_sha256),
            'folded': json.dumps(self.folded),
            'temperature': json.dumps(self.temperature),
            'quantized_from': json.dumps(self.quantized_from),
            'outputs': json.dumps(self.outputs),
        }
        return {METADATA_PREFIX + key: value for key, value in values.items()}

    @staticmethod
    def from_properties(properties: Mapping[str, str], where: str) -> ModelMetadata:
        """Rebuild from ONNX metadata_props; `where` names the file in errors.

        Raises:
            EngineError: there is no such metadata, or it is damaged or of another version.
        """
        if METADATA_PREFIX + 'version' not in properties:
            raise EngineError(
                f'{where} is an ONNX file without seg_perception metadata (label space, input '
                'contract); write model files with "seg_perception export"'
            )
        values = {
            key.removeprefix(METADATA_PREFIX): value
            for key, value in properties.items()
            if key.startswith(METADATA_PREFIX)
        }
        try:
            version = json.loads(values['version'])
            if version != FORMAT_VERSION:
                raise EngineError(
                    f'{where} has metadata version {version}, this package reads version '
                    f'{FORMAT_VERSION}; export the model again with this version of seg_perception'
                )
            contract = json.loads(values['input'])
            for name in ('mean_rgb', 'std_rgb'):
                contract[name] = tuple(contract[name])
            return ModelMetadata(
                label_space=LabelSpace.from_json(values['label_space']),
                input=InputContract(**contract),
                name=json.loads(values['name']),
                network=json.loads(values['network']),
                stride=json.loads(values['stride']),
                precision=json.loads(values['precision']),
                source_sha256=json.loads(values['source_sha256']),
                folded=json.loads(values['folded']),
                # files from before there was calibration do not have it
                temperature=float(json.loads(values.get('temperature', '1.0'))),
                # nor what int8 files say
                quantized_from=json.loads(values.get('quantized_from', '""')),
                # nor which outputs there are
                outputs=tuple(json.loads(values.get('outputs', '["logits"]'))),
                version=version,
            )
        except EngineError:
            raise
        except (KeyError, TypeError, ValueError, UserError) as error:
            raise EngineError(
                f'{where} has damaged seg_perception metadata ({error}); export the model again'
            ) from error


def require_channel_order(channel_order: str) -> None:
    """Raise EngineError unless the order is 'rgb' or 'bgr'."""
    if channel_order not in CHANNEL_ORDERS:
        raise EngineError(
            f"channel order is '{channel_order}', expected one of: {', '.join(CHANNEL_ORDERS)}"
        )
