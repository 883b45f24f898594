# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The nodes from camera bytes to network input, in ONNX's own reference evaluator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from seg_perception.engines import prelude
from seg_perception.engines.contract import EngineError, InputContract, ModelMetadata
from seg_perception.perception.geometry import place_image
from seg_perception.perception.labels import load_label_space

CAMERAS = [(48, 96), (33, 47), (1, 1), (1, 200), (90, 7), (97, 131), (64, 64)]


def build_model(contract: InputContract) -> tuple[onnx.ModelProto, ModelMetadata]:
    """Build a model file whose network is one 1x1 convolution, so that its input shows."""
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    node = helper.make_node('Conv', [prelude.NORMALISED, 'weight'], [prelude.LOGITS], name='conv')
    graph = helper.make_graph(
        [node],
        'identity',
        [],
        [helper.make_tensor_value_info(prelude.LOGITS, TensorProto.FLOAT, [1, 3, None, None])],
        [numpy_helper.from_array(weight, 'weight')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', prelude.OPSET)])
    prelude.insert_prelude(model.graph, prelude.build_dynamic_prelude(contract), None)
    metadata = ModelMetadata(load_label_space('camvid'), contract)
    helper.set_model_props(model, metadata.to_properties())
    onnx.checker.check_model(model, full_check=True)
    return model, metadata


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    output = ReferenceEvaluator(model).run(None, {prelude.IMAGE: image})[0]
    return np.asarray(output)[0].transpose(1, 2, 0)


def prepare(image: np.ndarray, contract: InputContract) -> np.ndarray:
    """Sample each pixel of the network input on its own: the definition, without OpenCV."""
    placement = place_image(image.shape[:2], contract.network_hw, contract.fit)
    resized = image.astype(np.float64)
    for axis, size in enumerate((placement.resized_height_px, placement.resized_width_px)):
        camera_px = resized.shape[axis]
        position = ((np.arange(size) + 0.5) * camera_px / size - 0.5).clip(0, camera_px - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, camera_px - 1)
        shape = [1, 1, 1]
        shape[axis] = size
        weight = (position - low).reshape(shape)
        resized = resized.take(low, axis) * (1 - weight) + resized.take(high, axis) * weight
    normalised = (resized - contract.mean_rgb) / contract.std_rgb
    prepared = np.zeros((*contract.network_hw, 3))
    top, left = placement.pad_top_px, placement.pad_left_px
    bottom, right = top + placement.resized_height_px, left + placement.resized_width_px
    prepared[top:bottom, left:right] = normalised
    return prepared


@pytest.mark.parametrize('camera_hw', CAMERAS)
@pytest.mark.parametrize('fit', ['letterbox', 'stretch'])
def test_both_preludes_sample_the_camera_image(make_image, camera_hw, fit):
    contract = InputContract(48, 96, fit)
    model, metadata = build_model(contract)
    image = make_image(*camera_hw)
    expected = prepare(image, contract)
    np.testing.assert_allclose(run(model, image), expected, atol=2e-5)
    static = prelude.specialise(model, metadata, camera_hw, (48, 96), fit, 'rgb')
    onnx.checker.check_model(static, full_check=True)
    np.testing.assert_allclose(run(static, image), expected, atol=2e-5)


def test_letterbox_sizes_are_those_of_the_geometry_for_every_camera():
    contract = InputContract(48, 100)
    nodes = prelude.NodeList()
    network = nodes.add_integers('network_size', contract.network_hw)
    prelude.add_letterbox_size(nodes, 'camera', network)
    output = nodes.nodes[-1].output[0]
    graph = helper.make_graph(
        nodes.nodes,
        'sizes',
        [helper.make_tensor_value_info('camera', TensorProto.INT64, [2])],
        [helper.make_tensor_value_info(output, TensorProto.INT64, [2])],
        nodes.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', prelude.OPSET)])
    evaluator = ReferenceEvaluator(model)
    generator = np.random.default_rng(1)
    cameras = [tuple(int(side) for side in generator.integers(1, 4000, 2)) for _ in range(300)]
    cameras += [(1, 8192), (8192, 1), (96, 33), (32, 1), (1, 32), (64, 200)]
    for camera_hw in cameras:
        found = evaluator.run(None, {'camera': np.array(camera_hw)})[0]
        placement = place_image(camera_hw, contract.network_hw, 'letterbox')
        expected = [placement.resized_height_px, placement.resized_width_px]
        assert np.asarray(found).tolist() == expected, camera_hw


@pytest.mark.parametrize('file_order', ['rgb', 'bgr'])
@pytest.mark.parametrize('camera_order', ['rgb', 'bgr'])
def test_channel_orders(make_image, file_order, camera_order):
    contract = InputContract(32, 64, channel_order=file_order)
    model, metadata = build_model(contract)
    image = make_image(20, 64)
    expected = prepare(image, contract)
    flipped = np.ascontiguousarray(image[:, :, ::-1])
    given = {'rgb': image, 'bgr': flipped}
    np.testing.assert_allclose(run(model, given[file_order]), expected, atol=2e-5)
    static = prelude.specialise(model, metadata, (20, 64), (32, 64), 'letterbox', camera_order)
    np.testing.assert_allclose(run(static, given[camera_order]), expected, atol=2e-5)


@pytest.mark.parametrize(
    ('camera_hw', 'fit', 'expected'),
    [
        ((48, 96), 'letterbox', ['Cast', 'Sub', 'Unsqueeze', 'Transpose']),
        ((96, 192), 'letterbox', ['Cast', 'Sub', 'Unsqueeze', 'Transpose', 'Resize']),
        ((40, 96), 'letterbox', ['Cast', 'Sub', 'Pad', 'Unsqueeze', 'Transpose']),
        ((40, 90), 'letterbox', ['Cast', 'Sub', 'Unsqueeze', 'Transpose', 'Resize', 'Pad']),
        ((40, 96), 'stretch', ['Cast', 'Sub', 'Unsqueeze', 'Transpose', 'Resize']),
    ],
)
def test_static_prelude_holds_only_what_the_camera_needs(camera_hw, fit, expected):
    model, metadata = build_model(InputContract(48, 96))
    static = prelude.specialise(model, metadata, camera_hw, (48, 96), fit, 'bgr')
    found = [n.op_type for n in static.graph.node if n.name.startswith(prelude.PREFIX)]
    assert found == expected


def test_bytes_are_cast_before_anything_else():
    for fit in ('letterbox', 'stretch'):
        model, _ = build_model(InputContract(48, 96, fit))
        readers = [node for node in model.graph.node if prelude.IMAGE in node.input]
        assert {node.op_type for node in readers} == {'Cast', 'Shape'}


def test_specialising_leaves_the_file_as_it_is():
    model, metadata = build_model(InputContract(48, 96))
    before = model.SerializeToString()
    static = prelude.specialise(model, metadata, (10, 20), (64, 64), 'stretch', 'bgr')
    assert model.SerializeToString() == before
    properties = {item.key: item.value for item in static.metadata_props}
    contract = ModelMetadata.from_properties(properties, 'x').input
    assert contract == replace(
        metadata.input, height_px=64, width_px=64, fit='stretch', channel_order='bgr'
    )


@pytest.mark.parametrize(
    ('camera_hw', 'network_hw', 'fit', 'order', 'message'),
    [
        ((0, 20), (64, 64), 'stretch', 'rgb', 'camera size'),
        ((10, 20), (64, 16), 'stretch', 'rgb', 'width is 16'),
        ((10, 20), (64, 64), 'zoom', 'rgb', "fit is 'zoom'"),
        ((10, 20), (64, 64), 'stretch', 'rgba', "order is 'rgba'"),
    ],
)
def test_unusable_settings_are_named(camera_hw, network_hw, fit, order, message):
    model, metadata = build_model(InputContract(48, 96))
    with pytest.raises(EngineError, match=message):
        prelude.specialise(model, metadata, camera_hw, network_hw, fit, order)


def test_model_without_prelude_is_refused():
    model, metadata = build_model(InputContract(48, 96))
    stripped = prelude.copy_without_prelude(model)
    stripped.graph.node[0].input[0] = 'pixels'
    with pytest.raises(EngineError, match='no prelude'):
        prelude.specialise(stripped, metadata, (10, 20), (64, 64), 'stretch', 'rgb')
