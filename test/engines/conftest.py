# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model file whose every part counts, and what it must compute, in PyTorch and OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from seg_perception.engines.contract import PANOPTIC_OUTPUTS, InputContract, ModelMetadata
from seg_perception.engines.model_file import ModelFile, load_model_file
from seg_perception.networks.axial_deeplab import build_axial_deeplab
from seg_perception.networks.deploy import DeploySegNeXt, fold_segnext
from seg_perception.networks.deployment import describe_network, fold_network
from seg_perception.networks.export import export_network
from seg_perception.networks.segnext import VARIANTS, SegNeXtVariant, build_segnext
from seg_perception.perception.labels import load_label_space

MEAN_RGB = np.array((123.675, 116.28, 103.53), np.float32)
STD_RGB = np.array((58.395, 57.12, 57.375), np.float32)
Reference = Callable[..., np.ndarray]


# Every kind of layer, one block per stage: engines compile it in a quarter of the time of T.
TINY = SegNeXtVariant('tiny', (32, 32, 64, 64), (1, 1, 1, 1), 0.0, 64, 16, (2, 2, 2, 2))


def know_tiny() -> Any:
    """Return a context in which the tiny variant can be built."""
    return patch.dict(VARIANTS, {TINY.name: TINY})


@pytest.fixture(autouse=True, scope='module')
def tiny_variant() -> Iterator[None]:
    """Make the tiny variant known while engines are tested, and to no other test."""
    with know_tiny():
        yield


@know_tiny()
def make_network() -> DeploySegNeXt:
    """Make a deployed SegNeXt, random in all its tensors."""
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    network = build_segnext('tiny', 11).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf in ('running_mean', 'bias'):
                tensor.uniform_(-0.3, 0.3, generator=generator)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif leaf.startswith('layer_scale'):
                tensor.uniform_(0.05, 0.15, generator=generator)
            elif name.endswith('conv_seg.weight'):
                tensor.uniform_(-0.3, 0.3, generator=generator)
    return fold_segnext(network)


@pytest.fixture(autouse=True, scope='module')
def one_thread() -> Iterator[None]:
    """Compute with one thread in PyTorch: for layers this small a second one only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def network() -> DeploySegNeXt:
    """Return the network in float32, before its weights are rounded for the file."""
    return make_network()


@pytest.fixture(scope='session')
def model(network: DeploySegNeXt, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Return a model file of it, input 64x128, letterbox, rgb, CamVid's 11 classes."""
    metadata = ModelMetadata(
        load_label_space('camvid'),
        InputContract(64, 128),
        name='random',
        network={'name': 'segnext', 'variant': 'tiny', 'rank': 16},
    )
    path = tmp_path_factory.mktemp('model') / 'random.onnx'
    with know_tiny():
        assert describe_network(build_segnext('tiny', 11)) == metadata.network
        path.write_bytes(export_network(network, metadata).SerializeToString())
        return load_model_file(path)


@pytest.fixture(scope='session')
def model_path(model: ModelFile) -> Path:
    """Return the path of the model file."""
    return model.path


@pytest.fixture(scope='session')
def panoptic_model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """Return a file of Axial-DeepLab's nano variant, random, input 64x128, 19 classes."""
    torch.manual_seed(5)
    network = build_axial_deeplab('nano', 19, span_px=5).eval()
    metadata = ModelMetadata(
        load_label_space('cityscapes'),
        InputContract(64, 128),
        name='instances',
        network=describe_network(network),
        stride=network.logits_stride,
        outputs=PANOPTIC_OUTPUTS,
    )
    path = tmp_path_factory.mktemp('model') / 'instances.onnx'
    path.write_bytes(export_network(fold_network(network), metadata).SerializeToString())
    return load_model_file(path)


@pytest.fixture(scope='session')
def reference(model: ModelFile) -> Reference:
    """Compute logits with OpenCV and PyTorch: (H, W, 3) uint8 RGB to (C, h, w) float32."""
    network = make_network()
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in model.read_weights().items()}
    )

    def compute(
        image: np.ndarray, network_hw: tuple[int, int] = (64, 128), fit: str = 'letterbox'
    ) -> np.ndarray:
        pixels = prepare_image(image, network_hw, fit).transpose(2, 0, 1)[None]
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(pixels)))[0].numpy()

    return compute


def prepare_image(image: np.ndarray, network_hw: tuple[int, int], fit: str) -> np.ndarray:
    """Resize, normalise and pad as a user would, in plain OpenCV: (h, w, 3) float32."""
    height, width = network_hw
    if fit == 'letterbox':
        scale = min(height / image.shape[0], width / image.shape[1])
        height = max(1, round(scale * image.shape[0]))
        width = max(1, round(scale * image.shape[1]))
    resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=1)
    prepared = np.zeros((*network_hw, 3), np.float32)
    top, left = (network_hw[0] - height) // 2, (network_hw[1] - width) // 2
    prepared[top : top + height, left : left + width] = (resized - MEAN_RGB) / STD_RGB
    return prepared


def draw_image(height_px: int, width_px: int, seed: int = 0) -> np.ndarray:
    """Draw an image (H, W, 3) uint8 RGB: smooth colours and noise, a colour cast per channel."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (7, 9, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    image += generator.normal(0, 12, image.shape) + np.array((40, 0, -40))
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope='session')
def make_image() -> Callable[..., np.ndarray]:
    """Return the function that draws test images."""
    return draw_image


def assert_same_logits(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare logits; 1e-4 of their range is float32 rounding through 100 layers."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    limit = 1e-4 * float(np.abs(expected).max())
    assert float(np.abs(found - expected).max()) <= limit


@pytest.fixture(scope='session')
def check_logits() -> Callable[[np.ndarray, np.ndarray], None]:
    """Return the comparison of logits."""
    return assert_same_logits
