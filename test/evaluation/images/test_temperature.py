# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Temperatures that are known are found again; logits are those of the decode."""

import cv2
import numpy as np
import pytest
from color_model import write_color_model
from sklearn.metrics import log_loss

from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.evaluation.images.labelled_split import SplitConfig, open_split
from seg_perception.evaluation.images.temperature import (
    LogitSample,
    collect_logits,
    compute_nll,
    fit_temperature,
    measure_calibration,
    sample_logits,
)
from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.geometry import (
    compute_logits_size,
    place_image,
    sampling_grid,
)
from seg_perception.perception.labels import load_label_mapping, load_label_space

CITYSCAPES = load_label_space('cityscapes')
CLASSES = 19


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def make_sample(temperature, accepts=None, pixels=30_000, seed=0):
    """Return logits that are `temperature` times those from which the labels were drawn."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (pixels, CLASSES)).astype(np.float32)
    levels = softmax(logits.astype(np.float64)).cumsum(axis=1)
    labels = (random.random((pixels, 1)) > levels).sum(axis=1).clip(0, CLASSES - 1)
    accepts = np.eye(CLASSES, dtype=bool) if accepts is None else accepts
    is_known = accepts.any(axis=0)[labels]
    labels = accepts.argmax(axis=0)[labels]
    scaled = np.float32(temperature) * logits
    return LogitSample(scaled[is_known], labels[is_known].astype(np.uint8), accepts, 1)


@pytest.mark.parametrize('temperature', [0.3, 1.0, 1.7, 6.0])
def test_known_temperature_is_found(temperature):
    assert fit_temperature(make_sample(temperature)) == pytest.approx(temperature, rel=0.03)


def test_known_temperature_is_found_with_sets_of_classes():
    accepts = load_label_mapping('camvid', 'cityscapes').accept_matrix()
    sample = make_sample(1.7, accepts)
    assert sample.labels.max() == 10
    assert fit_temperature(sample) == pytest.approx(1.7, rel=0.03)


def test_likelihood_is_that_of_the_summed_probability():
    accepts = load_label_mapping('camvid', 'cityscapes').accept_matrix()
    sample = make_sample(2.0, accepts, pixels=2000)
    summed = softmax(sample.logits.astype(np.float64) / 1.3) @ accepts.T
    expected = log_loss(sample.labels, summed / summed.sum(axis=1, keepdims=True))
    expected -= np.log(summed.sum(axis=1)).mean()
    assert compute_nll(sample, 1.3) == pytest.approx(expected, rel=1e-5)


def test_improbable_labels_have_a_finite_likelihood():
    logits = np.array([[0.0, 500.0]], np.float32)
    sample = LogitSample(logits, np.uint8([0]), np.eye(2, dtype=bool), 1)
    assert compute_nll(sample, 0.5) == pytest.approx(1000.0)


def test_calibration_error_of_an_overconfident_model_falls():
    sample = make_sample(3.0)
    before = measure_calibration(sample)
    after = measure_calibration(sample, fit_temperature(sample))
    assert before.ece > 0.15
    assert after.ece < 0.02
    assert after.nll < before.nll


def test_a_model_that_is_always_right_has_no_temperature():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    sample = LogitSample(logits, np.uint8([0, 1, 2, 0]), np.eye(3, dtype=bool), 1)
    with pytest.raises(UserError, match='no temperature from 0.05 to 20.0 fits'):
        fit_temperature(sample)


@pytest.mark.parametrize(('camera_hw', 'fit'), [((45, 70), 'letterbox'), ((90, 61), 'stretch')])
def test_sampled_logits_win_where_the_decode_says(camera_hw, fit):
    network_hw = (64, 128)
    grid = sampling_grid(place_image(camera_hw, network_hw, fit), compute_logits_size(network_hw))
    random = np.random.default_rng(1)
    logits = random.normal(size=(5, grid.logits_height, grid.logits_width)).astype(np.float32)
    confidence = np.empty(camera_hw, np.uint8)
    mask, _ = MaskDecoder(grid, 5).decode(logits, confidence_out=confidence)
    rows, columns = (axis.ravel() for axis in np.indices(camera_hw))
    sampled = sample_logits(logits, grid, rows, columns)
    assert (sampled.argmax(axis=1) == mask.ravel()).mean() > 0.999
    # between centres of one winner the decode blends probabilities instead of logits
    difference = softmax(sampled).max(axis=1) - confidence.ravel() / 255
    assert np.abs(difference).mean() < 0.02


@pytest.fixture(scope='module')
def engine(tmp_path_factory):
    """A 19-class model that gives each block the class of the nearest palette colour."""
    path = write_color_model(tmp_path_factory.mktemp('model') / 'color.onnx', CITYSCAPES)
    loaded = load_engine(EngineConfig(str(path), backend='openvino', precision='f32'))
    yield loaded
    loaded.close()


def write_split(root, label_id):
    for name in ('images', 'labels'):
        (root / 'val' / name).mkdir(parents=True)
    for index in range(2):
        ids = np.full((64, 96), 13, np.uint8)
        cv2.imwrite(
            str(root / 'val/images' / f'{index}.png'), CITYSCAPES.palette_array('bgr')[ids]
        )
        label = np.full((64, 96), label_id, np.uint8)
        label[:32] = 11
        cv2.imwrite(str(root / 'val/labels' / f'{index}.png'), label)
    return open_split(SplitConfig('camvid', root, 'val'), CITYSCAPES)


def test_logits_are_kept_at_labelled_pixels(engine, tmp_path):
    sample = collect_logits(engine, write_split(tmp_path, 8))
    assert sample.logits.shape == (64 * 96, CLASSES)  # the lower half of two images
    assert sample.images == 2
    assert (sample.labels == 8).all()
    assert (sample.logits.argmax(axis=1) == 13).all()
    assert sample.accepts[8].nonzero()[0].tolist() == [13, 14, 15, 16]


def test_split_without_labels_is_refused(engine, tmp_path):
    with pytest.raises(UserError, match='nothing can be calibrated'):
        collect_logits(engine, write_split(tmp_path, 11))
