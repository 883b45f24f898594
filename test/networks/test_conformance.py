# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What every network of the registry has to do.

Each kind of network does all of it in its smallest variant, at full depth. Variants with layers
that the smallest has not, and every export, do it with one block per stage: further blocks are the
same nodes again, and exporters and engines take time per node. (Exports at full depth are compared
with PyTorch in the tests of each network.) All other variants have the same layers, wider and more
of them: on the meta device, without memory, they tell what they are and take any size.

A network joins by its line in SMALLEST; one that is registered and not listed fails.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from random_network import randomise
from shallow_networks import know_shallow
from torch import Tensor, nn

from seg_perception.engines.contract import InputContract, ModelMetadata
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import load_weights, save_weights
from seg_perception.networks.deployment import (
    DEPLOYMENTS,
    build_deployed,
    describe_network,
    fold_network,
)
from seg_perception.networks.export import draw_noise, write_model
from seg_perception.networks.half_precision import convert_layers
from seg_perception.networks.identity import identify_network
from seg_perception.networks.registry import (
    NETWORKS,
    build_network,
    format_name,
    list_full_names,
    parse_full_name,
)
from seg_perception.networks.segnext import MEAN_RGB, STD_RGB
from seg_perception.perception.geometry import compute_logits_size
from seg_perception.perception.labels import load_label_space

CLASSES = 19
INPUT_HW = (64, 96)
# variant, options and the smallest image side, px
SMALLEST: dict[str, tuple[str, dict, int]] = {
    'segnext': ('t', {}, 1),
    'segvit': ('s', {'image_size_px': 64}, 16),
    'sanet': ('r18', {}, 1),
    'axial_deeplab': ('nano', {}, 1),
}
# Variants with layers that the smallest has not: query down- and upsampling, bottlenecks.
OTHER_LAYERS = ('segvit_s_shrunk', 'sanet_r50')
FULL_DEPTH = tuple(f'{name}_{variant}' for name, (variant, _, _) in SMALLEST.items())
CASES = (*FULL_DEPTH, *OTHER_LAYERS)


@contextmanager
def know(case: str) -> Iterator[tuple[str, str, dict]]:
    """Give network, variant and options of a case; those of OTHER_LAYERS are shallow within."""
    name, variant = parse_full_name(case)
    with know_shallow() if case in OTHER_LAYERS else nullcontext():
        yield name, variant, SMALLEST[name][1]


def build(case: str, is_shallow: bool = False) -> nn.Module:
    """Build a network in evaluation mode whose every part counts."""
    torch.manual_seed(1)
    with know(case) as (name, variant, options), know_shallow() if is_shallow else nullcontext():
        network = build_network(name, variant, CLASSES, **options)
    randomise(network, seed=2)
    with torch.no_grad():
        for key, tensor in network.named_parameters():
            if key.endswith(('queries', 'pos_embed')):
                tensor.normal_()
    return network.eval()


@functools.cache
def get_network(case: str) -> nn.Module:
    """Return a network that tests leave as it is."""
    return build(case)


def find_logits(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the logits among what a network gives."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def get_stride(network: nn.Module) -> int:
    """Return the pixels of the input per logit."""
    return getattr(network, 'logits_stride', ModelMetadata.stride)


def draw_images(count: int) -> Tensor:
    """Draw images (count, 3, H, W), normalised, always the same ones."""
    return torch.randn(count, 3, *INPUT_HW, generator=torch.Generator().manual_seed(4))


def normalise(image: np.ndarray) -> Tensor:
    """Turn an RGB image (H, W, 3) uint8 into what networks take."""
    pixels = (image - np.array(MEAN_RGB)) / np.array(STD_RGB)
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def test_every_network_is_tested():
    assert set(SMALLEST) == set(NETWORKS) == set(DEPLOYMENTS)


@pytest.mark.parametrize('case', sorted(set(list_full_names()) - set(FULL_DEPTH)))
def test_every_other_variant_tells_what_it_is_and_takes_any_size_and_batch(case, monkeypatch):
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda *_: False)  # not known of meta
    name, variant = parse_full_name(case)
    with torch.device('meta'):
        network = build_network(name, variant, CLASSES)
    identity = identify_network(network.state_dict())
    assert (identity.full_name, identity.num_classes) == (case, CLASSES)
    description = describe_network(network)
    assert (description['name'], description['variant']) == (name, variant)
    with torch.device('meta'), know_shallow():
        shallow = build_network(name, variant, CLASSES).eval()
        logits = find_logits(shallow(torch.empty(2, 3, 65, 97)))
        assert build_deployed(description, CLASSES).float32_layers
    assert logits.shape == (2, CLASSES, *compute_logits_size((65, 97), get_stride(shallow)))


@pytest.mark.parametrize('case', CASES)
def test_deterministic_in_evaluation(case):
    network, image = get_network(case), draw_images(1)
    with torch.inference_mode():
        first, second = (find_logits(network(image)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.std() > 0.05  # else the tolerances below would be no test


@pytest.mark.parametrize('case', CASES)
def test_any_input_size(case):
    network, smallest_px = get_network(case), SMALLEST[parse_full_name(case)[0]][2]
    for size in ((smallest_px, smallest_px), (33, 47), (40, 96)):
        with torch.inference_mode():
            logits = find_logits(network(torch.randn(1, 3, *size)))
        assert logits.shape == (1, CLASSES, *compute_logits_size(size, get_stride(network)))
        assert logits.isfinite().all()


@pytest.mark.parametrize('case', CASES)
def test_images_of_a_batch_do_not_mix(case):
    network, images = get_network(case), draw_images(3)
    with torch.inference_mode():
        together = find_logits(network(images))
        alone = torch.cat([find_logits(network(image[None])) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('case', CASES)
def test_state_dict_survives_a_file_which_tells_what_it_is(case, tmp_path):
    network = get_network(case)
    save_weights(tmp_path / 'weights.safetensors', network)
    with know(case):
        identity = identify_network(network.state_dict())
        assert (identity.full_name, identity.num_classes) == (case, CLASSES)
        again = build_network(identity.name, identity.variant, CLASSES, **identity.options).eval()
    load_weights(again, tmp_path / 'weights.safetensors')
    image = draw_images(1)
    with torch.inference_mode():
        assert torch.equal(find_logits(network(image)), find_logits(again(image)))


@pytest.mark.parametrize('case', CASES)
def test_half_precision_is_finite_and_nearly_the_same(case):
    image = draw_images(1)
    with torch.inference_mode(), know(case):
        expected = find_logits(get_network(case)(image))
        for dtype, share in ((torch.float16, 0.98), (torch.bfloat16, 0.9)):
            deployed = fold_network(get_network(case))
            convert_layers(deployed, dtype)
            logits = find_logits(deployed(image))
            assert logits.isfinite().all()
            assert logits.dtype == torch.float32
            assert (logits.argmax(1) == expected.argmax(1)).float().mean() >= share


@pytest.mark.parametrize('case', CASES)
def test_one_graph_from_camera_bytes_equals_pytorch(case, tmp_path):
    network = build(case, is_shallow=True)
    contract = InputContract(*INPUT_HW)
    metadata = ModelMetadata(
        load_label_space('cityscapes'), contract, name=case, source_sha256='0' * 64
    )
    with know_shallow():
        # compares OpenVINO in float32 with PyTorch on an RGB image, at 1e-3 of the largest logit
        report = write_model(network, metadata, tmp_path / 'model.onnx')
        deployed = build_deployed(describe_network(network), CLASSES)
        deployed.load_state_dict(fold_network(network).state_dict())
    assert report.graph_difference <= 2e-4 * report.logits_range
    assert report.mask_agreement > 0.97  # weights rounded to 11 bits
    # another size of camera and of input than the file's, and the other order of channels
    engine = load_engine(
        EngineConfig(str(report.path), precision='f32', height_px=72, width_px=104)
    )
    image = draw_noise((72, 104))
    try:
        found = engine.infer(np.ascontiguousarray(image[:, :, ::-1]), 'bgr').copy()
    finally:
        engine.close()
    with torch.inference_mode():
        expected = find_logits(deployed(normalise(image)))[0].numpy()
    size = compute_logits_size((72, 104), get_stride(network))
    assert found.shape == expected.shape == (CLASSES, *size)
    limit = 0.05 * np.abs(expected).max()  # weights rounded to 11 bits
    np.testing.assert_allclose(found, expected, atol=limit)


@pytest.mark.parametrize('name', SMALLEST)
def test_weights_of_another_network_are_refused_and_nothing_changes(name):
    network = build(format_name(name, SMALLEST[name][0]))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    other = next(another for another in SMALLEST if another != name)
    with pytest.raises(UserError, match='does not fit') as error:
        load_weights(network, get_network(format_name(other, SMALLEST[other][0])).state_dict())
    assert str(error.value).count('expected') <= 4
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize('name', SMALLEST)
def test_no_classes_and_unknown_variants_are_refused(name):
    with pytest.raises(UserError, match='num_classes=0'):
        build_network(name, SMALLEST[name][0], 0)
    with pytest.raises(UserError, match="'huge'"):
        build_network(name, 'huge', CLASSES)


def test_unknown_names_suggest_the_nearest():
    assert [parse_full_name(text) for text in list_full_names()] == [
        (entry.name, variant) for entry in NETWORKS.values() for variant in entry.variants
    ]
    with pytest.raises(UserError, match=r"no network 'segvit_S2'.*did you mean segvit_s\?"):
        parse_full_name('segvit_S2')
    with pytest.raises(UserError, match=r"no network 'segvti'.*did you mean segvit\?"):
        build_network('segvti', 's', CLASSES)
