# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The reference chain of the benchmarks does what it says, at any size of camera."""

import cv2
import numpy as np
import pytest
import torch

from seg_perception.engines.model_file import load_model_file
from seg_perception.networks.eager import EagerChain, decide_with_pytorch
from seg_perception.networks.registry import build_network


@pytest.fixture(scope='module')
def metadata(tiny_model):
    """Return the metadata of a model file."""
    return load_model_file(tiny_model).metadata


@pytest.mark.parametrize('camera_hw', [(64, 128), (96, 192), (50, 60)])
def test_mask_is_that_of_the_plain_network(metadata, camera_hw):
    image = np.random.default_rng(0).integers(0, 256, (*camera_hw, 3), np.uint8)
    torch.manual_seed(3)
    mask = EagerChain(metadata, (64, 128)).segment(image)
    assert (mask.shape, mask.dtype) == (camera_hw, np.uint8)
    torch.manual_seed(3)
    network = build_network('segnext', 't', 19).eval()
    resized = image if camera_hw == (64, 128) else cv2.resize(image, (128, 64))
    mean, std = np.float32([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])
    normal = (resized - mean) / std
    with torch.no_grad():
        logits = network(torch.from_numpy(normal.transpose(2, 0, 1)[None].copy()))[0].numpy()
    assert np.mean(mask == decide_with_pytorch(logits, camera_hw)) > 0.99


def test_logits_lie_in_planes_as_those_of_mmsegmentation(metadata):
    chain = EagerChain(metadata, (64, 128))
    seen = []
    chain._network.register_forward_hook(lambda module, inputs, output: seen.append(output))
    chain.segment(np.zeros((64, 128, 3), np.uint8))
    assert seen[0].is_contiguous()


def test_decision_is_bilinear_between_the_centres_of_the_logits():
    # class 1 wins right of the middle between two centres, at column 8 of 16
    logits = np.array([[[1.0, 0.0]], [[0.0, 1.0]]], np.float32)
    mask = decide_with_pytorch(logits, (4, 16))
    np.testing.assert_array_equal(mask, np.repeat([[0] * 8 + [1] * 8], 4, axis=0))
