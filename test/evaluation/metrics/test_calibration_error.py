# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Expected calibration error against its definition, pixel by pixel."""

import numpy as np
import pytest

from seg_perception.evaluation.metrics.calibration_error import CalibrationError


def compute_slowly(confidence, is_right):
    """Guo et al. 2017, equation 3, with bins (0, 1/15], (1/15, 2/15] and so on."""
    edges = np.arange(16) / 15
    probability = confidence / 255
    error = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        # a hair to absorb rounding: 17/255 and 1/15 are the same number
        inside = (probability > low + 1e-9) & (probability <= high + 1e-9)
        if inside.any():
            gap = abs(is_right[inside].mean() - probability[inside].mean())
            error += inside.mean() * gap
    return error


@pytest.mark.parametrize('seed', range(4))
def test_error_is_that_of_the_definition(seed):
    random = np.random.default_rng(seed)
    counted = CalibrationError()
    parts = []
    for _ in range(3):
        confidence = random.integers(1, 256, (30, 40)).astype(np.uint8)
        is_right = random.random(confidence.shape) < (confidence / 255) ** (1 + seed)
        counted.add(confidence, is_right)
        parts.append((confidence.ravel(), is_right.ravel()))
    confidence, is_right = (np.concatenate(part) for part in zip(*parts, strict=True))
    expected = compute_slowly(confidence, is_right)
    assert counted.error() == pytest.approx(expected, rel=1e-9)
    assert sum(item.pixels for item in counted.bins()) == 3600


def test_sure_and_half_wrong_is_half_off():
    counted = CalibrationError()
    counted.add(np.full(10, 255, np.uint8), np.arange(10) % 2 == 0)
    assert counted.error() == pytest.approx(0.5)
    assert counted.bins()[-1].accuracy == 0.5
    assert counted.bins()[0].accuracy is None


def test_no_confidence_belongs_to_the_first_bin():
    counted = CalibrationError()
    counted.add(np.uint8([0, 17, 18]), np.array([False, True, True]))
    assert [item.pixels for item in counted.bins()[:3]] == [2, 1, 0]


def test_no_pixels_give_no_error():
    assert np.isnan(CalibrationError().error())


@pytest.mark.parametrize(
    ('confidence', 'is_right', 'message'),
    [
        (np.float32([1]), np.array([True]), 'confidence is float32'),
        (np.uint8([1]), np.uint8([1]), 'is_right uint8'),
        (np.uint8([1, 2]), np.array([True]), r'shape \(2,\) and is_right \(1,\)'),
    ],
)
def test_unusable_input_is_refused(confidence, is_right, message):
    with pytest.raises(ValueError, match=message):
        CalibrationError().add(confidence, is_right)
