# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The chain on a model whose masks are known beforehand; a module may have a model of its own."""

from __future__ import annotations

import pytest
from color_model import write_color_model

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.perception.labels import load_label_space
from seg_perception.pipeline import SegmentationPipeline


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    """A 19-class model that gives each block the class of the nearest palette colour."""
    path = tmp_path_factory.mktemp('model') / 'color.onnx'
    return write_color_model(path, load_label_space('cityscapes'))


@pytest.fixture(scope='module')
def pipeline(model_path):
    """The chain on the module's model."""
    engine = load_engine(EngineConfig(str(model_path), backend='openvino', precision='f32'))
    chain = SegmentationPipeline(engine)
    yield chain
    chain.close()
