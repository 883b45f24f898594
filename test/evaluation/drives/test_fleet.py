# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings on a local Ray cluster: the counts of one process, also when workers are killed."""

import functools
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from recordings import write_labelled_bag

from seg_perception import cli
from seg_perception.commands.arguments import open_chain
from seg_perception.engines.select import EngineConfig
from seg_perception.errors import UserError
from seg_perception.evaluation.drives.drive_judge import METRICS
from seg_perception.evaluation.drives.evaluate import DriveConfig
from seg_perception.evaluation.drives.fleet import (
    FleetConfig,
    WorkerPlan,
    describe_cause,
    evaluate_on_ray,
    plan_workers,
    set_ray_environment,
)
from seg_perception.evaluation.drives.offline_job import OfflineJob, evaluate_here
from seg_perception.evaluation.drives.offline_run import OfflineConfig

set_ray_environment(is_local=True)
ray = pytest.importorskip('ray')
# workers cannot import the files of tests
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

FRAMES = {'a': 6, 'b': 3, 'deadly': 4, 'unlucky': 6}
# Cameras by the height of their images, which is all that a chain sees of a recording.
HEIGHTS_PX = {'a': 64, 'b': 48, 'deadly': 24, 'unlucky': 32}


class Killed:
    """A chain in front of which the process is killed, once or always.

    Args:
        chain: the real one.
        marker: file that says that it was killed before.
    """

    def __init__(self, chain, marker):
        self._chain = chain
        self._marker = marker
        self._seen = 0

    def __getattr__(self, name):
        return getattr(self._chain, name)

    def process(self, frame, *buffers):
        height_px = frame.image.shape[0]
        self._seen += height_px == HEIGHTS_PX['unlucky']
        is_unlucky = self._seen == 4 and not self._marker.exists()
        if is_unlucky or height_px == HEIGHTS_PX['deadly']:
            if is_unlucky:
                self._marker.touch()
            # the judge is a frame behind; what it wrote is what the next worker takes up
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        return self._chain.process(frame, *buffers)


def open_killed_chain(marker, config):
    """Load the real chain, and kill its process at some images."""
    chain, facts = open_chain(config)
    return Killed(chain, marker), facts


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Recordings by name."""
    folder = tmp_path_factory.mktemp('bags')
    for name, frames in FRAMES.items():
        write_labelled_bag(folder / name, frames, height_px=HEIGHTS_PX[name], width_px=96)
    return {name: folder / name for name in FRAMES}


def make_job(model_path, paths, journal_folder=None, opener=open_chain):
    engine = EngineConfig(str(model_path), backend='openvino', precision='f32')
    config = OfflineConfig(tuple(METRICS), journal_folder=journal_folder)
    return OfflineJob([DriveConfig(path) for path in paths], config, engine, opener)


def show_nothing(items, total):
    return items


def list_counts(outcome):
    """Return by recording what was counted in each image; times differ between runs."""
    return {
        drive.bag.name: [(r.index, r.stamp_ns, r.status, r.metrics) for r in drive.records]
        for drive in outcome.drives
    }


def list_ray_processes():
    words = ('raylet', 'gcs_server', 'ray::')
    return [
        process.name()
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and any(word in ' '.join(process.cmdline()) for word in words)
    ]


@pytest.fixture(scope='module')
def expected(model_path, bags):
    """What one process counts."""
    return list_counts(evaluate_here(make_job(model_path, bags.values()), show_nothing))


def test_one_worker_counts_what_one_process_counts(model_path, bags, expected):
    job = make_job(model_path, [bags['a'], bags['b']])
    shown = []

    def show(items, total):
        for item in items:
            shown.append(total)
            yield item

    outcome = evaluate_on_ray(job, FleetConfig(workers=1), show)
    assert list_counts(outcome) == {name: expected[name] for name in ('a', 'b')}
    # one bar over the images of all recordings
    assert shown == [9] * 9
    assert list_ray_processes() == []


def test_killed_worker_is_replaced_and_its_bag_taken_up(model_path, bags, expected, tmp_path):
    opener = functools.partial(open_killed_chain, tmp_path / 'killed')
    paths = [bags['deadly'], bags['unlucky'], tmp_path / 'nowhere', bags['a']]
    job = make_job(model_path, paths, tmp_path / 'journals', opener)
    outcome = evaluate_on_ray(job, FleetConfig(workers=2, threads=1), show_nothing)
    assert list_counts(outcome) == {name: expected[name] for name in ('unlucky', 'a')}
    unlucky = outcome.drives[0]
    assert unlucky.taken_up >= 1
    assert {Path(bag).name: reason for bag, reason in outcome.failures.items()} == {
        'deadly': 'its worker process ended (tried 3 times)',
        'nowhere': f'no bag at {tmp_path / "nowhere"}: no such file or folder (tried 3 times)',
    }
    result = outcome.build_result(job.config.metric_names, {'mode': 'offline'})
    assert result['frames_scored'] == FRAMES['unlucky'] + FRAMES['a']
    assert any('deadly was not evaluated: its worker' in fault for fault in result['faults'])
    assert result['setup']['workers'] == 2
    outcome.discard_journals()
    # what is left of the one that was never finished waits for the next run
    assert all(path.name.startswith('deadly.') for path in (tmp_path / 'journals').iterdir())


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (UserError('no such bag'), 'no such bag'),
        (ValueError('first\nlast'), 'ValueError: last'),
        (MemoryError(), 'MemoryError'),
    ],
)
def test_cause_is_one_line_also_where_there_is_no_text(error, expected):
    assert describe_cause(error) == expected


def test_model_that_cannot_be_loaded_is_named(bags, tmp_path):
    (tmp_path / 'bad.onnx').write_bytes(b'no model')
    job = make_job(tmp_path / 'bad.onnx', [bags['a']])
    with pytest.raises(UserError, match='bad.onnx'):
        evaluate_on_ray(job, FleetConfig(), show_nothing)


@pytest.mark.parametrize(
    ('fleet', 'recordings', 'processors', 'gpus', 'expected_plan'),
    [
        (FleetConfig(), 10, 8, 0, WorkerPlan(8, 1)),
        (FleetConfig(), 3, 8, 0, WorkerPlan(3, 2)),
        (FleetConfig(workers=2), 10, 8, 0, WorkerPlan(2, 4)),
        (FleetConfig(workers=8, threads=3), 10, 2, 0, WorkerPlan(8, 3)),
        (FleetConfig(workers=3), 10, 8, 2, WorkerPlan(3, 2, 0.5)),
        (FleetConfig(workers=2), 10, 8, 4, WorkerPlan(2, 4, 1.0)),
    ],
)
def test_workers_share_processors_and_gpus(fleet, recordings, processors, gpus, expected_plan):
    assert plan_workers(fleet, recordings, processors, gpus) == expected_plan


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--engine', 'ray', '--mode', 'live'], 'leave out --engine ray'),
        (['--workers', '2'], 'belong to --engine ray'),
        (['--engine', 'ray', '--workers', '-1'], '-1 workers are not possible'),
        (['--engine', 'ray', '--address', '127.0.0.1:1'], 'no Ray cluster at 127.0.0.1:1 '),
    ],
)
def test_command_says_what_is_wrong(bags, model_path, capsys, options, message):
    assert cli.main(['evaluate', str(bags['a']), '--model', str(model_path), *options]) == 2
    assert message in capsys.readouterr().err
