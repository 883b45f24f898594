# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hidden layers in parts: the same function, found only where it is alone."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from seg_perception.engines import hidden_split
from seg_perception.engines.hidden_split import choose_part_count, split_hidden_layers
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.prelude import specialise
from seg_perception.resources import find_model

CHANNELS, HIDDEN, SIZE = 32, 128, 9


def make_block(residual: bool = True, reads_hidden: bool = False) -> onnx.ModelProto:
    """Make a feed-forward block as a graph with random weights."""
    generator = np.random.default_rng(3)
    graph = helper.make_graph([], 'block', [], [])

    def constant(name: str, *shape: int) -> str:
        value = generator.normal(0, 0.3, shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def convolve(name: str, source: str, weight: tuple[int, ...], **attributes: object) -> str:
        inputs = [source, constant(name + '.w', *weight), constant(name + '.b', weight[0])]
        graph.node.append(helper.make_node('Conv', inputs, [name], name=name, **attributes))
        return name

    pads = {'pads': [1, 1, 1, 1], 'group': HIDDEN}
    wide = convolve('widen', 'x', (HIDDEN, CHANNELS, 1, 1), kernel_shape=[1, 1])
    wide = convolve('filter', wide, (HIDDEN, 1, 3, 3), kernel_shape=[3, 3], **pads)
    graph.node.append(helper.make_node('Relu', [wide], ['activate'], name='activate'))
    result = convolve('narrow', 'activate', (CHANNELS, HIDDEN, 1, 1), kernel_shape=[1, 1])
    if residual:
        graph.node.append(helper.make_node('Add', [result, 'x'], ['sum'], name='sum'))
        result = 'sum'
    shape = [1, CHANNELS, SIZE, SIZE]
    graph.input.append(helper.make_tensor_value_info('x', TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, shape))
    if reads_hidden:
        wide_shape = [1, HIDDEN, SIZE, SIZE]
        graph.output.append(helper.make_tensor_value_info(wide, TensorProto.FLOAT, wide_shape))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)])


@pytest.fixture
def small_parts(monkeypatch):
    """Split layers that are far too small for it."""
    monkeypatch.setattr(hidden_split, 'PART_VALUES', HIDDEN * SIZE * SIZE // 4)


def evaluate(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    image = np.random.default_rng(0).normal(size=(1, CHANNELS, SIZE, SIZE)).astype(np.float32)
    return ReferenceEvaluator(model).run(None, {'x': image})[0]


@pytest.mark.parametrize('residual', [True, False])
def test_parts_compute_the_same(small_parts, residual):
    model = make_block(residual)
    before = evaluate(model)
    assert split_hidden_layers(model) == 1
    assert sum(node.name.endswith('/narrow') for node in model.graph.node) == 4
    assert 'narrow' not in [node.name for node in model.graph.node]
    np.testing.assert_allclose(evaluate(model), before, atol=2e-5)


def test_hidden_tensor_that_something_else_reads_stays_whole(small_parts):
    model = make_block(reads_hidden=True)
    assert split_hidden_layers(model) == 0


def test_small_layer_stays_whole():
    assert split_hidden_layers(make_block()) == 0


@pytest.mark.parametrize(
    ('channels', 'positions', 'count'),
    [
        (256, 2048, 1),  # 2^19 values fit
        (256, 2049, 2),
        (256, 32768, 8),  # 16 would be wanted, of 16 channels each
        (640, 2048, 4),  # 3 are wanted; 20 steps of 32 channels divide by 4
        (40, 1 << 20, 1),  # no whole steps
    ],
)
def test_parts_are_whole_steps_that_fit(channels, positions, count):
    assert choose_part_count(channels, positions) == count


def test_shipped_model_is_split_at_512x1024():
    model = load_model_file(find_model(''))
    size = (512, 1024)
    graph = specialise(model.graph, model.metadata, size, size, 'letterbox', 'rgb')
    # stages 1 to 3 have 3, 3 and 5 blocks; the last stage's hidden layers are small enough
    assert split_hidden_layers(graph) == 11
