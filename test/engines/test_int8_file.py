# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Quantising a model for real, and which engine takes the int8 file when."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from seg_perception.cli import main
from seg_perception.engines import openvino_backend
from seg_perception.engines.base import CompileRequest
from seg_perception.engines.contract import EngineError
from seg_perception.engines.half_precision import convert_precision
from seg_perception.engines.int8_file import has_byte_products, load_int8_file, name_int8_file
from seg_perception.engines.model_file import ModelFile, load_model_file
from seg_perception.engines.openvino_backend import OpenVinoBackend, list_precisions
from seg_perception.engines.prelude import LOGITS, specialise
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.engines.torch_backend import TorchBackend
from seg_perception.evaluation.images.quantization import store_exact_halves
from seg_perception.perception.frame import Frame
from seg_perception.pipeline import SegmentationPipeline

HW = (64, 128)
IMAGES = 6
INT8_PROPERTIES = {'INFERENCE_PRECISION_HINT': 'f32'}


class Quantised(NamedTuple):
    """A model file with its int8 file, and what the command said of it."""

    model: ModelFile
    path: Path
    facts: dict


def write_split(folder: Path, model: ModelFile, make_image) -> None:
    """Write images, and as labels the masks that the model itself gives them."""
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    engine = load_engine(EngineConfig(str(model.path), 'openvino', 'f32'))
    pipeline = SegmentationPipeline(engine)
    for index in range(IMAGES):
        image = make_image(*HW, seed=index)
        cv2.imwrite(str(folder / 'images' / f'{index}.png'), image[..., ::-1])
        mask = pipeline.process(Frame(image, 'rgb', 0, '', None)).mask
        cv2.imwrite(str(folder / 'labels' / f'{index}.png'), mask)
    pipeline.close()


@pytest.fixture(scope='module')
def quantised(model, make_image, tmp_path_factory):
    """Quantise the random model by the command; its own masks are the truth."""
    folder = tmp_path_factory.mktemp('quantised')
    path = Path(shutil.copy(model.path, folder / 'model.onnx'))
    write_split(folder / 'data' / 'train', model, make_image)
    figures = folder / 'figures.json'
    arguments = ['--layout', 'camvid', '--root', str(folder / 'data'), '--split', 'train']
    arguments += ['--validation-split', 'train', '--json', str(figures)]
    # random weights have no margins: what is lost here says nothing of trained ones
    arguments += ['--model', str(path), '--max-drop', '0.3']
    assert main(['quantize', *arguments]) == 0
    file = name_int8_file(path)
    return Quantised(load_model_file(path), file, json.loads(figures.read_text()))


def test_command_writes_beside_the_model_and_says_what_is_lost(quantised):
    assert quantised.path.name == 'model.int8.onnx'
    assert quantised.facts['layers'] > 20
    assert quantised.facts['drop'] <= 0.3
    assert quantised.facts['miou_after'] == pytest.approx(
        quantised.facts['miou_before'] - quantised.facts['drop']
    )


def test_convolutions_but_the_first_are_int8_and_symmetric(quantised):
    graph = load_model_file(quantised.path).graph.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    kinds = []
    for node in graph.node:
        if node.op_type == 'Conv':
            maker = makers.get(node.input[1])
            kinds.append(maker is not None and maker.op_type == 'DequantizeLinear')
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear'):
            assert not numpy_helper.to_array(constants[node.input[2]]).any()
    assert not kinds[0]
    assert sum(kinds) == quantised.facts['layers']
    assert sum(kinds) >= 0.9 * len(kinds)


def test_int8_logits_are_near_those_of_float32(quantised, make_image):
    request = CompileRequest(HW, HW, 'letterbox', 'rgb')
    logits = []
    for precision in ('f32', 'int8'):
        backend = OpenVinoBackend(quantised.model, precision)
        assert backend.precision == precision
        logits.append(backend.compile(request).infer(make_image(*HW)).copy())
    spread = float(np.abs(logits[0]).max())
    difference = float(np.abs(logits[0] - logits[1]).mean())
    assert 0 < difference < 0.05 * spread


def test_int8_file_runs_as_a_model_of_its_own(quantised):
    backend = OpenVinoBackend(load_model_file(quantised.path))
    assert backend.precision == 'int8'


def test_auto_takes_bfloat16_before_int8_before_float32(quantised, monkeypatch):
    monkeypatch.setattr(openvino_backend, 'has_byte_products', lambda: True)
    assert list(list_precisions(quantised.model, True)) == ['bf16', 'int8', 'f32']
    assert list_precisions(quantised.model, False)['int8']
    monkeypatch.setattr(openvino_backend, 'has_byte_products', lambda: False)
    assert not list_precisions(quantised.model, False)['int8']


def test_model_without_an_int8_file_is_named(model):
    with pytest.raises(EngineError, match=r'random\.int8\.onnx\) beside it.*quantize'):
        OpenVinoBackend(model, 'int8')
    assert not list_precisions(model, False)['int8']


def test_int8_file_of_another_model_is_not_used(quantised, tmp_path, caplog):
    path = tmp_path / 'model.onnx'
    changed = onnx.ModelProto()
    changed.CopyFrom(quantised.model.graph)
    changed.doc_string = 'exported again'
    path.write_bytes(changed.SerializeToString())
    shutil.copy(quantised.path, name_int8_file(path))
    with pytest.raises(EngineError, match=r'was not made from model\.onnx as it is now'):
        load_int8_file(load_model_file(path))
    assert not list_precisions(load_model_file(path), False)['int8']
    assert 'not used' in caplog.text


def test_torch_refuses_an_int8_file(quantised):
    with pytest.raises(EngineError, match='the torch backend does not run'):
        TorchBackend(load_model_file(quantised.path))


def test_quantising_twice_is_refused(quantised, tmp_path, capsys):
    data = quantised.model.path.parent / 'data'
    arguments = ['--layout', 'camvid', '--root', str(data), '--split', 'train']
    arguments += ['--validation-split', 'train', '--model', str(quantised.path)]
    assert main(['quantize', *arguments, '--out', str(tmp_path / 'twice.onnx')]) == 2
    assert 'quantised already' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_float16_around_int8_computes_the_same(quantised, make_image):
    """What TensorRT is given: convolutions in int8, the rest in float16."""
    graph = specialise(
        load_model_file(quantised.path).graph, quantised.model.metadata, HW, HW, 'letterbox', 'rgb'
    )
    half = convert_precision(graph, 'int8')
    types = {
        item.name: item.type.tensor_type.elem_type
        for item in onnx.shape_inference.infer_shapes(half, strict_mode=True).graph.value_info
    }
    convolutions = [node for node in half.graph.node if node.op_type == 'Conv']
    assert {types[node.output[0]] for node in convolutions} == {TensorProto.FLOAT16}
    core, image, logits = openvino.Core(), make_image(*HW), []
    for model in (graph, half):
        compiled = core.compile_model(
            core.read_model(model.SerializeToString()), 'CPU', INT8_PROPERTIES
        )
        logits.append(compiled([image])[LOGITS][0].copy())
    spread = float(np.abs(logits[0]).max())
    assert float(np.abs(logits[0] - logits[1]).mean()) < 0.02 * spread


@pytest.mark.parametrize(
    ('facts', 'known'),
    [
        ('processor : 0\nflags\t: fpu avx2 avx512_vnni\n', True),
        ('processor : 0\nflags\t: fpu avx2 avx_vnni\n', True),
        ('processor : 0\nFeatures\t: fp asimd asimddp\n', True),
        ('processor : 0\nflags\t: fpu avx2\n', False),
        ('', False),
    ],
)
def test_byte_products_are_read_from_the_cpu_flags(tmp_path, facts, known):
    (tmp_path / 'cpuinfo').write_text(facts)
    assert has_byte_products(tmp_path / 'cpuinfo') is known
    assert has_byte_products(tmp_path / 'none') is False


def test_constants_that_float16_holds_are_stored_as_such_and_mean_the_same():
    exact = np.arange(400, dtype=np.float32)
    rounded = exact + np.float32(1e-4)
    graph = helper.make_graph(
        [
            helper.make_node('Add', ['x', 'exact'], ['y']),
            helper.make_node('Add', ['y', 'rounded'], ['z']),
        ],
        'sum',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [400])],
        [helper.make_tensor_value_info('z', TensorProto.FLOAT, [400])],
        [numpy_helper.from_array(exact, 'exact'), numpy_helper.from_array(rounded, 'rounded')],
    )
    store_exact_halves(graph)
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert types == {'exact/float16': TensorProto.FLOAT16, 'rounded': TensorProto.FLOAT}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    onnx.checker.check_model(model)
    (found,) = ReferenceEvaluator(model).run(None, {'x': exact})
    np.testing.assert_array_equal(found, exact + exact + rounded)
