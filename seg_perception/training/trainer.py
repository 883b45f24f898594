# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A training run: one process with all threads, or single-threaded workers on shared weights.

The workers each take the next iteration, compute a gradient on their own batch and update the
shared weights with their own optimiser, without waiting for each other (Hogwild, Niu et al.,
NeurIPS 2011). On two busy cores that is faster than two threads that wait at every operation.
"""

from __future__ import annotations

import csv
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch

from seg_perception.errors import UserError
from seg_perception.networks.checkpoints import save_weights
from seg_perception.training.checkpoint import load_training_state, save_checkpoint
from seg_perception.training.config import TrainingConfig
from seg_perception.training.schedule import compute_learning_rate
from seg_perception.training.state import (
    NORMALISATION,
    Learner,
    build_training_network,
    open_folders,
)
from seg_perception.training.validation import ValidationScore, validate

CHECKPOINT_NAME = 'checkpoint.pt'
LATEST_NAME = 'latest.safetensors'
BEST_NAME = 'best.safetensors'
CURVES_NAME = 'curves.csv'
REPORT_EVERY_S = 30.0
LOSS_SMOOTHING = 0.98
BATCHES_AHEAD = 4
Report = Callable[[str], None]


class BatchFeeder:
    """Draws batches in a thread, a few ahead of the step that needs them."""

    def __init__(self, learner: Learner, start: int, step: int = 1) -> None:
        self._learner = learner
        self._step = step  # workers take turns
        self._next = start
        self._batches: queue.Queue[Any] = queue.Queue(BATCHES_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        while not self._stopped.is_set():
            try:
                item: Any = self._learner.draw_batch(self._next)
            except UserError as error:  # a broken file: the step that asks for it raises it
                item = error
            self._next += self._step
            while not self._stopped.is_set():
                try:
                    self._batches.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue

    def get(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Wait for the next batch; raises the UserError that drawing it met."""
        item = self._batches.get()
        if isinstance(item, UserError):
            raise item
        return item

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()


class Trainer:
    """Runs a configuration from its checkpoint (or the start) to the end of its stages.

    `stop` (also from a signal handler) ends the run after the current step, with a checkpoint.
    """

    def __init__(self, config: TrainingConfig, report: Report = print) -> None:
        self.config = config
        self.output = Path(config.run.output).expanduser()
        self.report = report
        self.learner = Learner(config)
        self.validation = open_folders(config, 'validation')
        self.iteration = 0
        self.best = -1.0
        self._stop = multiprocessing.get_context('fork').Event()

    def resume(self, path: str | Path | None = None) -> None:
        """Go on from a checkpoint; None takes the output folder's own when there is one."""
        source = self.output / CHECKPOINT_NAME if path is None else Path(path)
        if path is None and not source.exists():
            return
        self.iteration = self.learner.load_state_dict(load_training_state(source))
        self.report(f'resumed {source} at iteration {self.iteration}')

    def stop(self) -> None:
        """Ask the run to end after the current step."""
        self._stop.set()

    def run(self) -> list[ValidationScore]:
        """Train to the end of the last stage or until stopped; returns the last scores.

        Raises UserError for data that cannot be read and a checkpoint that cannot be written.
        """
        cv2.setNumThreads(1)
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if self.config.run.workers else threads)
        try:
            if self.config.run.workers:
                self._run_workers(self.config.run.workers)
            else:
                self._run_alone()
        finally:
            torch.set_num_threads(threads)
        return self._validate()

    def save(self, iteration: int) -> None:
        """Write the checkpoint and the averaged weights."""
        save_checkpoint(self.output / CHECKPOINT_NAME, self.learner.state_dict(iteration))
        save_weights(self.output / LATEST_NAME, self.learner.average.state)

    def _run_alone(self) -> None:
        self.learner.prepare_loss()
        feeder = BatchFeeder(self.learner, self.iteration)
        clock = RunClock()
        loss = 0.0
        try:
            while self.iteration < self.config.total_iterations and not self._stop.is_set():
                value = self.learner.step(self.iteration, feeder.get())
                self.learner.average.update(self.learner.network)
                self.iteration += 1
                loss = value if loss == 0 else LOSS_SMOOTHING * loss + (1 - LOSS_SMOOTHING) * value
                if clock.is_due('report', REPORT_EVERY_S):
                    self._report_progress(clock, self.iteration, loss)
                if clock.is_due('checkpoint', self.config.run.checkpoint_every_s):
                    self.save(self.iteration)
                if clock.is_due('validate', self.config.run.validate_every_s):
                    self._validate()
        finally:
            feeder.stop()
        self.save(self.iteration)

    def _run_workers(self, count: int) -> None:
        self.learner.share_memory()
        # fork, so that the shared weights are the same memory; made before any other thread
        context = multiprocessing.get_context('fork')
        shared = SharedProgress(context, self.iteration, count)
        processes = [
            context.Process(target=_work, args=(self, shared, index), daemon=True)
            for index in range(count)
        ]
        previous = signal.getsignal(signal.SIGTERM)
        for process in processes:
            process.start()
        clock = RunClock()
        while any(process.is_alive() for process in processes):
            time.sleep(0.2)
            if clock.is_due('report', REPORT_EVERY_S):
                self._report_progress(clock, shared.iteration.value, sum(shared.loss) / count)
            if clock.is_due('validate', self.config.run.validate_every_s):
                self._validate()
        signal.signal(signal.SIGTERM, previous)
        self.iteration = shared.iteration.value
        failed = [p.exitcode for p in processes if p.exitcode]
        if failed:
            raise UserError(
                f'a training worker ended with status {failed[0]} (its message is above); '
                f'the checkpoint in {self.output} is intact, run again to resume'
            )

    def _report_progress(self, clock: RunClock, iteration: int, loss: float) -> None:
        stage, within = self.config.find_stage(iteration)
        rate = compute_learning_rate(stage.learning_rate, within, stage.iterations)
        images_per_s = clock.measure_rate(iteration) * stage.batch_size
        left = self.config.total_iterations - iteration
        eta_min = left * stage.batch_size / max(images_per_s, 1e-9) / 60
        self.report(
            f'{stage.name}: iteration {iteration}/{self.config.total_iterations}, '
            f'loss {loss:.4f}, learning rate {rate:.2e}, {images_per_s:.2f} images/s, '
            f'{eta_min:.0f} min left'
        )
        self._append_curve({'iteration': iteration, 'loss': loss, 'learning_rate': rate})

    def _append_curve(self, row: dict[str, float]) -> None:
        path = self.output / CURVES_NAME
        self.output.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open('a', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _validate(self) -> list[ValidationScore]:
        network = build_training_network(self.config)
        network.load_state_dict(self.learner.average.state)
        settings = self.config.run
        size = (settings.validation_height_px, settings.validation_width_px)
        steps = {dataset.name: dataset.validation_step for dataset in self.config.datasets}
        scores = []
        for folder in self.validation:
            score = validate(network, folder, NORMALISATION, size, steps[folder.name])
            self.report(f'{score.dataset}: mIoU {score.miou:.4f} on {score.images} images')
            scores.append(score)
        mean = sum(score.miou for score in scores) / max(1, len(scores))
        if scores and mean > self.best:
            self.best = mean
            save_weights(self.output / BEST_NAME, network)
        return scores


class RunClock:
    """Says when periodic work is due and how fast iterations go."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._start = time.monotonic()
        self._rate_at: tuple[float, int] | None = None

    def is_due(self, what: str, every_s: float) -> bool:
        """Whether `every_s` have gone by since the last time this said so for `what`."""
        now = time.monotonic()
        if now - self._last.get(what, self._start) < every_s:
            return False
        self._last[what] = now
        return True

    def measure_rate(self, iteration: int) -> float:
        """Iterations per second since the last call, 0 at the first."""
        now = time.monotonic()
        before, self._rate_at = self._rate_at, (now, iteration)
        return 0.0 if before is None else (iteration - before[1]) / max(now - before[0], 1e-9)


class SharedProgress:
    """What the workers tell each other: the next iteration and their smoothed losses."""

    def __init__(self, context: Any, iteration: int, workers: int) -> None:
        self.iteration = context.Value('l', iteration)
        self.loss = context.Array('d', workers)

    def take_iteration(self) -> int:
        """Claim the next iteration."""
        with self.iteration.get_lock():
            taken = self.iteration.value
            self.iteration.value = taken + 1
        return taken


def _work(trainer: Trainer, shared: SharedProgress, index: int) -> None:
    """Train in one worker process; worker 0 keeps the average and the checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config, learner = trainer.config, trainer.learner
    try:
        learner.prepare_loss()
        feeder = BatchFeeder(learner, trainer.iteration + index, config.run.workers)
        clock = RunClock()
        while shared.iteration.value < config.total_iterations and not trainer._stop.is_set():
            iteration = shared.take_iteration()
            value = learner.step(iteration, feeder.get())
            loss = shared.loss[index]
            change = (1 - LOSS_SMOOTHING) * (value - loss)
            shared.loss[index] = value if loss == 0 else loss + change
            if index == 0:
                learner.average.update(learner.network)
                if clock.is_due('checkpoint', config.run.checkpoint_every_s):
                    trainer.save(shared.iteration.value)
        feeder.stop()
        if index == 0:
            trainer.save(shared.iteration.value)
    except UserError as error:
        trainer.report(f'error: {error}')
        trainer.stop()
        raise SystemExit(2) from error
