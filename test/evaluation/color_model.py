# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model file whose masks are known beforehand: the class with the nearest palette colour."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.engines.contract import InputContract, ModelMetadata
from seg_perception.engines.prelude import (
    LOGITS,
    NORMALISED,
    OPSET,
    build_dynamic_prelude,
    insert_prelude,
)

STRIDE = 8


def write_color_model(path, label_space, height_px=64, width_px=96):
    """Write an ONNX model: mean colour p of each 8x8 block, logit of class c = 2 p c - c c.

    The largest logit belongs to the palette colour c nearest to p.
    """
    contract = InputContract(
        height_px, width_px, mean_rgb=(0.0, 0.0, 0.0), std_rgb=(1.0, 1.0, 1.0)
    )
    colors = np.asarray(label_space.palette, np.float32)
    weight = np.repeat(2 * colors / STRIDE**2, STRIDE**2).reshape(-1, 3, STRIDE, STRIDE)
    bias = -(colors**2).sum(axis=1)
    graph = helper.make_graph(
        [
            helper.make_node(
                'Conv', [NORMALISED, 'weight', 'bias'], [LOGITS], strides=[STRIDE, STRIDE]
            )
        ],
        'color',
        [],
        [
            helper.make_tensor_value_info(
                LOGITS, TensorProto.FLOAT, [1, label_space.num_classes, None, None]
            )
        ],
        [
            numpy_helper.from_array(weight.astype(np.float32), 'weight'),
            numpy_helper.from_array(bias.astype(np.float32), 'bias'),
        ],
    )
    insert_prelude(graph, build_dynamic_prelude(contract), None)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = 10
    metadata = ModelMetadata(label_space, contract, stride=STRIDE)
    helper.set_model_props(model, metadata.to_properties())
    onnx.save(model, str(path))
    return path
