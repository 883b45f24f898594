# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SegNeXt against mmsegmentation 1.2.2, run in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from seg_perception.cli import main
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.networks.checkpoints import (
    BASES_KEY,
    load_checkpoint,
    load_encoder_weights,
    load_network,
    load_weights,
)
from seg_perception.networks.segnext import VARIANTS, SegNeXt, build_segnext

ROOT = Path(__file__).parents[2]
PYTHON_VARIABLE = 'SEG_PERCEPTION_REFERENCE_PYTHON'
SCRIPT = Path(__file__).parent / 'reference' / 'mmseg_reference.py'
SIZES = {'t': ((64, 64), (97, 131), (256, 512)), 's': ((131, 97),)}  # px, heights first
RANKS = {'t': 16, 's': 24}  # 24 is nobody's default: the rank must come through
LOGITS_TOLERANCE = 2e-4
ROUNDING_TOLERANCE = 3e-3  # of the largest logit: model files hold float16 weights
ALL_VARIANTS = 'SEG_PERCEPTION_ALL_VARIANTS'  # set: s, b and l too, minutes more
# Checkpoints as published: variant, classes, rank, and whether the bases are in the file.
PUBLISHED = {
    't_mmseg_ade20k': ('t', 150, 16, False),
    't_authors_cityscapes': ('t', 19, 64, True),
    's_mmseg_ade20k': ('s', 150, 16, True),
    's_authors_cityscapes': ('s', 19, 16, False),
    'b_mmseg_ade20k': ('b', 150, 16, True),
    'b_authors_cityscapes': ('b', 19, 64, False),
    'l_mmseg_ade20k': ('l', 150, 16, False),
    'l_authors_cityscapes': ('l', 19, 64, True),
}
EXPORTED = tuple(PUBLISHED) if ALL_VARIANTS in os.environ else tuple(PUBLISHED)[:2]


def find_reference_python() -> Path:
    """Return the interpreter that has mmsegmentation, or skip."""
    path = Path(os.environ.get(PYTHON_VARIABLE, ROOT / '.venv-reference' / 'bin' / 'python'))
    if not path.exists():
        pytest.skip(
            f'no interpreter with mmsegmentation at {path}: `make .venv-reference/.done` makes '
            f'it, or set {PYTHON_VARIABLE}'
        )
    return path


def write_inputs(folder: Path, network: SegNeXt, sizes: tuple[tuple[int, int], ...]) -> None:
    """Write one network's weights, bases and images of noise for the reference."""
    folder.mkdir()
    state = network.state_dict()
    bases = state.pop(BASES_KEY)
    save_file(state, folder / 'weights.safetensors')
    random = np.random.default_rng(5)
    images = {
        f'image_{height}x{width}': random.normal(size=(1, 3, height, width)).astype(np.float32)
        for height, width in sizes
    }
    np.savez(folder / 'inputs.npz', bases=bases.numpy(), **images)


def write_options(folder: Path, name: str) -> None:
    """Write what the reference needs to make one checkpoint; its bases are ours."""
    variant, num_classes, rank, has_bases = PUBLISHED[name]
    folder.mkdir()
    options = {'num_classes': num_classes, 'rank': rank, 'has_bases': has_bases}
    (folder / 'options.json').write_text(json.dumps(options))
    np.save(folder / 'bases.npy', build_segnext(variant, 1, rank).state_dict()[BASES_KEY].numpy())


@pytest.fixture(scope='module')
def reference(
    tmp_path_factory: pytest.TempPathFactory, make_segnext: Callable[..., SegNeXt]
) -> Path:
    """Run the reference once, for all tests; its answers are in the folder returned."""
    python = find_reference_python()
    folder = tmp_path_factory.mktemp('reference')
    commands = []
    for variant, sizes in SIZES.items():
        write_inputs(folder / variant, make_segnext(variant, rank=RANKS[variant]), sizes)
        commands += ['forward', str(folder / variant), variant]
    for variant in VARIANTS:
        commands += ['keys', str(folder), variant]
    commands += ['train', str(folder), 't']
    for name in EXPORTED:
        write_options(folder / name, name)
        commands += ['publish', str(folder / name), PUBLISHED[name][0]]
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(
        [str(python), str(SCRIPT), *commands], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize('variant', VARIANTS)
def test_state_dict_has_the_keys_and_shapes_of_the_reference(reference, variant):
    with torch.device('meta'):
        state = build_segnext(variant, 19).state_dict()
    del state[BASES_KEY]
    shapes = {key: list(tensor.shape) for key, tensor in state.items()}
    assert shapes == json.loads((reference / f'keys_{variant}.json').read_text())


@pytest.mark.parametrize('variant', SIZES)
def test_logits_agree_with_the_reference(reference, tmp_path, variant):
    state = load_file(reference / variant / 'weights.safetensors')
    authors = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    torch.save({'state_dict': authors, 'meta': {'epoch': 1}}, tmp_path / 'authors.pth')
    network = build_segnext(variant, 19, RANKS[variant], seed=3).eval()
    load_weights(network, tmp_path / 'authors.pth')
    images = np.load(reference / variant / 'inputs.npz')
    expected = np.load(reference / variant / 'logits.npz')
    for name in expected.files:
        with torch.inference_mode():
            logits = network(torch.from_numpy(images[name])).numpy()
        assert logits.shape == expected[name].shape
        spread = expected[name].std()
        assert spread > 0.5  # else the tolerance would be no test
        difference = np.abs(logits - expected[name]).max()
        print(f'{variant} {name}: max difference {difference:.2e}, deviation {spread:.2f}')
        assert difference <= LOGITS_TOLERANCE


@pytest.mark.parametrize('variant', SIZES)
def test_both_key_styles_load_the_same_network(reference, tmp_path, variant):
    path = reference / variant / 'weights.safetensors'
    state = load_file(path)
    authors = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    assert authors.keys() != state.keys()
    torch.save(authors, tmp_path / 'authors.pth', _use_new_zipfile_serialization=False)
    networks = [build_segnext(variant, 19, seed=3) for _ in range(2)]
    load_weights(networks[0], path)
    load_weights(networks[1], tmp_path / 'authors.pth')
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert all(torch.equal(first[key], state[key]) for key in state)


def test_file_saved_by_mmengine_loads_without_its_classes(reference):
    path = reference / 'iter_1.pth'
    with pytest.raises(Exception, match='weights_only|Weights only'):
        torch.load(path, weights_only=True)
    state = load_checkpoint(path)
    expected = load_file(reference / 'weights.safetensors')
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_file_saved_by_mmengine_builds_its_network(reference):
    network = load_network(reference / 'iter_1.pth')
    assert (network.variant.name, network.num_classes, network.rank) == ('t', 19, 16)
    encoder = build_segnext('t', 5)
    load_encoder_weights(encoder, reference / 'iter_1.pth')
    ours, theirs = encoder.backbone.state_dict(), network.backbone.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize('name', EXPORTED)
def test_exported_checkpoint_gives_the_logits_of_the_reference(reference, tmp_path, name):
    variant, num_classes, rank, _ = PUBLISHED[name]
    path = reference / name / 'checkpoint.pth'
    if '_authors_' in name:
        path = write_authors_style(path, tmp_path / 'authors.pth')
    command = ['export', '--checkpoint', str(path), '--variant', variant, '--rank', str(rank)]
    command += ['--labels', 'ade20k' if num_classes == 150 else 'cityscapes']
    command += ['--height', '64', '--width', '96', '--out', str(tmp_path / 'model.onnx')]
    assert main(command) == 0
    answer = np.load(reference / name / 'logits.npz')
    engine = load_engine(EngineConfig(str(tmp_path / 'model.onnx'), precision='f32'))
    logits = engine.infer(answer['image'], 'rgb').copy()
    engine.close()
    expected = answer['logits'][0]
    assert logits.shape == expected.shape == (num_classes, 8, 12)
    difference = np.abs(logits - expected).max() / np.abs(expected).max()
    same = (logits.argmax(0) == expected.argmax(0)).mean()
    print(f'{name}: max difference {difference:.2e} of the range, same class at {same:.3f}')
    assert expected.std() > 0.5
    assert difference < ROUNDING_TOLERANCE


def write_authors_style(source: Path, target: Path) -> Path:
    """Write a checkpoint's weights alone, unwrapped, under the authors' keys."""
    state = load_checkpoint(source)
    state = {k.replace('.mlp.dwconv.', '.mlp.dwconv.dwconv.'): v for k, v in state.items()}
    torch.save(state, target)
    return target
