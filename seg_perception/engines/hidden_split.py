# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Splits wide hidden layers into parts that stay in a processor's cache.

A feed-forward block widens its input many times (SegNeXt: 4 to 8), filters each channel by itself
and narrows it again. The wide tensor, 16 MB at 512x1024 in SegNeXt-T's first stage in bfloat16,
goes out to memory and back four times. Its channels do not mix between the two 1x1 convolutions,
so the block is the sum of blocks of a few channels each, one after the other on cached memory:
the same products, added in another order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from seg_perception.engines.prelude import read_constant

# Largest hidden part, in numbers: 1 MiB in bfloat16, 2 in float32. On two cores with 1 MiB of L2
# each SegNeXt-T takes 0.87 (bfloat16) and 0.82 (float32) of the time at 512x1024, 0.92 at 384x768
# and 0.89 at 1024x2048 (bfloat16); twice and half this size give less.
PART_VALUES = 1 << 19
# Channels of a part are a multiple of this: whole vectors, and matrix blocks of a useful depth.
CHANNEL_STEP = 32
ELEMENTWISE = ('Gelu', 'Relu', 'HardSwish', 'Sigmoid', 'Tanh')


@dataclass(frozen=True)
class HiddenLayer:
    """A block `narrow(activate(filter(widen(x))))`, alone between its input and its output.

    Attributes:
        widen: 1x1 convolution to the hidden channels.
        filter: depthwise convolution of them.
        activate: an element by element function.
        narrow: 1x1 convolution back.
        residual: the addition that is the sole reader of `narrow`, None where there is none.
        channels: hidden channels.
        positions: height times width of the hidden tensor.
    """

    widen: NodeProto
    filter: NodeProto
    activate: NodeProto
    narrow: NodeProto
    residual: NodeProto | None
    channels: int
    positions: int

    @property
    def nodes(self) -> list[NodeProto]:
        """All nodes that the parts replace."""
        inner = [self.widen, self.filter, self.activate, self.narrow]
        return inner if self.residual is None else [*inner, self.residual]


def split_hidden_layers(model: onnx.ModelProto) -> int:
    """Split, in place, every hidden layer that is larger than PART_VALUES.

    Args:
        model: a graph of fixed shapes, from `prelude.specialise`.

    Returns:
        The number of layers that were split.
    """
    graph = model.graph
    replaced: set[str] = set()
    parts: dict[str, list[NodeProto]] = {}
    for layer in find_hidden_layers(model):
        count = choose_part_count(layer.channels, layer.positions)
        if count > 1:
            replaced.update(node.name for node in layer.nodes)
            parts[layer.nodes[-1].name] = build_parts(graph, layer, count)
    nodes = []
    for node in graph.node:
        if node.name in parts:
            nodes.extend(parts[node.name])
        elif node.name not in replaced:
            nodes.append(node)
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)
    return len(parts)


def choose_part_count(channels: int, positions: int) -> int:
    """Return the smallest number of equal parts of at most PART_VALUES, 1 for a small layer.

    Parts hold whole CHANNEL_STEPs; where no division of them is small enough, the finest is taken.
    """
    steps = channels // CHANNEL_STEP
    if channels % CHANNEL_STEP or steps < 2:
        return 1
    wanted = math.ceil(channels * positions / PART_VALUES)
    divisors = [count for count in range(1, steps + 1) if steps % count == 0]
    return next((count for count in divisors if count >= wanted), steps)


def find_hidden_layers(model: onnx.ModelProto) -> list[HiddenLayer]:
    """Find the blocks in a graph of fixed shapes."""
    index = GraphIndex(model)
    layers = (find_hidden_layer(narrow, index) for narrow in model.graph.node)
    return [layer for layer in layers if layer is not None]


class GraphIndex:
    """Who makes and who reads each tensor of a graph, and its shape."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Infer the shapes of a graph of fixed shapes."""
        inferred = onnx.shape_inference.infer_shapes(model)
        self.shapes = {
            item.name: [axis.dim_value for axis in item.type.tensor_type.shape.dim]
            for item in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        }
        self._results = {item.name for item in model.graph.output}
        self._makers = {output: node for node in model.graph.node for output in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def find_sole_reader(self, node: NodeProto) -> NodeProto | None:
        """Return the only node that reads a node's output."""
        name = node.output[0]
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self._results else None

    def find_private_maker(self, node: NodeProto) -> NodeProto | None:
        """Return the node that makes a node's first input, where nothing else reads that."""
        maker = self._makers.get(node.input[0])
        is_private = maker is not None and self.find_sole_reader(maker) is not None
        return maker if is_private else None


def find_hidden_layer(narrow: NodeProto, index: GraphIndex) -> HiddenLayer | None:
    """Return the block that ends with a node, None where there is none."""
    if not is_pointwise(narrow, index.shapes):
        return None
    activate = index.find_private_maker(narrow)
    if activate is None or activate.op_type not in ELEMENTWISE:
        return None
    filtering = index.find_private_maker(activate)
    if filtering is None or not is_depthwise(filtering, index.shapes):
        return None
    widen = index.find_private_maker(filtering)
    if widen is None or not is_pointwise(widen, index.shapes):
        return None
    residual = index.find_sole_reader(narrow)
    if residual is not None and not adds_equal_shapes(residual, index.shapes):
        residual = None
    _, channels, height, width = index.shapes[filtering.output[0]]
    return HiddenLayer(widen, filtering, activate, narrow, residual, channels, height * width)


def is_pointwise(node: NodeProto, shapes: dict[str, list[int]]) -> bool:
    """Tell whether a node is a dense 1x1 convolution with a bias, of stride 1."""
    if node.op_type != 'Conv' or len(node.input) != 3 or node.output[0] not in shapes:
        return False
    kernel = get_integers(node, 'kernel_shape')
    stride = get_integers(node, 'strides') or [1, 1]
    return kernel == [1, 1] and stride == [1, 1] and get_group(node) == 1


def is_depthwise(node: NodeProto, shapes: dict[str, list[int]]) -> bool:
    """Tell whether a node is a convolution with a bias that keeps channels apart."""
    shape = shapes.get(node.output[0], [])
    is_known = node.op_type == 'Conv' and len(node.input) == 3 and len(shape) == 4
    return is_known and get_group(node) == shape[1]


def adds_equal_shapes(node: NodeProto, shapes: dict[str, list[int]]) -> bool:
    """Tell whether a node adds two tensors of the same known shape."""
    known = [shapes.get(name) for name in node.input]
    return node.op_type == 'Add' and known[0] is not None and known[0] == known[1]


def get_integers(node: NodeProto, name: str) -> list[int]:
    """Return an attribute that is a list of integers, [] where it is not set."""
    return next((list(item.ints) for item in node.attribute if item.name == name), [])


def get_group(node: NodeProto) -> int:
    """Return the number of groups of a convolution."""
    return next((int(item.i) for item in node.attribute if item.name == 'group'), 1)


def build_parts(graph: onnx.GraphProto, layer: HiddenLayer, count: int) -> list[NodeProto]:
    """Return the nodes that compute the layer in parts; their weights are added to the graph."""
    widen_weight, widen_bias = read_weights(graph, layer.widen)
    filter_weight, filter_bias = read_weights(graph, layer.filter)
    narrow_weight, narrow_bias = read_weights(graph, layer.narrow)
    step = layer.channels // count
    total = find_residual_input(layer)
    result = layer.nodes[-1].output[0]
    nodes: list[NodeProto] = []
    for index in range(count):
        part = f'{layer.narrow.name}/part{index}'
        channels = slice(index * step, (index + 1) * step)
        names = add_constants(
            graph,
            part,
            (
                widen_weight[channels],
                widen_bias[channels],
                filter_weight[channels],
                filter_bias[channels],
                narrow_weight[:, channels],
                # added once
                narrow_bias if index == 0 else np.zeros_like(narrow_bias),
            ),
        )
        source = layer.widen.input[0]
        for role, node, constants in (
            ('widen', layer.widen, names[0:2]),
            ('filter', layer.filter, names[2:4]),
            ('activate', layer.activate, []),
            ('narrow', layer.narrow, names[4:6]),
        ):
            target = f'{part}/{role}'
            nodes.append(copy_node(node, target, [source, *constants], step))
            source = target
        is_last = index == count - 1
        if total is None:
            total = source
        else:
            target = result if is_last else f'{part}/sum'
            nodes.append(helper.make_node('Add', [total, source], [target], name=f'{part}/sum'))
            total = target
    return nodes


def find_residual_input(layer: HiddenLayer) -> str | None:
    """Return what the layer's result is added to, None where it is not added."""
    if layer.residual is None:
        return None
    return next(name for name in layer.residual.input if name != layer.narrow.output[0])


def read_weights(graph: onnx.GraphProto, node: NodeProto) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution, float32."""
    weight, bias = (read_constant(graph, name) for name in node.input[1:3])
    return weight.astype(np.float32), bias.astype(np.float32)


def add_constants(graph: onnx.GraphProto, part: str, values: Iterable[np.ndarray]) -> list[str]:
    """Add initialisers and return their names."""
    names = []
    for index, value in enumerate(values):
        names.append(f'{part}/constant{index}')
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), names[-1]))
    return names


def copy_node(node: NodeProto, name: str, inputs: list[str], channels: int) -> NodeProto:
    """Copy a node under a new name; a depthwise one gets the channels of a part."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.name = name
    del copied.input[:], copied.output[:]
    copied.input.extend(inputs)
    copied.output.append(name)
    for attribute in copied.attribute:
        if attribute.name == 'group' and attribute.i > 1:
            attribute.i = channels
    return copied
