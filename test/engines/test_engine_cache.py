# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""When a kept engine is used, when it is built again, and what the log says."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seg_perception.engines.build_watch import BuildCancelledError, BuildWatch
from seg_perception.engines.engine_cache import (
    EngineCache,
    EngineKey,
    KeptEngine,
    find_engine_directory,
)

KEY = EngineKey(
    graph_sha256='ab' * 32,
    library='tensorrt',
    library_version='10.13',
    gpu='Fake GPU',
    compute_capabilities=('sm89',),
    precision='f16',
    shapes={'camera': '64x128', 'network': '64x128', 'fit': 'stretch', 'channel_order': 'rgb'},
)
PLAN = bytes(range(256)) * 100


class Builder:
    """Builds PLAN and counts."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self) -> KeptEngine:
        self.builds += 1
        return KeptEngine(PLAN, {'inputs': ['image']})


@pytest.fixture
def build() -> Builder:
    return Builder()


def get_engine(folder, model_name, key, build, is_broken=False):
    """Look as a start of the node does."""
    cache = EngineCache(folder, model_name, key)
    return (None if is_broken else cache.find()) or cache.get(build, BuildWatch(), is_broken)


def find_plan(folder: Path) -> Path:
    (path,) = folder.glob('*.engine')
    return path


def test_second_start_finds_the_engine_and_its_facts(tmp_path, build):
    first = get_engine(tmp_path, 'street', KEY, build)
    second = get_engine(tmp_path, 'street', KEY, build)
    assert (first.is_hit, second.is_hit, build.builds) == (False, True, 1)
    assert second == dataclasses.replace(first, is_hit=True)
    assert second.engine == KeptEngine(PLAN, {'inputs': ['image']})
    assert second.path.name == 'street.tensorrt.f16.64x128.64x128.stretch.rgb.engine'


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('graph_sha256', 'cd' * 32),
        ('library_version', '11.4'),
        ('gpu', 'Other GPU'),
        ('compute_capabilities', ('sm120',)),
    ],
)
def test_engine_of_another_key_is_built_again_and_the_field_logged(
    tmp_path, build, caplog, field, value
):
    get_engine(tmp_path, 'street', KEY, build)
    other = dataclasses.replace(KEY, **{field: value})
    assert not get_engine(tmp_path, 'street', other, build).is_hit
    assert f'building the engine again: {field} is' in caplog.text
    assert get_engine(tmp_path, 'street', other, build).is_hit
    assert build.builds == 2


def test_sizes_and_precisions_are_kept_side_by_side(tmp_path, build):
    other = dataclasses.replace(KEY, precision='f32')
    bgr = dataclasses.replace(KEY, shapes=KEY.shapes | {'channel_order': 'bgr'})
    for key in (KEY, other, bgr):
        assert not get_engine(tmp_path, 'street', key, build).is_hit
    assert all(get_engine(tmp_path, 'street', key, build).is_hit for key in (KEY, other, bgr))


def test_engine_built_ahead_of_time_runs_on_each_of_its_targets(tmp_path, build):
    ahead = dataclasses.replace(KEY, gpu='', compute_capabilities=('sm86', 'sm89'))
    get_engine(tmp_path, 'street', ahead, build)
    assert get_engine(tmp_path, 'street', KEY, build).is_hit
    newer = dataclasses.replace(KEY, compute_capabilities=('sm120',))
    assert not get_engine(tmp_path, 'street', newer, build).is_hit


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda path: path.write_bytes(PLAN[:100]), 'has 100 bytes of 25600'),
        (lambda path: path.write_bytes(b'\x01' + PLAN[1:]), 'is damaged'),
        (lambda path: path.with_name(path.name + '.json').write_text('{"gpu'), 'cannot be read'),
        (lambda path: path.with_name(path.name + '.json').write_text('[]'), 'cannot be read'),
    ],
)
def test_damaged_engine_is_built_again(tmp_path, build, caplog, damage, reason):
    get_engine(tmp_path, 'street', KEY, build)
    damage(find_plan(tmp_path))
    found = get_engine(tmp_path, 'street', KEY, build)
    assert (found.is_hit, found.engine.plan) == (False, PLAN)
    assert reason in caplog.text
    assert get_engine(tmp_path, 'street', KEY, build).is_hit


def test_engine_that_does_not_load_is_built_again_on_request(tmp_path, build):
    get_engine(tmp_path, 'street', KEY, build)
    assert not get_engine(tmp_path, 'street', KEY, build, is_broken=True).is_hit
    assert build.builds == 2


def test_folder_that_cannot_be_made_leaves_the_engine_uncached(tmp_path, build, caplog):
    (tmp_path / 'file').write_text('in the way')
    found = get_engine(tmp_path / 'file' / 'engines', 'street', KEY, build)
    assert (found.engine.plan, found.is_hit, found.path) == (PLAN, False, None)
    assert found.problem.startswith(f'engines cannot be kept in {tmp_path}')
    assert found.problem in caplog.text


def test_engine_in_a_folder_that_cannot_be_written_is_used(tmp_path, build, monkeypatch):
    get_engine(tmp_path, 'street', KEY, build)

    def refuse(*arguments, **options):
        raise OSError('read-only file system')

    monkeypatch.setattr(os, 'open', refuse)
    assert get_engine(tmp_path, 'street', KEY, build).is_hit


def test_wait_for_another_process_ends_when_the_build_is_cancelled(tmp_path, build):
    cache = EngineCache(tmp_path, 'street', KEY)
    watch = BuildWatch(lambda phase, share: watch.cancel())
    process = start(tmp_path)
    wait_for_build(tmp_path)
    with pytest.raises(BuildCancelledError):
        cache.get(build, watch)
    assert watch.phase == 'waiting for another process that builds it'
    process.kill()
    process.communicate()
    assert build.builds == 0


def test_failed_build_leaves_no_engine(tmp_path, build):
    def fail() -> KeptEngine:
        raise RuntimeError('no')

    with pytest.raises(RuntimeError):
        get_engine(tmp_path, 'street', KEY, fail)
    assert list(tmp_path.glob('*.engine*')) == list(tmp_path.glob('*.lock'))
    assert not get_engine(tmp_path, 'street', KEY, build).is_hit


PROCESS = """
import json, logging, resource, signal, sys, time
from pathlib import Path
from seg_perception.engines.build_watch import BuildWatch
from seg_perception.engines.engine_cache import EngineCache, EngineKey, KeptEngine
logging.basicConfig(level=logging.WARNING)
folder, values, limit = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
values['compute_capabilities'] = tuple(values['compute_capabilities'])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def build():
    with open(folder / 'builds', 'a') as log:
        log.write('x')
    time.sleep(1.0)
    return KeptEngine(bytes(25600), {})

found = EngineCache(folder, 'street', EngineKey(**values)).get(build, BuildWatch())
print(found.is_hit, found.path, len(found.engine.plan))
"""


def start(folder: Path, file_limit_bytes: int = 0) -> subprocess.Popen:
    """Start a process that wants the engine; no file of it may grow beyond a limit."""
    arguments = [str(folder), json.dumps(dataclasses.asdict(KEY)), str(file_limit_bytes)]
    return subprocess.Popen(
        [sys.executable, '-c', PROCESS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_build(folder: Path) -> None:
    """Wait until a process builds."""
    deadline_s = time.monotonic() + 30
    while not (folder / 'builds').exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)


def test_of_two_processes_one_builds_and_one_waits(tmp_path):
    processes = [start(tmp_path), start(tmp_path)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert sorted(out.split()[0] for out, _ in answers) == ['False', 'True']
    assert (tmp_path / 'builds').read_text() == 'x'
    assert 'another process builds this engine' in ''.join(log for _, log in answers)


def test_process_that_dies_while_building_blocks_nobody(tmp_path, build):
    process = start(tmp_path)
    wait_for_build(tmp_path)
    process.kill()
    process.communicate()
    assert not get_engine(tmp_path, 'street', KEY, build).is_hit


def test_full_disk_leaves_the_engine_uncached_and_no_part_of_it(tmp_path):
    """The system refuses to write more, as a full disk does: with OSError, half way."""
    out, log = start(tmp_path, file_limit_bytes=4096).communicate(timeout=60)
    assert out.split() == ['False', 'None', '25600'], log
    assert 'is not kept for the next start: cannot write' in log
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ['', '.lock']


@pytest.mark.parametrize('value', ['', 'relative/path'])
def test_engines_are_in_the_cache_folder_of_the_user(tmp_path, monkeypatch, value):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert find_engine_directory() == tmp_path / 'seg_perception' / 'engines'
    monkeypatch.setenv('XDG_CACHE_HOME', value)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert find_engine_directory() == tmp_path / '.cache' / 'seg_perception' / 'engines'
    assert os.path.isabs(find_engine_directory())
