# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints on this machine: fetched, verified, and what is known of each."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seg_perception.errors import UserError
from seg_perception.evaluation.files import replace_file
from seg_perception.model_zoo.cards import CardLicence
from seg_perception.model_zoo.catalogue import Catalogue, CatalogueEntry
from seg_perception.model_zoo.download import (
    DownloadConfig,
    ProgressCallback,
    download,
    remove_part,
)
from seg_perception.model_zoo.verify import check_file, compute_sha256
from seg_perception.yaml_config import load_dataclass

RECORD_SUFFIX = '.yaml'


@dataclass(frozen=True)
class FetchRecord:
    """What is written beside a fetched file: `<file>.yaml`. fetched_on: date, UTC."""

    name: str
    url: str
    sha256: str
    fetched_on: str
    summary: str
    licence: CardLicence


def fetch_checkpoint(
    catalogue: Catalogue,
    entry: CatalogueEntry,
    folder: Path,
    on_progress: ProgressCallback,
    report: Callable[[str], None],
    config: DownloadConfig | None = None,
) -> Path:
    """Return the verified file of an entry, in `folder`; downloads it unless it is there.

    It is known to be right by the hash that the catalogue gives and by that of its first fetch,
    which is recorded beside it. A file that is wrong never gets its name.

    Args:
        catalogue: where the entry is from, for its terms.
        entry: what to fetch.
        folder: of checkpoints, made if it is not there.
        on_progress: see download.
        report: takes a line for the user.
        config: see download.

    Raises:
        UserError: it cannot be downloaded, or is not what it should be.
    """
    path = folder / entry.file
    with lock_folder(folder):
        if not take_present(catalogue, entry, path, report):
            download_checkpoint(catalogue, entry, path, on_progress, config)
    return path


def take_present(
    catalogue: Catalogue, entry: CatalogueEntry, path: Path, report: Callable[[str], None]
) -> bool:
    """Tell whether the file is there and right; one that is wrong is moved aside."""
    if not path.is_file():
        return False
    fault, sha256 = check_checkpoint(path, entry, read_record(path))
    if fault:
        aside = path.with_name(path.name + '.bad')
        move_file(path, aside)
        report(f'{path} {fault}; moved to {aside}')
        return False
    write_record(path, entry, catalogue.terms[entry.terms], sha256)
    report(f'{path} is there already')
    return True


def download_checkpoint(
    catalogue: Catalogue,
    entry: CatalogueEntry,
    path: Path,
    on_progress: ProgressCallback,
    config: DownloadConfig | None,
) -> None:
    """Download a file, verify it, record it and give it its name, in this order."""
    part = path.with_name(path.name + '.part')
    try:
        download(entry.url, part, on_progress, config)
    except UserError as error:
        raise UserError(
            f'{entry.name} was not fetched: {error}. A copy from elsewhere works as well: put it '
            f'at {path} and run the same command'
        ) from error
    fault, sha256 = check_checkpoint(part, entry, read_record(path))
    if fault:
        remove_part(part)
        raise UserError(f'{entry.name} was not fetched: what {entry.url} sent {fault}; removed')
    write_record(path, entry, catalogue.terms[entry.terms], sha256)
    move_file(part, path)
    remove_part(part)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder if need be, and keep other fetches out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f'cannot use folder {folder}: {error.strerror or error}') from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError(f'another process is fetching into {folder}; wait for it') from error
    finally:
        os.close(handle)


def move_file(source: Path, target: Path) -> None:
    """Rename a file; UserError when that is not possible."""
    try:
        os.replace(source, target)
    except OSError as error:
        raise UserError(f'cannot write {target}: {error.strerror or error}') from error


def check_checkpoint(
    path: Path, entry: CatalogueEntry, record: FetchRecord | None
) -> tuple[str, str]:
    """Return what is wrong with a file, '' if nothing, and its sha256.

    The text goes on a sentence about the file.
    """
    sha256 = compute_sha256(path)
    fault = check_content(path)
    if not fault and not sha256.startswith(entry.sha256):
        fault = f'has sha256 {sha256}, its publisher says {entry.sha256}...'
    if not fault and record is not None and sha256 != record.sha256:
        fault = (
            f'has sha256 {sha256}, that fetched on {record.fetched_on} had {record.sha256}: '
            'changed by its publisher or on the way; to accept it remove '
            f'{path.with_name(entry.file + RECORD_SUFFIX)}'
        )
    return fault, sha256


def check_content(path: Path) -> str:
    """Return '' where a file can be one of torch.save, else what speaks against it.

    Web pages of a share that has moved come with the code 200, and would be recorded.
    """
    with path.open('rb') as file:
        start = file.read(16)
    if start.startswith(b'\x80\x02'):  # before torch 1.6: a pickle of protocol 2
        return ''
    if not start.startswith(b'PK'):
        return f'is no checkpoint but starts with {start!r}'
    return '' if zipfile.is_zipfile(path) else 'is a checkpoint without its end'


def record_path(path: Path) -> Path:
    """Return where the record of a checkpoint is kept."""
    return path.with_name(path.name + RECORD_SUFFIX)


def read_record(path: Path) -> FetchRecord | None:
    """Read the record of a checkpoint; None without one, ConfigError for a damaged one."""
    if not record_path(path).is_file():
        return None
    return load_dataclass(FetchRecord, record_path(path), 'record')


def write_record(path: Path, entry: CatalogueEntry, licence: CardLicence, sha256: str) -> None:
    """Write the record of a checkpoint, at its first fetch."""
    import yaml

    if record_path(path).is_file():
        return
    record = FetchRecord(
        name=entry.name,
        url=entry.url,
        sha256=sha256,
        fetched_on=time.strftime('%Y-%m-%d', time.gmtime()),
        summary=entry.summary,
        licence=licence,
    )
    text = yaml.safe_dump(dataclasses.asdict(record), sort_keys=False, width=95)
    replace_file(record_path(path), lambda temporary: temporary.write_text(text, encoding='utf-8'))


def check_fetched(folder: Path, name: str | None = None) -> list[tuple[str, str]]:
    """Compare fetched files with their records.

    Files that were removed are left out: their records are for the next fetch.

    Args:
        folder: of checkpoints.
        name: of one of them; None checks all.

    Returns:
        Name of the checkpoint, and what is wrong with its file, '' if nothing.
    """
    results = []
    for path in sorted(path.with_suffix('') for path in folder.glob(f'*{RECORD_SUFFIX}')):
        if not path.is_file():
            continue
        try:
            record = load_dataclass(FetchRecord, record_path(path), 'record')
        except UserError as error:
            results.append((path.name, str(error)))
            continue
        if name in (None, record.name):
            results.append((record.name, check_file(path, record.sha256)))
    return results
