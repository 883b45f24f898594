# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Workers on shared weights, also where one of them, or who started them, is killed."""

from __future__ import annotations

import dataclasses
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from seg_perception.networks.checkpoints import load_network
from seg_perception.training.checkpoint import load_training_state
from seg_perception.training.config import load_config
from seg_perception.training.trainer import CHECKPOINT_NAME, LATEST_NAME, Trainer
from seg_perception.training.workers import end_workers

RUN_TRAIN = """
import sys
from seg_perception.cli import main
sys.exit(main(['train', sys.argv[1]]))
"""


def test_workers_share_the_weights_and_finish_all_iterations(tiny_run):
    config = load_config(tiny_run)
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, workers=2))
    trainer = Trainer(config, report=lambda line: None)
    start = {key: value.clone() for key, value in trainer.learner.network.state_dict().items()}
    scores = trainer.run()
    state = load_training_state(trainer.output / CHECKPOINT_NAME)
    assert state['iteration'] == trainer.iteration == 4
    assert not torch.equal(
        state['network']['decode_head.conv_seg.weight'], start['decode_head.conv_seg.weight']
    )
    assert scores[0].images == 2 and 0 <= scores[0].miou <= 1
    assert load_network(trainer.output / LATEST_NAME).num_classes == 19


def start_long_run(path: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Train with two workers in a process of their own; returns it and them, at work."""
    content = yaml.safe_load(path.read_text())
    content['stages'][0]['iterations'] = 1_000_000
    content['run'].update(workers=2, checkpoint_every_s=0.0, validate_every_s=3600.0)
    path.write_text(yaml.safe_dump(content))
    process = subprocess.Popen(
        [sys.executable, '-c', RUN_TRAIN, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    checkpoint = path.parent / 'out' / CHECKPOINT_NAME
    end_s = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.1)
    workers = sorted(psutil.Process(process.pid).children(), key=lambda child: child.pid)
    assert len(workers) == 2
    return process, workers


def test_a_worker_that_is_killed_ends_the_run_with_a_checkpoint(tiny_run):
    process, workers = start_long_run(tiny_run)
    workers[1].kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert 'a training worker was killed by SIGKILL' in output
    assert load_training_state(tiny_run.parent / 'out' / CHECKPOINT_NAME)['iteration'] > 0


def test_workers_end_when_the_one_that_started_them_is_killed(tiny_run):
    process, workers = start_long_run(tiny_run)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=60)
    for worker in alive:
        worker.kill()
    assert not alive


@pytest.mark.timeout(120)
def test_an_error_in_the_main_process_ends_the_workers(tiny_run, monkeypatch):
    config = load_config(tiny_run)
    stage = dataclasses.replace(config.stages[0], iterations=1_000_000)
    run = dataclasses.replace(config.run, workers=2)
    trainer = Trainer(
        dataclasses.replace(config, run=run, stages=(stage,)), report=lambda line: None
    )

    def fill_disk(timetable):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(trainer, 'validate_when_due', fill_disk)
    with pytest.raises(OSError, match='No space left'):
        trainer.run()
    assert not multiprocessing.active_children()


@pytest.mark.timeout(60)
def test_a_worker_that_does_not_stop_is_killed():
    context = multiprocessing.get_context('spawn')
    stuck = context.Process(target=time.sleep, args=(600.0,), daemon=True)
    stuck.start()
    end_workers([stuck], timeout_s=0.1)
    assert stuck.exitcode == -9
