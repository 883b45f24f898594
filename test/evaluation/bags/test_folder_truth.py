# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Labels in a folder are matched to images by stamp, and what matches nothing says so."""

import json

import cv2
import numpy as np
import pytest
from recordings import START_NS, make_label, write_labelled_bag

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import make_image
from seg_perception.evaluation.bags.bag_writer import BagWriter
from seg_perception.evaluation.bags.folder_truth import FolderTruth
from seg_perception.evaluation.bags.label_truth import open_truth
from seg_perception.evaluation.bags.topics import FRAME_STAMPS_KEY, LABEL_TOPIC
from seg_perception.evaluation.metrics.score import BagTruth
from seg_perception.perception.labels import load_label_space

CITYSCAPES = load_label_space('cityscapes')
MS = 1_000_000


def write_label(path, value):
    """Write a label image of one class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 6), value, np.uint8))


def read_class(truth, stamp_ns):
    """Return the class of a label, None without one."""
    label = truth.read(stamp_ns)
    return None if label is None else int(label[0, 0])


def test_names_of_stamps_are_matched_within_the_tolerance(tmp_path):
    write_label(tmp_path / '1700000000.000000000.png', 1)
    write_label(tmp_path / '1700000000_100000000.png', 2)
    write_label(tmp_path / f'{START_NS + 200 * MS}.png', 3)
    truth = FolderTruth(tmp_path, CITYSCAPES)
    assert len(truth) == 3
    stamps = [START_NS + offset * MS for offset in (0, 100, 200)]
    assert [read_class(truth, stamp) for stamp in stamps] == [1, 2, 3]
    assert read_class(truth, START_NS + 1 * MS) == 1
    assert read_class(truth, START_NS - 1 * MS) == 1
    assert read_class(truth, START_NS + 1 * MS + 1) is None
    assert START_NS in truth
    assert START_NS + 50 * MS not in truth
    wide = FolderTruth(tmp_path, CITYSCAPES, tolerance_ms=60.0)
    assert read_class(wide, START_NS + 49 * MS) == 1
    assert read_class(wide, START_NS + 51 * MS) == 2


def test_stamps_file_names_labels_of_any_name(tmp_path):
    write_label(tmp_path / 'a' / 'first.png', 4)
    write_label(tmp_path / 'notes.png', 5)
    (tmp_path / 'stamps.csv').write_text(f'stamp_ns,file\n{START_NS},a/first.png\n')
    truth = FolderTruth(tmp_path, CITYSCAPES)
    assert len(truth) == 1
    assert read_class(truth, START_NS) == 4


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('stamp_ns,file\n', 'lists no labels'),
        ('time,name\n1,a.png\n', 'line 2: stamp_ns is None'),
        ('stamp_ns,file\n1.5,a.png\n', "line 2: stamp_ns is '1.5'"),
        ('stamp_ns,file\n15,b.png\n', 'line 2: no file .*b.png'),
        ('stamp_ns,file\n15,a.png\n15,a.png\n', 'have the same stamp, 15 ns'),
    ],
)
def test_wrong_lines_of_a_stamps_file_are_named(tmp_path, content, message):
    write_label(tmp_path / 'a.png', 1)
    (tmp_path / 'stamps.csv').write_text(content)
    with pytest.raises(UserError, match=message):
        FolderTruth(tmp_path, CITYSCAPES)


@pytest.mark.parametrize('name', ['frame_7.png', '1700000000.5.png', '12.png'])
def test_names_that_tell_no_stamp_are_refused(tmp_path, name):
    write_label(tmp_path / name, 1)
    with pytest.raises(UserError, match='tells no stamp; expected <seconds>'):
        FolderTruth(tmp_path, CITYSCAPES)


def test_folder_without_labels_is_named(tmp_path):
    with pytest.raises(UserError, match='no label images in'):
        FolderTruth(tmp_path, CITYSCAPES)
    with pytest.raises(UserError, match='no folder of labels at'):
        FolderTruth(tmp_path / 'none', CITYSCAPES)
    with pytest.raises(UserError, match='tolerance of -1 ms is not possible'):
        FolderTruth(tmp_path, CITYSCAPES, -1)


def test_cityscapes_names_are_matched_by_the_frames_of_the_bag(tmp_path):
    frames = {'ulm_000000_000019': START_NS, 'ulm_000001_000019': START_NS + 5, 'ulm_2_1': 7}
    write_label(tmp_path / 'val' / 'ulm' / 'ulm_000000_000019_gtFine_labelTrainIds.png', 8)
    # 26 is car, whose train id is 13
    write_label(tmp_path / 'val' / 'ulm' / 'ulm_000001_000019_gtFine_labelIds.png', 26)
    write_label(tmp_path / 'val' / 'ulm' / 'ulm_000009_000019_gtFine_labelIds.png', 7)
    custom_data = {FRAME_STAMPS_KEY: json.dumps(frames)}
    truth = FolderTruth(tmp_path, CITYSCAPES, custom_data=custom_data)
    assert len(truth) == 2
    assert read_class(truth, START_NS) == 8
    with pytest.raises(UserError, match='the entry .* of the bag is damaged'):
        FolderTruth(tmp_path, CITYSCAPES, custom_data={FRAME_STAMPS_KEY: '[1'})


def test_unlabelled_pixels_become_255_and_unknown_ids_are_refused(tmp_path):
    write_label(tmp_path / f'{START_NS}.png', 11)
    assert read_class(FolderTruth(tmp_path, load_label_space('camvid')), START_NS) == 255
    write_label(tmp_path / f'{START_NS}.png', 60)
    with pytest.raises(UserError, match='has label 60'):
        FolderTruth(tmp_path, CITYSCAPES).read(START_NS)


def test_truth_is_chosen(tmp_path):
    content = write_labelled_bag(tmp_path / 'bag', label_space='')
    for stamp_ns, (_, label) in content.items():
        (tmp_path / 'labels').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'labels' / f'{stamp_ns}.png'), label)
    bag, folder = tmp_path / 'bag', tmp_path / 'labels'
    from_bag = open_truth(bag, label_space='cityscapes')
    from_folder = open_truth(bag, labels_folder=folder, label_space='cityscapes')
    assert isinstance(from_bag, BagTruth)
    assert isinstance(from_folder, FolderTruth)
    for stamp_ns in content:
        assert np.array_equal(from_bag.read(stamp_ns), from_folder.read(stamp_ns))
    assert from_bag.label_space == from_folder.label_space
    from_bag.close()
    with pytest.raises(UserError, match='which label space do the labels in .*--label-space'):
        open_truth(bag, labels_folder=folder)
    with pytest.raises(UserError, match='choose one'):
        open_truth(bag, LABEL_TOPIC, folder)


def test_bag_without_labels_has_no_truth(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/camera', 'sensor_msgs/msg/Image')
        message = make_image(make_label(), 'mono8', START_NS, 'c')
        writer.write('/camera', message, START_NS)
    assert open_truth(tmp_path / 'bag') is None
    with pytest.raises(UserError, match='no Image topic /truth'):
        open_truth(tmp_path / 'bag', '/truth')
