# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A split knows its label space and how a finer model's classes count in it."""

import json

import cv2
import numpy as np
import pytest

from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_folders import LAYOUTS, ImageFolderError
from seg_perception.evaluation.images.labelled_split import LABEL_SPACES, SplitConfig, open_split
from seg_perception.evaluation.metrics.score import make_fold_lut
from seg_perception.perception.labels import LabelError, load_label_space

CAMVID = load_label_space('camvid')
CITYSCAPES = load_label_space('cityscapes')
# as published with the data, by Cityscapes train id
TABLE = [3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10]


def describe_classes(**changes):
    """Return the content of a classes.json in CamVid's form."""
    content = {
        'classes': [*CAMVID.class_names, 'unlabelled'],
        'ignore': 11,
        'cityscapes_trainid_to_camvid': {str(i): value for i, value in enumerate(TABLE)},
    }
    return content | changes


@pytest.fixture
def root(tmp_path):
    """Three 4x6 pairs in ROOT/val, all road but for an unlabelled corner."""
    for name in ('images', 'labels'):
        (tmp_path / 'val' / name).mkdir(parents=True)
    label = np.full((4, 6), 3, np.uint8)
    label[0, 0] = 11
    for index in range(3):
        cv2.imwrite(str(tmp_path / 'val/images' / f'{index}.png'), np.zeros((4, 6, 3), np.uint8))
        cv2.imwrite(str(tmp_path / 'val/labels' / f'{index}.png'), label)
    return tmp_path


def write_classes(root, **changes):
    (root / 'classes.json').write_text(json.dumps(describe_classes(**changes)))


def test_unlabelled_pixels_come_as_255(root):
    split = open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)
    assert len(split.pairs) == 3
    assert np.unique(split.read(split.pairs[0]).label).tolist() == [3, 255]


def test_every_layout_has_a_label_space():
    assert set(LABEL_SPACES) == set(LAYOUTS)


def test_limit_takes_the_first(root):
    split = open_split(SplitConfig('camvid', root, 'val', limit=2), CITYSCAPES)
    assert [pair.image.stem for pair in split.pairs] == ['0', '1']
    with pytest.raises(UserError, match='limit of -1'):
        SplitConfig('camvid', root, 'val', limit=-1)


def test_published_table_agrees_with_the_package(root):
    package = open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)
    write_classes(root)
    file = open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)
    assert (package.fold, file.fold) == ('package', 'classes.json')
    assert (file.fold_lut == package.fold_lut).all()
    assert file.fold_lut[:19].tolist() == TABLE
    assert file.fold_differences == ()


def test_other_table_of_the_file_is_used_and_told_of(root):
    table = {str(i): value for i, value in enumerate(TABLE)} | {'3': 7, '9': 11}
    write_classes(root, cityscapes_trainid_to_camvid=table)
    split = open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)
    assert split.fold_lut[3] == 7 and split.fold_lut[9] == 255
    assert split.fold_differences == ('wall', 'terrain')


def test_model_of_the_labels_space_is_not_folded(root):
    write_classes(root)
    split = open_split(SplitConfig('camvid', root, 'val'), CAMVID)
    assert split.fold == 'none'
    assert split.fold_lut[:11].tolist() == list(range(11)) and (split.fold_lut[11:] == 255).all()


def test_named_label_space_goes_before_the_file(root):
    (root / 'classes.json').write_text('{')
    split = open_split(SplitConfig('camvid', root, 'val', 'camvid'), CITYSCAPES)
    assert (split.fold_lut == make_fold_lut(CAMVID, CITYSCAPES)).all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'classes': ['sky', 'sea']}, r"'classes' is \['sky', 'sea'\], expected \['sky', 'buil"),
        ({'cityscapes_trainid_to_camvid': {'0': 3}}, 'has None for train id 1'),
        ({'cityscapes_trainid_to_camvid': [3]}, 'has None for train id 0'),
        (
            {'cityscapes_trainid_to_camvid': {str(i): 12 for i in range(19)}},
            r'has 12 for train id 0, expected a class id 0\.\.10, or 255',
        ),
    ],
)
def test_faults_of_the_file_are_named(root, changes, message):
    write_classes(root, **changes)
    with pytest.raises(ImageFolderError, match=message):
        open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)


def test_damaged_file_is_named(root):
    (root / 'classes.json').write_text('{')
    with pytest.raises(ImageFolderError, match='cannot read .*classes.json'):
        open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)


def test_spaces_without_a_mapping_are_refused(root):
    with pytest.raises(LabelError, match="no mapping from label space 'cityscapes' to 'camvid'"):
        open_split(SplitConfig('camvid', root, 'val', 'cityscapes'), CAMVID)
