# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Trained network to model file: one ONNX graph from camera bytes to its outputs."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from seg_perception import __version__
from seg_perception.engines.contract import (
    PANOPTIC_OUTPUTS,
    SEMANTIC_OUTPUTS,
    EngineError,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.engine import Engine
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.outputs import find_channels
from seg_perception.engines.prelude import (
    NORMALISED,
    OPSET,
    build_dynamic_prelude,
    insert_prelude,
)
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.networks.axial_deploy import DeployAxialDeepLab
from seg_perception.networks.deployment import build_deployed, describe_network, fold_network
from seg_perception.networks.registry import NETWORKS

# Weights of fewer values stay float32: nothing is saved, and biases and norms stay exact.
MIN_HALF_VALUES = 1024
HALF_NAMES = ('.weight', '.positions')
HALF_MAX = 65504.0
# Of the largest logit: float32 rounding, in another order, through a hundred layers.
MAX_RELATIVE_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the trained network.

    Attributes:
        path: the model file.
        size_bytes: of the file.
        backend: the engine that ran the file for the comparison.
        graph_difference: largest absolute difference of the logits to PyTorch with the
            file's weights.
        max_difference: the same to PyTorch with the trained weights, which the file rounds to
            float16.
        logits_range: largest absolute logit of PyTorch, to judge the difference by.
        mask_agreement: share of logits positions with the same winning class.
    """

    path: Path
    size_bytes: int
    backend: str
    graph_difference: float
    max_difference: float
    logits_range: float
    mask_agreement: float


def write_model(
    network: nn.Module, metadata: ModelMetadata, path: str | os.PathLike[str]
) -> ExportReport:
    """Export a trained network to a file and compare the file with the network.

    The file is written beside its place, compared, and moved there only if it agrees.

    Raises:
        UserError: the folder cannot be written.
        EngineError: the file does not compute what the network does.
    """
    path = Path(path)
    is_panoptic = NETWORKS[describe_network(network)['name']].is_panoptic
    folded = replace(
        metadata,
        network=describe_network(network),
        folded=True,
        outputs=PANOPTIC_OUTPUTS if is_panoptic else SEMANTIC_OUTPUTS,
        stride=getattr(network, 'logits_stride', metadata.stride),
    )
    deployed = fold_network(network)
    if isinstance(deployed, DeployAxialDeepLab):
        deployed.limit_memory(metadata.input.network_hw)
    content = export_network(deployed, folded).SerializeToString()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix='.tmp')
    except OSError as error:
        raise UserError(f'cannot write {path}: {error}; choose another place') from error
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
        report = compare_with_network(Path(temporary), network)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return replace(report, path=path)


def compare_with_network(path: Path, network: nn.Module) -> ExportReport:
    """Run a model file and the network it came from on the same noise, at the file's size.

    Raises:
        EngineError: the graph does not compute what PyTorch does with the file's weights.
    """
    model = load_model_file(path)
    contract = model.metadata.input
    image = draw_noise(contract.network_hw)
    engine = load_engine(EngineConfig(str(path), precision='f32'))
    try:
        found = run_engine(engine, image)
    finally:
        engine.close()
    rounded = build_deployed(model.metadata.network, model.metadata.label_space.num_classes)
    weights = model.read_weights()
    rounded.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    expected = compute_outputs(rounded, image, contract)
    differences = []
    for name, ours, theirs in zip(model.metadata.outputs, found, expected, strict=True):
        difference = float(np.abs(ours - theirs).max())
        limit = MAX_RELATIVE_DIFFERENCE * float(np.abs(theirs).max())
        if not difference <= limit:  # also when it is not a number
            raise EngineError(
                f'the exported graph differs from PyTorch by {difference:.3g} in its {name}, '
                f'expected at most {limit:.3g}; nothing was written. Weights that are not finite '
                'do this: check the checkpoint'
            )
        differences.append(difference)
    logits = found[0]
    trained = compute_outputs(network.cpu().eval(), image, contract)[0]
    return ExportReport(
        path=path,
        size_bytes=path.stat().st_size,
        backend=f'{engine.backend_name} {engine.precision}',
        graph_difference=differences[0],
        max_difference=float(np.abs(logits - trained).max()),
        logits_range=float(np.abs(trained).max()),
        mask_agreement=float((logits.argmax(0) == trained.argmax(0)).mean()),
    )


def run_engine(engine: Engine, image: np.ndarray) -> list[np.ndarray]:
    """Return copies of all outputs (c, h, w) of an engine for an RGB image."""
    if not engine.metadata.is_panoptic:
        return [engine.infer(image, 'rgb').copy()]
    logits, center, offset = engine.infer_panoptic(image, 'rgb')
    return [logits.copy(), center[None].copy(), offset.copy()]


def compute_outputs(
    network: nn.Module, image: np.ndarray, contract: InputContract
) -> list[np.ndarray]:
    """Run a network on an RGB image (H, W, 3) uint8 of its input size: (c, h, w) float32 each."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    mean = torch.tensor(contract.mean_rgb).reshape(1, 3, 1, 1)
    std = torch.tensor(contract.std_rgb).reshape(1, 3, 1, 1)
    with torch.inference_mode():
        outputs = network((pixels - mean) / std)
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return [part[0].numpy() for part in parts]


def draw_noise(size_hw: tuple[int, int]) -> np.ndarray:
    """Draw an image (H, W, 3) uint8 with structure at all scales, always the same one."""
    generator = np.random.default_rng(0)
    image = np.zeros((*size_hw, 3))
    for cell_px in (1, 8, 64):
        cells = [-(-side // cell_px) for side in size_hw]
        level = generator.uniform(0, 85, (*cells, 3))
        level = level.repeat(cell_px, axis=0).repeat(cell_px, axis=1)
        image += level[: size_hw[0], : size_hw[1]]
    return image.astype(np.uint8)


def export_network(deployed: nn.Module, metadata: ModelMetadata) -> onnx.ModelProto:
    """Return the model file of a deployed network.

    Input 'image' (height, width, 3) uint8 of any size, output 'logits'
    (1, C, ceil(network height / stride), ceil(network width / stride)) float32; with
    metadata.outputs that have them also 'center' and 'offset', of 1 and 2 channels and the same
    size. The initialisers are named as in the deployed module's state dict. Convolution and matrix
    weights and tables of positions are stored as float16 and cast in the graph, which computes in
    float32; the Hamburger's bases stay float32.
    """
    model = trace_network(deployed, metadata.outputs)
    store_as_half(model.graph)
    insert_prelude(model.graph, build_dynamic_prelude(metadata.input), None)
    describe_output(model.graph, metadata)
    model.producer_name = 'seg_perception'
    model.producer_version = __version__
    helper.set_model_props(model, metadata.to_properties())
    onnx.checker.check_model(model, full_check=True)
    return model


def trace_network(
    deployed: nn.Module, outputs: tuple[str, ...] = SEMANTIC_OUTPUTS
) -> onnx.ModelProto:
    """Write the network alone, NORMALISED (1, 3, H, W) to its outputs, for all H and W."""
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
            output_names=list(outputs),
            dynamic_axes={
                NORMALISED: {2: 'network_height', 3: 'network_width'},
                **{name: {2: 'logits_height', 3: 'logits_width'} for name in outputs},
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
        if not tensor.name.endswith(HALF_NAMES) or value.dtype != np.float32 or not is_large:
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
    """Name the axes of the outputs."""
    del graph.output[:], graph.value_info[:]
    for name, part in find_channels(metadata).items():
        shape: list[int | str | None] = [
            1,
            part.stop - part.start,
            'logits_height',
            'logits_width',
        ]
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
