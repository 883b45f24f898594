# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The dilated ResNet is torchvision's, by counts, keys and sizes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import load_encoder_weights
from seg_perception.networks.resnet import DilatedResNet
from seg_perception.networks.sanet import VARIANTS, build_sanet

# Parameters of torchvision's models without `fc`: 25,557,032 - 2,049,000 and so on.
PARAMETERS = {'r18': 11_176_512, 'r50': 23_508_032, 'r101': 42_500_160}
# (stage, blocks, channels of each convolution, kernels) of torchvision's state dicts.
WIDTHS = {1: 64, 2: 128, 3: 256, 4: 512}
DEPTHS = {'r18': (2, 2, 2, 2), 'r50': (3, 4, 6, 3)}


def list_norm(name: str, channels: int) -> dict[str, torch.Tensor]:
    """Return the entries of a batch norm."""
    leaves = ('weight', 'bias', 'running_mean', 'running_var')
    return {f'{name}.{leaf}': torch.rand(channels) for leaf in leaves}


def make_torchvision_state(variant: str) -> dict[str, torch.Tensor]:
    """Write out torchvision's keys and shapes, from its documentation; the classifier too."""
    state = {'conv1.weight': torch.rand(64, 3, 7, 7), **list_norm('bn1', 64)}
    expansion = 1 if variant == 'r18' else 4
    before = 64
    for stage, depth in enumerate(DEPTHS[variant], start=1):
        width = WIDTHS[stage]
        out = width * expansion
        for block in range(depth):
            prefix = f'layer{stage}.{block}'
            shapes = [(width, before, 3), (width, width, 3)]
            if expansion == 4:
                shapes = [(width, before, 1), (width, width, 3), (out, width, 1)]
            for index, (rows, columns, kernel) in enumerate(shapes, start=1):
                state[f'{prefix}.conv{index}.weight'] = torch.rand(rows, columns, kernel, kernel)
                state.update(list_norm(f'{prefix}.bn{index}', rows))
            if block == 0 and (stage > 1 or expansion == 4):
                state[f'{prefix}.downsample.0.weight'] = torch.rand(out, before, 1, 1)
                state.update(list_norm(f'{prefix}.downsample.1', out))
            before = out
    state.update({'fc.weight': torch.rand(10, before), 'fc.bias': torch.rand(10)})
    return state


@pytest.mark.parametrize('variant', PARAMETERS)
def test_parameters_are_those_of_torchvision_without_the_classifier(variant):
    with torch.device('meta'):
        network = DilatedResNet(VARIANTS[variant].encoder)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[variant]


@pytest.mark.parametrize('variant', DEPTHS)
def test_an_imagenet_file_with_torchvisions_keys_loads(variant, tmp_path):
    state = make_torchvision_state(variant)
    save_file(state, tmp_path / 'resnet.safetensors')
    network = build_sanet(variant, 3)
    unused = load_encoder_weights(network, tmp_path / 'resnet.safetensors')
    assert unused == ('fc (tensors: 2)',)
    loaded = network.backbone.state_dict()
    assert {k for k in loaded if not k.endswith('num_batches_tracked')} | {
        'fc.weight',
        'fc.bias',
    } == set(state)
    assert all(torch.equal(loaded[k], v) for k, v in state.items() if not k.startswith('fc.'))


def test_a_file_of_another_depth_is_refused_and_changes_nothing():
    network = build_sanet('r18', 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UserError, match='does not fit the encoder of SANet') as error:
        load_encoder_weights(network, make_torchvision_state('r50'))
    assert 'same network and variant' in str(error.value)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


@pytest.mark.parametrize('variant', ['r18', 'r50'])
@pytest.mark.parametrize('size', [(64, 96), (65, 97), (40, 33)])
def test_output_stride_is_8_from_the_second_stage_on(variant, size):
    with torch.device('meta'):
        stages = DilatedResNet(VARIANTS[variant].encoder)(torch.empty(1, 3, *size))
    quarter, eighth = ([-(-side // stride) for side in size] for stride in (4, 8))
    assert [list(stage.shape[2:]) for stage in stages] == [quarter, eighth, eighth, eighth]
    assert [s.shape[1] for s in stages] == list(VARIANTS[variant].encoder.stage_channels)


@pytest.mark.parametrize('variant', ['r18', 'r50'])
def test_dilations_replace_strides_as_in_torchvision(variant):
    with torch.device('meta'):
        network = DilatedResNet(VARIANTS[variant].encoder)
    found = {}
    for stage in (1, 2, 3, 4):
        for index, block in enumerate(getattr(network, f'layer{stage}')):
            found[stage, index] = [
                (layer.dilation[0], layer.padding[0])
                for layer in block.modules()
                if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
            ]
    for (stage, index), layers in found.items():
        later = {1: 1, 2: 1, 3: 2, 4: 4}[stage]
        first = {1: 1, 2: 1, 3: 1, 4: 2}[stage] if index == 0 else later
        expected = [first, later][: len(layers)]
        assert layers == [(dilation, dilation) for dilation in expected]


def test_dilation_keeps_the_receptive_field_of_the_strided_network():
    """On a grid of every 4th pixel stage 4 equals the strided form's, wherever both exist."""
    torch.manual_seed(0)
    dilated = DilatedResNet(VARIANTS['r18'].encoder).eval()
    strided = DilatedResNet(VARIANTS['r18'].encoder).eval()
    strided.load_state_dict(dilated.state_dict())
    for stage in (strided.layer3, strided.layer4):
        for index, block in enumerate(stage):
            for layer in (block.conv1, block.conv2):
                layer.dilation = layer.padding = (1, 1)
            if index == 0:
                block.conv1.stride = block.downsample[0].stride = (2, 2)
    image = torch.randn(1, 3, 128, 160)
    with torch.inference_mode():
        found = dilated(image)[3][:, :, ::4, ::4]
        expected = strided(image)[3]
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
