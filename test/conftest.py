# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test folders use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from web_server import FileServer, serve

TINY_INPUT_HW = (64, 128)


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory) -> Path:
    """Return a real SegNeXt-T model file: random weights by seed, 19 classes, input 64x128."""
    import onnx
    import torch

    from seg_perception.engines.contract import InputContract, ModelMetadata
    from seg_perception.networks.deploy import describe_network, fold_segnext
    from seg_perception.networks.export import export_network
    from seg_perception.networks.registry import build_network
    from seg_perception.perception.labels import load_label_space

    label_space = load_label_space('cityscapes')
    torch.manual_seed(0)
    network = build_network('segnext', 't', label_space.num_classes).eval()
    metadata = ModelMetadata(
        label_space=label_space,
        input=InputContract(*TINY_INPUT_HW),
        network=describe_network(network),
    )
    path = tmp_path_factory.mktemp('models') / 'tiny.onnx'
    onnx.save(export_network(fold_segnext(network), metadata), str(path))
    return path


@pytest.fixture
def make_server() -> Iterator[Callable[..., FileServer]]:
    """Start web servers of one file on this machine; see FileServer for their faults."""
    running = []

    def make(content: bytes = b'', **options) -> FileServer:
        server = FileServer(content, **options)
        running.append(serve(server))
        return server

    yield make
    for httpd in running:
        httpd.shutdown()
        httpd.server_close()
