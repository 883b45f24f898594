# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The calibrate command, on a model that is far too sure of itself."""

import json

import cv2
import numpy as np
import pytest
from color_model import write_color_model

from seg_perception.cli import main
from seg_perception.engines.classifier import calibrate_model
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.evaluation.images.temperature import sample_logits
from seg_perception.perception.labels import load_label_space

SIZE = (64, 96)
# of the nearest colour's logits, some thousands apart
SHARPNESS = 500.0
TEMPERATURE = 3.0


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a model and a folder of images; labels are drawn with a third of its sharpness."""
    root = tmp_path_factory.mktemp('drive')
    path = write_color_model(root / 'sharp.onnx', load_label_space('cityscapes'), *SIZE)
    path.write_bytes(calibrate_model(load_model_file(path), SHARPNESS).SerializeToString())
    random = np.random.default_rng(0)
    engine = load_engine(EngineConfig(str(path), backend='openvino', precision='f32'))
    rows, columns = (axis.ravel() for axis in np.indices(SIZE))
    for index in range(3):
        coarse = random.integers(0, 256, (4, 6, 3)).astype(np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        logits = sample_logits(engine.infer(image), engine.sampling_grid(SIZE), rows, columns)
        # the largest of logits with Gumbel noise is a draw from their softmax
        label = (logits / TEMPERATURE + random.gumbel(size=logits.shape)).argmax(axis=1)
        cv2.imwrite(str(root / f'{index}_leftImg8bit.png'), image[..., ::-1])
        file = str(root / f'{index}_gtFine_labelTrainIds.png')
        cv2.imwrite(file, label.reshape(SIZE).astype(np.uint8))
    engine.close()
    return path, root


def list_arguments(drive, *more):
    sharp, root = drive
    arguments = ['--layout', 'cityscapes', '--root', str(root), '--split', 'val']
    return [*arguments, '--model', str(sharp), '--precision', 'f32', *more]


def test_confidence_becomes_honest_and_masks_stay(drive, tmp_path, capsys):
    out = tmp_path / 'models' / 'calibrated.onnx'
    figures = tmp_path / 'figures.json'
    arguments = list_arguments(drive, '--out', str(out), '--json', str(figures))
    assert main(['calibrate', *arguments]) == 0
    text = capsys.readouterr().out
    assert 'before' in text and 'after' in text and 'in all' in text
    found = json.loads(figures.read_text())
    assert found['temperature_before'] == SHARPNESS
    assert found['temperature'] == pytest.approx(SHARPNESS * found['temperature_fitted'])
    assert found['temperature_fitted'] == pytest.approx(TEMPERATURE, rel=0.03)
    assert found['ece_before'] > 0.1
    assert found['ece_after'] < 0.02
    assert found['nll_after'] < found['nll_before']
    assert found['ece_is_worse'] is False and 'WARNING' not in text
    assert load_model_file(out).metadata.temperature == found['temperature']

    scores = []
    for model in (drive[0], out):
        path = tmp_path / f'{model.stem}.json'
        scored = list_arguments(drive, '--json', str(path))
        scored[scored.index('--model') + 1] = str(model)
        assert main(['evaluate-images', *scored]) == 0
        scores.append(json.loads(path.read_text()))
    before, after = scores
    assert after['pixel_accuracy'] == pytest.approx(before['pixel_accuracy'], abs=1e-3)
    # what the decode publishes is as honest as the logits that were sampled
    assert after['ece'] < 0.03 < before['ece']


def test_a_larger_calibration_error_is_said(drive, tmp_path, capsys):
    # right everywhere, but for the few places of which the model is most sure
    folder = tmp_path / 'data'
    folder.mkdir()
    rows, columns = (axis.ravel() for axis in np.indices(SIZE))
    engine = load_engine(EngineConfig(str(drive[0]), backend='openvino', precision='f32'))
    for path in sorted(drive[1].glob('*_leftImg8bit.png')):
        image = cv2.imread(str(path))
        image_logits = engine.infer(np.ascontiguousarray(image[..., ::-1]))
        logits = sample_logits(image_logits, engine.sampling_grid(SIZE), rows, columns)
        order = logits.argsort(axis=1)
        margin = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0]
        is_sure = margin > np.quantile(margin, 0.98)
        label = np.where(is_sure, order[:, -2], order[:, -1]).reshape(SIZE).astype(np.uint8)
        cv2.imwrite(str(folder / path.name), image)
        name = path.name.replace('leftImg8bit', 'gtFine_labelTrainIds')
        cv2.imwrite(str(folder / name), label)
    engine.close()
    figures = tmp_path / 'figures.json'
    arguments = list_arguments((drive[0], folder), '--out', str(tmp_path / 'c.onnx'))
    assert main(['calibrate', *arguments, '--json', str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found['nll_after'] < found['nll_before'] and found['ece_after'] > found['ece_before']
    assert found['ece_is_worse'] is True
    (line,) = [row for row in capsys.readouterr().out.splitlines() if 'WARNING' in row]
    assert f'rose from {found["ece_before"]:.4f} to {found["ece_after"]:.4f}' in line
    assert f'keep {drive[0]}' in line


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--out', 'OUT/model.pth'], 'is no model file name; expected .onnx'),
        (['--out', 'OUT/model.onnx', '--split', 'val', '--root', 'OUT'], 'no labelled images'),
        (['--out', 'OUT/model.onnx', '--label-space', 'camvid'], 'outside label space'),
    ],
)
def test_command_names_the_fault(drive, tmp_path, capsys, options, message):
    replaced = [option.replace('OUT', str(tmp_path)) for option in options]
    assert main(['calibrate', *list_arguments(drive), *replaced]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
