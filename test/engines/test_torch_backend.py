# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch rebuilds the network from the model file alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seg_perception.engines.contract import EngineError
from seg_perception.engines.torch_backend import TorchBackend
from seg_perception.errors import UserError


def test_unknown_network_is_named(model):
    other = replace(model, metadata=replace(model.metadata, network={'name': 'fcn', 'rank': 1}))
    with pytest.raises(UserError, match="'fcn'.*expected name segnext"):
        TorchBackend(other)


def test_weights_of_another_variant_are_refused(model):
    network = {**model.metadata.network, 'variant': 's'}
    other = replace(model, metadata=replace(model.metadata, network=network))
    with pytest.raises(EngineError, match='are not those of its network'):
        TorchBackend(other)


def test_precision_is_float32(model):
    assert TorchBackend(model).precision == 'f32'
    with pytest.raises(EngineError, match='precision bf16 is not available with torch'):
        TorchBackend(model, 'bf16')
