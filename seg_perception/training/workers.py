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
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from seg_perception.errors import UserError
from seg_perception.training.feeder import BatchFeeder
from seg_perception.training.progress import ProgressBar, SmoothedLoss, Timetable

if TYPE_CHECKING:
    from seg_perception.training.trainer import Trainer

POLL_S = 0.2
LAST_STEP_S = 60.0  # that the others have, after one failed, for their step and a checkpoint


class SharedProgress:
    """What the workers tell each other: the next iteration and their smoothed losses."""

    def __init__(self, context: Any, iteration: int, workers: int) -> None:
        self.iteration = context.Value('l', iteration)
        self.loss = context.RawArray('d', [math.nan] * workers)  # each is written by one worker

    def find_loss(self) -> float:
        """Mean of the losses of the workers that have one; NaN before the first step."""
        known = [loss for loss in self.loss if not math.isnan(loss)]
        return sum(known) / len(known) if known else math.nan

    def read_iteration(self) -> int:
        """The next iteration, without the lock: a worker that was killed may hold it."""
        return int(self.iteration.get_obj().value)

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
    # fork, so that the shared weights are the same memory. Before any other thread is made: a lock
    # that a thread holds while the process forks stays locked in the worker.
    context = multiprocessing.get_context('fork')
    shared = SharedProgress(context, trainer.iteration, count)
    trainer.learner.prepare_loss()  # reads every label: once, not once per worker
    processes = [
        context.Process(target=_work, args=(trainer, shared, index), daemon=True)
        for index in range(count)
    ]
    bar = ProgressBar(trainer.config.total_iterations, trainer.iteration, trainer.report)
    timetable = Timetable()
    failed: list[int] = []
    started: list[BaseProcess] = []
    try:
        for process in processes:
            process.start()
            started.append(process)
        while any(process.is_alive() for process in processes):
            time.sleep(POLL_S)
            trainer.iteration = shared.read_iteration()
            failed = list_failures(processes)
            if failed:
                trainer.stop()  # without the first there are no checkpoints
                end_workers(processes, LAST_STEP_S)
            trainer.show_progress(bar, timetable, shared.find_loss())
            trainer.validate_when_due(timetable)
            trainer.stop_when_over(timetable)
    except BaseException:
        # They would train on, and the end of this process wait for them.
        trainer.stop()
        end_workers(started, LAST_STEP_S)
        raise
    finally:
        bar.close()
    trainer.iteration = shared.read_iteration()
    failed = failed or list_failures(processes)
    if failed:
        raise UserError(
            f'a training worker {describe_exit(failed[0])}; a checkpoint in {trainer.output} is '
            'intact, run again to resume'
        )


def list_failures(processes: Sequence[BaseProcess]) -> list[int]:
    """Return the exit codes of the workers that ended, and not well."""
    return [process.exitcode for process in processes if process.exitcode]


def end_workers(processes: Sequence[BaseProcess], timeout_s: float) -> None:
    """Wait for workers that were told to stop; kill those that have not after `timeout_s`.

    One that was killed may have held the lock on the next iteration: nobody gives it back.
    """
    deadline_s = time.monotonic() + timeout_s
    for process in processes:
        process.join(max(0.0, deadline_s - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def describe_exit(code: int) -> str:
    """Say how a process ended, given its exit code (minus the signal's number when killed)."""
    if code < 0:
        return f'was killed by {signal.Signals(-code).name} (by the system where memory ran out)'
    return f'ended with status {code} (its message is above)'


def is_parent_alive() -> bool:
    """Whether the process that started this worker still runs; killed, it cannot say stop."""
    parent = multiprocessing.parent_process()
    return parent is not None and parent.is_alive()


def _work(trainer: Trainer, shared: SharedProgress, index: int) -> None:
    """Train in one worker process; worker 0 keeps the average and the checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config, learner = trainer.config, trainer.learner
    start = trainer.iteration + index
    feeder = BatchFeeder(learner.draw_batches, start, config.run.workers)
    timetable, loss = Timetable(), SmoothedLoss()
    try:
        while not trainer.is_stopping() and is_parent_alive():
            iteration = shared.take_iteration(config.total_iterations)
            if iteration is None:
                break
            shared.loss[index] = loss.add(float(learner.step(iteration, feeder.get())))
            if index == 0:
                learner.average.update(learner.network)
                if timetable.is_due('checkpoint', config.run.checkpoint_every_s):
                    trainer.save(shared.read_iteration())
        if index == 0:
            trainer.save(shared.read_iteration())
    except UserError as error:
        trainer.report(f'error: {error}')
        raise SystemExit(2) from error
    finally:
        feeder.stop()
