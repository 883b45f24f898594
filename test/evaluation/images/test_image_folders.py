# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled images: what is found, and the faults that are named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.evaluation.images.image_folders import ImageFolderError, list_pairs, read_pair
from seg_perception.perception.labels import load_label_space


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def camvid(tmp_path) -> Path:
    """One 48x64 pair in ROOT/train: sky (0) above road (3); the image is BGR 200, 120, 60."""
    label = np.zeros((48, 64), np.uint8)
    label[24:] = 3
    write(tmp_path / 'train' / 'labels' / 'a.png', label)
    image = np.full((48, 64, 3), (200, 120, 60), np.uint8)
    write(tmp_path / 'train' / 'images' / 'a.png', image)
    return tmp_path


def test_images_are_rgb_and_labels_are_ids(camvid):
    item = read_pair(list_pairs('camvid', camvid, 'train')[0], load_label_space('camvid'))
    assert item.image[10, 32].tolist() == [60, 120, 200]
    assert item.label[10, 32] == 0 and item.label[30, 32] == 3


def spoil(root: Path, what: str) -> None:
    path = root / 'train' / 'labels' / 'a.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if what == 'corrupt':
        path.write_bytes(path.read_bytes()[:40])
        return
    if what == 'missing':
        path.unlink()
        return
    if what == 'outside':
        label[5, 5] = 12
    elif what == 'size':
        label = label[:40]
    elif what == 'color':
        label = np.dstack([label] * 3)
    write(path, label)


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
def test_a_bad_label_image_is_refused_by_name(camvid, what, message):
    spoil(camvid, what)
    with pytest.raises(ImageFolderError, match=message):
        read_pair(list_pairs('camvid', camvid, 'train')[0], load_label_space('camvid'))


def test_an_empty_split_and_an_unknown_layout_are_refused(tmp_path):
    (tmp_path / 'test' / 'images').mkdir(parents=True)
    with pytest.raises(ImageFolderError, match='no labelled images'):
        list_pairs('camvid', tmp_path, 'test')
    with pytest.raises(ImageFolderError, match='no folder'):
        list_pairs('camvid', tmp_path, 'other')
    with pytest.raises(ImageFolderError, match="layout is 'coco'"):
        list_pairs('coco', tmp_path, 'test')


def write_cityscapes_pair(images: Path, labels: Path, name: str, kind: str, id_: int) -> None:
    write(images / f'{name}_leftImg8bit.png', np.zeros((8, 16, 3), np.uint8))
    write(labels / f'{name}_gtFine_{kind}.png', np.full((8, 16), id_, np.uint8))


def test_cityscapes_folders_are_found_city_by_city(tmp_path):
    for city, name in (('zurich', 'zurich_1'), ('aachen', 'aachen_2'), ('aachen', 'aachen_1')):
        images = tmp_path / 'leftImg8bit' / 'train' / city
        labels = tmp_path / 'gtFine' / 'train' / city
        write_cityscapes_pair(images, labels, name, 'labelTrainIds', 13)
    pairs = list_pairs('cityscapes', tmp_path, 'train')
    names = [pair.image.name.split('_left')[0] for pair in pairs]
    assert names == ['aachen_1', 'aachen_2', 'zurich_1']
    assert read_pair(pairs[0], load_label_space('cityscapes')).label[0, 0] == 13


@pytest.mark.parametrize(('label_id', 'train_id'), [(7, 0), (26, 13), (33, 18), (5, 255)])
def test_label_ids_as_downloaded_become_train_ids(tmp_path, label_id, train_id):
    write_cityscapes_pair(tmp_path, tmp_path, 'bonn_1', 'labelIds', label_id)
    pairs = list_pairs('cityscapes', tmp_path, 'val')  # flat: there is no folder val
    assert read_pair(pairs[0], load_label_space('cityscapes')).label[0, 0] == train_id


def test_rendered_frames_lie_side_by_side(tmp_path):
    write(tmp_path / 'train' / '1_image.jpg', np.zeros((8, 8, 3), np.uint8))
    write(tmp_path / 'train' / '1_label.png', np.zeros((8, 8), np.uint8))
    pairs = list_pairs('frames', tmp_path, 'train')
    assert [(p.image.name, p.label.name) for p in pairs] == [('1_image.jpg', '1_label.png')]
