# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled folders: the faults they name, and the crops drawn from them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from seg_perception.training.config import load_config
from seg_perception.training.datasets import (
    CropSampler,
    DatasetError,
    LabelledFolder,
    Normalisation,
    list_pairs,
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


def spoil(config, what: str) -> None:
    """Put one fault into the first pair of the train split."""
    pair = list_pairs(config.datasets[0], 'train')[0]
    label = cv2.imread(str(pair.label), cv2.IMREAD_UNCHANGED)
    if what == 'outside':
        label[5, 5] = 12
    elif what == 'size':
        label = label[:40]
    elif what == 'color':
        label = np.dstack([label] * 3)
    if what == 'corrupt':
        pair.label.write_bytes(pair.label.read_bytes()[:40])
    elif what == 'missing':
        pair.label.unlink()
    else:
        cv2.imwrite(str(pair.label), label)


@pytest.mark.parametrize(
    ('what', 'message'),
    [
        ('outside', "has label 12, outside label space 'camvid'"),
        ('size', '64x48 and its label 64x40'),
        ('color', 'class ids, not colours'),
        ('corrupt', 'no image that can be decoded'),
        ('missing', 'has no label'),
    ],
)
def test_a_bad_label_image_is_refused_by_name(config, what, message):
    spoil(config, what)
    with pytest.raises(DatasetError, match=message):
        open_train(config)[0]


def test_an_empty_split_is_refused(config, tmp_path):
    (tmp_path / 'data' / 'test' / 'images').mkdir(parents=True)
    with pytest.raises(DatasetError, match='no labelled images'):
        list_pairs(config.datasets[0], 'test')
    with pytest.raises(DatasetError, match='no folder'):
        list_pairs(config.datasets[0], 'other')


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
