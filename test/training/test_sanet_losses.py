# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""SANet's three losses against plain loops, and in the trainer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
import yaml

from seg_perception.networks.sanet import SANetOutputs
from seg_perception.perception.labels import load_label_mapping
from seg_perception.training.config import ConfigError, load_config
from seg_perception.training.losses import SetCrossEntropy, SetTable
from seg_perception.training.sanet_losses import compute_sanet_losses, find_categories


def draw_outputs(classes: int, size: tuple[int, int], seed: int = 0) -> SANetOutputs:
    """Draw the outputs for two images."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, classes, *size), (2, classes, *size), (2, classes))
    return SANetOutputs(*(torch.randn(shape, generator=generator) * 2 for shape in shapes))


def compute_pixel_loss(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean -log softmax over labelled pixels, pixel by pixel."""
    losses = []
    for n in range(labels.shape[0]):
        for v in range(labels.shape[1]):
            for u in range(labels.shape[2]):
                if labels[n, v, u] != 255:
                    values = scores[n, :, v, u].double().tolist()
                    total = sum(math.exp(value) for value in values)
                    losses.append(math.log(total) - values[int(labels[n, v, u])])
    return sum(losses) / len(losses)


def test_the_losses_and_their_weights_equal_plain_loops():
    outputs = draw_outputs(5, (4, 6))
    labels = torch.randint(0, 4, (2, 4, 6), generator=torch.Generator().manual_seed(1))
    labels[0, 0] = 255
    labels[1][labels[1] == 2] = 3
    losses = compute_sanet_losses(outputs, labels, SetCrossEntropy(SetTable(5)))
    terms = []
    for n in range(2):
        for c in range(5):
            probability = 1 / (1 + math.exp(-float(outputs.categories[n, c])))
            is_shown = bool((labels[n] == c).any())
            terms.append(-math.log(probability if is_shown else 1 - probability))
    mask = compute_pixel_loss(outputs.logits, labels)
    dense = compute_pixel_loss(outputs.dense, labels)
    categories = sum(terms) / len(terms)
    assert float(losses.mask) == pytest.approx(mask, rel=1e-5)
    assert float(losses.dense) == pytest.approx(dense, rel=1e-5)
    assert float(losses.categories) == pytest.approx(categories, rel=1e-5)
    assert float(losses.total) == pytest.approx(mask + 0.2 * categories + 0.8 * dense, rel=1e-5)


def test_a_label_of_several_classes_leaves_open_which_is_there():
    table = SetTable(19)
    lut = table.add(load_label_mapping('camvid', 'cityscapes'))
    sets = torch.full((3, 2, 2), 255)
    sets[0, 0, 0] = int(lut[8])  # "car": car, truck, bus or train
    sets[0, 1, 1] = int(lut[3])  # road
    sets[1] = int(lut[8])
    sets[1, 0, 0] = 15  # labelled bus elsewhere in the image
    present, known = find_categories(sets, table.build_mask())
    assert present[0].nonzero().flatten().tolist() == [0]
    assert (~known[0]).nonzero().flatten().tolist() == [13, 14, 15, 16]
    assert present[1].nonzero().flatten().tolist() == [15]
    assert (~known[1]).nonzero().flatten().tolist() == [13, 14, 16]
    assert not present[2].any() and not known[2].any()  # nothing is labelled


def test_a_batch_without_labels_teaches_nothing():
    outputs = draw_outputs(5, (4, 6))
    labels = torch.full((2, 4, 6), 255)
    losses = compute_sanet_losses(outputs, labels, SetCrossEntropy(SetTable(5)))
    assert float(losses.total) == 0.0


def write_sanet_run(tiny_run, **changes):
    """Make the tiny run one of SANet's; changes are the stage's."""
    content = yaml.safe_load(tiny_run.read_text())
    content['network'] = {'name': 'sanet', 'variant': 'r18', 'label_space': 'camvid'}
    content['stages'][0].update(changes)
    tiny_run.write_text(yaml.safe_dump(content))
    return tiny_run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread: for images this small a second one only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize('attention', ['sa', 'se'])
def test_the_trainer_teaches_every_head(tiny_run, attention, one_thread):
    from seg_perception.training.state import Learner

    path = write_sanet_run(tiny_run)
    content = yaml.safe_load(path.read_text())
    content['network']['attention'] = attention
    path.write_text(yaml.safe_dump(content))
    learner = Learner(load_config(path))
    assert learner.network.attention == attention
    before = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
    losses = [float(learner.step(i, learner.draw_batches(0))) for i in range(3)]
    assert losses[-1] < losses[0]
    still = [
        name for name, value in learner.network.named_parameters()
        if torch.equal(value, before[name])
    ]  # fmt: skip
    assert still == []


def test_one_crop_of_one_attention_cell_is_refused(tiny_run):
    from seg_perception.training.state import Learner

    config = load_config(write_sanet_run(tiny_run, batch_size=1))
    with pytest.raises(ConfigError, match='batch_size of 2 or crops above 64 px for SANet'):
        Learner(config)
