# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test folders use."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from web_server import FileServer, serve

TINY_INPUT_HW = (64, 128)

# Started in the background by a shell, SIGINT is ignored, here and in every process that a test
# starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope='session')
def tiny_panoptic_model(tmp_path_factory) -> Path:
    """Return a real Axial-DeepLab-nano model file like `tiny_model`: instances on any image."""
    import onnx
    import torch

    from seg_perception.engines.contract import PANOPTIC_OUTPUTS, InputContract, ModelMetadata
    from seg_perception.networks.deployment import describe_network, fold_network
    from seg_perception.networks.export import export_network
    from seg_perception.networks.registry import build_network
    from seg_perception.perception.labels import load_label_space

    label_space = load_label_space('cityscapes')
    torch.manual_seed(0)
    network = build_network('axial_deeplab', 'nano', label_space.num_classes).eval()
    heads = network.decode_head
    with torch.no_grad():  # far from 0: several classes, tens of centres, offsets of some 10 px
        heads.semantic_head.predict.weight.normal_(std=300.0)
        heads.center_head.predict.weight.normal_(std=200.0)
        heads.offset_head.predict.weight.normal_(std=3000.0)
    metadata = ModelMetadata(
        label_space=label_space,
        input=InputContract(*TINY_INPUT_HW),
        name='tiny_panoptic',
        network=describe_network(network),
        stride=network.logits_stride,
        outputs=PANOPTIC_OUTPUTS,
    )
    path = tmp_path_factory.mktemp('models') / 'tiny_panoptic.onnx'
    onnx.save(export_network(fold_network(network), metadata), str(path))
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
