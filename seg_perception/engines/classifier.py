# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The last layer of a model file, where a temperature on the logits costs nothing.

Softmax of logits / T has the same winner for every T > 0 and another confidence. The division
goes into the weights and bias of the layer that makes the logits, so the graph keeps its nodes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from seg_perception.engines.contract import EngineError
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import LOGITS

# Operators between the classifier and the output, or a weight, that only move values.
_LAYOUT = ('Identity', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze')
_LINEAR = ('Conv', 'Gemm', 'MatMul')


def calibrate_model(model: ModelFile, temperature: float) -> onnx.ModelProto:
    """Return the model file with its logits divided by a temperature, and that recorded.

    A file that was calibrated before keeps that division: the recorded temperature is the product.

    Args:
        model: the file; it is left as it is.
        temperature: divides the logits, above 0.

    Raises:
        EngineError: the graph's logits are not made by one layer of constant weights.
    """
    calibrated = onnx.ModelProto()
    calibrated.CopyFrom(model.graph)
    divide_classifier(calibrated.graph, temperature)
    metadata = replace(model.metadata, temperature=model.metadata.temperature * temperature)
    properties = {item.key: item.value for item in calibrated.metadata_props}
    helper.set_model_props(calibrated, properties | metadata.to_properties())
    onnx.checker.check_model(calibrated)
    return calibrated


def require_linear_classifier(model: ModelFile) -> None:
    """Raise EngineError for a model file whose logits cannot be divided by a temperature."""
    producers = {output: node.op_type for node in model.graph.graph.node for output in node.output}
    if producers.get(LOGITS) == 'Log':
        raise EngineError(
            f'model file {model.path} gives logarithms of scores in place of logits: SegViT sums '
            'class probability times mask over its queries, so no last layer takes a temperature. '
            'Use the file as it is; its confidence is what it was trained to be'
        )
    find_classifier_constants(model.graph.graph)


def divide_classifier(graph: onnx.GraphProto, divisor: float) -> None:
    """Divide weights and bias of the layer that makes the logits, in place.

    They become float32 where they were stored as float16: rounding anew would move the borders
    between classes.

    Raises:
        EngineError: the divisor is not above 0, or there is no such layer with weights of its own.
    """
    if not (divisor > 0.0 and np.isfinite(divisor)):
        raise EngineError(f'temperature is {divisor}, expected a number above 0')
    for name in find_classifier_constants(graph):
        tensor = next(item for item in graph.initializer if item.name == name)
        value = numpy_helper.to_array(tensor).astype(np.float32) / np.float32(divisor)
        tensor.CopyFrom(numpy_helper.from_array(value, name))
        drop_casts(graph, name)


def find_classifier_constants(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the initialisers of the last linear layer: weights, and bias if any.

    Raises:
        EngineError: the logits come from something else, or another layer uses the constants too.
    """
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    found = []
    node = producers.get(LOGITS)
    while node is not None and node.op_type not in _LINEAR:
        source = node.input[0]
        if node.op_type == 'Add':
            biases = [find_initializer(name, producers, constants) for name in node.input]
            if biases.count('') != 1:
                break
            source = node.input[biases.index('')]
            found.append(max(biases))
        elif node.op_type not in _LAYOUT:
            break
        node = producers.get(source)
    if node is not None and node.op_type in _LINEAR:
        operands = [find_initializer(name, producers, constants) for name in node.input if name]
        found.extend(name for name in operands if name)
        is_used_once = all(count_uses(graph, name) == 1 for name in found)
        if operands.count('') == 1 and is_used_once:
            return found
    raise EngineError(
        'the logits of this model file do not come from one linear layer with weights of its own '
        f'(found {node.op_type if node is not None else "nothing"}), so a temperature cannot be '
        'folded into it; export the model with "seg_perception export"'
    )


def find_initializer(
    name: str, producers: dict[str, onnx.NodeProto], constants: set[str]
) -> str:
    """Return the initialiser that a value is, but for its type and layout; '' for none."""
    while name in producers and producers[name].op_type in ('Cast', *_LAYOUT):
        name = producers[name].input[0]
    return name if name in constants else ''


def count_uses(graph: onnx.GraphProto, name: str) -> int:
    """Return how many layers read an initialiser, behind casts and changes of layout too."""
    uses = 0
    for node in graph.node:
        if name in node.input:
            moves_only = node.op_type in ('Cast', *_LAYOUT)
            uses += count_uses(graph, node.output[0]) if moves_only else 1
    return uses


def drop_casts(graph: onnx.GraphProto, name: str) -> None:
    """Remove the casts to float32 of an initialiser that is float32, in place."""
    casts = [node for node in graph.node if node.op_type == 'Cast' and node.input[0] == name]
    for cast in casts:
        graph.node.remove(cast)
        for node in graph.node:
            for index, used in enumerate(node.input):
                if used == cast.output[0]:
                    node.input[index] = name
