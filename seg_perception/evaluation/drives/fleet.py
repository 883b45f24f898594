# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""An offline evaluation of many recordings on a Ray cluster.

One task is one recording. Each worker process loads the engine once. The records are those of a
run in one process, whatever the number of workers.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader
from seg_perception.evaluation.bags.bag_topics import find_image_topic
from seg_perception.evaluation.drives.evaluate import DriveConfig, DriveEvaluation
from seg_perception.evaluation.drives.offline_job import (
    EngineFacts,
    OfflineJob,
    OfflineOutcome,
    ShowProgress,
)
from seg_perception.evaluation.drives.offline_run import OfflineRun
from seg_perception.evaluation.machine import count_cores
from seg_perception.evaluation.reports.watchers import PictureKeeper

# After the first one.
RETRIES = 2
POLL_S = 0.2
CONNECT_S = 5.0
# A cluster may have no room for all workers at once.
START_S = 60.0
# Shared memory of a local cluster: only results and pictures go through it, more goes to disk.
OBJECT_STORE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class FleetConfig:
    """Where the workers run.

    Attributes:
        address: of a Ray cluster; '' starts one on this machine that ends with the evaluation.
        workers: number of worker processes; 0 for one per processor, at most one per recording.
        threads: for inference in each; 0 to share the processors out evenly.
    """

    address: str = ''
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        for name, value in (('workers', self.workers), ('threads', self.threads)):
            if value < 0:
                raise UserError(f'{value} {name} are not possible; 0 means to choose')


@dataclass(frozen=True)
class WorkerPlan:
    """How many workers there are, and what each has."""

    workers: int
    threads: int
    gpu_share: float = 0.0


def plan_workers(
    fleet: FleetConfig, recordings: int, processors: int, gpus: int = 0
) -> WorkerPlan:
    """Share processors and GPUs out; several workers may share a GPU, none has two."""
    workers = fleet.workers or max(1, min(recordings, processors))
    threads = fleet.threads or max(1, processors // workers)
    return WorkerPlan(workers, threads, 1.0 / math.ceil(workers / gpus) if gpus else 0.0)


class DriveWorker:
    """Evaluates recordings in a process of its own; Ray calls `count_done` beside the others."""

    def __init__(self, job: OfflineJob, threads: int, folder: str) -> None:
        """Keep the job; folder is where its relative paths begin."""
        self._job = job
        self._threads = threads
        self._folder = folder
        self._run: OfflineRun | None = None
        self._left = 0
        self._done = 0

    def start(self) -> EngineFacts:
        """Load the engine."""
        if Path(self._folder).is_dir():
            os.chdir(self._folder)
        cv2.setNumThreads(self._threads)
        _, self._run, facts = self._job.open_run(self._threads)
        return facts

    def evaluate(self, drive: DriveConfig) -> tuple[DriveEvaluation, PictureKeeper, Path | None]:
        """Return what came of a recording, and the file of its records."""
        assert self._run is not None
        evaluation, keeper = self._run.evaluate(drive, self._count)
        return evaluation, keeper, self._run.find_journal(drive, evaluation.image_topic)

    def count_done(self) -> tuple[int, int]:
        """Return images of the recording that were left to do, and those done of them."""
        return self._left, self._done

    def _count(self, frames: Iterable, total: int) -> Iterator:
        self._left, self._done = total, 0
        for frame in frames:
            yield frame
            self._done += 1


@dataclass(eq=False)
class _Worker:
    """One worker as the fleet sees it: its handle, and the task it is at, None while it starts."""

    handle: Any
    drive_index: int | None = None
    done: int = 0


class Fleet:
    """Shares the recordings of a job out to workers, and those that failed again.

    Args:
        ray: the library, connected.
        job: what is evaluated.
        plan: how many workers.
    """

    def __init__(self, ray: Any, job: OfflineJob, plan: WorkerPlan) -> None:
        self._ray = ray
        self._job = job
        self._plan = plan
        self._queue = deque(range(len(job.drives)))
        self._tries = [0] * len(job.drives)
        self._frames = [count_images(drive) for drive in job.drives]
        self._busy: dict[Any, _Worker] = {}
        self._idle: list[_Worker] = []
        self._failed_starts = 0
        self._start_error = ''
        self._facts: EngineFacts | None = None
        self._finished: dict[int, tuple[DriveEvaluation, PictureKeeper, Path | None]] = {}
        self._failures: dict[int, str] = {}

    def start(self) -> None:
        """Start the workers and wait until all have their engine, or one and START_S went by.

        Raises:
            UserError: none can load it.
        """
        for _ in range(self._plan.workers):
            self._add_worker()
        end_s = time.perf_counter() + START_S
        while self._busy and (self._facts is None or time.perf_counter() < end_s):
            self._settle()
        if self._facts is None:
            raise UserError(self._start_error)

    def run(self, show_progress: ShowProgress) -> OfflineOutcome:
        """Evaluate all recordings; `start` came before."""
        assert self._facts is not None
        start_s = time.perf_counter()
        for _ in show_progress(self._iterate_done(), sum(self._frames)):
            pass
        outcome = OfflineOutcome(self._facts, seconds=time.perf_counter() - start_s)
        for index in sorted(self._finished):
            evaluation, keeper, journal = self._finished[index]
            outcome.add(evaluation, keeper, journal)
        outcome.failures = {
            str(self._job.drives[index].bag): self._failures[index]
            for index in sorted(self._failures)
        }
        outcome.setup = {'workers': self._plan.workers, 'worker_threads': self._plan.threads}
        return outcome

    def close(self) -> None:
        """End all workers."""
        for worker in [*self._busy.values(), *self._idle]:
            self._ray.kill(worker.handle)
        self._busy.clear()
        self._idle.clear()

    def _iterate_done(self) -> Iterator[None]:
        """Yield once per image that is done, until all recordings are; images done again do not
        count."""
        shown = 0
        while len(self._finished) + len(self._failures) < len(self._job.drives):
            self._hand_out()
            if self._busy:
                self._settle()
            else:
                self._give_up()
            done = self._count_done()
            yield from [None] * (done - shown)
            shown = max(shown, done)

    def _count_done(self) -> int:
        done = sum(self._frames[index] for index in [*self._finished, *self._failures])
        asked = {
            worker.handle.count_done.remote(): worker
            for worker in self._busy.values()
            if worker.drive_index is not None
        }
        answered: list[Any] = []
        if asked:
            answered, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=POLL_S)
        for reference in answered:
            worker = asked[reference]
            assert worker.drive_index is not None
            try:
                left, count = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                continue  # its end is seen in `_settle`
            # images of an interrupted run are done before it begins
            worker.done = max(0, self._frames[worker.drive_index] - left) + count if left else 0
        return done + sum(worker.done for worker in self._busy.values())

    def _add_worker(self) -> None:
        actor = self._ray.remote(DriveWorker).options(
            num_cpus=self._plan.threads, num_gpus=self._plan.gpu_share, max_concurrency=2
        )
        handle = actor.remote(self._job, self._plan.threads, str(Path.cwd()))
        worker = _Worker(handle)
        self._busy[handle.start.remote()] = worker

    def _hand_out(self) -> None:
        while self._idle and self._queue:
            worker, index = self._idle.pop(), self._queue.popleft()
            worker.drive_index, worker.done = index, 0
            self._tries[index] += 1
            self._busy[worker.handle.evaluate.remote(self._job.drives[index])] = worker

    def _settle(self) -> None:
        """Take what workers have done, if any did within POLL_S."""
        ready, _ = self._ray.wait(list(self._busy), timeout=POLL_S)
        for reference in ready:
            worker = self._busy.pop(reference)
            try:
                value = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                self._note_failure(worker, describe_cause(error))
                if worker.drive_index is not None:
                    self._idle.append(worker)
                else:
                    self._ray.kill(worker.handle)
            except self._ray.exceptions.RayActorError as error:
                self._note_failure(worker, describe_end(error))
                if self._failed_starts <= RETRIES:
                    self._add_worker()
            else:
                if worker.drive_index is None:
                    self._facts = self._facts or value
                else:
                    self._finished[worker.drive_index] = value
                self._idle.append(worker)

    def _note_failure(self, worker: _Worker, reason: str) -> None:
        index = worker.drive_index
        if index is None:
            self._failed_starts += 1
            self._start_error = reason
        elif self._tries[index] <= RETRIES:
            self._queue.append(index)
        else:
            self._failures[index] = f'{reason} (tried {self._tries[index]} times)'

    def _give_up(self) -> None:
        """Fail what is left: no worker is."""
        for index in self._queue:
            self._failures[index] = f'no worker is left: {self._start_error}'
        self._queue.clear()


def evaluate_on_ray(
    job: OfflineJob, fleet: FleetConfig, show_progress: ShowProgress
) -> OfflineOutcome:
    """Evaluate recordings on a Ray cluster.

    A recording whose worker process ends, or that cannot be used, is tried again; what then fails
    is kept in `failures`. Paths mean on each machine of the cluster what they mean here.

    Raises:
        UserError: there is no cluster at the address, or no worker can load the engine.
    """
    with connect(fleet, len(job.drives)) as (ray, plan):
        # relative paths would begin elsewhere on another machine
        config = job.config
        if config.journal_folder is not None:
            config = replace(config, journal_folder=config.journal_folder.absolute())
        running = Fleet(ray, replace(job, config=config), plan)
        try:
            running.start()
            return running.run(show_progress)
        finally:
            running.close()


@contextmanager
def connect(fleet: FleetConfig, recordings: int) -> Iterator[tuple[Any, WorkerPlan]]:
    """Connect to the cluster, or start one, and leave it again; yields Ray and the plan."""
    if fleet.address:
        check_reachable(fleet.address)
    set_ray_environment(is_local=not fleet.address)
    import ray

    options: dict[str, Any] = {'log_to_driver': False, 'logging_level': 'ERROR'}
    with tempfile.TemporaryDirectory(prefix='ray', ignore_cleanup_errors=True) as folder:
        if not fleet.address:
            local = plan_workers(fleet, recordings, count_cores())
            options |= {
                'num_cpus': local.workers * local.threads,
                'include_dashboard': False,
                'object_store_memory': OBJECT_STORE_BYTES,
                # loopback works without a network; Ray would replace 127.0.0.1
                '_node_ip_address': '127.0.0.2',
                '_temp_dir': folder,
            }
        try:
            ray.init(fleet.address or 'local', **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f'the Ray cluster {fleet.address}' if fleet.address else 'Ray'
            raise UserError(f'cannot start with {where}: {error}') from error
        try:
            resources = ray.cluster_resources()
            processors, gpus = int(resources.get('CPU', 1)), int(resources.get('GPU', 0))
            yield ray, plan_workers(fleet, recordings, processors, gpus)
        finally:
            ray.shutdown()


def set_ray_environment(is_local: bool) -> None:
    """Set what Ray reads of the environment when it is imported."""
    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    # Silences a warning: GPUs stay hidden from workers that were given none.
    os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '1')
    if is_local and 'ray' not in sys.modules and 'RAY_AUTH_MODE' not in os.environ:
        # Ray listens on all interfaces, and runs what it is sent: only with this token.
        os.environ['RAY_AUTH_MODE'] = 'token'
        os.environ['RAY_AUTH_TOKEN'] = secrets.token_hex(32)


def check_reachable(address: str) -> None:
    """Raise UserError where nothing listens; Ray would wait for many minutes."""
    match = re.fullmatch(r'(?:ray://)?\[?([^/\]]+?)\]?:(\d+)', address)
    if match is None:
        return  # 'auto' and the like
    try:
        socket.create_connection((match[1], int(match[2])), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f'there is no Ray cluster at {address} ({error}); give the address that '
            '"ray start --head" printed, or none to start one here'
        ) from error


def count_images(drive: DriveConfig) -> int:
    """Return the number of images to evaluate; 0 where the recording cannot be read here."""
    try:
        with BagReader(drive.bag, tolerate_damage=True) as reader:
            count = reader.count_messages(find_image_topic(reader, drive.image_topic))
    except UserError:
        return 0
    return min(count, drive.limit) if drive.limit else count


def describe_cause(error: Any) -> str:
    """Return why a task failed, in one line."""
    cause = getattr(error, 'cause', None) or error
    if isinstance(cause, UserError):
        return str(cause)
    lines = str(cause).strip().splitlines()
    return f'{type(cause).__name__}: {lines[-1]}' if lines else type(cause).__name__


def describe_end(error: Any) -> str:
    """Return why a worker is gone, in one line; Ray tells why it could not even be made."""
    lines = str(error).strip().splitlines()
    is_unmade = any('creation task' in line for line in lines)
    return f'no worker can be made: {lines[-1]}' if is_unmade else 'its worker process ended'
