# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled images, scored through the real engine and decoder."""

import importlib
import json

import cv2
import numpy as np
import pytest
from color_model import write_color_model

from seg_perception import cli
from seg_perception.engines.classifier import calibrate_model
from seg_perception.engines.model_file import load_model_file
from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_score import ImageScore, evaluate_images
from seg_perception.evaluation.images.labelled_split import SplitConfig, open_split
from seg_perception.perception.frame import Frame
from seg_perception.perception.labels import load_label_mapping, load_label_space

CITYSCAPES = load_label_space('cityscapes')
CAMVID = load_label_space('camvid')
SIZE = (64, 96)


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    """A 19-class model that gives each block the class of the nearest palette colour.

    Its logits are divided by 2000, so that it is not sure of itself everywhere.
    """
    path = tmp_path_factory.mktemp('model') / 'color.onnx'
    write_color_model(path, CITYSCAPES, *SIZE)
    path.write_bytes(calibrate_model(load_model_file(path), 2000.0).SerializeToString())
    return path


def draw_pair(seed):
    """Return an RGB picture in noisy class colours and train ids, some wrong, some unlabelled."""
    random = np.random.default_rng(seed)
    ids = random.choice([0, 1, 2, 8, 10, 11, 13, 14], (4, 6)).astype(np.uint8)
    label = cv2.resize(ids, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    noise = random.normal(0, 25, (*SIZE, 3))
    picture = (CITYSCAPES.palette_array('rgb')[label] + noise).clip(0, 255).astype(np.uint8)
    label[random.random(SIZE) < 0.05] = 255
    label[8:20, 30:40] = random.choice([0, 5, 10])
    return picture, label


def write_pairs(root, count=3, to_label_ids=None):
    """Write a Cityscapes folder, with train ids or as downloaded, and return the pairs."""
    pairs = [draw_pair(seed) for seed in range(count)]
    for index, (picture, label) in enumerate(pairs):
        stem = str(root / f'street_{index}')
        kind, ids = 'labelTrainIds', label
        if to_label_ids is not None:
            kind, ids = 'labelIds', to_label_ids[label]
        cv2.imwrite(f'{stem}_leftImg8bit.png', picture[..., ::-1])
        cv2.imwrite(f'{stem}_gtFine_{kind}.png', ids)
    return pairs


@pytest.fixture(name='official')
def load_official(monkeypatch):
    """Return the module with the official evaluation, which expects NumPy before 2.4."""
    monkeypatch.setattr(np, 'in1d', np.isin, raising=False)
    pytest.importorskip('cityscapesscripts')
    return importlib.import_module('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')


def test_command_scores_as_the_official_scripts(official, model_path, pipeline, tmp_path):
    """The command's JSON against cityscapesscripts on the masks of the deployed chain."""
    scored = {label.trainId: label for label in official.labels if 0 <= label.trainId < 255}
    label_id = np.zeros(256, np.uint8)  # void is label id 0, "unlabeled"
    for train_id, label in scored.items():
        label_id[train_id] = label.id
    official.args.evalInstLevelScore = official.args.evalPixelAccuracy = False
    official_matrix = official.generateMatrix(official.args)
    score = ImageScore(CITYSCAPES, np.arange(256, dtype=np.uint8))
    for index, (picture, label) in enumerate(write_pairs(tmp_path, to_label_ids=label_id)):
        confidence = np.empty(SIZE, np.uint8)
        mask = pipeline.process(
            Frame(picture, 'rgb', 0, '', None), confidence_out=confidence
        ).mask.copy()
        score.add(label, mask, confidence)
        files = [str(tmp_path / 'mask.png'), str(tmp_path / f'street_{index}_gtFine_labelIds.png')]
        cv2.imwrite(files[0], label_id[mask])
        official.evaluatePair(*files, official_matrix, {}, {}, official.args)
    ids = [scored[train_id].id for train_id in range(19)]
    assert (score.confusion.counts == official_matrix[np.ix_(ids, ids)]).all()

    json_path = tmp_path / 'score.json'
    arguments = ['--layout', 'cityscapes', '--root', str(tmp_path), '--split', 'val']
    arguments += ['--model', str(model_path), '--backend', 'openvino', '--precision', 'f32']
    assert cli.main(['evaluate-images', *arguments, '--json', str(json_path)]) == 0
    summary = json.loads(json_path.read_text())
    expected = {
        label.name: official.getIouScoreForLabel(label.id, official_matrix, official.args)
        for label in scored.values()
    }
    for name, iou in expected.items():
        found = summary['per_class_iou'][name]
        assert (found is None and np.isnan(iou)) or found == pytest.approx(iou, rel=1e-12)
    average = official.getScoreAverage(expected, official.args)
    assert 0.3 < average < 0.95
    assert summary['miou'] == pytest.approx(average, rel=1e-12)
    assert summary['images'] == 3


def test_command_writes_what_it_was_asked_for(model_path, tmp_path, capsys):
    write_pairs(tmp_path)
    files = {name: tmp_path / 'out' / name for name in ('score.json', 'matrix.png', 'sheet.png')}
    arguments = ['--layout', 'cityscapes', '--root', str(tmp_path), '--split', 'val']
    arguments += ['--model', str(model_path), '--limit', '2', '--json', str(files['score.json'])]
    arguments += ['--figure', str(files['matrix.png'])]
    arguments += ['--contact-sheet', str(files['sheet.png'])]
    assert cli.main(['evaluate-images', *arguments]) == 0
    text = capsys.readouterr().out
    assert 'boundary F' in text and 'ECE' in text
    summary = json.loads(files['score.json'].read_text())
    assert summary['images'] == 2
    assert 0 < summary['boundary_f'] < 1 and 0 < summary['ece'] < 1
    assert summary['pixel_accuracy'] > 0.5
    assert tuple(summary['per_class_iou']) == CITYSCAPES.class_names
    assert summary['temperature'] == 2000.0
    assert (summary['fit'], summary['input_size']) == ('letterbox', list(SIZE))
    assert len(summary['model_sha256']) == 64
    assert sum(item['pixels'] for item in summary['confidence_bins']) == summary['labelled_pixels']
    assert cv2.imread(str(files['matrix.png'])) is not None
    assert cv2.imread(str(files['sheet.png'])) is not None


def test_finer_model_is_folded_into_the_labels(pipeline, tmp_path):
    """Car and truck are one CamVid class: masks that swap them are right."""
    fold = load_label_mapping('camvid', 'cityscapes').fold
    for name in ('images', 'labels'):
        (tmp_path / 'val' / name).mkdir(parents=True)
    ids = np.repeat(np.uint8([10, 2, 0, 14]), 16)[:, None].repeat(SIZE[1], axis=1)
    picture = CITYSCAPES.palette_array('bgr')[ids]
    cv2.imwrite(str(tmp_path / 'val/images/a.png'), picture)
    cv2.imwrite(str(tmp_path / 'val/labels/a.png'), fold(ids))
    split = open_split(SplitConfig('camvid', tmp_path, 'val'), CITYSCAPES)
    result = evaluate_images(pipeline, split)
    figures = result.score.summarize()
    assert figures['label_space'] == 'camvid'
    assert figures['per_class_iou']['car'] > 0.9
    assert set(np.unique(result.sheet_frames[0].truth)) == {0, 2, 10, 13}


def test_confidence_of_the_winner_is_compared_with_being_right_after_folding():
    lut = np.full(256, 255, np.uint8)
    lut[13:17] = 8  # CamVid's car
    score = ImageScore(CAMVID, lut)
    truth = np.full((1, 4), 8, np.uint8)
    truth[0, 3] = 255
    score.add(truth, np.uint8([[13, 14, 0, 0]]), np.full((1, 4), 127, np.uint8))
    assert score.calibration.error() == pytest.approx(2 / 3 - 127 / 255)


def test_split_without_labels_cannot_be_scored(pipeline, tmp_path):
    cv2.imwrite(str(tmp_path / 'a_leftImg8bit.png'), np.zeros((*SIZE, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'a_gtFine_labelTrainIds.png'), np.full(SIZE, 255, np.uint8))
    split = open_split(SplitConfig('cityscapes', tmp_path, 'val'), CITYSCAPES)
    with pytest.raises(UserError, match='not one pixel of 1 label images is labelled'):
        evaluate_images(pipeline, split)


def spoil_pair(root, what):
    label = root / 'street_1_gtFine_labelTrainIds.png'
    if what == 'outside':
        cv2.imwrite(str(label), np.full(SIZE, 19, np.uint8))
    elif what == 'size':
        cv2.imwrite(str(label), np.zeros((8, 8), np.uint8))
    elif what == 'corrupt':
        image = root / 'street_1_leftImg8bit.png'
        image.write_bytes(image.read_bytes()[:50])
    elif what == 'empty':
        for file in root.glob('*.png'):
            file.unlink()


@pytest.mark.parametrize(
    ('what', 'options', 'message'),
    [
        ('outside', [], "has label 19, outside label space 'cityscapes'"),
        ('size', [], 'expected equal sizes'),
        ('corrupt', [], 'is no image that can be decoded'),
        ('empty', [], "no labelled images of split 'val'"),
        ('', ['--layout', 'coco'], "layout is 'coco', expected one of camvid"),
        ('', ['--figure', 'matrix.pdf'], 'matrix.pdf is no picture file name'),
        ('', ['--limit', '-1'], 'limit of -1'),
        ('', ['--label-space', 'mars'], "unknown label space 'mars'"),
        ('', ['--label-space', 'ade20k'], "no mapping from label space 'ade20k'"),
    ],
)
def test_command_names_the_fault(model_path, tmp_path, capsys, what, options, message):
    write_pairs(tmp_path)
    spoil_pair(tmp_path, what)
    out = tmp_path / 'score.json'
    arguments = ['--layout', 'cityscapes', '--root', str(tmp_path), '--split', 'val']
    arguments += ['--model', str(model_path), '--json', str(out), *options]
    assert cli.main(['evaluate-images', *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
