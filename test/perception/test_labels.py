# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Label spaces and mappings: the published numbers, and clear refusal of faulty files."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.perception.labels import (
    LabelError,
    LabelMapping,
    LabelSpace,
    list_label_spaces,
    load_label_mapping,
    load_label_space,
)


def write_space(tmp_path, text):
    path = tmp_path / 'mine.yaml'
    path.write_text(text, encoding='utf-8')
    return path


@pytest.mark.parametrize(
    ('name', 'num_classes', 'ignore_id', 'things', 'probes'),
    [
        ('cityscapes', 19, 255, 8, {0: 'road', 10: 'sky', 13: 'car', 18: 'bicycle'}),
        ('camvid', 11, 11, 3, {0: 'sky', 3: 'road', 10: 'bicyclist'}),
        ('ade20k', 150, 255, 100, {0: 'wall', 6: 'road', 20: 'car', 149: 'flag'}),
    ],
)
def test_package_spaces_hold_the_published_ids(name, num_classes, ignore_id, things, probes):
    space = load_label_space(name)
    assert (space.num_classes, space.ignore_id) == (num_classes, ignore_id)
    assert len(space.thing_ids) == things
    assert {i: space.class_names[i] for i in probes} == probes
    assert all(space.find_id(text) == i for i, text in probes.items())


def test_cityscapes_equals_the_official_label_table():
    labels = pytest.importorskip('cityscapesscripts.helpers.labels').labels
    official = sorted((x for x in labels if 0 <= x.trainId < 255), key=lambda x: x.trainId)
    space = load_label_space('cityscapes')
    assert space.class_names == tuple(x.name for x in official)
    assert space.palette == tuple(x.color for x in official)
    assert space.thing_ids == tuple(x.trainId for x in official if x.hasInstances)


def test_list_label_spaces_leaves_mappings_out():
    assert list_label_spaces() == ('ade20k', 'camvid', 'cityscapes')


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_palette_array_is_black_outside_the_classes(order):
    table = load_label_space('cityscapes').palette_array(order)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert tuple(table[10]) == ((70, 130, 180) if order == 'rgb' else (180, 130, 70))
    assert not table[19:].any()


def test_palette_array_refuses_an_unknown_order():
    with pytest.raises(ValueError, match="'rgba'.*'rgb' or 'bgr'"):
        load_label_space('camvid').palette_array('rgba')


@pytest.mark.parametrize('name', ['cityscapes', 'camvid', 'ade20k'])
def test_json_round_trip(name):
    space = load_label_space(name)
    assert LabelSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize('text', ['', '[]', '{"name": "x"}', '{"name": 1, "class_names": 3}'])
def test_from_json_refuses_other_text(text):
    with pytest.raises(LabelError, match='not a label space'):
        LabelSpace.from_json(text)


def test_a_user_file_is_loaded(tmp_path):
    path = write_space(
        tmp_path,
        'name: farm\nclasses:\n  - {name: soil, color: [90, 60, 30]}\n'
        '  - {name: cow, color: [250, 250, 250], thing: true}\n',
    )
    assert load_label_space(path) == LabelSpace(
        'farm', ('soil', 'cow'), ((90, 60, 30), (250, 250, 250)), 255, (1,)
    )


SOIL = '{name: soil, color: [9, 9, 9]}'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('name: a\nclasses: [', 'not valid YAML'),
        ('- 1\n', 'expected a mapping'),
        (f'name: a\ncolours: 3\nclasses: [{SOIL}]', "unknown key 'colours'; known: classes"),
        (f'classes: [{SOIL}]', "key 'name' is missing"),
        ('name: a\nclasses: []', 'at least one class'),
        ('name: a\nclasses: [soil]', 'class 0: expected a mapping'),
        ('name: a\nclasses: [{name: soil}]', "class 0: key 'color' is missing"),
        ('name: a\nclasses: [{name: soil, color: red}]', r'expected \[red, green, blue\]'),
        ('name: a\nclasses: [{name: soil, color: [1, 2]}]', r"'soil' is \[1, 2\]"),
        ('name: a\nclasses: [{name: soil, color: [1, 2, 256]}]', r'\[1, 2, 256\]'),
        ('name: a\nclasses: [{name: no, color: [1, 2, 3]}]', 'class 0 is False.*quote'),
        (f'name: a\nclasses: [{SOIL}, {SOIL}]', "'soil' .class 1. appears twice"),
        (
            'name: a\nclasses: [{name: Road Way, color: [1, 1, 1]}, '
            '{name: road_way, color: [2, 2, 2]}]',
            "'road_way' .class 1. clashes with 'Road Way'",
        ),
        (f'name: a\nignore_id: 0\nclasses: [{SOIL}]', 'ignore_id is 0, expected .* 1 .*to 255'),
        (f'name: a\nignore_id: x\nclasses: [{SOIL}]', "ignore_id is 'x'"),
        (f'name: 7\nclasses: [{SOIL}]', 'name of the label space is 7'),
        ('name: a\nclasses: [{name: b, color: [1, 1, 1], thing: 2}]', 'thing is 2'),
    ],
)
def test_a_faulty_user_file_is_refused_with_its_place(tmp_path, text, message):
    path = write_space(tmp_path, text)
    with pytest.raises(LabelError, match=message) as caught:
        load_label_space(path)
    assert 'mine.yaml' in str(caught.value)


def test_more_classes_than_a_mask_holds_are_refused():
    names = tuple(f'c{i}' for i in range(256))
    with pytest.raises(LabelError, match='256 classes, expected 1 to 255'):
        LabelSpace('big', names, ((0, 0, 0),) * 256)


def test_palette_of_another_length_is_refused():
    with pytest.raises(LabelError, match='palette has 1 colors for 2 classes'):
        LabelSpace('x', ('a', 'b'), ((0, 0, 0),))


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('citiscapes', "unknown label space 'citiscapes'; known: ade20k, camvid, cityscapes"),
        ('camvid_to_cityscapes', 'unknown label space'),
        ('/nowhere/mine.yaml', "cannot read label file '/nowhere/mine.yaml'"),
    ],
)
def test_an_unknown_space_is_refused(name, message):
    with pytest.raises(LabelError, match=message):
        load_label_space(name)


# Numbers of the CamVid (11 classes) to Cityscapes train id table, written out independently.
CAMVID_PRIMARY = (10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12)
CITYSCAPES_TO_CAMVID = (3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10)


def test_camvid_mapping_has_the_published_numbers():
    mapping = load_label_mapping('camvid', 'cityscapes')
    assert mapping.primary == CAMVID_PRIMARY
    assert mapping.accepts[8] == (13, 14, 15, 16) and mapping.accepts[6] == (7, 6)
    folded = mapping.fold(np.arange(19, dtype=np.uint8))
    assert tuple(folded) == CITYSCAPES_TO_CAMVID
    assert mapping.fold(np.uint8([[255]])) == 11
    assert tuple(mapping.primary_lut()[[0, 10, 11, 255]]) == (10, 12, 255, 255)


def test_accept_matrix_agrees_with_fold():
    mapping = load_label_mapping('camvid', 'cityscapes')
    matrix = mapping.accept_matrix()
    assert matrix.shape == (11, 19) and (matrix.sum(axis=0) == 1).all()
    assert tuple(matrix.argmax(axis=0)) == CITYSCAPES_TO_CAMVID


def test_identity_mapping():
    mapping = load_label_mapping('cityscapes', 'cityscapes')
    mask = np.uint8([[0, 18, 255]])
    assert (mapping.fold(mask) == mask).all()


def test_an_unknown_mapping_is_refused():
    with pytest.raises(LabelError, match="'ade20k' to 'camvid'; known: camvid_to_cityscapes"):
        load_label_mapping('ade20k', 'camvid')


def test_a_target_class_accepted_twice_is_refused():
    space = LabelSpace('x', ('a', 'b'), ((0, 0, 0), (1, 1, 1)))
    with pytest.raises(LabelError, match="'a' is accepted for both 'a' and 'b'"):
        LabelMapping(space, space, ((0,), (0, 1)), (0, 1))
