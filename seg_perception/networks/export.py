# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Trained network to model file: one ONNX graph from camera bytes to logits."""

from __future__ import annotations

import os
import tempfile
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from seg_perception import __version__
from seg_perception.engines.contract import ModelMetadata
from seg_perception.engines.prelude import (
    LOGITS,
    NORMALISED,
    OPSET,
    build_dynamic_prelude,
    insert_prelude,
)
from seg_perception.networks.deploy import DeploySegNeXt

# Weights of fewer values stay float32: nothing is saved, and biases and norms stay exact.
MIN_HALF_VALUES = 1024
HALF_MAX = 65504.0


def export_network(deployed: DeploySegNeXt, metadata: ModelMetadata) -> onnx.ModelProto:
    """Return the model file of a deployed network.

    Input 'image' (height, width, 3) uint8 of any size, output 'logits'
    (1, C, ceil(network height / 8), ceil(network width / 8)) float32. The initialisers are named
    as in the deployed module's state dict. Convolution and matrix weights are stored as float16
    and cast in the graph, which computes in float32; the Hamburger's bases stay float32.
    """
    model = trace_network(deployed)
    store_as_half(model.graph)
    insert_prelude(model.graph, build_dynamic_prelude(metadata.input), None)
    describe_output(model.graph, metadata)
    model.producer_name = 'seg_perception'
    model.producer_version = __version__
    helper.set_model_props(model, metadata.to_properties())
    onnx.checker.check_model(model, full_check=True)
    return model


def trace_network(deployed: DeploySegNeXt) -> onnx.ModelProto:
    """Write the network alone, NORMALISED (1, 3, H, W) to LOGITS, for all H and W."""
    example = torch.zeros(1, 3, 64, 96)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = os.path.join(folder, 'network.onnx')
        # The traced exporter is announced to go; its successor needs a second package.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            deployed.cpu().eval(),
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            # Folding would replace weights by nameless products of them.
            do_constant_folding=False,
            input_names=[NORMALISED],
            output_names=[LOGITS],
            dynamic_axes={
                NORMALISED: {2: 'network_height', 3: 'network_width'},
                LOGITS: {2: 'logits_height', 3: 'logits_width'},
            },
        )
        model = onnx.load(path)
    restore_shared_weights(model.graph)
    return model


def restore_shared_weights(graph: onnx.GraphProto) -> None:
    """Give every weight its own initialiser: the exporter writes equal ones once.

    It leaves an Identity node, with the other weight's name, for each further one.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == 'Identity' and node.input[0] in constants:
            tensor = graph.initializer.add()
            tensor.CopyFrom(constants[node.input[0]])
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def store_as_half(graph: onnx.GraphProto) -> None:
    """Store matrices and convolution weights as float16, each behind a cast to float32."""
    casts = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        is_large = value.size >= MIN_HALF_VALUES and np.abs(value).max() <= HALF_MAX
        if not tensor.name.endswith('.weight') or value.dtype != np.float32 or not is_large:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), name))
        wide = f'{name}/float32'
        casts.append(helper.make_node('Cast', [name], [wide], name=wide, to=TensorProto.FLOAT))
        for node in graph.node:
            for index, used in enumerate(node.input):
                if used == name:
                    node.input[index] = wide
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def describe_output(graph: onnx.GraphProto, metadata: ModelMetadata) -> None:
    """Name the axes of the logits."""
    shape: list[int | str | None] = [
        1,
        metadata.label_space.num_classes,
        'logits_height',
        'logits_width',
    ]
    del graph.output[:], graph.value_info[:]
    graph.output.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, shape))
