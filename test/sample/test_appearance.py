# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the sample drive shows: every class, and nothing that colour alone gives away."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from seg_perception.evaluation.metrics.confusion import ConfusionMatrix
from seg_perception.sample.drive import SampleDrive

TRAIN = 16  # the one class of the nineteen that streets of the drive do not have


def render_pixels(seed: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB (N, 3) and label (N,) of frames spread over ten seconds."""
    drive = SampleDrive(seed, 100, 96, 192)
    shown = [drive.render(int(i)) for i in np.linspace(0, 99, frames)]
    return (np.concatenate([f.image.reshape(-1, 3) for f in shown]),
            np.concatenate([f.label.ravel() for f in shown]))


@pytest.fixture(scope='module')
def pixels() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {seed: render_pixels(seed, 6) for seed in (7, 11, 3)}


def test_streets_show_all_their_classes(pixels):
    labels = np.concatenate([label for _, label in pixels.values()])
    share = np.bincount(labels, minlength=19) / labels.size
    common = [c for c in range(19) if c not in (TRAIN, 15, 17)]
    assert (share[common] >= 0.001).all(), share
    assert (share[[15, 17]] > 0).all(), share
    assert labels.max() < 19


def test_colour_alone_does_not_tell_classes(pixels):
    for train, test in ((7, 11), (11, 3)):
        rgb, label = pixels[train]
        pick = np.random.default_rng(0).choice(len(rgb), 20_000, replace=False)
        forest = RandomForestClassifier(30, min_samples_leaf=5, random_state=0, n_jobs=2)
        forest.fit(rgb[pick], label[pick])
        rgb, label = pixels[test]
        confusion = ConfusionMatrix(19, 255)
        confusion.add(label, forest.predict(rgb))
        assert confusion.mean_iou(min_share=0.001) <= 0.35
