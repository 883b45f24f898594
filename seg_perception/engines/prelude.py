# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The first nodes of a model file: camera bytes to normalised network input.

A shipped file takes camera images of any height and width in its contract's channel order.
`specialise` replaces these nodes for one camera, one network size and one channel order: no
shape arithmetic remains, no resize or padding where the sizes agree, and the division by the
standard deviation and the channel order move into the first convolution.

The bytes are cast first and transposed after that: TensorRT takes uint8 into a cast alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from seg_perception.engines.contract import LOGITS as LOGITS
from seg_perception.engines.contract import (
    EngineError,
    InputContract,
    ModelMetadata,
    require_channel_order,
)
from seg_perception.perception.geometry import Placement, place_image

OPSET = 20
IMAGE = 'image'
NORMALISED = 'normalised'  # (1, 3, network height, network width) float32
PREFIX = 'prelude/'


class NodeList:
    """Collects nodes and constants; all names begin with 'prelude/'."""

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, op_type: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one output and return the output's name, that of the node."""
        output = PREFIX + name
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=output, **attributes)
        )
        return output

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add an initialiser and return its name."""
        self.constants.append(numpy_helper.from_array(value, PREFIX + name))
        return PREFIX + name

    def add_integers(self, name: str, values: Sequence[int]) -> str:
        """Add an int64 vector and return its name."""
        return self.add_constant(name, np.asarray(values, np.int64))

    def finish(self) -> None:
        """Give the last node's output the name that the network reads."""
        self.nodes[-1].output[0] = NORMALISED


def build_dynamic_prelude(contract: InputContract) -> NodeList:
    """Build the nodes for any camera size: IMAGE (height, width, 3) uint8 to NORMALISED."""
    nodes = NodeList()
    size = nodes.add('Shape', 'camera_size', [IMAGE], start=0, end=2)
    pixels = nodes.add('Cast', 'float', [IMAGE], to=TensorProto.FLOAT)
    pixels = add_planes(nodes, pixels)
    order = 1 if contract.channel_order == 'rgb' else -1
    mean = np.asarray(contract.mean_rgb, np.float32)[::order].reshape(1, 3, 1, 1)
    scale = 1 / np.asarray(contract.std_rgb, np.float64)[::order].reshape(1, 3, 1, 1)
    network = nodes.add_integers('network_size', contract.network_hw)
    is_letterbox = contract.fit == 'letterbox'
    resized = add_letterbox_size(nodes, size, network) if is_letterbox else network
    batch = nodes.add_integers('batch_and_channels', [1, 3])
    sizes = nodes.add('Concat', 'resized_shape', [batch, resized], axis=0)
    pixels = add_resize(nodes, pixels, sizes)
    pixels = nodes.add('Sub', 'centred', [pixels, nodes.add_constant('mean', mean)])
    factor = nodes.add_constant('inverse_std', scale.astype(np.float32))
    pixels = nodes.add('Mul', 'scaled', [pixels, factor])
    if contract.channel_order == 'bgr':
        channels = nodes.add_integers('rgb_channels', [2, 1, 0])
        pixels = nodes.add('Gather', 'rgb', [pixels, channels], axis=1)
    if is_letterbox:
        two = nodes.add_integers('two', [2])
        margin = nodes.add('Sub', 'margin', [network, resized])
        before = nodes.add('Div', 'pad_before', [margin, two])
        after = nodes.add('Sub', 'pad_after', [margin, before])
        none = nodes.add_integers('no_padding', [0, 0])
        pads = nodes.add('Concat', 'pads', [none, before, none, after], axis=0)
        nodes.add('Pad', 'padded', [pixels, pads], mode='constant')
    nodes.finish()
    return nodes


def add_planes(nodes: NodeList, pixels: str) -> str:
    """Add the way from (H, W, 3) to (1, 3, H, W)."""
    batch_axis = nodes.add_integers('batch_axis', [0])
    pixels = nodes.add('Unsqueeze', 'batch', [pixels, batch_axis])
    return nodes.add('Transpose', 'planes', [pixels], perm=[0, 3, 1, 2])


def add_resize(nodes: NodeList, pixels: str, sizes: str) -> str:
    """Add a bilinear resize with half-pixel centres, that of cv2.INTER_LINEAR."""
    return nodes.add(
        'Resize',
        'resized',
        [pixels, '', '', sizes],
        mode='linear',
        coordinate_transformation_mode='half_pixel',
    )


def add_letterbox_size(nodes: NodeList, camera: str, network: str) -> str:
    """Add the size (2,) int64 that `perception.geometry.place_image` gives, in integers.

    The other side of the network bounds each side: resized = round(limit * side / other side),
    halves to even, at least 1 and at most the network's side.
    """
    one = nodes.add_integers('one', [1])
    two = nodes.add_integers('rounding_two', [2])
    swap = nodes.add_integers('swap', [1, 0])
    other_camera = nodes.add('Gather', 'other_camera_side', [camera, swap], axis=0)
    other_network = nodes.add('Gather', 'other_network_side', [network, swap], axis=0)
    product = nodes.add('Mul', 'product', [other_network, camera])
    quotient = nodes.add('Div', 'quotient', [product, other_camera])
    whole = nodes.add('Mul', 'whole', [quotient, other_camera])
    rest = nodes.add('Sub', 'rest', [product, whole])
    doubled = nodes.add('Mul', 'doubled_rest', [rest, two])
    excess = nodes.add('Sub', 'excess', [doubled, other_camera])
    odd = nodes.add('Mod', 'odd', [quotient, two])
    tie_broken = nodes.add('Add', 'tie_broken', [excess, odd])
    zero = nodes.add_integers('zero', [0])
    is_up = nodes.add('Greater', 'is_up', [tie_broken, zero])
    up = nodes.add('Cast', 'up', [is_up], to=TensorProto.INT64)
    rounded = nodes.add('Add', 'rounded', [quotient, up])
    visible = nodes.add('Max', 'at_least_one', [rounded, one])
    return nodes.add('Min', 'resized_size', [visible, network])


def build_static_prelude(placement: Placement, mean: Sequence[float]) -> NodeList:
    """Build the nodes for one camera size; the division is left to the network.

    The mean is subtracted from whole rows of interleaved pixels, before the transposition:
    OpenVINO then does it in one pass with the cast and hands the result to the convolution as
    it lies (2.5 ms less at 512x1024 on two cores than a mean per plane).

    Args:
        placement: where the camera image lies in the network input.
        mean: of the three channels in the camera's order.
    """
    nodes = NodeList()
    camera_width_px = placement.camera_width_px
    row = np.tile(np.asarray(mean, np.float32), (camera_width_px, 1))
    pixels = nodes.add('Cast', 'float', [IMAGE], to=TensorProto.FLOAT)
    pixels = nodes.add('Sub', 'centred', [pixels, nodes.add_constant('mean', row)])
    resized = (placement.resized_height_px, placement.resized_width_px)
    network = (placement.network_height_px, placement.network_width_px)
    is_resized = resized != (placement.camera_height_px, camera_width_px)
    top, left = placement.pad_top_px, placement.pad_left_px
    bottom, right = network[0] - resized[0] - top, network[1] - resized[1] - left
    if resized != network and not is_resized:
        pads = nodes.add_integers('pads', [top, left, 0, bottom, right, 0])
        pixels = nodes.add('Pad', 'padded', [pixels, pads], mode='constant')
    pixels = add_planes(nodes, pixels)
    if is_resized:
        sizes = nodes.add_integers('resized_shape', [1, 3, *resized])
        pixels = add_resize(nodes, pixels, sizes)
        if resized != network:
            pads = nodes.add_integers('pads', [0, 0, top, left, 0, 0, bottom, right])
            nodes.add('Pad', 'padded', [pixels, pads], mode='constant')
    nodes.finish()
    return nodes


def specialise(
    model: onnx.ModelProto,
    metadata: ModelMetadata,
    camera_hw: tuple[int, int],
    network_hw: tuple[int, int],
    fit: str,
    channel_order: str,
) -> onnx.ModelProto:
    """Return a model for one camera: the same logits (rounding apart), less work per frame.

    Args:
        model: a shipped file; it is not changed, weights are shared where possible.
        metadata: the file's.
        camera_hw: (height, width) of the camera images, px.
        network_hw: (height, width) of the network input, px.
        fit: 'letterbox' or 'stretch'.
        channel_order: of the camera images, 'rgb' or 'bgr'.

    Raises:
        EngineError: a size, fit or order that cannot be used, or a file without the prelude.
    """
    require_channel_order(channel_order)
    contract = metadata.input.override(*network_hw, fit)
    try:
        placement = place_image(camera_hw, network_hw, contract.fit)
    except ValueError as error:
        raise EngineError(f'{error}; a camera image has at least one pixel') from error
    order = 1 if channel_order == 'rgb' else -1
    mean = contract.mean_rgb[::order]
    inverse_std = 1 / np.asarray(contract.std_rgb, np.float64)
    specialised = copy_without_prelude(model)
    fold_into_first_convolution(specialised.graph, inverse_std, order)
    prelude = build_static_prelude(placement, mean)
    insert_prelude(specialised.graph, prelude, camera_hw)
    static = replace(contract, channel_order=channel_order)
    helper.set_model_props(specialised, replace(metadata, input=static).to_properties())
    return specialised


def copy_without_prelude(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model and leave its prelude out; raises EngineError where it has none."""
    if not any(NORMALISED in node.output for node in model.graph.node):
        raise EngineError(
            'the model file has no prelude from camera bytes to network input; '
            'write model files with "seg_perception export"'
        )
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    nodes = [node for node in graph.node if not node.name.startswith(PREFIX)]
    constants = [item for item in graph.initializer if not item.name.startswith(PREFIX)]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    return copied


def insert_prelude(
    graph: onnx.GraphProto, prelude: NodeList, camera_hw: tuple[int, int] | None
) -> None:
    """Put a prelude before the network and declare the image input; None: any camera size."""
    network_nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*prelude.nodes, *network_nodes])
    graph.initializer.extend(prelude.constants)
    shape: list[int | str | None] = (
        ['height', 'width', 3] if camera_hw is None else [*camera_hw, 3]
    )
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, shape))


def fold_into_first_convolution(
    graph: onnx.GraphProto, inverse_std: np.ndarray, order: int
) -> None:
    """Scale and reorder the input channels of the convolution that reads NORMALISED.

    Exact, borders included: its padding is 0 before as after the scale, also where a node of its
    own adds it.
    """
    consumers = list_readers(graph, NORMALISED)
    if [node.op_type for node in consumers] == ['Pad']:
        consumers = list_readers(graph, consumers[0].output[0])
    if len(consumers) != 1 or consumers[0].op_type != 'Conv':
        kinds = ', '.join(node.op_type for node in consumers) or 'nothing'
        raise EngineError(f'the network input is read by {kinds}, expected one convolution')
    convolution = consumers[0]
    weight = read_constant(graph, convolution.input[1]).astype(np.float64)
    folded = (weight * inverse_std.reshape(1, 3, 1, 1))[:, ::order]
    name = PREFIX + 'first_convolution'
    graph.initializer.append(
        numpy_helper.from_array(np.ascontiguousarray(folded, dtype=np.float32), name)
    )
    convolution.input[1] = name


def list_readers(graph: onnx.GraphProto, name: str) -> list[NodeProto]:
    """Return the nodes that read the values of a tensor, not its shape alone."""
    return [node for node in graph.node if name in node.input and node.op_type != 'Shape']


def read_constant(graph: onnx.GraphProto, name: str) -> np.ndarray:
    """Return an initialiser, also through a cast of it; raises EngineError where it is none."""
    for node in graph.node:
        if name in node.output and node.op_type == 'Cast':
            name = node.input[0]
            break
    for tensor in graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    raise EngineError(f'tensor {name} of the model file is not a constant')
