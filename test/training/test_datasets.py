# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labelled folders and recordings: what is read and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seg_perception.evaluation.bags.sample_recording import SampleBagConfig, write_sample_bag
from seg_perception.sample.drive import SampleDrive
from seg_perception.training.config import load_config
from seg_perception.training.datasets import DatasetError, LabelledImages, open_dataset


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
    dataset = open_train(
        config, kind='bag', path=str(bag), label_space='cityscapes', validation_split=''
    )
    assert len(dataset) == 3
    truth = SampleDrive(1000, 3, 64, 128).render(1)
    assert np.array_equal(dataset[1].image, truth.image)
    assert np.array_equal(dataset[1].label, truth.label)
