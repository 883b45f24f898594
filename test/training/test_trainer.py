# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Runs of a few steps: resume, stopping, checkpoints that cannot be written."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
import yaml

from seg_perception import training
from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import save_weights
from seg_perception.networks.registry import build_network
from seg_perception.training.checkpoint import (
    CheckpointError,
    load_training_state,
    save_checkpoint,
)
from seg_perception.training.config import ConfigError, TrainingConfig, load_config
from seg_perception.training.state import Learner
from seg_perception.training.trainer import BEST_NAME, CHECKPOINT_NAME, Trainer
from seg_perception.training.validation import ValidationScore

RUN_TRAIN = """
import sys
from seg_perception.cli import main
sys.exit(main(['train', sys.argv[1]]))
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Keep sums in one order: float addition is not associative."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def set_run(config: TrainingConfig, **changes) -> TrainingConfig:
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **changes))


def stop_after(trainer: Trainer, iterations: int) -> None:
    """Let a trainer stop itself as a signal would."""
    step = trainer.learner.step

    def counted(iteration, batch):
        if iteration + 1 >= iterations:
            trainer.stop()
        return step(iteration, batch)

    trainer.learner.step = counted


def test_a_resumed_run_equals_an_uninterrupted_one(tiny_run, tmp_path):
    config = load_config(tiny_run)
    whole = Trainer(set_run(config, output=str(tmp_path / 'whole')), report=lambda line: None)
    whole.run()

    parts = set_run(config, output=str(tmp_path / 'parts'))
    first = Trainer(parts, report=lambda line: None)
    stop_after(first, 2)
    first.run()
    assert first.iteration == 2
    second = Trainer(parts, report=lambda line: None)
    second.resume()
    assert second.iteration == 2
    second.run()

    expected = load_training_state(tmp_path / 'whole' / CHECKPOINT_NAME)
    found = load_training_state(tmp_path / 'parts' / CHECKPOINT_NAME)
    assert found['iteration'] == expected['iteration'] == 4
    for part in ('network', 'average'):
        for key, value in expected[part].items():
            assert torch.equal(found[part][key], value), key


def test_the_best_weights_stay_over_a_resume(tiny_run, monkeypatch):
    config = load_config(tiny_run)
    scores = iter([0.7, 0.5, 0.8])

    def give_score(network, images, *_):
        return ValidationScore(images.name, next(scores), (), len(images))

    monkeypatch.setattr(training.trainer, 'validate', give_score)
    first = Trainer(config, report=lambda line: None)
    stop_after(first, 2)
    first.run()
    best = first.output / BEST_NAME
    kept = best.read_bytes()
    for expected in (True, False):
        other = Trainer(config, report=lambda line: None)
        other.resume()
        other.run()
        assert (best.read_bytes() == kept) == expected
    rows = (first.output / 'scores.csv').read_text().splitlines()[1:]
    assert [row.split(',')[2] for row in rows] == ['0.7', '0.5', '0.8']


def test_a_run_from_the_start_begins_its_curves_anew(tiny_run):
    config = load_config(tiny_run)
    for _ in range(2):
        trainer = Trainer(config, report=lambda line: None)
        stop_after(trainer, 1)
        trainer.run()
        assert len((trainer.output / 'scores.csv').read_text().splitlines()) == 2


def test_accumulated_batches_are_one_step_of_their_mean_gradient(tiny_run):
    config = load_config(tiny_run)
    config = dataclasses.replace(
        config,
        stages=(dataclasses.replace(config.stages[0], accumulation=2),),
        network=dataclasses.replace(config.network, dropout=0.0),
        optimizer=dataclasses.replace(config.optimizer, clip_norm=1e9),
    )
    learner = Learner(config)
    batches = learner.draw_batches(0)
    assert len(batches) == 2 and not np.array_equal(batches[0].geometry, batches[1].geometry)
    gradients = []
    weight = learner.network.decode_head.conv_seg.weight
    learner.optimizer.step = lambda: gradients.append(weight.grad.clone())
    for part in (batches[:1], batches[1:], batches):
        learner.step(0, part)
    mean = (gradients[0] + gradients[1]) / 2
    assert torch.allclose(gradients[2], mean, rtol=1e-3, atol=1e-6)


def test_the_head_can_learn_faster(tiny_run):
    config = load_config(tiny_run)
    optimizer = dataclasses.replace(config.optimizer, head_rate_factor=10.0)
    learner = Learner(dataclasses.replace(config, optimizer=optimizer))
    learner.step(0, learner.draw_batches(0))
    rates = {
        id(parameter): group['lr']
        for group in learner.optimizer.param_groups
        for parameter in group['params']
    }
    head = {rates[id(p)] for p in learner.network.decode_head.parameters()}
    encoder = {rates[id(p)] for p in learner.network.backbone.parameters()}
    assert len(head) == len(encoder) == 1
    assert head.pop() == pytest.approx(10 * encoder.pop())


def test_a_model_of_other_classes_is_a_start_without_its_classifier(tiny_run, tmp_path):
    weights = tmp_path / 'other.safetensors'
    other = build_network('segnext', 't', 5)
    save_weights(weights, other)
    config = load_config(tiny_run)
    network = dataclasses.replace(config.network, initial_weights=str(weights))
    learner = Learner(dataclasses.replace(config, network=network))
    own, start = learner.network.state_dict(), other.state_dict()
    different = {key for key in own if own[key].shape != start[key].shape}
    assert different == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    assert all(torch.equal(own[key], start[key]) for key in own if key not in different)
    assert learner.unused_weights == tuple(
        f'decode_head.conv_seg.{part} of 5 classes' for part in ('weight', 'bias')
    )


def test_a_time_limit_stops_with_a_checkpoint_scores_and_a_picture(tiny_run):
    trainer = Trainer(load_config(tiny_run), report=lambda line: None, max_minutes=1e-6)
    scores = trainer.run()
    assert trainer.iteration == 1 and not trainer.is_finished
    assert load_training_state(trainer.output / CHECKPOINT_NAME)['iteration'] == 1
    rows = (trainer.output / 'scores.csv').read_text().splitlines()
    assert rows[0] == 'iteration,dataset,miou'
    assert rows[1].startswith('1,streets,') and float(rows[1].split(',')[2]) == scores[0].miou
    picture = cv2.imread(str(trainer.output / 'examples.png'))
    assert picture is not None and picture.shape[1] > 1000  # image, mask and truth side by side


def test_a_gpu_that_is_not_there_is_said(tiny_run):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    with pytest.raises(ConfigError, match='PyTorch finds no GPU'):
        Trainer(set_run(load_config(tiny_run), device='cuda'))


def test_sigterm_leaves_a_checkpoint_to_go_on_from(tiny_run):
    content = yaml.safe_load(tiny_run.read_text())
    content['stages'][0]['iterations'] = 100000
    content['run']['checkpoint_every_s'] = 0.0
    tiny_run.write_text(yaml.safe_dump(content))
    process = subprocess.Popen(
        [sys.executable, '-c', RUN_TRAIN, str(tiny_run)], stdout=subprocess.PIPE, text=True
    )
    checkpoint = tiny_run.parent / 'out' / CHECKPOINT_NAME
    end = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    iteration = load_training_state(checkpoint)['iteration']
    assert iteration >= 1
    assert f'stopped at iteration {iteration}; the same command goes on from there' in output


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / 'checkpoint.pt'
    path.write_bytes(b'the last good one')

    def fill_disk(state, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', fill_disk)
    with pytest.raises(CheckpointError, match='No space left on device'):
        save_checkpoint(path, {})
    assert path.read_bytes() == b'the last good one'
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_are_not_finite_leave_the_old_checkpoint(tiny_run):
    trainer = Trainer(load_config(tiny_run), report=lambda line: None)
    trainer.save(0)
    kept = (trainer.output / CHECKPOINT_NAME).read_bytes()
    next(iter(trainer.learner.average.state.values())).fill_(float('nan'))
    with pytest.raises(UserError, match='not finite'):
        trainer.save(1)
    assert (trainer.output / CHECKPOINT_NAME).read_bytes() == kept


def test_a_checkpoint_of_another_network_is_refused(tiny_run):
    config = load_config(tiny_run)
    Trainer(config, report=lambda line: None).save(0)
    network = dataclasses.replace(config.network, variant='s')
    other = Trainer(dataclasses.replace(config, network=network), report=lambda line: None)
    with pytest.raises(
        CheckpointError, match='checkpoint.pt is of another network than segnext-s with'
    ):
        other.resume()


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match='no checkpoint'):
        load_training_state(tmp_path / 'none.pt')
    damaged = tmp_path / 'damaged.pt'
    damaged.write_bytes(b'PK\x03\x04 cut short')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_training_state(damaged)
    weights = tmp_path / 'weights.pt'
    torch.save({'weight': torch.zeros(1)}, weights)
    with pytest.raises(CheckpointError, match='no training checkpoint'):
        load_training_state(weights)
