# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Instances of folders in Cityscapes' layout and of rendered frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.images.image_folders import list_pairs
from seg_perception.perception.labels import load_label_space
from seg_perception.sample.drive import SampleDrive
from seg_perception.training.config import DatasetConfig
from seg_perception.training.crops import UNKNOWN_INSTANCE
from seg_perception.training.datasets import open_dataset
from seg_perception.training.instances import (
    InstanceError,
    encode_instances,
    encode_panoptic,
    find_panoptic,
    read_panoptic,
)

SPACE = load_label_space('cityscapes')
STEM = 'aachen_000000_000019'


def write_cityscapes(root: Path) -> DatasetConfig:
    """Write one image in Cityscapes' layout: road, two cars, a group of cars, void."""
    images, labels = root / 'leftImg8bit/train/aachen', root / 'gtFine/train/aachen'
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    ids = np.full((8, 16), 7, np.uint16)  # road
    ids[2:6, 1:4] = 26000
    ids[2:6, 6:9] = 26001
    ids[2:6, 12:15] = 26  # a group of cars
    ids[7] = 1  # ego vehicle
    cv2.imwrite(str(images / f'{STEM}_leftImg8bit.png'), np.zeros((8, 16, 3), np.uint8))
    cv2.imwrite(str(labels / f'{STEM}_gtFine_instanceIds.png'), ids)
    label = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
    cv2.imwrite(str(labels / f'{STEM}_gtFine_labelIds.png'), label)
    return DatasetConfig('town', 'cityscapes', str(root), 'cityscapes')


def test_cityscapes_instances(tmp_path):
    images = open_dataset(write_cityscapes(tmp_path), 'train', 'cityscapes')
    panoptic = images.read_panoptic(0)
    assert panoptic.dtype == np.int32
    expected = {0: 0, 2: 13001, 7: 13002, 13: -2 - 13}
    assert {column: int(panoptic[3, column]) for column in expected} == expected
    assert (panoptic[7] == -1).all()
    instances = images.read_instances(0)
    assert instances.dtype == np.uint16
    assert instances[3, [0, 2, 7]].tolist() == [0, 13001, 13002]
    assert (instances[7] == UNKNOWN_INSTANCE).all() and instances[3, 13] == UNKNOWN_INSTANCE


def test_frames_keep_the_panoptic_map_of_the_sample_drive(tmp_path):
    frame = SampleDrive(1000, 40, 48, 96).render(20)
    (tmp_path / 'train').mkdir()
    base = tmp_path / 'train' / 'a'
    cv2.imwrite(f'{base}_image.jpg', frame.image)
    cv2.imwrite(f'{base}_label.png', frame.label)
    cv2.imwrite(f'{base}_panoptic.png', encode_panoptic(frame.panoptic))
    pair = list_pairs('frames', tmp_path, 'train')[0]
    assert (read_panoptic(pair, 'frames', SPACE) == frame.panoptic).all()


def test_void_survives_the_file():
    ids = np.array([[-1, -15, 13001, 18999, 0]], np.int32)
    assert encode_panoptic(ids).tolist() == [[65535, 65535, 13001, 18999, 0]]
    assert encode_instances(ids, SPACE).tolist() == [[65535, 65535, 13001, 18999, 0]]
    stuff = np.array([[8000]], np.int32)
    assert encode_instances(stuff, SPACE).tolist() == [[0]]


def test_files_that_are_missing_or_wrong(tmp_path):
    (tmp_path / 'train').mkdir()
    base = tmp_path / 'train' / 'a'
    cv2.imwrite(f'{base}_image.jpg', np.zeros((4, 4, 3), np.uint8))
    cv2.imwrite(f'{base}_label.png', np.zeros((4, 4), np.uint8))
    pair = list_pairs('frames', tmp_path, 'train')[0]
    with pytest.raises(InstanceError, match='a_panoptic.png is missing; render the frames again'):
        find_panoptic(pair, 'frames')
    with pytest.raises(InstanceError, match="kind 'camvid' have no instances"):
        find_panoptic(pair, 'camvid')
    cv2.imwrite(f'{base}_panoptic.png', np.zeros((4, 4), np.uint8))
    with pytest.raises(InstanceError, match='is uint8 of shape .* expected a grey image with 16'):
        read_panoptic(pair, 'frames', SPACE)
    cv2.imwrite(f'{base}_panoptic.png', np.full((4, 4), 19000, np.uint16))
    with pytest.raises(InstanceError, match='holds id 19000, outside the 19 classes'):
        read_panoptic(pair, 'frames', SPACE)
