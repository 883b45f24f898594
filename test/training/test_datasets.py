# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled folders in memory, and the crops drawn from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seg_perception.training.config import load_config
from seg_perception.training.datasets import (
    CropSampler,
    LabelledFolder,
    Normalisation,
)
from seg_perception.training.losses import SetTable

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def config(tiny_run):
    return load_config(tiny_run)


def open_train(config) -> LabelledFolder:
    return LabelledFolder(config.datasets[0], 'train', 'cityscapes')


def test_images_are_rgb_and_labels_are_ids(config):
    item = open_train(config)[0]
    assert item.image.shape == (48, 64, 3)
    assert item.image[10, 32].tolist() == [60, 120, 200]  # sky, written as BGR
    assert item.label[10, 32] == 0


def test_a_batch_depends_on_its_key_alone(config):
    sampler = CropSampler([open_train(config)], SetTable(19), PLAIN, seed=5)
    first = sampler.draw_batch(config.stages[0], (3,))
    sampler.draw_batch(config.stages[0], (4,))
    again = sampler.draw_batch(config.stages[0], (3,))
    other = sampler.draw_batch(config.stages[0], (4,))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_crops_hold_set_ids_aligned_with_the_image(config):
    table = SetTable(19)
    sampler = CropSampler([open_train(config)], table, PLAIN, seed=1)
    images, sets = sampler.draw_batch(config.stages[0], (0,))
    assert images.shape == (2, 32, 64, 3) and images.dtype == np.float32
    assert sets.shape == (2, 32, 64) and sets.dtype == np.uint8
    car = table.sets.index((13, 14, 15, 16))
    assert set(np.unique(sets)) <= {10, 0, car, 255}
    # red only where the set is car, however colours were changed
    reddest = images[..., 0] - images[..., 2]
    assert reddest[sets == car].mean() > reddest[sets == 10].mean() + 20


def test_a_balanced_crop_shows_the_class_it_was_drawn_for(config):
    stage = config.stages[0]
    source = dataclasses.replace(stage.sources['streets'], balanced_share=1.0)
    stage = dataclasses.replace(stage, sources={'streets': source}, batch_size=1)
    table = SetTable(19)
    sampler = CropSampler([open_train(config)], table, PLAIN, seed=2)
    car = table.sets.index((13, 14, 15, 16))
    assert sorted(sampler.list_images_by_set('streets')) == [0, 10, car]
    shares = np.mean(
        [(sampler.draw_batch(stage, (i,))[1] == car).mean() > 0.02 for i in range(40)]
    )
    assert shares > 0.6  # a third is drawn for cars, others show one by chance
