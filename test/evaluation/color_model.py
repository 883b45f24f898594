# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model files whose products are known beforehand: the class with the nearest palette colour."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.engines.contract import (
    CENTER,
    OFFSET,
    PANOPTIC_OUTPUTS,
    SEMANTIC_OUTPUTS,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.prelude import (
    LOGITS,
    NORMALISED,
    OPSET,
    build_dynamic_prelude,
    insert_prelude,
)

STRIDE = 8
CENTER_COLOR = (0, 0, 134)  # nearer to Cityscapes' car (0, 0, 142) than to any other class


def write_color_model(path, label_space, height_px=64, width_px=96, is_panoptic=False):
    """Write an ONNX model: mean colour p of each 8x8 block, logit of class c = 2 p c - c c.

    The largest logit belongs to the palette colour c nearest to p. A panoptic one has centres
    where blocks are of CENTER_COLOR, and offsets that are zero: what is of a class of things
    belongs to the nearest centre.
    """
    contract = InputContract(
        height_px, width_px, mean_rgb=(0.0, 0.0, 0.0), std_rgb=(1.0, 1.0, 1.0)
    )
    nodes, weights = make_panoptic_layers(label_space) if is_panoptic else make_layers(label_space)
    channels = {LOGITS: label_space.num_classes, CENTER: 1, OFFSET: 2}
    outputs = PANOPTIC_OUTPUTS if is_panoptic else SEMANTIC_OUTPUTS
    graph = helper.make_graph(
        nodes,
        'color',
        [],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels[name], None, None])
            for name in outputs
        ],
        [
            numpy_helper.from_array(np.asarray(value, np.float32), name)
            for name, value in weights.items()
        ],
    )
    insert_prelude(graph, build_dynamic_prelude(contract), None)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = 10
    metadata = ModelMetadata(label_space, contract, stride=STRIDE, outputs=outputs)
    helper.set_model_props(model, metadata.to_properties())
    onnx.save(model, str(path))
    return path


def make_layers(label_space):
    """Return nodes and weights of the logits alone."""
    colors = np.asarray(label_space.palette, np.float32)
    weight = np.repeat(2 * colors / STRIDE**2, STRIDE**2).reshape(-1, 3, STRIDE, STRIDE)
    node = helper.make_node(
        'Conv', [NORMALISED, 'weight', 'bias'], [LOGITS], strides=[STRIDE, STRIDE]
    )
    return [node], {'weight': weight, 'bias': -(colors**2).sum(axis=1)}


def make_panoptic_layers(label_space):
    """Return nodes and weights: blocks' mean colours, then each output from these."""
    colors = np.asarray(label_space.palette, np.float32)
    mean = np.eye(3)[:, :, None, None] * np.full((STRIDE, STRIDE), 1 / STRIDE**2)
    weights = {
        'mean': mean,
        'twice': 2 * colors[:, :, None, None], 'bias': -(colors**2).sum(axis=1),
        'itself': np.eye(3)[:, :, None, None], 'minus_center': -np.array(CENTER_COLOR),
        'falling': np.full((1, 3, 1, 1), -0.25), 'one': np.ones(1),
        'nothing': np.zeros((2, 3, 1, 1)),
    }  # fmt: skip
    nodes = [
        helper.make_node('Conv', [NORMALISED, 'mean'], ['color'], strides=[STRIDE, STRIDE]),
        helper.make_node('Conv', ['color', 'twice', 'bias'], [LOGITS]),
        helper.make_node('Conv', ['color', 'itself', 'minus_center'], ['from_center']),
        helper.make_node('Abs', ['from_center'], ['distance']),
        helper.make_node('Conv', ['distance', 'falling', 'one'], ['likeness']),
        helper.make_node('Relu', ['likeness'], [CENTER]),
        helper.make_node('Conv', ['color', 'nothing'], [OFFSET]),
    ]
    return nodes, weights
