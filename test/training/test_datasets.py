# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled folders in memory, and the crops drawn from them."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.sample.drive import SampleDrive
from seg_perception.training.config import load_config
from seg_perception.training.datasets import (
    CropSampler,
    DatasetError,
    LabelledImages,
    open_dataset,
)
from seg_perception.training.losses import SetTable


@pytest.fixture
def config(tiny_run):
    return load_config(tiny_run)


def open_train(config, **changes) -> LabelledImages:
    return open_dataset(dataclasses.replace(config.datasets[0], **changes), 'train', 'cityscapes')


def test_images_are_rgb_and_labels_are_ids(config):
    item = open_train(config)[0]
    assert item.image.shape == (48, 64, 3)
    assert item.image[10, 32].tolist() == [60, 120, 200]  # sky, written as BGR
    assert item.label[10, 32] == 0


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
    assert sorted(sampler.list_images_by_set('streets')) == [0, 10, car]
    shares = np.mean(
        [(sampler.draw_batch(stage, (i,)).sets == car).mean() > 0.02 for i in range(40)]
    )
    assert shares > 0.6  # a third is drawn for cars, others show one by chance


def test_a_refinement_decides_between_the_classes_that_a_label_accepts(config, tmp_path):
    for index in range(4):
        refinement = np.full((48, 64), 15, np.uint8)  # a bus everywhere
        assert cv2.imwrite(str(tmp_path / f'{index}.png'), refinement)
    table = SetTable(19)
    dataset = open_train(config, refinement=str(tmp_path))
    sampler = CropSampler([dataset], table, seed=2)
    sets = sampler.find_sets('streets', dataset[0])
    assert set(np.unique(sets[dataset[0].label == 8])) == {15}  # CamVid's car may be a bus
    assert set(np.unique(sets[dataset[0].label == 3])) == {0}  # its road may not


def test_parts_of_names_choose_the_images(config):
    assert len(open_train(config)) == 4
    assert len(open_train(config, only='2')) == 1
    assert len(open_train(config, exclude='2')) == 3
    with pytest.raises(DatasetError, match='leave no image'):
        open_train(config, only='7')


def test_a_label_mapping_file_must_be_for_the_label_spaces(config, tmp_path):
    path = tmp_path / 'mapping.yaml'
    path.write_text(
        'source: camvid\ntarget: cityscapes\naccepts: {road: [road, sidewalk], sky: [sky]}\n'
    )
    assert open_train(config, label_mapping=str(path)).mapping.accepts[3] == (0, 1)
    path.write_text('source: cityscapes\ntarget: camvid\naccepts: {road: [road]}\n')
    with pytest.raises(DatasetError, match="expected 'camvid' to 'cityscapes'"):
        open_train(config, label_mapping=str(path))


def test_a_labelled_recording_gives_its_images(tmp_path, config):
    bag = tmp_path / 'bag'
    write_sample_bag(bag, SampleBagConfig(seed=1000, frames=3, height_px=64, width_px=128))
    dataset = open_train(config, kind='bag', path=str(bag), label_space='cityscapes')
    assert len(dataset) == 3
    truth = SampleDrive(1000, 3, 64, 128).render(1)
    assert np.array_equal(dataset[1].image, truth.image)
    assert np.array_equal(dataset[1].label, truth.label)
