# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What model files say about themselves."""

from __future__ import annotations

import json

import pytest

from seg_perception.engines.contract import EngineError, InputContract, ModelMetadata
from seg_perception.perception.labels import load_label_space


def make_metadata() -> ModelMetadata:
    return ModelMetadata(
        load_label_space('ade20k'),
        InputContract(320, 640, 'stretch', 'bgr', (1.5, 2.5, 3.5), (4.0, 5.0, 6.0)),
        name='indoor',
        network={'name': 'segnext', 'variant': 's', 'rank': 16},
        source_sha256='ab' * 32,
        temperature=1.25,
    )


def test_metadata_survives_the_file():
    metadata = make_metadata()
    assert ModelMetadata.from_properties(metadata.to_properties(), 'x') == metadata


def test_files_without_a_temperature_are_as_trained():
    properties = make_metadata().to_properties()
    del properties['seg_perception.temperature']
    assert ModelMetadata.from_properties(properties, 'x').temperature == 1.0


def test_every_property_is_json():
    for key, value in make_metadata().to_properties().items():
        assert key.startswith('seg_perception.')
        json.loads(value)


def test_foreign_file_is_named():
    with pytest.raises(EngineError, match='other.onnx .*without seg_perception metadata'):
        ModelMetadata.from_properties({'author': 'somebody'}, 'other.onnx')


def test_newer_metadata_is_refused():
    properties = make_metadata().to_properties() | {'seg_perception.version': '7'}
    with pytest.raises(EngineError, match='version 7.*version 1'):
        ModelMetadata.from_properties(properties, 'x')


@pytest.mark.parametrize('value', ['{', '{}', '[1]', '{"height_px": 64}'])
def test_damaged_metadata_is_refused(value):
    properties = make_metadata().to_properties() | {'seg_perception.input': value}
    with pytest.raises(EngineError, match='damaged'):
        ModelMetadata.from_properties(properties, 'x')


@pytest.mark.parametrize('height_px', [0, -64, 31, 8193, 64.5, True])
def test_network_sizes_are_checked(height_px):
    with pytest.raises(EngineError, match=f'height is {height_px}, expected .* 32 to 8192'):
        InputContract(height_px, 128)


def test_fit_and_channel_order_are_checked():
    with pytest.raises(EngineError, match="fit is 'crop', expected one of: letterbox, stretch"):
        InputContract(64, 128, 'crop')
    with pytest.raises(EngineError, match="channel order is 'yuv', expected one of: rgb, bgr"):
        InputContract(64, 128, channel_order='yuv')


def test_override_keeps_what_is_not_given():
    contract = InputContract(64, 128, 'stretch')
    assert contract.override() == contract
    changed = contract.override(width_px=96, fit='letterbox')
    assert changed == InputContract(64, 96, 'letterbox')
