# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The set-valued cross-entropy against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seg_perception.perception.labels import LabelMapping, LabelSpace, load_label_mapping
from seg_perception.training.losses import SetCrossEntropy, SetTable, compute_set_weights


def make_logits(seed: int = 0) -> torch.Tensor:
    """Draw (2, 19, 5, 7) logits."""
    return torch.randn(2, 19, 5, 7, generator=torch.Generator().manual_seed(seed)) * 3


def test_single_class_sets_give_the_ordinary_cross_entropy():
    logits = make_logits()
    labels = torch.randint(0, 19, (2, 5, 7), generator=torch.Generator().manual_seed(1))
    labels[0, 0] = 255
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    assert torch.allclose(SetCrossEntropy(SetTable(19))(logits, labels), expected, atol=1e-5)


def test_a_set_is_scored_by_its_summed_probability():
    table = SetTable(19)
    lut = table.add(load_label_mapping('camvid', 'cityscapes'))
    car = int(lut[8])
    logits = make_logits(2)
    expected = -logits.softmax(1)[:, [13, 14, 15, 16]].sum(1).log().mean()
    loss = SetCrossEntropy(table)(logits, torch.full((2, 5, 7), car))
    assert torch.allclose(loss, expected, atol=1e-5)


def test_unlabelled_pixels_have_no_gradient():
    logits = make_logits().requires_grad_()
    labels = torch.full((2, 5, 7), 255)
    labels[0, 0, 0] = 3
    SetCrossEntropy(SetTable(19))(logits, labels).backward()
    gradient = logits.grad.abs().sum(1)
    assert gradient[0, 0, 0] > 0
    assert gradient.sum() == gradient[0, 0, 0]


def test_a_batch_without_labels_has_loss_zero():
    assert SetCrossEntropy(SetTable(19))(make_logits(), torch.full((2, 5, 7), 255)) == 0


def test_weights_scale_the_share_of_a_set():
    logits = make_logits()[:1, :, :1, :2]
    labels = torch.tensor([[[0, 1]]])
    weights = torch.ones(19)
    weights[1] = 3.0
    single = F.cross_entropy(logits, labels, reduction='none').flatten()
    loss = SetCrossEntropy(SetTable(19), weights)(logits, labels)
    assert torch.allclose(loss, (single[0] + 3 * single[1]) / 4, atol=1e-5)


def test_camvid_single_class_sets_reuse_the_class_ids():
    table = SetTable(19)
    lut = table.add(load_label_mapping('camvid', 'cityscapes'))
    assert lut[0] == 10  # sky
    assert lut[3] == 0  # road
    assert table.sets[lut[10]] == (12, 17, 18)  # bicyclist: rider, motorcycle, bicycle
    assert lut[11] == 255


def test_more_sets_than_ids_are_refused():
    space = LabelSpace('big', tuple(f'c{i}' for i in range(254)), ((0, 0, 0),) * 254)
    names = ('a', 'b')
    pairs = LabelSpace('pairs', names, ((0, 0, 0),) * 2)
    table = SetTable(254)
    with pytest.raises(ValueError, match='more than 255 sets'):
        table.add(LabelMapping(pairs, space, ((0, 1), (2, 3)), (0, 2)))


def test_set_weights_have_mean_one_and_lift_rare_sets():
    counts = np.array([900, 100, 0])
    weights = compute_set_weights([counts], [(0,), (1,), (2,)])
    assert np.isclose((weights * counts).sum() / counts.sum(), 1.0)
    assert np.isclose(weights[1] / weights[0], 3.0, rtol=1e-3)
    assert weights[2] == 0


def test_a_class_that_only_a_refinement_can_give_weighs_as_the_label_that_accepts_it():
    sets = [(0,), (1,), (2,), (3,), (1, 2)]
    alone = compute_set_weights([np.array([800, 0, 0, 0, 200])], sets)
    assert alone[1] == alone[2] == alone[4] > alone[0]
    assert alone[3] == 0
    labelled = compute_set_weights(
        [np.array([800, 0, 0, 0, 200]), np.array([99, 1, 0, 0, 0])], sets
    )
    assert labelled[1] > labelled[2] == labelled[4]
