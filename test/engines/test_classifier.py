# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A temperature goes into the last layer: the same masks, divided logits, no node more."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from seg_perception.engines.classifier import (
    calibrate_model,
    divide_classifier,
    find_classifier_constants,
)
from seg_perception.engines.contract import EngineError
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.resources import find_model


def write_calibrated(model, temperature, path):
    path.write_bytes(calibrate_model(model, temperature).SerializeToString())
    return load_model_file(path)


def infer(path, image, backend='openvino', size=(0, 0)):
    engine = load_engine(EngineConfig(str(path), backend, 'f32', *size, allow_fallback=False))
    try:
        return engine.infer(image, 'rgb').copy()
    finally:
        engine.close()


@pytest.mark.parametrize('backend', ['openvino', 'torch'])
def test_logits_are_divided(model, tmp_path, make_image, backend):
    calibrated = write_calibrated(model, 1.7, tmp_path / 'calibrated.onnx')
    image = make_image(90, 160)
    before, after = (infer(file.path, image, backend) for file in (model, calibrated))
    np.testing.assert_allclose(after * np.float32(1.7), before, atol=1e-5 * np.abs(before).max())


def test_masks_of_the_shipped_model_stay(tmp_path, make_image):
    model = load_model_file(find_model())
    calibrated = write_calibrated(model, 1.37, tmp_path / 'calibrated.onnx')
    image = make_image(360, 480)
    before, after = (infer(file.path, image, size=(192, 256)) for file in (model, calibrated))
    winners = before.argmax(0)
    assert len(np.unique(winners)) > 3
    assert (winners == after.argmax(0)).mean() > 0.9999


def test_only_the_last_layer_changes(model, tmp_path):
    calibrated = write_calibrated(model, 1.7, tmp_path / 'calibrated.onnx')
    before, after = model.read_weights(), calibrated.read_weights()
    changed = [name for name in before if (before[name] != after[name]).any()]
    assert sorted(changed) == ['decode_head.conv_seg.bias', 'decode_head.conv_seg.weight']
    for name in changed:
        np.testing.assert_allclose(after[name] * np.float32(1.7), before[name], rtol=1e-6)
    count = len(model.graph.graph.node)
    assert count - 1 <= len(calibrated.graph.graph.node) <= count


def test_temperature_is_recorded_and_multiplies(model, tmp_path):
    assert model.metadata.temperature == 1.0
    once = write_calibrated(model, 1.5, tmp_path / 'once.onnx')
    twice = write_calibrated(once, 2.0, tmp_path / 'twice.onnx')
    assert (once.metadata.temperature, twice.metadata.temperature) == (1.5, 3.0)
    assert model.metadata.label_space == twice.metadata.label_space
    name = 'decode_head.conv_seg.weight'
    np.testing.assert_allclose(
        twice.read_weights()[name] * np.float32(3), model.read_weights()[name], rtol=1e-6
    )


@pytest.mark.parametrize('temperature', [0.0, -1.0, np.inf, np.nan])
def test_temperatures_that_are_none_are_refused(model, temperature):
    with pytest.raises(EngineError, match='expected a number above 0'):
        calibrate_model(model, temperature)


def make_graph(*nodes):
    """Return a graph from 'features' (1, 4, 5, 6) to 'logits', with 3x4 weights stored as half."""
    value = np.arange(12, dtype=np.float16).reshape(3, 4, 1, 1)
    return helper.make_graph(
        [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in nodes],
        'test',
        [helper.make_tensor_value_info('features', TensorProto.FLOAT, [1, 4, 5, 6])],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, 'weight')],
    )


CAST = ('Cast', ['weight'], 'wide', {'to': TensorProto.FLOAT})


def test_convolution_behind_a_cast_loses_it():
    graph = make_graph(CAST, ('Conv', ['features', 'wide'], 'logits', {}))
    divide_classifier(graph, 4.0)
    assert [node.op_type for node in graph.node] == ['Conv']
    stored = numpy_helper.to_array(graph.initializer[0])
    assert stored.dtype == np.float32
    assert stored.ravel().tolist() == [i / 4 for i in range(12)]


@pytest.mark.parametrize(
    'nodes',
    [
        [CAST, ('Conv', ['features', 'wide'], 'a', {}), ('Relu', ['a'], 'logits', {})],
        [CAST, ('Conv', ['features', 'wide'], 'a', {}), ('Conv', ['a', 'wide'], 'logits', {})],
        [('MatMul', ['features', 'features'], 'logits', {})],
        [('Add', ['features', 'features'], 'logits', {})],
    ],
    ids=['relu after it', 'weights used twice', 'no weights', 'no layer'],
)
def test_graph_without_a_last_layer_of_its_own_is_refused(nodes):
    with pytest.raises(EngineError, match='do not come from one linear layer'):
        find_classifier_constants(make_graph(*nodes))
