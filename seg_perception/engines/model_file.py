# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading a model file: graph, metadata and weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from seg_perception.engines.contract import (
    PANOPTIC_OUTPUTS,
    SEMANTIC_OUTPUTS,
    EngineError,
    ModelMetadata,
)
from seg_perception.engines.outputs import find_channels
from seg_perception.engines.prelude import IMAGE, PREFIX

KNOWN_OUTPUTS = (SEMANTIC_OUTPUTS, PANOPTIC_OUTPUTS)


@dataclass(frozen=True)
class ModelFile:
    """A model file in memory: its path (for messages), graph and metadata."""

    path: Path
    graph: onnx.ModelProto
    metadata: ModelMetadata

    def compute_sha256(self) -> str:
        """Return the hash of the file's bytes, hexadecimal; EngineError when it cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise EngineError(f'model file {self.path} cannot be read: {error}') from error

    def read_weights(self) -> dict[str, np.ndarray]:
        """Return the network's weights by the names of its deployed module, as float32."""
        return {
            tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
            for tensor in self.graph.graph.initializer
            if not tensor.name.startswith(PREFIX)
        }


def load_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model file written by `seg_perception export`.

    Raises:
        EngineError: the file is missing, not ONNX, damaged, or without our metadata.
    """
    path = Path(path)
    if not path.is_file():
        raise EngineError(
            f'model file {path} does not exist; export one with "seg_perception export" or '
            'give the name of a shipped model'
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f'model file {path} cannot be read: {error}') from error
    return parse_model(content, path)


def parse_model(content: bytes, path: Path) -> ModelFile:
    """Parse the bytes of a model file; errors as `load_model_file`."""
    graph = onnx.ModelProto()
    try:
        graph.ParseFromString(content)
    except DecodeError as error:
        raise EngineError(
            f'model file {path} ({len(content)} bytes) is not an ONNX file, or is truncated; '
            'write it with "seg_perception export"'
        ) from error
    if not graph.graph.node:
        raise EngineError(
            f'model file {path} ({len(content)} bytes) is not an ONNX file with a graph; '
            'write it with "seg_perception export"'
        )
    properties = {item.key: item.value for item in graph.metadata_props}
    metadata = ModelMetadata.from_properties(properties, f'model file {path}')
    names = ([item.name for item in graph.graph.input], [i.name for i in graph.graph.output])
    if names != ([IMAGE], list(metadata.outputs)) or metadata.outputs not in KNOWN_OUTPUTS:
        raise EngineError(
            f'model file {path} has inputs {names[0]} and outputs {names[1]}, expected '
            f"['{IMAGE}'] and {' or '.join(str(list(known)) for known in KNOWN_OUTPUTS)}; export "
            'the model again'
        )
    require_channels(graph, metadata, path)
    return ModelFile(path, graph, metadata)


def require_channels(graph: onnx.ModelProto, metadata: ModelMetadata, path: Path) -> None:
    """Raise EngineError for outputs whose channels are not as many as the label space says."""
    for output in graph.graph.output:
        sizes = output.type.tensor_type.shape.dim
        part = find_channels(metadata)[output.name]
        found, expected = sizes[1].dim_value if len(sizes) > 1 else 0, part.stop - part.start
        if found and found != expected:
            labels = metadata.label_space
            raise EngineError(
                f'model file {path} gives {found} channels of {output.name}, its label space '
                f'{labels.name} has {labels.num_classes} classes, so {expected} are expected: '
                'export the checkpoint again, with --labels of the classes it was trained on'
            )
