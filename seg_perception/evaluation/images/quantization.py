# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation to int8, by NNCF, with the masks' mIoU watched.

Convolutions become int8: per-channel weights, one scale per input tensor. The first one stays
as it is (it has 3 input channels, and the prelude is folded into it), the last one too (its
rounding would move the borders between classes), and so do norms and the Hamburger.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.engines.contract import EngineError
from seg_perception.engines.half_precision import drop_unused_constants, fold_constants
from seg_perception.engines.int8_file import PRECISION, is_int8
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import IMAGE, NORMALISED, PREFIX
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.evaluation.images.labelled_split import LabelledSplit
from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.perception.frame import Frame
from seg_perception.perception.labels import UNLABELLED_ID
from seg_perception.pipeline import SegmentationPipeline

Images = Sequence[np.ndarray]
# Images by which NNCF ranks layers where too much was lost.
MIN_HALF_VALUES = 256
RANKING_IMAGES = 10


@dataclass(frozen=True)
class QuantizationResult:
    """A quantised model and what it costs.

    Attributes:
        model: the quantised graph with its metadata.
        layers: quantised convolutions.
        skipped: convolutions that accuracy control put back to float.
        miou_before: of the model file in float32, a share of 1.
        miou_after: of the quantised one, on the same images.
    """

    model: onnx.ModelProto
    layers: int
    skipped: int
    miou_before: float
    miou_after: float

    @property
    def drop(self) -> float:
        """Lost mIoU, a share of 1; negative where the quantised model is better."""
        return self.miou_before - self.miou_after


def quantize_model(
    model: ModelFile, calibration: Images, validation: LabelledSplit, max_drop: float
) -> QuantizationResult:
    """Quantise a model file; layers that cost too much stay in float.

    Args:
        model: of `seg_perception export`.
        calibration: (H, W, 3) uint8 images in the model's channel order, from which the ranges of
            the layers are taken.
        validation: labelled images that decide what is lost.
        max_drop: mIoU that may be lost, a share of 1.

    Raises:
        EngineError: the file is quantised already, or no layer of it can be.
    """
    import nncf

    if is_int8(model):
        raise EngineError(f'{model.path} is quantised already; give the file it was made from')
    nncf.set_log_level(logging.WARNING)
    prepared = prepare_graph(model)
    convolutions = list_convolutions(prepared.graph)

    def validate(candidate: onnx.ModelProto, items: Iterable[int]) -> tuple[float, list[float]]:
        return score_graph(finish_graph(candidate, model), validation, items)

    quantised = nncf.quantize_with_accuracy_control(
        prepared,
        calibration_dataset=nncf.Dataset(calibration, name_input),
        validation_dataset=nncf.Dataset(range(len(validation.pairs))),
        validation_fn=validate,
        max_drop=max_drop,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(calibration),
        preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric, see int8_file
        model_type=nncf.ModelType.TRANSFORMER,  # leaves the products around norms alone
        ignored_scope=nncf.IgnoredScope(
            names=[convolutions[0].name, convolutions[-1].name],
            patterns=[f'{PREFIX}.*'],
            types=['Add', 'Mul', 'Sub', 'Div', 'MatMul', 'Gemm'],
            validate=False,
        ),
        advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
            # scaling of channels between layers is not made for graphs like this one in NNCF 3.4
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
        ),
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            ranking_subset_size=RANKING_IMAGES
        ),
    )
    finished = finish_graph(quantised, model)
    layers = count_quantised(finished.graph)
    if layers == 0:
        raise EngineError(
            f'no layer of {model.path} could be quantised within a drop of mIoU of '
            f'{max_drop}; allow more with --max-drop'
        )
    every = range(len(validation.pairs))
    return QuantizationResult(
        finished,
        layers,
        len(convolutions) - 2 - layers,
        score_graph(model.graph, validation, every)[0],
        score_graph(finished, validation, every)[0],
    )


def prepare_graph(model: ModelFile) -> onnx.ModelProto:
    """Return the model with all its constants as initialisers, as NNCF wants them."""
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model.graph)
    fold_constants(prepared.graph)
    drop_unused_constants(prepared.graph)
    return prepared


def name_input(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the graph's inputs by name for one image."""
    return {IMAGE: image}


def list_convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the convolutions, that of NORMALISED first."""
    nodes = [node for node in graph.node if node.op_type == 'Conv']
    nodes.sort(key=lambda node: NORMALISED not in node.input)
    if len(nodes) < 3:
        raise EngineError(f'the graph has {len(nodes)} convolutions, expected 3 or more')
    return nodes


def finish_graph(graph: onnx.ModelProto, model: ModelFile) -> onnx.ModelProto:
    """Return a copy whose metadata says, where it is quantised, what it was made from."""
    finished = onnx.ModelProto()
    finished.CopyFrom(graph)
    metadata = model.metadata
    if count_quantised(graph.graph) > 0:
        sha256 = model.compute_sha256()
        metadata = replace(metadata, precision=PRECISION, quantized_from=sha256)
    properties = {item.key: item.value for item in model.graph.metadata_props}
    helper.set_model_props(finished, properties | metadata.to_properties())
    store_exact_halves(finished.graph)
    # NNCF notes the shape of every value; whoever reads the file infers them anyway.
    del finished.graph.value_info[:]
    return finished


def store_exact_halves(graph: onnx.GraphProto) -> None:
    """Store constants that float16 holds without rounding as such, each behind a cast.

    Weights that stay in float come from a file of float16: the same graph in less space.
    """
    casts = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < MIN_HALF_VALUES:
            continue
        with np.errstate(over='ignore'):
            half = value.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), value):
            continue
        wide = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f'{wide}/float16'))
        casts.append(
            helper.make_node('Cast', [tensor.name], [wide], name=wide, to=TensorProto.FLOAT)
        )
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def count_quantised(graph: onnx.GraphProto) -> int:
    """Count the convolutions whose weights are int8."""
    dequantised = {node.output[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
    return sum(node.op_type == 'Conv' and node.input[1] in dequantised for node in graph.node)


def score_graph(
    graph: onnx.ModelProto, split: LabelledSplit, items: Iterable[int]
) -> tuple[float, list[float]]:
    """Score a graph through engine and decode on the images of these indices.

    Returns:
        mIoU over all of them, and the pixel accuracy of each, shares of 1.
    """
    # float32 for what is not quantised, so that nothing but int8 is judged
    precision = PRECISION if count_quantised(graph.graph) > 0 else 'f32'
    classes = split.label_space.num_classes
    total, accuracies = ConfusionMatrix(classes, UNLABELLED_ID), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'candidate.onnx'
        path.write_bytes(graph.SerializeToString())
        engine = load_engine(EngineConfig(str(path), 'openvino', precision, allow_fallback=False))
        pipeline = SegmentationPipeline(engine)
        try:
            for index in items:
                item = split.read(split.pairs[index])
                mask = pipeline.process(Frame(item.image, 'rgb', 0, '', None)).mask
                folded = split.fold_lut[mask]
                total.add(item.label, folded)
                single = ConfusionMatrix(classes, UNLABELLED_ID)
                single.add(item.label, folded)
                accuracies.append(single.pixel_accuracy())
        finally:
            pipeline.close()
    return total.mean_iou(), accuracies
