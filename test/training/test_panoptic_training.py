# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A panoptic run of a few steps through the same trainer: it learns, resumes and scores PQ."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from seg_perception.errors import UserError
from seg_perception.evaluation.images.image_folders import LabelledImage
from seg_perception.networks.panoptic_decoder import PanopticOutputs
from seg_perception.training import rendering
from seg_perception.training.augmentation import Normalisation
from seg_perception.training.config import SourceConfig, TrainingConfig, load_config
from seg_perception.training.datasets import open_dataset
from seg_perception.training.panoptic_targets import make_targets
from seg_perception.training.panoptic_validation import validate_panoptic
from seg_perception.training.trainer import CHECKPOINT_NAME, Trainer


@pytest.fixture(autouse=True)
def one_thread():
    """Keep sums in one order: float addition is not associative."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def panoptic_run(tiny_run, tmp_path, monkeypatch) -> TrainingConfig:
    """Return a run of the nano variant on four small frames of the sample drive."""
    monkeypatch.setattr(rendering, 'FRAME_HW', (64, 128))
    rendering.render_frames(tmp_path / 'frames' / 'train', 1000)
    config = load_config(tiny_run)
    frames = dataclasses.replace(
        config.datasets[0],
        name='frames',
        kind='frames',
        path=str(tmp_path / 'frames'),
        label_space='cityscapes',
        validation_split='train',
    )
    stage = dataclasses.replace(config.stages[0], sources={'frames': SourceConfig(1.0, 0.7, 1.2)})
    network = dataclasses.replace(config.network, name='axial_deeplab', variant='nano')
    return dataclasses.replace(config, datasets=(frames,), stages=(stage,), network=network)


def test_run_learns_resumes_and_scores(panoptic_run):
    trainer = Trainer(panoptic_run, report=lambda line: None)
    trainer.learner.prepare_loss()
    before = trainer.learner.network.state_dict()['decode_head.center_head.predict.weight'].clone()
    loss = trainer.learner.step(0, trainer.learner.draw_batches(0))
    assert torch.isfinite(loss)
    after = trainer.learner.network.state_dict()['decode_head.center_head.predict.weight']
    assert not torch.equal(before, after)

    scores = trainer.run()
    assert 0 <= scores[0].headline <= 1 and scores[0].headline == scores[0].panoptic['pq']
    assert 'PQ' in scores[0].text
    assert (trainer.output / CHECKPOINT_NAME).exists()
    again = Trainer(panoptic_run, report=lambda line: None)
    again.resume()
    assert again.iteration == 4


def test_crops_have_to_be_multiples_of_the_output_stride(panoptic_run):
    stage = dataclasses.replace(panoptic_run.stages[0], crop_height_px=34)
    with pytest.raises(UserError, match='crops of 34x64 px, expected multiples of 4'):
        Trainer(dataclasses.replace(panoptic_run, stages=(stage,)), report=lambda line: None)


class PerfectNetwork(torch.nn.Module):
    """Returns the truth of the image whose index is painted into the first pixel."""

    def __init__(self, items: list[tuple[LabelledImage, np.ndarray]]) -> None:
        super().__init__()
        self.items = items
        self.index = 0
        self.register_parameter('unused', torch.nn.Parameter(torch.zeros(1)))

    def forward(self, image: torch.Tensor) -> PanopticOutputs:
        """Return logits and targets at 1/4 of the next image."""
        item, instances = self.items[self.index]
        self.index += 1
        label = torch.from_numpy(item.label[2::4, 2::4].astype(np.int64))
        logits = 9.0 * torch.nn.functional.one_hot(label, 19).permute(2, 0, 1)[None].float()
        ids = torch.from_numpy(instances.astype(np.int64))[None]
        targets = make_targets(ids, 4, sigma_px=4.0, small_area_px=0)
        return PanopticOutputs(logits, targets.center, targets.offset)


def test_true_outputs_score_high(panoptic_run, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, 'FRAME_HW', (256, 512))
    rendering.render_frames(tmp_path / 'large' / 'train', 1003, frames=2)
    config = dataclasses.replace(panoptic_run.datasets[0], path=str(tmp_path / 'large'))
    images = open_dataset(config, 'train', 'cityscapes')
    items = [(images[i], images.read_instances(i)) for i in range(len(images))]
    plain = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    score = validate_panoptic(PerfectNetwork(items), images, plain, (256, 512))
    # what is lost is thin, or smaller than a cell of the outputs, which are at 1/4
    assert score.miou > 0.7
    assert score.panoptic['pq_per_class']['road'] > 0.9
    assert score.panoptic['sq_per_class']['car'] > 0.75
    assert score.headline == pytest.approx(score.panoptic['pq'])
