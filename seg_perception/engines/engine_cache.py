# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Engines that were built are kept in a folder of the user, with what they were built from.

Each engine has one place, named by model, library, sizes and precision, and two files there: the
plan, and a sidecar (JSON) with its key. An engine whose key is another, or whose bytes are not
those of the sidecar, is built again in the same place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seg_perception.engines.build_watch import BuildWatch
from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file

LOGGER = logging.getLogger(__name__)
PLAN_SUFFIX = '.engine'
# Added to the plan's name.
SIDECAR_SUFFIX = '.json'
LOCK_SUFFIX = '.lock'
# Of the sidecar, beside the key.
PLAN_BYTES = 'plan_bytes'
PLAN_SHA256 = 'plan_sha256'
FACTS = 'facts'
WAITING = 'waiting for another process that builds it'
LOCK_POLL_S = 0.1


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on.

    Attributes:
        graph_sha256: of the graph that was parsed, precision and sizes included.
        library: 'tensorrt' or 'tensorrt_rtx'.
        library_version: of the library.
        gpu: name of the GPU it was built on; '' where it was built for targets.
        compute_capabilities: such as ('sm86', 'sm89'): the targets, or that of the GPU.
        precision: 'f32', 'f16', 'bf16' or 'int8'.
        shapes: 'camera', 'network' (HxW, px), 'fit' and 'channel_order'.
        dla_core: accelerator core of a Jetson, -1 for none.
    """

    graph_sha256: str
    library: str
    library_version: str
    gpu: str
    compute_capabilities: tuple[str, ...]
    precision: str
    shapes: dict[str, str]
    dla_core: int = -1

    @property
    def digest(self) -> str:
        """Hash of all fields, hexadecimal."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def name_place(self, model_name: str) -> str:
        """Return the stem of the engine's files."""
        parts = [model_name, self.library, self.precision, *self.shapes.values()]
        if self.dla_core >= 0:
            parts.append(f'dla{self.dla_core}')
        return re.sub(r'[^A-Za-z0-9._-]', '_', '.'.join(parts))

    def find_difference(self, kept: dict[str, Any]) -> str:
        """Return why a kept engine cannot be used: the field that differs; '' if none does.

        An engine that was built ahead of time for targets runs on each of them.
        """
        wanted = json.loads(json.dumps(asdict(self)))
        was_ahead = kept.get('gpu') == ''
        for name, value in wanted.items():
            found = kept.get(name)
            if name == 'compute_capabilities' and was_ahead and isinstance(found, list):
                is_same = set(value) <= set(found)
            else:
                is_same = found == value or (name == 'gpu' and was_ahead)
            if not is_same:
                return f'{name} is {value}, the kept engine has {found}'
        return ''


@dataclass(frozen=True)
class KeptEngine:
    """A plan of the library, and JSON values that are kept with it, such as its inputs."""

    plan: bytes
    facts: dict[str, Any]


@dataclass(frozen=True)
class CachedEngine:
    """An engine, and where it is kept.

    Attributes:
        engine: itself.
        is_hit: it was there already.
        path: of the plan; None where it could not be kept.
        problem: why it could not, '' where it is.
    """

    engine: KeptEngine
    is_hit: bool
    path: Path | None
    problem: str = ''


def find_engine_directory() -> Path:
    """Return the folder of engines: seg_perception/engines in $XDG_CACHE_HOME or ~/.cache.

    Raises:
        UserError: this user has no home folder.
    """
    cache_home = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if not cache_home.is_absolute():  # the XDG specification: relative ones are to be ignored
        try:
            cache_home = Path('~/.cache').expanduser()
        except RuntimeError as error:
            raise UserError(
                'this user has no home folder to keep engines in; set XDG_CACHE_HOME to a folder'
            ) from error
    return cache_home / 'seg_perception' / 'engines'


class EngineCache:
    """The place of one engine in a folder of engines."""

    def __init__(self, folder: Path, model_name: str, key: EngineKey) -> None:
        """Name the place.

        Args:
            folder: of all engines; made if need be.
            model_name: for the name of the files.
            key: what the engine must have been built from.
        """
        self._folder = folder
        self._key = key
        self.path = folder / (key.name_place(model_name) + PLAN_SUFFIX)

    def find(self) -> CachedEngine | None:
        """Return the kept engine if it is whole and of this key; waits for nobody."""
        try:
            return CachedEngine(read_engine(self.path, self._key), True, self.path)
        except UnusableEngineError:
            return None

    def get(
        self,
        build: Callable[[], KeptEngine],
        watch: BuildWatch,
        is_broken: bool = False,
    ) -> CachedEngine:
        """Return the kept engine, or else build and keep it.

        Of two processes that want the same engine one builds and the other waits. Where the
        folder cannot be written the engine is built and not kept, with a warning.

        Args:
            build: makes the engine; its errors are passed on.
            watch: told when another process is waited for; ends that when it is cancelled.
            is_broken: build also where a kept engine looks right: it did not load.

        Raises:
            BuildCancelledError: the watch was cancelled.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_file(add_suffix(self.path, LOCK_SUFFIX), watch))
            except OSError as error:
                problem = f'engines cannot be kept in {self._folder}: {error}'
                LOGGER.warning('%s', problem)
                return CachedEngine(build(), False, None, problem)
            try:
                if not is_broken:
                    return CachedEngine(read_engine(self.path, self._key), True, self.path)
            except UnusableEngineError as error:
                if str(error):
                    LOGGER.warning('building the engine again: %s', error)
            return self._keep(build())

    def _keep(self, engine: KeptEngine) -> CachedEngine:
        try:
            write_engine(self.path, self._key, engine)
        except UserError as error:
            problem = f'the engine runs, but is not kept for the next start: {error}'
            LOGGER.warning('%s', problem)
            return CachedEngine(engine, False, None, problem)
        return CachedEngine(engine, False, self.path)


class UnusableEngineError(Exception):
    """A kept engine that is not to be used; the message says why, '' where there is none."""


def read_engine(path: Path, key: EngineKey) -> KeptEngine:
    """Return a kept engine; raises UnusableEngineError unless it is whole and of this key."""
    try:
        sidecar = json.loads(add_suffix(path, SIDECAR_SUFFIX).read_text(encoding='utf-8'))
        plan = path.read_bytes()
        if not isinstance(sidecar, dict):
            raise ValueError('no JSON object')
    except FileNotFoundError as error:
        raise UnusableEngineError from error
    except (OSError, ValueError) as error:
        raise UnusableEngineError(f'{path} cannot be read ({error})') from error
    reason = key.find_difference(sidecar)
    if not reason and len(plan) != sidecar.get(PLAN_BYTES):
        reason = f'{path} has {len(plan)} bytes of {sidecar.get(PLAN_BYTES)}'
    if not reason and hashlib.sha256(plan).hexdigest() != sidecar.get(PLAN_SHA256):
        reason = f'{path} is damaged: its hash is not that in its {SIDECAR_SUFFIX} file'
    if reason:
        raise UnusableEngineError(reason)
    return KeptEngine(plan, sidecar.get(FACTS, {}))


def write_engine(path: Path, key: EngineKey, engine: KeptEngine) -> None:
    """Write plan and sidecar, each whole or not at all.

    A plan that was replaced without its sidecar is found out by its hash.

    Raises:
        UserError: they cannot be written.
    """
    sidecar = {
        **asdict(key),
        'key': key.digest,
        FACTS: engine.facts,
        PLAN_BYTES: len(engine.plan),
        PLAN_SHA256: hashlib.sha256(engine.plan).hexdigest(),
    }
    text = json.dumps(sidecar, indent=2) + '\n'
    replace_file(path, lambda temporary: temporary.write_bytes(engine.plan))
    replace_file(
        add_suffix(path, SIDECAR_SUFFIX),
        lambda temporary: temporary.write_text(text, encoding='utf-8'),
    )


def add_suffix(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a plan."""
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def lock_file(path: Path, watch: BuildWatch) -> Iterator[None]:
    """Hold a file's lock, alone among all processes; a process that ends gives it back.

    Raises:
        OSError: the file cannot be made.
        BuildCancelledError: the watch was cancelled while another process had the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not try_lock(descriptor):
            if watch.phase != WAITING:
                LOGGER.warning('another process builds this engine (%s); waiting for it', path)
                watch.report(WAITING, 0.0)
            time.sleep(LOCK_POLL_S)
            watch.require_wanted()
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take a file's lock if no other process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
