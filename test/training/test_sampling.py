# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Set ids of labels, and the crops drawn from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.training import datasets
from seg_perception.training.config import load_config
from seg_perception.training.datasets import LabelledImages, open_dataset
from seg_perception.training.losses import SetTable
from seg_perception.training.sampling import CropSampler, NumberedImages


@pytest.fixture
def config(tiny_run):
    return load_config(tiny_run)


def open_train(config, **changes) -> LabelledImages:
    return open_dataset(dataclasses.replace(config.datasets[0], **changes), 'train', 'cityscapes')


def write_refinement(folder: Path, refinement: np.ndarray) -> None:
    for index in range(4):
        assert cv2.imwrite(str(folder / f'{index}.png'), refinement)


def test_a_batch_depends_on_its_key_alone(config):
    sampler = CropSampler([open_train(config)], SetTable(19), seed=5)
    first = sampler.draw_batch(config.stages[0], (3,))
    sampler.draw_batch(config.stages[0], (4,))
    again = sampler.draw_batch(config.stages[0], (3,))
    other = sampler.draw_batch(config.stages[0], (4,))
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.sets, again.sets)
    assert np.array_equal(first.colors, again.colors) and first.noise_seed == again.noise_seed
    assert not np.array_equal(first.geometry, other.geometry)


def test_crops_hold_set_ids(config):
    table = SetTable(19)
    sampler = CropSampler([open_train(config)], table, seed=1)
    batch = sampler.draw_batch(config.stages[0], (0,))
    car = table.sets.index((13, 14, 15, 16))
    assert set(np.unique(batch.sets)) <= {10, 0, car, 255}


def test_a_balanced_crop_shows_the_class_it_was_drawn_for(config):
    stage = config.stages[0]
    source = dataclasses.replace(stage.sources['streets'], balanced_share=1.0)
    stage = dataclasses.replace(stage, sources={'streets': source}, batch_size=1)
    table = SetTable(19)
    sampler = CropSampler([open_train(config)], table, seed=2)
    car = table.sets.index((13, 14, 15, 16))
    assert sorted(sampler.datasets['streets'].list_images_by_set()) == [0, 10, car]
    shares = np.mean(
        [(sampler.draw_batch(stage, (i,)).sets == car).mean() > 0.02 for i in range(40)]
    )
    assert shares > 0.6  # a third is drawn for cars, others show one by chance


def test_a_refinement_decides_between_the_classes_that_a_label_accepts(config, tmp_path):
    write_refinement(tmp_path, np.full((48, 64), 15, np.uint8))  # a bus everywhere
    dataset = open_train(config, refinement=str(tmp_path))
    label, sets = dataset[0].label, NumberedImages(dataset, SetTable(19))[0].sets
    assert set(np.unique(sets[label == 8])) == {15}  # CamVid's car may be a bus
    assert set(np.unique(sets[label == 3])) == {0}  # its road may not


def test_set_ids_follow_their_definition_for_every_label_and_refinement(config, tmp_path):
    refinement = np.random.default_rng(0).choice([*range(19), 255], (48, 64)).astype(np.uint8)
    write_refinement(tmp_path, refinement)
    dataset = open_train(config, refinement=str(tmp_path))
    table = SetTable(19)
    sets = NumberedImages(dataset, table)[1].sets
    assert sets.dtype == np.uint8
    label, accepts = dataset[1].label, dataset.mapping.accepts
    for place in np.ndindex(label.shape):
        accepted = accepts[label[place]] if label[place] < 11 else ()
        if refinement[place] in accepted:
            accepted = (int(refinement[place]),)
        found = table.sets[sets[place]] if sets[place] != 255 else ()
        assert found == tuple(sorted(accepted))


def test_a_refinement_is_read_for_training_alone(config, tmp_path):
    dataset = open_train(config, refinement=str(tmp_path / 'none'))
    assert dataset[0].label.shape == (48, 64)  # as validation reads it
    with pytest.raises(UserError, match='cannot read .*none/0.png'):
        NumberedImages(dataset, SetTable(19))[0]


def test_a_refinement_of_another_size_is_refused(config, tmp_path):
    write_refinement(tmp_path, np.zeros((24, 32), np.uint8))
    images = NumberedImages(open_train(config, refinement=str(tmp_path)), SetTable(19))
    with pytest.raises(UserError, match=r'0.png has shape \(24, 32\), its label \(48, 64\)'):
        images[0]


def test_sets_are_counted_over_every_16th_pixel(config):
    dataset = open_train(config)
    images = NumberedImages(dataset, SetTable(19))
    counts = images.count_sets()
    assert counts.shape == (4, 256)
    for index in range(4):
        sets = images[index].sets[::4, ::4]
        assert all(counts[index, i] == (sets == i).sum() for i in range(256))


def test_labels_without_a_known_class_are_refused_where_classes_are_balanced(config, tmp_path):
    for path in (tmp_path / 'data' / 'train' / 'labels').iterdir():
        cv2.imwrite(str(path), np.full((48, 64), 11, np.uint8))
    images = NumberedImages(open_train(config), SetTable(19))
    with pytest.raises(UserError, match="'streets': no image has 160 pixels"):
        images.list_images_by_set()


def test_an_item_is_decoded_once(config, monkeypatch):
    images = NumberedImages(open_train(config), SetTable(19))
    first = images[2]
    monkeypatch.setattr(datasets, 'read_pair', None)
    assert images[2] is first
