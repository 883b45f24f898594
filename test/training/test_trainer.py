# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Runs of a few steps: resume, workers, stopping, checkpoints that cannot be written."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from seg_perception.networks.checkpoints import load_network
from seg_perception.training.checkpoint import (
    CheckpointError,
    load_training_state,
    save_checkpoint,
)
from seg_perception.training.config import TrainingConfig, load_config
from seg_perception.training.trainer import CHECKPOINT_NAME, LATEST_NAME, Trainer


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


def test_workers_share_the_weights_and_finish_all_iterations(tiny_run):
    config = set_run(load_config(tiny_run), workers=2)
    trainer = Trainer(config, report=lambda line: None)
    start = {key: value.clone() for key, value in trainer.learner.network.state_dict().items()}
    scores = trainer.run()
    state = load_training_state(trainer.output / CHECKPOINT_NAME)
    # a worker that is mid-step when the other reaches the end may add one
    assert 4 <= state['iteration'] <= 5
    assert not torch.equal(
        state['network']['decode_head.conv_seg.weight'], start['decode_head.conv_seg.weight']
    )
    assert scores[0].images == 2 and 0 <= scores[0].miou <= 1
    assert load_network(trainer.output / LATEST_NAME).num_classes == 19


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
