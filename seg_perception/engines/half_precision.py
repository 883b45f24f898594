# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Writes the precision into the graph, for engines that compute in the types they read there.

Layers (convolutions, multiplications by weights) and what is element by element between them
become float16 or bfloat16. All else stays float32: normalisations, reductions, softmax, the
prelude, the last layer, and the Hamburger's matrix decomposition, whose products reach 3.5e4 at
1024x2048 where float16 ends at 65504.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from seg_perception.engines.contract import EngineError

TYPES = {'f16': TensorProto.FLOAT16, 'bf16': TensorProto.BFLOAT16}
# The first version of ONNX in which Conv takes bfloat16; nothing else of ours changed since 20.
BFLOAT16_OPSET = 22
FLOAT16_MAX = float(np.finfo(np.float16).max)

# What is dequantised is read by layers, and has the type of its scale.
_LAYERS = ('Conv', 'MatMul', 'Gemm', 'DequantizeLinear')
# Computed in the half type where all that flows into them is of that type.
_FOLLOWERS = (
    *('Add', 'Sub', 'Mul', 'Gelu', 'Relu', 'Sigmoid', 'Resize', 'Concat', 'Pad', 'Slice'),
    *('Identity', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'MaxPool'),
    'QuantizeLinear',
)
# Of these nodes other inputs are sizes, axes and the like.
_DATA_INPUTS = {
    **dict.fromkeys(('Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Resize', 'Slice'), (0,)),
    'Pad': (0, 2),
    'QuantizeLinear': (0, 1),
    'DequantizeLinear': (1,),
}
# Constants of the matrix decomposition and of the layer that reads its bases, by the names of
# the deployed network (networks.deploy).
_FLOAT32_CONSTANTS = ('.bases', '.ham_out.weight')
_LAYOUT = ('Identity', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze')
_FOLDABLE = ('Constant', 'Cast', *_LAYOUT)


def convert_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Return the float32 model with its layers in another type; input and output stay.

    Args:
        model: a model file's graph, also one of `prelude.specialise`; it is not changed.
        precision: 'f32' (returned as it is), 'f16' or 'bf16'; 'int8' is 'f16' for what is not
            quantised in an int8 file.

    Raises:
        EngineError: an unknown precision, or a weight that float16 cannot hold.
    """
    if precision == 'f32':
        return model
    if precision == 'int8':
        precision = 'f16'
    if precision not in TYPES:
        raise EngineError(
            f"precision is '{precision}', expected one of: f32, int8, {', '.join(TYPES)}"
        )
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    constants = fold_constants(converted.graph)
    GraphConverter(converted.graph, constants, precision).convert()
    drop_unused_constants(converted.graph)
    if precision == 'bf16':
        for opset in converted.opset_import:
            if opset.domain in ('', 'ai.onnx'):
                opset.version = max(opset.version, BFLOAT16_OPSET)
    return converted


def fold_constants(graph: onnx.GraphProto) -> dict[str, str]:
    """Replace casts and changes of layout of constants by constants, in place.

    Returns for each constant the name of the initialiser that it was made from.
    """
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    sources = {name: name for name in values}
    outputs = {output.name for output in graph.output}
    kept = []
    for node in graph.node:
        is_constant = node.op_type in _FOLDABLE and all(name in values for name in node.input)
        if not is_constant or node.output[0] in outputs:
            kept.append(node)
            continue
        name = node.output[0]
        (value,) = ReferenceEvaluator(node).run(None, {name: values[name] for name in node.input})
        values[name] = np.ascontiguousarray(value).reshape(np.shape(value))
        sources[name] = sources[node.input[0]] if node.input else name
        graph.initializer.append(numpy_helper.from_array(values[name], name))
    del graph.node[:]
    graph.node.extend(kept)
    return sources


def drop_unused_constants(graph: onnx.GraphProto) -> None:
    """Remove initialisers that no node reads, in place."""
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


class GraphConverter:
    """Changes the types of one graph, in place; its constants are folded."""

    def __init__(self, graph: onnx.GraphProto, sources: dict[str, str], precision: str) -> None:
        """Keep the graph and where its constants come from (`fold_constants`)."""
        self._graph = graph
        self._sources = sources
        self._precision = precision
        self._type = TYPES[precision]
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = {output.name for output in graph.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._dequantised = {
            node.output[0]
            for node in graph.node
            if node.op_type == 'DequantizeLinear' and node.input[0] in sources
        }
        self._halves: set[str] = set()  # values of the half type, among those of the old graph
        self._made: set[str] = set()

    def convert(self) -> None:
        """Go through the nodes in order, put casts where the type changes."""
        nodes: list[NodeProto] = []
        for node in list(self._graph.node):
            if self._is_half(node):
                nodes.extend(self._set_inputs(node, to_half=True))
                self._halves.update(node.output)
                name = node.output[0]
                if name in self._outputs:
                    node.output[0] = f'{name}/{self._precision}'
                    nodes += [node, make_cast(node.output[0], name, TensorProto.FLOAT)]
                    self._halves.discard(name)
                    continue
            elif node.op_type not in ('Cast', 'Shape'):  # these take any type
                nodes.extend(self._set_inputs(node, to_half=False))
            nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def _is_half(self, node: NodeProto) -> bool:
        inputs = [node.input[i] for i in list_data_inputs(node) if node.input[i]]
        flowing = [name for name in inputs if name not in self._sources]
        if node.op_type in _LAYERS:
            weights = [self._sources[name] for name in inputs if name in self._sources]
            is_kept = any(name.endswith(_FLOAT32_CONSTANTS) for name in weights)
            has_weights = bool(weights) or not self._dequantised.isdisjoint(inputs)
            return has_weights and not is_kept and not self._makes_output(node)
        is_follower = node.op_type in _FOLLOWERS and bool(flowing)
        return is_follower and all(name in self._halves for name in flowing)

    def _makes_output(self, node: NodeProto) -> bool:
        """Tell whether between a layer and an output there is only a bias and layout."""
        name = node.output[0]
        while name not in self._outputs:
            readers = self._readers.get(name, [])
            if len(readers) != 1 or readers[0].op_type not in ('Add', *_LAYOUT):
                return False
            others = [other for other in readers[0].input if other != name]
            if readers[0].op_type == 'Add' and not all(o in self._sources for o in others):
                return False
            name = readers[0].output[0]
        return True

    def _set_inputs(self, node: NodeProto, to_half: bool) -> Iterator[NodeProto]:
        """Let a node read its inputs in one type; yields the casts that are new."""
        for index in list_data_inputs(node):
            name = node.input[index]
            if not name or (name in self._halves) == to_half:
                continue
            if name in self._sources:
                if to_half:
                    node.input[index] = self._convert_constant(name)
                continue
            cast = f'{name}/{self._precision if to_half else "f32"}'
            node.input[index] = cast
            if cast not in self._made:
                self._made.add(cast)
                yield make_cast(name, cast, self._type if to_half else TensorProto.FLOAT)

    def _convert_constant(self, name: str) -> str:
        converted = f'{name}/{self._precision}'
        if converted not in self._made:
            self._made.add(converted)
            tensor = self._constants[name]
            value = numpy_helper.to_array(tensor).astype(np.float32)
            self._graph.initializer.append(make_half(value, converted, self._precision))
        return converted


def list_data_inputs(node: NodeProto) -> list[int]:
    """Return the indices of the inputs that have the node's own type."""
    every = range(len(node.input))
    return [index for index in _DATA_INPUTS.get(node.op_type, every) if index in every]


def make_cast(source: str, target: str, to: int) -> NodeProto:
    """Return a cast node named as its output."""
    return helper.make_node('Cast', [source], [target], name=target, to=to)


def make_half(value: np.ndarray, name: str, precision: str) -> TensorProto:
    """Return a float32 array as an initialiser of the half type, rounded to nearest even.

    Raises:
        EngineError: a value is not finite, or beyond the range of float16.
    """
    largest = float(np.abs(value).max(initial=0.0))
    if not np.isfinite(largest) or (precision == 'f16' and largest > FLOAT16_MAX):
        raise EngineError(
            f'weight {name} of the model file reaches {largest:.3g}, more than {precision} holds; '
            'use precision f32 or bf16'
        )
    if precision == 'f16':
        return numpy_helper.from_array(value.astype(np.float16), name)
    bits = np.ascontiguousarray(value, '<f4').view('<u4')
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype('<u4')) >> 16
    raw = rounded.astype('<u2').tobytes()
    return helper.make_tensor(name, TensorProto.BFLOAT16, value.shape, raw, raw=True)
