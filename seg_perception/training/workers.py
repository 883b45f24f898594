# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Single-threaded worker processes that train shared weights on the CPU.

Each takes the next iteration, computes a gradient on its own batch and updates the shared weights
with its own optimiser, without waiting for the others (Hogwild, Niu et al., NeurIPS 2011). On two
busy cores that is faster than two threads that wait at every operation. A checkpoint holds the
first worker's optimiser; all go on from it.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from typing import TYPE_CHECKING, Any

from seg_perception.errors import UserError
from seg_perception.training.feeder import BatchFeeder
from seg_perception.training.progress import ProgressBar, SmoothedLoss, Timetable

if TYPE_CHECKING:
    from seg_perception.training.trainer import Trainer

POLL_S = 0.2


class SharedProgress:
    """What the workers tell each other: the next iteration and their smoothed losses."""

    def __init__(self, context: Any, iteration: int, workers: int) -> None:
        self.iteration = context.Value('l', iteration)
        self.loss = context.Array('d', [math.nan] * workers)

    def find_loss(self) -> float:
        """Mean of the losses of the workers that have one; NaN before the first step."""
        known = [loss for loss in self.loss if not math.isnan(loss)]
        return sum(known) / len(known) if known else math.nan

    def take_iteration(self, total: int) -> int | None:
        """Claim the next iteration; None when all `total` are taken."""
        with self.iteration.get_lock():
            taken = self.iteration.value
            if taken >= total:
                return None
            self.iteration.value = taken + 1
        return taken


def run_workers(trainer: Trainer, count: int) -> None:
    """Train with `count` workers until the run's end or until it is stopped.

    Raises UserError when a worker failed; the last checkpoint is intact then.
    """
    # fork, so that the shared weights are the same memory; made before any other thread
    context = multiprocessing.get_context('fork')
    shared = SharedProgress(context, trainer.iteration, count)
    trainer.learner.prepare_loss()  # reads every label: once, not once per worker
    processes = [
        context.Process(target=_work, args=(trainer, shared, index), daemon=True)
        for index in range(count)
    ]
    for process in processes:
        process.start()
    bar = ProgressBar(trainer.config.total_iterations, trainer.iteration, trainer.report)
    timetable = Timetable()
    try:
        while any(process.is_alive() for process in processes):
            time.sleep(POLL_S)
            trainer.iteration = shared.iteration.value
            if any(process.exitcode for process in processes):
                trainer.stop()  # without the first there are no checkpoints
            trainer.show_progress(bar, timetable, shared.find_loss())
            trainer.validate_when_due(timetable)
            trainer.stop_when_over(timetable)
    finally:
        bar.close()
    trainer.iteration = shared.iteration.value
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        raise UserError(
            f'a training worker {describe_exit(failed[0])}; a checkpoint in {trainer.output} is '
            'intact, run again to resume'
        )


def describe_exit(code: int) -> str:
    """Say how a process ended, given its exit code (minus the signal's number when killed)."""
    if code < 0:
        return f'was killed by {signal.Signals(-code).name} (by the system where memory ran out)'
    return f'ended with status {code} (its message is above)'


def _work(trainer: Trainer, shared: SharedProgress, index: int) -> None:
    """Train in one worker process; worker 0 keeps the average and the checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config, learner = trainer.config, trainer.learner
    start = trainer.iteration + index
    feeder = BatchFeeder(learner.draw_batches, start, config.run.workers)
    timetable, loss = Timetable(), SmoothedLoss()
    try:
        while not trainer.is_stopping():
            iteration = shared.take_iteration(config.total_iterations)
            if iteration is None:
                break
            shared.loss[index] = loss.add(float(learner.step(iteration, feeder.get())))
            if index == 0:
                learner.average.update(learner.network)
                if timetable.is_due('checkpoint', config.run.checkpoint_every_s):
                    trainer.save(shared.iteration.value)
        if index == 0:
            trainer.save(shared.iteration.value)
    except UserError as error:
        trainer.report(f'error: {error}')
        raise SystemExit(2) from error
    finally:
        feeder.stop()
