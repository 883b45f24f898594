# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Class, focal and dice losses against their formulas in loops; a run that learns."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from seg_perception.networks.atm import AtmOutputs
from seg_perception.networks.checkpoints import read_source
from seg_perception.networks.identity import identify_network
from seg_perception.training.atm_losses import assign_classes, compute_atm_losses
from seg_perception.training.config import load_config
from seg_perception.training.state import Learner
from seg_perception.training.trainer import LATEST_NAME, Trainer


@pytest.fixture(autouse=True)
def one_thread():
    """Compute with one thread: for layers this small a second one only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_losses_are_those_of_the_paper_in_loops():
    generator = torch.Generator().manual_seed(0)
    images, classes, height, width = 2, 4, 3, 5
    class_logits, masks = (
        tuple(torch.randn(*shape, generator=generator) * 2 for _ in range(2))
        for shape in ((images, classes, classes + 1), (images, classes, height, width))
    )
    labels = torch.randint(-1, 2, (images, height, width), generator=generator)
    labels[1][labels[1] == 0] = 3
    found = compute_atm_losses(AtmOutputs(class_logits, masks), labels)

    sums = [0.0, 0.0, 0.0]
    present = [(n, k) for n in range(images) for k in range(classes) if (labels[n] == k).any()]
    assert 2 < len(present) < images * classes
    for output in range(2):
        weighted = weights = 0.0
        for n in range(images):
            for k in range(classes):
                target = k if (n, k) in present else classes
                weight = 1.0 if (n, k) in present else 0.1
                row = class_logits[output][n, k].tolist()
                weighted += weight * (math.log(sum(map(math.exp, row))) - row[target])
                weights += weight
        sums[0] += weighted / weights
        for n, k in present:
            focal = pixels = overlap = seen = truth = 0.0
            for y in range(height):
                for x in range(width):
                    if labels[n, y, x] < 0:
                        continue
                    p, is_class = sigmoid(float(masks[output][n, k, y, x])), labels[n, y, x] == k
                    right, alpha = (p, 0.25) if is_class else (1 - p, 0.75)
                    focal -= alpha * (1 - right) ** 2 * math.log(right)
                    pixels += 1
                    seen += p
                    truth += float(is_class)
                    overlap += p * float(is_class)
            sums[1] += focal / pixels / len(present)
            sums[2] += (1 - (2 * overlap + 1) / (seen + truth + 1)) / len(present)
    assert [float(loss) for loss in found] == pytest.approx(sums, abs=1e-4)
    assert float(found.total) == pytest.approx(sums[0] + 20 * sums[1] + sums[2], abs=1e-3)


def test_labels_of_several_classes_go_to_the_one_that_scores_highest():
    accepted = torch.full((5, 3), -1e4)
    for row, right in enumerate([(0,), (1,), (2,), (1, 2), (0, 1, 2)]):
        accepted[row, list(right)] = 0.0
    masks = torch.full((1, 3, 1, 4), -5.0)
    masks[0, 0] = 9.0  # scores highest everywhere, and is not among the right ones
    masks[0, 1, 0, 1] = masks[0, 2, 0, 2] = 3.0
    outputs = AtmOutputs((torch.eye(3, 4)[None] * 9,), (masks,))
    sets = torch.tensor([[[0, 3, 3, 255]]], dtype=torch.uint8)
    assert assign_classes(outputs, sets, accepted).tolist() == [[[0, 1, 2, -1]]]


def test_unlabelled_crops_give_a_finite_loss():
    masks = torch.randn(1, 3, 2, 2).requires_grad_()
    outputs = AtmOutputs((torch.randn(1, 3, 4),), (masks,))
    losses = compute_atm_losses(outputs, torch.full((1, 2, 2), -1))
    losses.total.backward()
    assert losses.focal.item() == losses.dice.item() == 0.0
    assert masks.grad.isfinite().all() and losses.total.isfinite()


def test_fifteen_steps_lower_the_loss(tiny_run):
    content = yaml.safe_load(tiny_run.read_text())
    content['network'] = {'name': 'segvit', 'variant': 's', 'dropout': 0.0}
    tiny_run.write_text(yaml.safe_dump(content))
    learner = Learner(load_config(tiny_run))
    losses = [float(learner.step(2, learner.draw_batches(i))) for i in range(15)]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_run_validates_in_windows_and_keeps_weights_that_tell_what_they_are(tiny_run):
    content = yaml.safe_load(tiny_run.read_text())
    content['network'] = {'name': 'segvit', 'variant': 's'}
    content['stages'][0]['iterations'] = 2
    content['run'] |= {'validation_window_px': 64, 'validation_window_stride_px': 48}
    tiny_run.write_text(yaml.safe_dump(content))
    trainer = Trainer(load_config(tiny_run), report=lambda line: None)
    scores = trainer.run()
    assert scores[0].images == 2
    identity = identify_network(read_source(trainer.output / LATEST_NAME)[0])
    assert identity.full_name == 'segvit_s'
