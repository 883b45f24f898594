# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SANet: its heads, its deployed form and its model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from seg_perception.engines.classifier import divide_classifier
from seg_perception.engines.contract import InputContract, ModelMetadata
from seg_perception.engines.half_precision import convert_precision
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.prelude import specialise
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.networks.deploy_sanet import fold_sanet
from seg_perception.networks.deployment import build_deployed, describe_network, fold_network
from seg_perception.networks.export import draw_noise, write_model
from seg_perception.networks.half_precision import convert_layers
from seg_perception.networks.registry import NETWORKS, build_network
from seg_perception.networks.sanet import SANet, build_sanet, identify_sanet
from seg_perception.perception.labels import load_label_space

CLASSES = 19


def make_sanet(attention: str = 'sa', num_classes: int = CLASSES) -> SANet:
    """Make the small variant with norms that all count, statistics of noise included."""
    torch.manual_seed(1)
    network = build_sanet('r18', num_classes, attention=attention)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.ndim == 1 and name.endswith('weight'):
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim == 1:
                tensor.uniform_(-0.3, 0.3)
        for _ in range(2):
            network(torch.randn(2, 3, 64, 96))
    return network.eval()


def draw_image(*size: int, count: int = 1) -> torch.Tensor:
    """Draw normalised images."""
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope='module')
def network() -> SANet:
    """Return the network; tests leave it as it is."""
    return make_sanet()


@pytest.fixture(scope='module')
def model_path(network, tmp_path_factory) -> Path:
    """Return its model file of input 64x96."""
    metadata = ModelMetadata(load_label_space('cityscapes'), InputContract(64, 96), name='x')
    path = tmp_path_factory.mktemp('sanet') / 'model.onnx'
    report = write_model(network, metadata, path)
    assert report.graph_difference <= 1e-4 * report.logits_range
    return path


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (97, 61), (40, 136)])
def test_logits_are_at_one_eighth_for_any_size_and_batch(network, size):
    images = draw_image(*size, count=2)
    with torch.inference_mode():
        logits = network(images)
        single = network(images[1:])
    assert logits.shape == (2, CLASSES, -(-size[0] // 8), -(-size[1] // 8))
    assert torch.allclose(logits[1:], single, atol=1e-5 * float(single.abs().max()))


def test_logits_are_the_sum_of_every_heads_scores(network):
    head = network.decode_head
    with torch.inference_mode():
        stages = network.backbone(draw_image(64, 96))
        outputs = head.predict(stages)
        total = outputs.dense + head.conv_seg.bias[:, None, None]
        first = 0
        for index, stage in enumerate(stages):
            features = head.heads[index](stage)
            weight = head.conv_seg.weight[:, first : first + features.shape[1]]
            scores = torch.nn.functional.conv2d(features, weight)
            if index == 0:  # a resize by exactly 1/2 is the mean of 2x2
                scores = torch.nn.functional.avg_pool2d(scores, 2)
            total = total + scores
            first += features.shape[1]
    assert torch.allclose(outputs.logits, total, atol=1e-4)
    assert torch.equal(outputs.logits, network(draw_image(64, 96)))
    assert outputs.categories.shape == (1, CLASSES)


# Encoder + two 3x3 per stage to C/4 + attention path (C -> 4 -> C/4) + FCN head + classifiers.
def count_by_formula(encoder: int, channels: tuple[int, ...], classes: int) -> int:
    """Count the parameters from the article's widths."""
    count = encoder
    for c in channels:
        d = c // 4
        count += 9 * (c * d + d * d) + 2 * 2 * d  # main path and its norms
        count += 9 * (c * 4 + 4 * d) + 2 * 4 + 2 * d  # attention path
    last, total = channels[-1], sum(channels) // 4
    count += 9 * last * (last // 4) + 2 * (last // 4)  # FCN head
    return count + classes * (2 * (total + 1) + last // 4 + 1)


@pytest.mark.parametrize(
    ('variant', 'encoder', 'channels'),
    [
        ('r18', 11_176_512, (64, 128, 256, 512)),
        ('r50', 23_508_032, (256, 512, 1024, 2048)),
        ('r101', 42_500_160, (256, 512, 1024, 2048)),
    ],
)
def test_parameters_follow_from_the_articles_widths(variant, encoder, channels):
    with torch.device('meta'):
        network = build_network('sanet', variant, CLASSES)
    found = sum(p.numel() for p in network.parameters())
    assert found == count_by_formula(encoder, channels, CLASSES)


@pytest.mark.parametrize('attention', ['sa', 'se'])
@pytest.mark.parametrize('size', [(64, 96), (33, 47)])
def test_folding_keeps_the_logits(attention, size):
    network = make_sanet(attention, 5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    image = draw_image(*size)
    deployed = fold_network(network)
    with torch.inference_mode():
        expected, found = network(image), deployed(image)
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert not [m for m in deployed.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not [key for key in deployed.state_dict() if 'categories' in key or 'dense_seg' in key]
    for tensor in deployed.state_dict().values():
        tensor.zero_()
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


@pytest.mark.parametrize('attention', ['sa', 'se'])
def test_description_builds_the_same_network(attention):
    network = make_sanet(attention, 5)
    description = describe_network(network)
    assert description == {'name': 'sanet', 'variant': 'r18', 'attention': attention}
    rebuilt = build_deployed(description, 5)
    rebuilt.load_state_dict(fold_sanet(network).state_dict())
    with torch.inference_mode():
        assert torch.allclose(rebuilt(draw_image(40, 56)), network(draw_image(40, 56)), atol=1e-4)


@pytest.mark.parametrize('attention', ['sa', 'se'])
def test_a_state_dict_tells_what_it_is(attention):
    with torch.device('meta'):
        state = build_sanet('r101', 7, attention=attention).state_dict()
    identity = identify_sanet(state)
    assert identity == ('r101', 7, attention)
    assert identity.text.startswith('SANet-R101')
    assert identify_sanet({'backbone.conv1.weight': torch.zeros(1)}) is None


def test_openvino_computes_what_pytorch_does_in_float32(network, model_path):
    model = load_model_file(model_path)
    rounded = build_deployed(model.metadata.network, CLASSES)
    weights = {name: torch.from_numpy(value) for name, value in model.read_weights().items()}
    rounded.load_state_dict(weights)
    image = draw_noise((64, 96))
    mean, std = (
        np.array(v) for v in (model.metadata.input.mean_rgb, model.metadata.input.std_rgb)
    )
    pixels = ((image - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        expected = rounded(torch.from_numpy(pixels))[0].numpy()
    config = EngineConfig(str(model_path), backend='openvino', precision='f32')
    engine = load_engine(config)
    found = engine.infer(image, 'rgb').copy()
    engine.close()
    assert found.shape == (CLASSES, 8, 12)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_file_takes_a_network_input_of_odd_sizes(model_path):
    image = draw_noise((75, 109))
    results = []
    for backend in ('openvino', 'torch'):
        config = EngineConfig(
            str(model_path),
            backend=backend,
            precision='f32',
            height_px=75,
            width_px=109,
        )
        engine = load_engine(config)
        results.append(engine.infer(image, 'rgb').copy())
        engine.close()
    assert results[0].shape == results[1].shape == (CLASSES, 10, 14)
    assert np.abs(results[0] - results[1]).max() <= 1e-4 * np.abs(results[1]).max()


def test_the_graph_has_one_input_one_output_and_no_batch_norm(model_path):
    graph = onnx.load(str(model_path)).graph
    assert [i.name for i in graph.input] == ['image']
    assert [o.name for o in graph.output] == ['logits']
    assert 'BatchNormalization' not in {node.op_type for node in graph.node}
    names = {tensor.name for tensor in graph.initializer}
    assert not [name for name in names if 'categories' in name]


def test_one_layer_makes_the_logits_so_a_temperature_fits(model_path):
    graph = onnx.load(str(model_path)).graph
    name = 'decode_head.conv_seg.bias'
    before = onnx.numpy_helper.to_array(next(t for t in graph.initializer if t.name == name))
    divide_classifier(graph, 2.0)
    after = onnx.numpy_helper.to_array(next(t for t in graph.initializer if t.name == name))
    assert np.allclose(after, before / 2)


@pytest.mark.parametrize('attention', ['sa', 'se'])
def test_half_precision_layers_keep_the_masks(attention):
    deployed = fold_sanet(make_sanet(attention, 5))
    image = draw_image(64, 96)
    with torch.inference_mode():
        expected = deployed(image)
        convert_layers(deployed, torch.bfloat16)
        found = deployed(image)
    assert deployed.decode_head.conv_seg.weight.dtype == torch.float32
    assert deployed.backbone.conv1.weight.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    # the largest share that float16's and bfloat16's 8 bits cost over 30 layers
    assert float((found - expected).abs().max()) <= 0.05 * float(expected.abs().max())


def test_half_precision_graph_is_valid(model_path):
    model = load_model_file(model_path)
    graph = specialise(
        model.graph, model.metadata, (64, 96), (64, 96), model.metadata.input.fit, 'rgb'
    )
    converted = convert_precision(graph, 'f16')
    onnx.checker.check_model(converted, full_check=True)
    types = {t.name: t.data_type for t in converted.graph.initializer}
    assert types['decode_head.conv_seg.bias'] == onnx.TensorProto.FLOAT


def test_registry_knows_all_variants_and_refuses_others():
    assert NETWORKS['sanet'].variants == ('r18', 'r50', 'r101')
    with pytest.raises(UserError, match="no variant 'x'; use one of r18, r50, r101"):
        build_network('sanet', 'x', 3)
    with pytest.raises(UserError, match="no attention 'cbam'; use one of sa, se"):
        build_network('sanet', 'r18', 3, attention='cbam')
    with pytest.raises(UserError, match='at least 1 class'):
        build_network('sanet', 'r18', 0)
    with pytest.raises(UserError, match='expected name segnext or sanet'):
        build_deployed({'name': 'other'}, 3)
    with pytest.raises(UserError, match='expected variant r18, r50, r101 and attention sa, se'):
        build_deployed({'name': 'sanet', 'variant': 'r18'}, 3)
