# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which part of the graph computes in which type, and that the masks stay."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, numpy_helper

from seg_perception.engines.contract import PANOPTIC_OUTPUTS, EngineError
from seg_perception.engines.half_precision import TYPES, convert_precision, make_half
from seg_perception.engines.prelude import IMAGE, LOGITS, specialise

HW = (64, 128)
# What overflows or loses its small differences in a half type.
FLOAT32_ONLY = {'ReduceMean', 'ReduceSum', 'Softmax', 'Sqrt', 'Div'}


@pytest.fixture(scope='module')
def graph(model) -> onnx.ModelProto:
    return specialise(model.graph, model.metadata, HW, HW, 'letterbox', 'rgb')


def infer_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every value; ONNX checks that operators take them."""
    onnx.checker.check_model(model)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}


@pytest.mark.parametrize('precision', TYPES)
def test_layers_are_half_and_sensitive_parts_are_not(graph, precision):
    converted = convert_precision(graph, precision)
    types = infer_types(converted)
    kinds = {(node.op_type, types[node.output[0]]) for node in converted.graph.node}
    assert {kind for op, kind in kinds if op == 'Conv'} == {TYPES[precision]}
    assert {kind for op, kind in kinds if op == 'Gelu'} == {TYPES[precision]}
    assert {kind for op, kind in kinds if op in FLOAT32_ONLY} == {TensorProto.FLOAT}
    assert types[IMAGE] == TensorProto.UINT8
    assert types[LOGITS] == TensorProto.FLOAT


@pytest.mark.parametrize('precision', TYPES)
def test_matrix_decomposition_is_float32_throughout(graph, precision):
    """All that the bases flow into is float32, up to the layer behind the Hamburger."""
    converted = convert_precision(graph, precision)
    types = infer_types(converted)
    (coefficients,) = (node for node in converted.graph.node if node.op_type == 'Softmax')
    constants = {tensor.name for tensor in converted.graph.initializer}
    (similarity,) = (n for n in converted.graph.node if coefficients.input[0] in n.output)
    inside = constants & set(similarity.input)  # the bases
    assert inside
    products, ends = 0, []
    for node in converted.graph.node:
        if not inside & set(node.input):
            continue
        if any(types[name] == TYPES[precision] for name in node.output):
            ends += [n.name for n in converted.graph.node if node.output[0] in n.input]
            continue
        inside |= set(node.output)
        products += node.op_type == 'MatMul'
    assert products > 40  # 8 updates of the coefficients and 7 of the bases, 3 products each
    assert ends == ['/decode_head/align/MatMul']


def test_bytes_are_cast_before_anything_else(graph):
    converted = convert_precision(graph, 'f16')
    assert [node.op_type for node in converted.graph.node if IMAGE in node.input] == ['Cast']


def test_float32_is_the_graph_as_it_is(graph):
    assert convert_precision(graph, 'f32') is graph


def test_original_is_left_alone(graph):
    before = graph.SerializeToString(deterministic=True)
    convert_precision(graph, 'f16')
    assert graph.SerializeToString(deterministic=True) == before


def test_openvino_computes_the_same_logits(graph, make_image, check_logits):
    """In float32, so that only the rounding of the weights is left: 5e-3 of the largest logit."""
    core = openvino.Core()
    image = make_image(*HW)

    def run(model: onnx.ModelProto) -> np.ndarray:
        hint = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
        network = core.read_model(model.SerializeToString())
        return core.compile_model(network, 'CPU', hint)(image)[0]

    expected = run(graph)
    found = run(convert_precision(graph, 'f16'))
    assert np.abs(found - expected).max() <= 5e-3 * np.abs(expected).max()


@pytest.mark.parametrize('precision', TYPES)
def test_all_outputs_of_a_panoptic_graph_are_float32_and_so_is_the_attention(
    panoptic_model, precision
):
    model = panoptic_model
    graph = specialise(model.graph, model.metadata, HW, HW, 'letterbox', 'rgb')
    converted = convert_precision(graph, precision)
    types = infer_types(converted)
    assert [types[name] for name in PANOPTIC_OUTPUTS] == [TensorProto.FLOAT] * 3
    makers = [node for node in converted.graph.node if set(node.output) & set(PANOPTIC_OUTPUTS)]
    assert [node.op_type for node in makers] == ['Conv'] * 3
    convolutions = [node for node in converted.graph.node if node.op_type == 'Conv']
    halves = [node for node in convolutions if types[node.output[0]] == TYPES[precision]]
    # the last layers are left, a pixel of offset is less than float16 has beyond 2048
    assert len(halves) == len(convolutions) - 3
    kinds = {types[n.output[0]] for n in converted.graph.node if n.op_type in FLOAT32_ONLY}
    assert kinds == {TensorProto.FLOAT}


def test_openvino_computes_the_same_centers_and_offsets(panoptic_model, make_image):
    model, image = panoptic_model, make_image(*HW)
    graph = specialise(model.graph, model.metadata, HW, HW, 'letterbox', 'rgb')
    hint = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    core, results = openvino.Core(), []
    for content in (graph, convert_precision(graph, 'f16')):
        network = core.read_model(content.SerializeToString())
        outputs = core.compile_model(network, 'CPU', hint)(image)
        results.append([outputs[name] for name in PANOPTIC_OUTPUTS])
    for expected, found in zip(*results, strict=True):
        assert np.abs(found - expected).max() <= 5e-3 * np.abs(expected).max()


def test_unknown_precision_is_named(graph):
    with pytest.raises(EngineError, match="'f8', expected one of: f32, int8, f16, bf16"):
        convert_precision(graph, 'f8')


def test_weight_beyond_float16_is_named():
    value = np.array([1.0, 7e4], np.float32)
    with pytest.raises(EngineError, match='weight w of the model file reaches 7e[+]04'):
        make_half(value, 'w', 'f16')
    make_half(value, 'w', 'bf16')


def test_bfloat16_is_rounded_to_nearest_even():
    random = np.random.default_rng(3).normal(size=(50, 20)) * 10.0 ** np.arange(-30, 30, 3)
    ties = 1 + np.arange(20) * 2.0**-8
    values = np.vstack([random, ties, -ties]).astype(np.float32)
    found = numpy_helper.to_array(make_half(values, 'w', 'bf16'))
    assert found.tobytes() == values.astype(ml_dtypes.bfloat16).tobytes()
